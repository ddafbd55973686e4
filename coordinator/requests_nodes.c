/* requests_nodes.c - the nodes, as operators see them. */
#include "coordinator/requests_priv.h"

#include <stdlib.h>

#include "proto/ops.h"

#define NODES_PER_REPLY 40

size_t coord_labels(const struct pm_labels *labels, Pm__Label *out, Pm__Label **list, size_t most)
{
	size_t n = 0;

	for (; n < labels->n && n < most; n++) {
		pm__label__init(&out[n]);
		out[n].name = requests_text(labels->list[n].key);
		out[n].value = requests_text(labels->list[n].value);
		list[n] = &out[n];
	}
	return n;
}

struct node_view {
	Pm__Node msg;
	Pm__HostFacts facts;
	Pm__Label labels[2 * PM_LABELS_MAX], *list[2 * PM_LABELS_MAX];
};

static uint64_t fact_number(const struct node *n, const char *key)
{
	const char *value = pm_labels_get(&n->facts, key);

	return value == NULL ? 0 : strtoull(value, NULL, 10);
}

void requests_key_of(void *arg, const struct member_key *key)
{
	Pm__Node *m = arg;

	if (key->state == KEY_ACTIVE) {
		m->key.data = (uint8_t *)(uintptr_t)key->key.bytes;
		m->key.len = sizeof(key->key.bytes);
	}
}

bool requests_has_active_key(const struct coord *c, const struct node *n)
{
	Pm__Node probe = PM__NODE__INIT;

	members_each_key(&c->members, &n->id, requests_key_of, &probe);
	return probe.key.data != NULL;
}

static void view_node(const struct coord *c, const struct node *n, struct node_view *v)
{
	Pm__Node *m = &v->msg;

	pm__node__init(m);
	pm__host_facts__init(&v->facts);
	m->id = requests_text(n->id_text);
	m->name = requests_text(n->name);
	members_each_key(&c->members, &n->id, requests_key_of, m);
	m->state = m->key.data == NULL ? PM__NODE_STATE__NODE_REVOKED : node_state(n);
	m->n_labels = coord_labels(&n->labels, v->labels, v->list, PM_LABELS_MAX);
	m->labels = v->list;
	m->n_claimed = coord_labels(&n->claimed, v->labels + PM_LABELS_MAX, v->list + PM_LABELS_MAX,
	                            PM_LABELS_MAX);
	m->claimed = v->list + PM_LABELS_MAX;
	v->facts.hostname = requests_text(pm_labels_get(&n->facts, "hostname"));
	v->facts.os = requests_text(pm_labels_get(&n->facts, "os"));
	v->facts.arch = requests_text(pm_labels_get(&n->facts, "arch"));
	v->facts.version = requests_text(pm_labels_get(&n->facts, "version"));
	v->facts.n_cpus = (uint32_t)fact_number(n, "cpus");
	v->facts.memory = fact_number(n, "memory");
	m->facts = &v->facts;
	m->address = requests_text(n->address);
	m->last_seen_wall_ms = n->last_seen_ms;
	m->enrolled_wall_ms = n->enrolled_ms;
	m->enrolled_by = requests_text(n->enrolled_by);
	m->running = n->running;
	m->failed = n->failed;
	m->load_permille = n->load_permille;
	m->drained = n->drained;
	if (n->drained)
		m->drain_text = requests_text(n->note);
	else
		m->note = requests_text(n->store_old ? n->store_why : n->note);
	m->clock_offset_ms = n->clock_offset_ms;
}

bool requests_is_empty(const Pm__Selector *s)
{
	return s == NULL || (!s->all && s->hosts[0] == '\0' && s->label[0] == '\0' &&
	                     s->group[0] == '\0' && s->where[0] == '\0' && s->n_names == 0);
}

/* Without a selector all are meant, of which there may be none. */
static int select_nodes(const struct fleet_view *v, const Pm__Selector *s, struct targets *out,
                        struct pm_error *err)
{
	Pm__Selector all = PM__SELECTOR__INIT;

	if (!requests_is_empty(s))
		return members_select(v, s, out, err);
	*out = (struct targets){ 0 };
	if (v->fleet.n == 0)
		return 0;
	all.all = true;
	return members_select(v, &all, out, err);
}

void requests_answer_nodes(struct coord *c, struct peer *p, uint64_t id, const Pm__NodeQuery *q,
                           const struct fleet_view *v, const struct access *a)
{
	PM_FREE struct node_view *views = pm_calloc(NODES_PER_REPLY, sizeof(*views));
	Pm__Node *list[NODES_PER_REPLY];
	Pm__NodeList nodes = PM__NODE_LIST__INIT;
	Pm__FleetReply r = PM__FLEET_REPLY__INIT;
	struct targets found = { 0 };
	struct pm_error err;

	if (views == NULL || select_nodes(v, q->selector, &found, &err) < 0) {
		if (views == NULL)
			(void)pm_fail(&err, PM_NO_MEMORY, "list the nodes"); /* the reply */
		pm_link_reply_error(p->link, id, &err);
		return;
	}
	r.what_case = PM__FLEET_REPLY__WHAT_NODES;
	r.nodes = &nodes;
	nodes.nodes = list;
	for (size_t i = 0; i < found.n; i++) {
		const struct node *n = c->members.nodes[found.hosts[i]];

		if (!access_allows_some(a, PM_OP_BIT(PM_OP_NODE_VIEW), found.hosts[i]))
			continue;
		view_node(c, n, &views[nodes.n_nodes]);
		list[nodes.n_nodes] = &views[nodes.n_nodes].msg;
		if (++nodes.n_nodes < NODES_PER_REPLY)
			continue;
		r.more = true;
		requests_reply(p->link, id, &r);
		nodes.n_nodes = 0;
	}
	r.more = false;
	requests_reply(p->link, id, &r);
	targets_finish(&found);
}
