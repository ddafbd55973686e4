#include "coordinator/members.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hostlist.h"

void member_id_text(const struct store_id *id, char out[MEMBER_ID_TEXT])
{
	(void)sodium_bin2hex(out, MEMBER_ID_TEXT, id->bytes, sizeof(id->bytes));
}

static bool same_id(const struct store_id *a, const struct store_id *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static int no_memory(struct pm_error *err)
{
	return pm_fail(err, PM_NO_MEMORY, "remember a member");
}

/* Replace a text. false: no memory, and it is as it was. */
static bool set(char **field, const char *text)
{
	char *copy = pm_strdup(text != NULL ? text : "");

	if (copy == NULL)
		return false;
	free(*field);
	*field = copy;
	return true;
}

static void *grow(void *list, size_t n, size_t *cap, size_t size)
{
	void *more;

	if (n < *cap)
		return list;
	more = pm_realloc(list, PM_MAX(*cap * 2, (size_t)16) * size);
	if (more != NULL)
		*cap = PM_MAX(*cap * 2, (size_t)16);
	return more;
}

/* ---- nodes ---- */

static void node_free(struct node *n)
{
	if (n == NULL)
		return;
	pm_labels_finish(&n->labels);
	pm_labels_finish(&n->claimed);
	pm_labels_finish(&n->facts);
	free(n->name);
	free(n->labels_text);
	free(n->claimed_text);
	free(n->facts_text);
	free(n->note);
	free(n->enrolled_by);
	free(n);
}

static bool set_labels(struct pm_labels *labels, char **text, const char *from)
{
	struct pm_labels parsed = { 0 };
	struct pm_error err;

	if (from == NULL)
		from = "";
	/* What an older version wrote and this one does not understand is no label. */
	if (pm_labels_parse(from, &parsed, &err) < 0 &&
	    (err.code == PM_NO_MEMORY || pm_labels_parse("", &parsed, &err) < 0))
		return false;
	pm_labels_finish(labels);
	*labels = parsed;
	return set(text, from);
}

static size_t place_of(const struct members *m, const char *name)
{
	size_t at = 0, end = m->n_nodes;

	while (at < end) {
		size_t mid = at + (end - at) / 2;

		if (hostlist_compare(m->nodes[mid]->name, name) < 0)
			at = mid + 1;
		else
			end = mid;
	}
	return at;
}

static size_t place_of_id(const struct members *m, const struct store_id *id)
{
	size_t at = 0, end = m->n_nodes;

	while (at < end) {
		size_t mid = at + (end - at) / 2;

		if (memcmp(&m->by_id[mid]->id, id, sizeof(*id)) < 0)
			at = mid + 1;
		else
			end = mid;
	}
	return at;
}

static void take_out(struct members *m, const struct node *node)
{
	size_t by_id = place_of_id(m, &node->id);

	memmove(m->by_id + by_id, m->by_id + by_id + 1,
	        (m->n_nodes - by_id - 1) * sizeof(*m->by_id));
	for (size_t i = 0; i < m->n_nodes; i++)
		if (m->nodes[i] == node) {
			memmove(m->nodes + i, m->nodes + i + 1,
			        (m->n_nodes - i - 1) * sizeof(*m->nodes));
			m->n_nodes--;
			return;
		}
}

static void put_in(struct members *m, struct node *node)
{
	size_t at = place_of(m, node->name), by_id = place_of_id(m, &node->id);

	memmove(m->by_id + by_id + 1, m->by_id + by_id, (m->n_nodes - by_id) * sizeof(*m->by_id));
	m->by_id[by_id] = node;
	memmove(m->nodes + at + 1, m->nodes + at, (m->n_nodes - at) * sizeof(*m->nodes));
	m->nodes[at] = node;
	m->n_nodes++;
}

int members_put_node(struct members *m, const struct store_agent *row, struct node **out,
                     struct pm_error *err)
{
	struct node *node = members_node(m, &row->id);
	bool fresh = node == NULL;

	if (fresh) {
		struct node **more = grow(m->nodes, m->n_nodes, &m->cap_nodes, sizeof(*more));

		if (more == NULL)
			return no_memory(err);
		m->nodes = more;
		more = grow(m->by_id, m->n_nodes, &m->cap_by_id, sizeof(*more));
		if (more == NULL)
			return no_memory(err);
		m->by_id = more;
		node = pm_calloc(1, sizeof(*node));
		if (node == NULL)
			return no_memory(err);
		node->id = row->id;
		member_id_text(&row->id, node->id_text);
	} else {
		take_out(m, node); /* the name may be another */
	}
	if (!set(&node->name, row->name) ||
	    !set_labels(&node->labels, &node->labels_text, row->labels) ||
	    !set_labels(&node->claimed, &node->claimed_text, row->claimed) ||
	    !set_labels(&node->facts, &node->facts_text, row->facts) ||
	    !set(&node->note, row->note) || !set(&node->enrolled_by, row->enrolled_by)) {
		if (fresh)
			node_free(node);
		else
			put_in(m, node);
		return no_memory(err);
	}
	node->state = row->state;
	node->drained = row->drained;
	node->epoch = PM_MAX(node->epoch, row->epoch);
	node->command = PM_MAX(node->command, row->command);
	node->enrolled_ms = row->enrolled_ms;
	node->last_seen_ms = PM_MAX(node->last_seen_ms, row->last_seen_ms);
	put_in(m, node);
	if (out != NULL)
		*out = node;
	return 0;
}

void members_drop_node(struct members *m, struct node *node)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n_keys; i++)
		if (!same_id(&m->keys[i].owner, &node->id))
			m->keys[kept++] = m->keys[i];
	m->n_keys = kept;
	take_out(m, node);
	node_free(node);
}

struct node *members_node(const struct members *m, const struct store_id *id)
{
	size_t at = place_of_id(m, id);

	return at < m->n_nodes && same_id(&m->by_id[at]->id, id) ? m->by_id[at] : NULL;
}

struct node *members_node_named(const struct members *m, const char *id_or_name)
{
	size_t at = place_of(m, id_or_name);

	if (at < m->n_nodes && strcmp(m->nodes[at]->name, id_or_name) == 0)
		return m->nodes[at];
	for (size_t i = 0; i < m->n_nodes; i++)
		if (strcmp(m->nodes[i]->id_text, id_or_name) == 0)
			return m->nodes[i];
	return NULL;
}

bool node_takes_commands(const struct node *node)
{
	return node->state == AGENT_ACCEPTED && !node->store_old;
}

void node_take_clock(struct node *node, uint64_t monotonic_ms)
{
	node->beat_ms = monotonic_ms;
	node->beat_at_ms = pm_now_ms();
}

Pm__NodeState node_state(const struct node *node)
{
	switch (node->state) {
	case AGENT_UNCHANGED: /* of no agent that is stored */
	case AGENT_PENDING:
		return PM__NODE_STATE__NODE_PENDING;
	case AGENT_REJECTED:
		return PM__NODE_STATE__NODE_REJECTED;
	case AGENT_DENIED:
	case AGENT_QUARANTINED:
		return PM__NODE_STATE__NODE_DENIED;
	case AGENT_ACCEPTED:
		break;
	}
	if (node->store_old)
		return PM__NODE_STATE__NODE_STORE_OLD;
	if (node->link == NULL)
		return PM__NODE_STATE__NODE_DOWN;
	return node->suspect ? PM__NODE_STATE__NODE_SUSPECT : PM__NODE_STATE__NODE_ONLINE;
}

/* ---- operators ---- */

static void binding_finish(struct binding *b)
{
	free(b->role);
	free(b->targets);
	free(b->apps);
}

static void oper_free(struct oper *o)
{
	for (size_t i = 0; i < o->n_bindings; i++)
		binding_finish(&o->bindings[i]);
	free(o->bindings);
	free(o->name);
	free(o->enrolled_by);
	free(o);
}

int members_put_oper(struct members *m, const struct store_operator *row, struct oper **out,
                     struct pm_error *err)
{
	struct oper *o = members_oper(m, &row->id);
	bool fresh = o == NULL;

	if (fresh) {
		struct oper **more = grow(m->opers, m->n_opers, &m->cap_opers, sizeof(*more));

		if (more == NULL)
			return no_memory(err);
		m->opers = more;
		o = pm_calloc(1, sizeof(*o));
		if (o == NULL)
			return no_memory(err);
		o->id = row->id;
		member_id_text(&row->id, o->id_text);
	}
	if (!set(&o->name, row->name) || !set(&o->enrolled_by, row->enrolled_by)) {
		if (fresh)
			oper_free(o);
		return no_memory(err);
	}
	o->state = row->state;
	o->enrolled_ms = row->enrolled_ms;
	if (fresh)
		m->opers[m->n_opers++] = o;
	if (out != NULL)
		*out = o;
	return 0;
}

struct oper *members_oper(const struct members *m, const struct store_id *id)
{
	for (size_t i = 0; i < m->n_opers; i++)
		if (same_id(&m->opers[i]->id, id))
			return m->opers[i];
	return NULL;
}

struct oper *members_oper_named(const struct members *m, const char *id_or_name)
{
	for (size_t i = 0; i < m->n_opers; i++)
		if (strcmp(m->opers[i]->name, id_or_name) == 0 ||
		    strcmp(m->opers[i]->id_text, id_or_name) == 0)
			return m->opers[i];
	return NULL;
}

int members_put_binding(struct members *m, const struct store_binding *row, struct pm_error *err)
{
	struct oper *o = members_oper(m, &row->operator_id);
	struct binding b = { .id = row->id }, *more;

	if (o == NULL)
		return 0; /* of one that is no more */
	members_drop_binding(m, row->id);
	more = pm_realloc(o->bindings, (o->n_bindings + 1) * sizeof(*more));
	if (more == NULL)
		return no_memory(err);
	o->bindings = more;
	if (!set(&b.role, row->role) || !set(&b.targets, row->targets) ||
	    !set(&b.apps, row->apps)) {
		binding_finish(&b);
		return no_memory(err);
	}
	o->bindings[o->n_bindings++] = b;
	return 0;
}

void members_drop_binding(struct members *m, uint64_t id)
{
	for (size_t i = 0; i < m->n_opers; i++) {
		struct oper *o = m->opers[i];
		size_t kept = 0;

		for (size_t k = 0; k < o->n_bindings; k++) {
			if (o->bindings[k].id == id)
				binding_finish(&o->bindings[k]);
			else
				o->bindings[kept++] = o->bindings[k];
		}
		o->n_bindings = kept;
	}
}

/* ---- keys ---- */

static size_t key_place(const struct members *m, const uint8_t *key)
{
	size_t at = 0, end = m->n_keys;

	while (at < end) {
		size_t mid = at + (end - at) / 2;

		if (memcmp(m->keys[mid].key.bytes, key, sizeof(m->keys[mid].key.bytes)) < 0)
			at = mid + 1;
		else
			end = mid;
	}
	return at;
}

const struct member_key *members_key(const struct members *m, const uint8_t *key)
{
	size_t at = key_place(m, key);

	return at < m->n_keys && memcmp(m->keys[at].key.bytes, key, sizeof(struct store_key)) == 0
	               ? &m->keys[at]
	               : NULL;
}

int members_put_key(struct members *m, const struct store_key_row *row, struct pm_error *err)
{
	const struct member_key k = { row->key, row->kind, row->owner, row->state, row->ended_ms };
	size_t at = key_place(m, row->key.bytes);
	struct member_key *more;

	if (at < m->n_keys && memcmp(&m->keys[at].key, &row->key, sizeof(row->key)) == 0) {
		m->keys[at] = k;
		return 0;
	}
	more = grow(m->keys, m->n_keys, &m->cap_keys, sizeof(*more));
	if (more == NULL)
		return no_memory(err);
	m->keys = more;
	memmove(m->keys + at + 1, m->keys + at, (m->n_keys - at) * sizeof(*m->keys));
	m->keys[at] = k;
	m->n_keys++;
	return 0;
}

static void drop_keys(struct members *m, const struct store_id *owner, enum key_state state)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n_keys; i++)
		if (m->keys[i].state != state || !same_id(&m->keys[i].owner, owner))
			m->keys[kept++] = m->keys[i];
	m->n_keys = kept;
}

int members_next_key(struct members *m, const struct store_next_key *k, struct pm_error *err)
{
	const struct member_key *found = members_key(m, k->present.bytes);
	struct member_key *present;
	struct store_key_row row = { .key = k->next, .state = KEY_NEXT };

	if (found == NULL)
		return 0; /* forgotten meanwhile */
	row.kind = found->kind;
	row.owner = found->owner;
	drop_keys(m, &row.owner, KEY_NEXT);
	if (members_put_key(m, &row, err) < 0)
		return -1;
	present = &m->keys[key_place(m, k->present.bytes)];
	present->ended_ms = k->until_ms;
	return 0;
}

void members_use_key(struct members *m, const struct store_key *next)
{
	const struct member_key *found = members_key(m, next->bytes);
	struct store_id owner;

	if (found == NULL)
		return;
	owner = found->owner;
	drop_keys(m, &owner, KEY_RETIRED);
	for (size_t i = 0; i < m->n_keys; i++)
		if (same_id(&m->keys[i].owner, &owner) && m->keys[i].state == KEY_ACTIVE)
			m->keys[i].state = KEY_RETIRED;
	m->keys[key_place(m, next->bytes)].state = KEY_ACTIVE;
	m->keys[key_place(m, next->bytes)].ended_ms = 0;
}

bool member_key_is_good(const struct member_key *k, int64_t now_ms)
{
	return k->state == KEY_NEXT ||
	       (k->state == KEY_ACTIVE && (k->ended_ms == 0 || now_ms < k->ended_ms));
}

void members_each_key(const struct members *m, const struct store_id *owner, member_key_fn *fn,
                      void *arg)
{
	for (size_t i = 0; i < m->n_keys; i++)
		if (same_id(&m->keys[i].owner, owner))
			fn(arg, &m->keys[i]);
}

/* ---- groups ---- */

static void groups_free(struct fleet_group *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(list[i].name);
		free(list[i].form);
		free(list[i].text);
		free(list[i].by);
	}
	free(list);
}

int members_set_groups(struct members *m, const struct store_group *rows, size_t n,
                       struct pm_error *err)
{
	struct fleet_group *list = pm_calloc(n + 1, sizeof(*list));

	if (list == NULL)
		return no_memory(err);
	for (size_t i = 0; i < n; i++)
		if (!set(&list[i].name, rows[i].name) || !set(&list[i].form, rows[i].form) ||
		    !set(&list[i].text, rows[i].text)) {
			groups_free(list, n);
			return no_memory(err);
		}
	groups_free(m->groups, m->n_groups);
	m->groups = list;
	m->n_groups = n;
	return 0;
}

void members_finish(struct members *m)
{
	for (size_t i = 0; i < m->n_nodes; i++)
		node_free(m->nodes[i]);
	for (size_t i = 0; i < m->n_opers; i++)
		oper_free(m->opers[i]);
	groups_free(m->groups, m->n_groups);
	free(m->nodes);
	free(m->by_id);
	free(m->opers);
	free(m->keys);
	*m = (struct members){ 0 };
}
