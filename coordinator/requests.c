/* requests.c - what operators ask of the coordinator: about nodes, tokens, operators, groups, the
 * audit; and requests that are passed on to agents. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/coord.h"
#include "coordinator/relay.h"
#include "proto/buf.h"
#include "proto/hostlist.h"
#include "proto/log.h"
#include "proto/ops.h"
#include "proto/token.h"

#define NODES_PER_REPLY 40
#define ROWS_PER_REPLY  100
#define TOKEN_TTL_S     3600
#define TOKEN_TTL_MAX_S (30u * 24 * 3600)
#define TOKEN_USES_MAX  10000

static char none[] = "";

static char *text(const char *s)
{
	return s == NULL ? none : (char *)(uintptr_t)s; /* packing does not write */
}

/* ---- asking later: a request whose answer waits for the store ---- */

struct pending {
	struct coord *c;
	struct store_id peer; /* whose; the link is looked up again */
	struct pm_link *link;
	uint64_t id;
	struct pending *next;
	char what[PM_PATH_MAX];
	Pm__FleetRequest *req;  /* owned copy */
	struct store_id member; /* what it is about */
	struct pm_token token;
	bool has_token;
	unsigned n_changed, n_waiting;
	bool failed;
};

static struct pending *pendings;

static struct pending *pending_new(struct coord *c, struct peer *p, uint64_t id)
{
	struct pending *w = pm_calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->c = c;
	w->link = p->link;
	w->id = id;
	w->next = pendings;
	pendings = w;
	return w;
}

static void pending_free(struct pending *w)
{
	struct pending **at = &pendings;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	if (w->has_token)
		pm_token_finish(&w->token);
	if (w->req != NULL)
		pm__fleet_request__free_unpacked(w->req, NULL);
	free(w);
}

void requests_link_gone(const struct pm_link *l)
{
	for (struct pending *w = pendings; w != NULL; w = w->next)
		if (w->link == l)
			w->link = NULL;
}

static void reply(struct pm_link *l, uint64_t re, Pm__FleetReply *r)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;

	if (l == NULL)
		return;
	env.re = re;
	env.body_case = PM__ENVELOPE__BODY_FLEET_REPLY;
	env.fleet_reply = r;
	if (!pm_link_send(l, &env)) {
		struct pm_error err;

		(void)pm_fail(&err, PM_LIMIT, "the answer does not fit a record"); /* the reply */
		pm_link_reply_error(l, re, &err);
	}
}

static void reply_done(struct pm_link *l, uint64_t re, const char *words, uint32_t n)
{
	Pm__FleetReply r = PM__FLEET_REPLY__INIT;
	Pm__Done done = PM__DONE__INIT;

	done.text = text(words);
	done.n_changed = n;
	r.what_case = PM__FLEET_REPLY__WHAT_DONE;
	r.done = &done;
	reply(l, re, &r);
}

static void reply_store(struct pending *w, const struct store_result *r)
{
	struct pm_error err;
	enum pm_code code = r->status == STORE_NOT_FOUND  ? PM_NOT_FOUND
	                    : r->status == STORE_CONFLICT ? PM_EXISTS
	                                                  : PM_NO_SPACE;

	(void)pm_fail(&err, code, "%s: %s", w->what, r->why != NULL ? r->why : "not done");
	if (w->link != NULL)
		pm_link_reply_error(w->link, w->id, &err);
}

/* ---- nodes ---- */

size_t coord_labels(const struct pm_labels *labels, Pm__Label *out, Pm__Label **list, size_t most)
{
	size_t n = 0;

	for (; n < labels->n && n < most; n++) {
		pm__label__init(&out[n]);
		out[n].name = text(labels->list[n].key);
		out[n].value = text(labels->list[n].value);
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

static void key_of(void *arg, const struct member_key *key)
{
	Pm__Node *m = arg;

	if (key->state == KEY_ACTIVE) {
		m->key.data = (uint8_t *)(uintptr_t)key->key.bytes;
		m->key.len = sizeof(key->key.bytes);
	}
}

static bool has_active_key(const struct coord *c, const struct node *n)
{
	Pm__Node probe = PM__NODE__INIT;

	members_each_key(&c->members, &n->id, key_of, &probe);
	return probe.key.data != NULL;
}

static void view_node(const struct coord *c, const struct node *n, struct node_view *v)
{
	Pm__Node *m = &v->msg;

	pm__node__init(m);
	pm__host_facts__init(&v->facts);
	m->id = text(n->id_text);
	m->name = text(n->name);
	members_each_key(&c->members, &n->id, key_of, m);
	m->state = m->key.data == NULL ? PM__NODE_STATE__NODE_REVOKED : node_state(n);
	m->n_labels = coord_labels(&n->labels, v->labels, v->list, PM_LABELS_MAX);
	m->labels = v->list;
	m->n_claimed = coord_labels(&n->claimed, v->labels + PM_LABELS_MAX, v->list + PM_LABELS_MAX,
	                            PM_LABELS_MAX);
	m->claimed = v->list + PM_LABELS_MAX;
	v->facts.hostname = text(pm_labels_get(&n->facts, "hostname"));
	v->facts.os = text(pm_labels_get(&n->facts, "os"));
	v->facts.arch = text(pm_labels_get(&n->facts, "arch"));
	v->facts.version = text(pm_labels_get(&n->facts, "version"));
	v->facts.n_cpus = (uint32_t)fact_number(n, "cpus");
	v->facts.memory = fact_number(n, "memory");
	m->facts = &v->facts;
	m->address = text(n->address);
	m->last_seen_wall_ms = n->last_seen_ms;
	m->enrolled_wall_ms = n->enrolled_ms;
	m->enrolled_by = text(n->enrolled_by);
	m->running = n->running;
	m->failed = n->failed;
	m->load_permille = n->load_permille;
	m->drained = n->drained;
	if (n->drained)
		m->drain_text = text(n->note);
	else
		m->note = text(n->note);
	m->clock_offset_ms = n->clock_offset_ms;
}

static bool is_empty(const Pm__Selector *s)
{
	return s == NULL || (!s->all && s->hosts[0] == '\0' && s->label[0] == '\0' &&
	                     s->group[0] == '\0' && s->where[0] == '\0' && s->n_names == 0);
}

/* Without a selector all are meant, of which there may be none. */
static int select_nodes(const struct fleet_view *v, const Pm__Selector *s, struct targets *out,
                        struct pm_error *err)
{
	Pm__Selector all = PM__SELECTOR__INIT;

	if (!is_empty(s))
		return members_select(v, s, out, err);
	*out = (struct targets){ 0 };
	if (v->fleet.n == 0)
		return 0;
	all.all = true;
	return members_select(v, &all, out, err);
}

static void answer_nodes(struct coord *c, struct peer *p, uint64_t id, const Pm__NodeQuery *q,
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

		if (!access_allows(a, PM_OP_BIT(PM_OP_NODE_VIEW), found.hosts[i], NULL, 0))
			continue;
		view_node(c, n, &views[nodes.n_nodes]);
		list[nodes.n_nodes] = &views[nodes.n_nodes].msg;
		if (++nodes.n_nodes < NODES_PER_REPLY)
			continue;
		r.more = true;
		reply(p->link, id, &r);
		nodes.n_nodes = 0;
	}
	r.more = false;
	reply(p->link, id, &r);
	targets_finish(&found);
}

/* ---- changes of nodes ---- */

static void one_changed(struct pending *w)
{
	if (--w->n_waiting > 0)
		return;
	if (!w->failed && w->link != NULL)
		reply_done(w->link, w->id, w->what, w->n_changed);
	pending_free(w);
}

struct change {
	struct pending *w;
	struct store_id node;
	Pm__NodeVerb verb;
	enum agent_state state;
	int drained; /* -1: as it is */
	char *name, *labels, *note;
};

static void change_free(struct change *ch)
{
	free(ch->name);
	free(ch->labels);
	free(ch->note);
	free(ch);
}

static void apply(struct coord *c, const struct change *ch)
{
	struct node *n = members_node(&c->members, &ch->node);
	struct pm_error err;
	struct store_agent row;

	if (n == NULL)
		return;
	if (ch->verb == PM__NODE_VERB__NODE_FORGET) {
		peers_cut(c, &ch->node, "forgotten");
		peers_forget_node(n);
		members_drop_node(&c->members, n);
		return;
	}
	row = (struct store_agent){
		.id = n->id,
		.name = ch->name != NULL ? ch->name : n->name,
		.state = ch->state != 0 ? ch->state : n->state,
		.labels = ch->labels != NULL ? ch->labels : n->labels_text,
		.claimed = n->claimed_text,
		.facts = n->facts_text,
		.note = ch->note != NULL ? ch->note : n->note,
		.drained = ch->drained >= 0 ? ch->drained != 0 : n->drained,
		.enrolled_ms = n->enrolled_ms,
		.enrolled_by = n->enrolled_by,
	};
	if (members_put_node(&c->members, &row, NULL, &err) < 0)
		pm_log(PM_LOG_ERROR, "fleet.memory", "%s", err.what);
	if (ch->state == AGENT_REJECTED)
		peers_cut(c, &ch->node, "rejected");
}

static void on_changed(void *arg, const struct store_result *r)
{
	struct change *ch = arg;
	struct pending *w = ch->w;

	if (r->status == STORE_OK) {
		apply(w->c, ch);
		w->n_changed++;
	} else if (!w->failed) {
		w->failed = true;
		reply_store(w, r);
	}
	change_free(ch);
	one_changed(w);
}

/* Its labels with some set and some removed; NULL: no memory, or no labels. */
static char *new_labels(const struct node *n, Pm__Label *const *set, size_t n_set)
{
	PM_BUF out = { 0 };

	for (size_t i = 0; i < n->labels.n; i++) {
		bool replaced = false;

		for (size_t k = 0; k < n_set; k++)
			replaced |= strcmp(set[k]->name, n->labels.list[i].key) == 0;
		if (!replaced)
			pm_buf_printf(&out, "%s%s=%s", out.len > 0 ? "," : "",
			              n->labels.list[i].key, n->labels.list[i].value);
	}
	for (size_t k = 0; k < n_set; k++)
		if (set[k]->value[0] != '\0')
			pm_buf_printf(&out, "%s%s=%s", out.len > 0 ? "," : "", set[k]->name,
			              set[k]->value);
	pm_buf_str(&out, "");
	return out.failed ? NULL : out.len == 0 ? pm_strdup("") : pm_buf_take(&out);
}

static int check_change(const Pm__NodeChange *q, size_t n, struct pm_error *err)
{
	for (size_t i = 0; i < q->n_set; i++)
		if (!pm_label_key_ok(q->set[i]->name, strlen(q->set[i]->name)) ||
		    !pm_label_value_ok(q->set[i]->value, strlen(q->set[i]->value)))
			return pm_fail(err, PM_USAGE, "%.60s=%.60s is no label", q->set[i]->name,
			               q->set[i]->value);
	if (q->verb == PM__NODE_VERB__NODE_RENAME && (n != 1 || !hostlist_is_name(q->text)))
		return pm_fail(err, PM_USAGE,
		               n != 1 ? "a name is for one node" : "that is no name of a node");
	if (q->verb == PM__NODE_VERB__NODE_LABEL && q->n_set == 0)
		return pm_fail(err, PM_USAGE, "which label?");
	return 0;
}

static const struct {
	const char *action, *done;
	enum agent_state state;
	int drained;
} node_verbs[] = {
	[PM__NODE_VERB__NODE_LABEL] = { "node.label", "labelled", 0, -1 },
	[PM__NODE_VERB__NODE_DRAIN] = { "node.drain", "drained", 0, 1 },
	[PM__NODE_VERB__NODE_UNDRAIN] = { "node.undrain", "no longer drained", 0, 0 },
	[PM__NODE_VERB__NODE_REVOKE] = { "node.revoke", "revoked", 0, -1 },
	[PM__NODE_VERB__NODE_REKEY] = { "node.rekey", "may join again with a token of its name", 0,
	                                -1 },
	[PM__NODE_VERB__NODE_ACCEPT] = { "node.accept", "accepted", AGENT_ACCEPTED, -1 },
	[PM__NODE_VERB__NODE_REJECT] = { "node.reject", "rejected", AGENT_REJECTED, -1 },
	[PM__NODE_VERB__NODE_RENAME] = { "node.rename", "renamed", 0, -1 },
	[PM__NODE_VERB__NODE_FORGET] = { "node.forget", "forgotten", 0, -1 },
};

struct revocation {
	struct pending *w;
	struct store_id owner;
};

static void revoke_local(void *arg, const struct member_key *key)
{
	struct member_key *k = (struct member_key *)(uintptr_t)key;

	(void)arg;
	k->state = KEY_REVOKED;
}

static void on_key_revoked(void *arg, const struct store_result *r)
{
	struct revocation *v = arg;
	struct pending *w = v->w;

	if (r->status == STORE_OK || r->status == STORE_NOT_FOUND) {
		members_each_key(&w->c->members, &v->owner, revoke_local, NULL);
		peers_cut(w->c, &v->owner, "its key was revoked");
		w->n_changed++;
	} else if (!w->failed) {
		w->failed = true;
		reply_store(w, r);
	}
	free(v);
	one_changed(w);
}

struct revoke_keys {
	struct coord *c;
	struct pending *w;
	const struct audit_entry *audit;
};

static void revoke_key(void *arg, const struct member_key *key)
{
	const struct revoke_keys *a = arg;
	struct store_request request = { .op = STORE_SET_KEY, .now_ms = pm_wall_ms() };
	struct revocation *v;
	struct pm_error err;

	if (key->state != KEY_ACTIVE && key->state != KEY_NEXT)
		return;
	v = pm_calloc(1, sizeof(*v));
	if (v == NULL)
		return;
	*v = (struct revocation){ a->w, key->owner };
	request.set_key = (struct store_key_row){
		.key = key->key, .kind = key->kind, .owner = key->owner, .state = KEY_REVOKED
	};
	request.audit = a->audit;
	a->w->n_waiting++;
	if (fleet_store_submit(a->c->store, &request, on_key_revoked, v, &err) < 0) {
		a->w->n_waiting--;
		free(v);
		pm_log(PM_LOG_ERROR, "fleet.revoke", "%s", err.what);
	}
}

static void change_node(struct coord *c, struct pending *w, struct peer *p, struct node *n,
                        const Pm__NodeChange *q)
{
	struct store_request request = { .op = STORE_SET_AGENT, .now_ms = pm_wall_ms() };
	struct change *ch;
	struct audit_entry entry;
	struct pm_error err;

	entry = coord_entry(peer_name(p), node_verbs[q->verb].action, n->name, q->text, "ok");
	if (q->verb == PM__NODE_VERB__NODE_REVOKE || q->verb == PM__NODE_VERB__NODE_REKEY) {
		const struct revoke_keys a = { c, w, &entry };

		members_each_key(&c->members, &n->id, revoke_key, (void *)(uintptr_t)&a);
		return;
	}
	ch = pm_calloc(1, sizeof(*ch));
	if (ch == NULL) {
		w->failed = true;
		return;
	}
	*ch = (struct change){ .w = w,
		               .node = n->id,
		               .verb = q->verb,
		               .state = node_verbs[q->verb].state,
		               .drained = node_verbs[q->verb].drained };
	if (q->verb == PM__NODE_VERB__NODE_LABEL)
		ch->labels = new_labels(n, q->set, q->n_set);
	if (q->verb == PM__NODE_VERB__NODE_RENAME)
		ch->name = pm_strdup(q->text);
	if (q->verb == PM__NODE_VERB__NODE_DRAIN || q->verb == PM__NODE_VERB__NODE_REJECT)
		ch->note = pm_strdup(q->text);
	if (q->verb == PM__NODE_VERB__NODE_UNDRAIN || q->verb == PM__NODE_VERB__NODE_ACCEPT)
		ch->note = pm_strdup("");
	request.audit = &entry;
	if (q->verb == PM__NODE_VERB__NODE_FORGET) {
		request.op = STORE_DROP_AGENT;
		request.id = n->id;
	} else {
		request.set_agent = (struct store_set_agent){ .id = n->id,
			                                      .state = ch->state,
			                                      .name = ch->name,
			                                      .labels = ch->labels,
			                                      .note = ch->note,
			                                      .drained = ch->drained };
	}
	w->n_waiting++;
	if (fleet_store_submit(c->store, &request, on_changed, ch, &err) < 0) {
		w->n_waiting--;
		w->failed = true;
		pm_log(PM_LOG_ERROR, "fleet.change", "%s", err.what);
		change_free(ch);
	}
}

static int change_nodes(struct coord *c, struct peer *p, uint64_t id, const Pm__NodeChange *q,
                        const struct fleet_view *v, const struct access *a, uint64_t ops,
                        struct pm_error *err)
{
	struct targets found = { 0 };
	struct pending *w;

	if (q->verb == PM__NODE_VERB__NODE_VERB_UNSPECIFIED || q->verb >= PM_COUNT(node_verbs))
		return pm_fail(err, PM_UNSUPPORTED, "this coordinator does not know that change");
	if (is_empty(q->selector))
		return pm_fail(err, PM_USAGE, "which nodes?");
	if (members_select(v, q->selector, &found, err) < 0)
		return -1;
	for (size_t i = 0; i < found.n; i++)
		if (!access_allows(a, ops, found.hosts[i], NULL, 0)) {
			(void)pm_fail(err, PM_DENIED, "your role does not allow that on %s",
			              c->members.nodes[found.hosts[i]]->name);
			targets_finish(&found);
			return -1;
		}
	w = check_change(q, found.n, err) < 0 ? NULL : pending_new(c, p, id);
	if (w == NULL) {
		if (err->code == PM_OK)
			(void)pm_fail(err, PM_NO_MEMORY, "change the nodes");
		targets_finish(&found);
		return -1;
	}
	(void)snprintf(w->what, sizeof(w->what), "%s", node_verbs[q->verb].done);
	w->n_waiting = 1; /* ours, until all are submitted */
	for (size_t i = 0; i < found.n; i++)
		change_node(c, w, p, c->members.nodes[found.hosts[i]], q);
	targets_finish(&found);
	one_changed(w);
	return 0;
}

/* ---- tokens ---- */

static void labels_join(Pm__Label *const *list, size_t n, struct pm_buf *out)
{
	for (size_t i = 0; i < n; i++)
		pm_buf_printf(out, "%s%s=%s", i > 0 ? "," : "", list[i]->name, list[i]->value);
	pm_buf_str(out, "");
}

static void on_token(void *arg, const struct store_result *r)
{
	struct pending *w = arg;
	Pm__FleetReply out = PM__FLEET_REPLY__INIT;
	Pm__Token token = PM__TOKEN__INIT;
	struct pm_buf words = { 0 };
	char id[2 * PM_TOKEN_ID_BYTES + 1];
	struct pm_error err;

	if (r->status != STORE_OK) {
		reply_store(w, r);
		pending_free(w);
		return;
	}
	if (pm_token_format(&w->token, &words, &err) < 0) {
		if (w->link != NULL)
			pm_link_reply_error(w->link, w->id, &err);
		pending_free(w);
		return;
	}
	(void)sodium_bin2hex(id, sizeof(id), w->token.id, sizeof(w->token.id));
	token.id = id;
	token.text = words.bytes;
	token.operator_ = w->token.kind == PM_TOKEN_OPERATOR;
	token.expires_wall_ms = (int64_t)w->token.expires_wall_s * 1000;
	out.what_case = PM__FLEET_REPLY__WHAT_TOKEN;
	out.token = &token;
	reply(w->link, w->id, &out);
	pm_token_wipe(&words);
	pending_free(w);
}

/* Where the new member finds us. */
static int token_addresses(struct coord *c, const Pm__TokenCreate *q, struct pm_token *t,
                           struct pm_error *err)
{
	if (q->n_addresses > PM_ADDRESSES_MAX)
		return pm_fail(err, PM_LIMIT, "more than %d addresses", PM_ADDRESSES_MAX);
	for (size_t i = 0; i < q->n_addresses; i++)
		if (pm_address_parse(q->addresses[i], &t->addresses[t->n_addresses++], err) < 0)
			return -1;
	for (size_t i = 0; q->n_addresses == 0 && i < c->n_addresses; i++)
		t->addresses[t->n_addresses++] = c->addresses[i];
	if (t->n_addresses > 0)
		return 0;
	pm_fail(err, PM_CONFIG, "the coordinator does not know the address that agents find it at");
	pm_hint(err, "start it with --advertise HOST:PORT, or give --address");
	return -1;
}

static int check_token(const Pm__TokenCreate *q, struct pm_error *err)
{
	if (q->operator_ && pm_rank_by_name(q->role) == PM_RANK_NONE)
		return pm_fail(err, PM_USAGE,
		               "%.40s is no role: viewer, logs, operator, deployer, admin",
		               q->role);
	if (!q->operator_ && q->role[0] != '\0')
		return pm_fail(err, PM_USAGE, "a role is for operators: add --operator");
	if (q->ttl_s > TOKEN_TTL_MAX_S)
		return pm_fail(err, PM_USAGE, "a token lives 30 days at most");
	if (q->uses > TOKEN_USES_MAX)
		return pm_fail(err, PM_USAGE, "a token is for %d uses at most", TOKEN_USES_MAX);
	for (size_t i = 0; i < q->n_labels; i++)
		if (!pm_label_key_ok(q->labels[i]->name, strlen(q->labels[i]->name)) ||
		    !pm_label_value_ok(q->labels[i]->value, strlen(q->labels[i]->value)))
			return pm_fail(err, PM_USAGE, "%.60s=%.60s is no label", q->labels[i]->name,
			               q->labels[i]->value);
	return 0;
}

static int create_token(struct coord *c, struct peer *p, uint64_t id, const Pm__TokenCreate *q,
                        struct pm_error *err)
{
	struct store_request request = { .op = STORE_ADD_TOKEN, .now_ms = pm_wall_ms() };
	uint32_t ttl_s = q->ttl_s == 0 ? TOKEN_TTL_S : q->ttl_s;
	PM_BUF labels = { 0 };
	struct audit_entry entry;
	struct pending *w;

	if (check_token(q, err) < 0)
		return -1;
	w = pending_new(c, p, id);
	if (w == NULL)
		return pm_fail(err, PM_NO_MEMORY, "make a token");
	(void)snprintf(w->what, sizeof(w->what), "make a token");
	if (pm_token_create(q->operator_ ? PM_TOKEN_OPERATOR : PM_TOKEN_JOIN, &w->token, err) < 0) {
		pending_free(w);
		return -1;
	}
	w->has_token = true;
	memcpy(w->token.coordinator, pm_key_public(c->key), PM_KEY_BYTES);
	w->token.expires_wall_s = (uint64_t)request.now_ms / 1000 + ttl_s;
	labels_join(q->labels, q->n_labels, &labels);
	if (labels.failed || token_addresses(c, q, &w->token, err) < 0) {
		if (labels.failed)
			(void)pm_fail(err, PM_NO_MEMORY, "make a token");
		pending_free(w);
		return -1;
	}
	request.token = (struct store_token){
		.kind = q->operator_ ? MEMBER_OPERATOR : MEMBER_AGENT,
		.name_pattern = q->name,
		.labels = labels.bytes,
		.role = q->operator_ ? q->role : "",
		.uses_left = q->uses == 0 ? 1 : q->uses,
		.expires_ms = request.now_ms + (int64_t)ttl_s * 1000,
		.created_by = peer_name(p),
		.created_ms = request.now_ms,
	};
	memcpy(request.token.id.bytes, w->token.id, sizeof(request.token.id.bytes));
	pm_token_hash(w->token.id, w->token.secret, request.token.secret_hash.bytes);
	entry = coord_entry(peer_name(p), "token.create", q->operator_ ? "operator" : "agent",
	                    q->operator_ ? q->role : labels.bytes, "ok");
	request.audit = &entry;
	if (fleet_store_submit(c->store, &request, on_token, w, err) == 0)
		return 0;
	pending_free(w);
	return -1;
}

/* A token as a message, which borrows from the store's row. */
struct token_view {
	Pm__Token msg;
	char id[17];
	struct pm_labels parsed; /* owned */
	Pm__Label labels[PM_LABELS_MAX], *list[PM_LABELS_MAX];
};

static void fill_token(const struct store_token *row, struct token_view *v)
{
	Pm__Token *out = &v->msg;
	struct pm_error err;

	pm__token__init(out);
	(void)sodium_bin2hex(v->id, sizeof(v->id), row->id.bytes, sizeof(row->id.bytes));
	out->id = v->id;
	out->operator_ = row->kind == MEMBER_OPERATOR;
	out->role = text(row->role);
	out->name = text(row->name_pattern);
	out->expires_wall_ms = row->expires_ms;
	out->uses_left = row->uses_left;
	out->created_by = text(row->created_by);
	out->created_wall_ms = row->created_ms;
	out->used_by = text(row->used_by);
	if (pm_labels_parse(row->labels, &v->parsed, &err) < 0)
		return; /* they were checked when it was made */
	out->n_labels = coord_labels(&v->parsed, v->labels, v->list, PM_LABELS_MAX);
	out->labels = v->list;
}

static void tokens_free(struct token_view *views)
{
	for (size_t i = 0; views != NULL && i < ROWS_PER_REPLY; i++)
		pm_labels_finish(&views[i].parsed);
	free(views);
}

static void on_tokens(void *arg, const struct store_result *r)
{
	struct pending *w = arg;
	bool spent = w->req->token_query->spent;
	struct token_view *views = pm_calloc(ROWS_PER_REPLY, sizeof(*views));
	Pm__Token *list[ROWS_PER_REPLY];
	struct pm_error err;
	Pm__TokenList all = PM__TOKEN_LIST__INIT;
	Pm__FleetReply out = PM__FLEET_REPLY__INIT;

	if (r->status != STORE_OK || views == NULL) {
		(void)pm_fail(&err, PM_NO_MEMORY, "tokens"); /* for the peer */
		if (views != NULL)
			reply_store(w, r);
		else if (w->link != NULL)
			pm_link_reply_error(w->link, w->id, &err);
		free(views);
		pending_free(w);
		return;
	}
	out.what_case = PM__FLEET_REPLY__WHAT_TOKENS;
	out.tokens = &all;
	all.tokens = list;
	for (size_t i = 0; i < r->n; i++) {
		const struct store_token *row = &r->tokens[i];

		if (!spent && (row->uses_left == 0 ||
		               (row->expires_ms != 0 && row->expires_ms <= pm_wall_ms())))
			continue;
		pm_labels_finish(&views[all.n_tokens].parsed);
		fill_token(row, &views[all.n_tokens]);
		list[all.n_tokens] = &views[all.n_tokens].msg;
		if (++all.n_tokens < ROWS_PER_REPLY)
			continue;
		out.more = true;
		reply(w->link, w->id, &out);
		all.n_tokens = 0;
	}
	out.more = false;
	reply(w->link, w->id, &out);
	tokens_free(views);
	pending_free(w);
}

/* ---- what the store answers with a word ---- */

static void on_word(void *arg, const struct store_result *r)
{
	struct pending *w = arg;

	if (r->status == STORE_OK)
		reply_done(w->link, w->id, w->what, 1);
	else
		reply_store(w, r);
	pending_free(w);
}

static int submit_word(struct coord *c, struct peer *p, uint64_t id,
                       const struct store_request *request, const char *words, store_fn *fn,
                       const Pm__FleetRequest *req, struct pm_error *err)
{
	struct pending *w = pending_new(c, p, id);

	if (w == NULL)
		return pm_fail(err, PM_NO_MEMORY, "%s", words);
	(void)snprintf(w->what, sizeof(w->what), "%s", words);
	if (req != NULL) {
		size_t len = pm__fleet_request__get_packed_size(req);
		PM_FREE uint8_t *bytes = pm_calloc(len + 1, 1);

		if (bytes != NULL) {
			(void)pm__fleet_request__pack(req, bytes);
			w->req = pm__fleet_request__unpack(NULL, len, bytes);
		}
		if (w->req == NULL) {
			pending_free(w);
			return pm_fail(err, PM_NO_MEMORY, "%s", words);
		}
	}
	if (fleet_store_submit(c->store, request, fn, w, err) == 0)
		return 0;
	pending_free(w);
	return -1;
}

static int revoke_token(struct coord *c, struct peer *p, uint64_t id, const Pm__TokenRevoke *q,
                        struct pm_error *err)
{
	struct store_request request = { .op = STORE_DROP_TOKEN, .now_ms = pm_wall_ms() };
	struct audit_entry entry = coord_entry(peer_name(p), "token.revoke", q->id, "", "ok");
	size_t len;

	if (sodium_hex2bin(request.token_id.bytes, sizeof(request.token_id.bytes), q->id,
	                   strlen(q->id), NULL, &len, NULL) != 0 ||
	    len != sizeof(request.token_id.bytes))
		return pm_fail(err, PM_USAGE, "%.40s is no token's id; see 'pmctl token list'",
		               q->id);
	request.audit = &entry;
	return submit_word(c, p, id, &request, "revoked", on_word, NULL, err);
}

/* ---- operators ---- */

static void answer_operators(struct coord *c, struct peer *p, uint64_t id,
                             const Pm__OperatorQuery *q)
{
	Pm__FleetReply out = PM__FLEET_REPLY__INIT;
	Pm__OperatorList all = PM__OPERATOR_LIST__INIT;
	Pm__Operator msg, *one = &msg;

	out.what_case = PM__FLEET_REPLY__WHAT_OPERATORS;
	out.operators = &all;
	all.operators = &one;
	for (size_t i = 0; i < c->members.n_opers; i++) {
		const struct oper *o = c->members.opers[i];
		PM_FREE Pm__Binding *bindings = pm_calloc(o->n_bindings + 1, sizeof(*bindings));
		PM_FREE Pm__Binding **list = pm_calloc(o->n_bindings + 1, sizeof(*list));
		Pm__Node key = PM__NODE__INIT;

		if (bindings == NULL || list == NULL ||
		    (q->name[0] != '\0' && strcmp(q->name, o->name) != 0))
			continue;
		pm__operator__init(&msg);
		msg.id = text(o->id_text);
		msg.name = text(o->name);
		members_each_key(&c->members, &o->id, key_of, &key);
		msg.key = key.key;
		msg.revoked = o->state != OPERATOR_ACTIVE || key.key.data == NULL;
		msg.created_wall_ms = o->enrolled_ms;
		msg.last_seen_wall_ms = o->last_seen_ms;
		for (size_t k = 0; k < o->n_bindings; k++) {
			pm__binding__init(&bindings[k]);
			bindings[k].role = o->bindings[k].role;
			bindings[k].targets = o->bindings[k].targets;
			bindings[k].apps = o->bindings[k].apps;
			list[k] = &bindings[k];
		}
		msg.bindings = list;
		msg.n_bindings = o->n_bindings;
		all.n_operators = 1;
		out.more = true;
		reply(p->link, id, &out);
	}
	all.n_operators = 0;
	out.more = false;
	reply(p->link, id, &out);
}

static void on_binding(void *arg, const struct store_result *r)
{
	struct pending *w = arg;
	const Pm__OperatorChange *q = w->req->operator_change;
	struct pm_error err;

	if (r->status == STORE_OK) {
		const struct store_binding row = { .id = r->revision,
			                           .operator_id = w->member,
			                           .role = q->binding->role,
			                           .targets = q->binding->targets,
			                           .apps = q->binding->apps };

		if (members_put_binding(&w->c->members, &row, &err) < 0)
			pm_log(PM_LOG_ERROR, "fleet.memory", "%s", err.what);
	}
	on_word(w, r);
}

struct unbind {
	struct pending *w;
	uint64_t id;
};

static void on_unbound(void *arg, const struct store_result *r)
{
	struct unbind *u = arg;
	struct pending *w = u->w;

	if (r->status == STORE_OK)
		members_drop_binding(&w->c->members, u->id);
	free(u);
	on_word(w, r);
}

static void on_operator_revoked(void *arg, const struct store_result *r)
{
	struct pending *w = arg;
	struct oper *o = members_oper(&w->c->members, &w->member);

	if (r->status == STORE_OK && o != NULL) {
		o->state = OPERATOR_REVOKED;
		members_each_key(&w->c->members, &w->member, revoke_local, NULL);
		peers_cut(w->c, &w->member, "revoked");
	}
	on_word(w, r);
}

static int grant(struct coord *c, struct peer *p, uint64_t id, const Pm__FleetRequest *req,
                 const struct oper *o, struct pm_error *err)
{
	const Pm__OperatorChange *q = req->operator_change;
	struct store_request request = { .op = STORE_PUT_BINDING, .now_ms = pm_wall_ms() };
	struct audit_entry entry =
		coord_entry(peer_name(p), "operator.grant", o->name, q->binding->role, "ok");
	int rc;

	if (pm_rank_by_name(q->binding->role) == PM_RANK_NONE)
		return pm_fail(err, PM_USAGE,
		               "%.40s is no role: viewer, logs, operator, deployer, admin",
		               q->binding->role);
	request.binding = (struct store_binding){
		.operator_id = o->id,
		.role = q->binding->role,
		.targets = q->binding->targets,
		.apps = q->binding->apps,
		.created_by = peer_name(p),
		.created_ms = request.now_ms,
	};
	request.audit = &entry;
	rc = submit_word(c, p, id, &request, "granted", on_binding, req, err);
	if (rc == 0)
		pendings->member = o->id;
	return rc;
}

static int ungrant(struct coord *c, struct peer *p, uint64_t id, const struct oper *o,
                   const Pm__Binding *b, struct pm_error *err)
{
	struct store_request request = { .op = STORE_DROP_BINDING, .now_ms = pm_wall_ms() };
	struct audit_entry entry =
		coord_entry(peer_name(p), "operator.ungrant", o->name, b->role, "ok");
	struct unbind *u = NULL;

	for (size_t i = 0; i < o->n_bindings; i++)
		if (strcmp(o->bindings[i].role, b->role) == 0 &&
		    strcmp(o->bindings[i].targets, b->targets) == 0 &&
		    strcmp(o->bindings[i].apps, b->apps) == 0)
			request.number = o->bindings[i].id;
	if (request.number == 0)
		return pm_fail(err, PM_NOT_FOUND, "%.60s has no such role", o->name);
	u = pm_calloc(1, sizeof(*u));
	if (u == NULL)
		return pm_fail(err, PM_NO_MEMORY, "take a role away");
	u->w = pending_new(c, p, id);
	u->id = request.number;
	if (u->w == NULL) {
		free(u);
		return pm_fail(err, PM_NO_MEMORY, "take a role away");
	}
	(void)snprintf(u->w->what, sizeof(u->w->what), "taken away");
	request.audit = &entry;
	if (fleet_store_submit(c->store, &request, on_unbound, u, err) == 0)
		return 0;
	pending_free(u->w);
	free(u);
	return -1;
}

static int change_operator(struct coord *c, struct peer *p, uint64_t id,
                           const Pm__FleetRequest *req, struct pm_error *err)
{
	const Pm__OperatorChange *q = req->operator_change;
	struct oper *o = members_oper_named(&c->members, q->name);
	struct store_request request = { .op = STORE_SET_OPERATOR, .now_ms = pm_wall_ms() };
	struct audit_entry entry;
	int rc;

	if (o == NULL)
		return pm_fail(err, PM_NOT_FOUND, "%.60s: no such operator", q->name);
	if (q->verb != PM__OPERATOR_VERB__OPERATOR_REVOKE && q->binding == NULL)
		return pm_fail(err, PM_USAGE, "which role?");
	if (q->verb == PM__OPERATOR_VERB__OPERATOR_GRANT)
		return grant(c, p, id, req, o, err);
	if (q->verb == PM__OPERATOR_VERB__OPERATOR_UNGRANT)
		return ungrant(c, p, id, o, q->binding, err);
	if (q->verb != PM__OPERATOR_VERB__OPERATOR_REVOKE)
		return pm_fail(err, PM_UNSUPPORTED, "this coordinator does not know that change");
	entry = coord_entry(peer_name(p), "operator.revoke", o->name, "", "ok");
	request.set_operator = (struct store_set_operator){ o->id, OPERATOR_REVOKED };
	request.audit = &entry;
	rc = submit_word(c, p, id, &request, "revoked", on_operator_revoked, NULL, err);
	if (rc == 0)
		pendings->member = o->id;
	return rc;
}

/* ---- groups ---- */

static void answer_groups(struct coord *c, struct peer *p, uint64_t id, const Pm__GroupQuery *q)
{
	Pm__FleetReply out = PM__FLEET_REPLY__INIT;
	Pm__GroupList all = PM__GROUP_LIST__INIT;
	Pm__Selector s;
	Pm__Group msg, *one = &msg;

	out.what_case = PM__FLEET_REPLY__WHAT_GROUPS;
	out.groups = &all;
	all.groups = &one;
	for (size_t i = 0; i < c->members.n_groups; i++) {
		const struct fleet_group *g = &c->members.groups[i];

		if (q->name[0] != '\0' && strcmp(q->name, g->name) != 0)
			continue;
		pm__group__init(&msg);
		pm__selector__init(&s);
		msg.name = g->name;
		msg.selector = &s;
		if (strcmp(g->form, "label") == 0)
			s.label = g->text;
		else if (strcmp(g->form, "where") == 0)
			s.where = g->text;
		else
			s.hosts = g->text;
		all.n_groups = 1;
		out.more = true;
		reply(p->link, id, &out);
	}
	all.n_groups = 0;
	out.more = false;
	reply(p->link, id, &out);
}

static void on_group(void *arg, const struct store_result *r)
{
	struct pending *w = arg;

	if (r->status == STORE_OK)
		coord_refresh_groups(w->c);
	on_word(w, r);
}

static int change_group(struct coord *c, struct peer *p, uint64_t id, const Pm__GroupChange *q,
                        const struct fleet_view *v, struct pm_error *err)
{
	struct store_request request = { .now_ms = pm_wall_ms() };
	struct audit_entry entry;
	const Pm__Selector *s = q->selector;
	struct targets found = { 0 };

	if (!hostlist_is_name(q->name))
		return pm_fail(err, PM_USAGE, "%.60s is no name of a group", q->name);
	entry = coord_entry(peer_name(p), q->remove ? "group.delete" : "group.set", q->name, "",
	                    "ok");
	request.audit = &entry;
	if (q->remove) {
		request.op = STORE_DROP_GROUP;
		request.page.name = q->name;
		return submit_word(c, p, id, &request, "deleted", on_group, NULL, err);
	}
	if (is_empty(s) || s->all || s->n_names > 0 || s->group[0] != '\0' ||
	    s->exclude[0] != '\0' ||
	    (s->hosts[0] != '\0') + (s->label[0] != '\0') + (s->where[0] != '\0') != 1)
		return pm_fail(err, PM_USAGE, "a group is one of --hosts, --label and --where");
	/* That nothing matches now is fine; that it cannot be read is not. */
	if (members_select(v, s, &found, err) < 0 && err->code != PM_NOT_FOUND)
		return -1;
	targets_finish(&found);
	request.op = STORE_PUT_GROUP;
	request.group = (struct store_group){
		.name = q->name,
		.form = s->label[0] != '\0'   ? "label"
		        : s->where[0] != '\0' ? "where"
		                              : "hosts",
		.text = s->label[0] != '\0'   ? s->label
		        : s->where[0] != '\0' ? s->where
		                              : s->hosts,
	};
	return submit_word(c, p, id, &request, "set", on_group, NULL, err);
}

/* ---- audit ---- */

static void on_audit(void *arg, const struct store_result *r)
{
	struct pending *w = arg;
	const Pm__AuditQuery *q = w->req->audit_query;
	Pm__AuditEntry entries[ROWS_PER_REPLY], *list[ROWS_PER_REPLY];
	Pm__AuditList all = PM__AUDIT_LIST__INIT;
	Pm__FleetReply out = PM__FLEET_REPLY__INIT;
	char words[160] = "";
	struct audit_head head = { 0 };
	bool sound = true;

	if (r->status != STORE_OK) {
		reply_store(w, r);
		pending_free(w);
		return;
	}
	out.what_case = PM__FLEET_REPLY__WHAT_AUDIT;
	out.audit = &all;
	all.entries = list;
	for (size_t i = 0; i < r->n; i++) {
		struct audit_entry e = r->audit[i].entry;

		if (q->verify && sound) {
			if (i == 0 && e.seq > 1)
				head = r->audit[i].head; /* earlier ones were pruned */
			else
				audit_link(&head, &e);
			sound = head.seq == r->audit[i].entry.seq &&
			        memcmp(head.hash, r->audit[i].head.hash, sizeof(head.hash)) == 0;
			if (!sound)
				(void)snprintf(
					words, sizeof(words),
					"entry %llu does not fit the chain: it, or one before it, "
					"was changed",
					(unsigned long long)r->audit[i].entry.seq);
		}
		if (r->audit[i].entry.wall_ms < q->since_wall_ms ||
		    (q->last != 0 && i + q->last < r->n))
			continue;
		pm__audit_entry__init(&entries[all.n_entries]);
		entries[all.n_entries].sequence = r->audit[i].entry.seq;
		entries[all.n_entries].wall_ms = r->audit[i].entry.wall_ms;
		entries[all.n_entries].actor = text(r->audit[i].entry.field[AUDIT_ACTOR]);
		entries[all.n_entries].action = text(r->audit[i].entry.field[AUDIT_ACTION]);
		entries[all.n_entries].target = text(r->audit[i].entry.field[AUDIT_TARGET]);
		entries[all.n_entries].detail = text(r->audit[i].entry.field[AUDIT_DETAIL]);
		entries[all.n_entries].outcome = text(r->audit[i].entry.field[AUDIT_OUTCOME]);
		list[all.n_entries] = &entries[all.n_entries];
		if (++all.n_entries < 20)
			continue;
		out.more = true;
		reply(w->link, w->id, &out);
		all.n_entries = 0;
	}
	if (q->verify && sound)
		(void)snprintf(words, sizeof(words), "%zu entries, none changed or missing", r->n);
	all.verified = words;
	out.more = false;
	reply(w->link, w->id, &out);
	pending_free(w);
}

/* ---- a copy of the store ---- */

/* Only in a directory of ours: the name comes from a session. */
static int backup(struct coord *c, struct peer *p, uint64_t id, const Pm__BackupRequest *q,
                  struct pm_error *err)
{
	struct store_request request = { .op = STORE_BACKUP, .now_ms = pm_wall_ms() };
	char path[PM_PATH_MAX];
	struct pending *w;

	if (coord_backup_path(c->home, q->name, path, sizeof(path), err) < 0)
		return -1;
	coord_audit(c, peer_name(p), "backup", path, "", "begun");
	request.page.name = path;
	w = pending_new(c, p, id);
	if (w == NULL)
		return pm_fail(err, PM_NO_MEMORY, "copy the store");
	(void)snprintf(w->what, sizeof(w->what), "%s", path);
	if (fleet_store_submit(c->store, &request, on_word, w, err) == 0)
		return 0;
	pending_free(w);
	return -1;
}

static void answer_who(struct coord *c, struct peer *p, uint64_t id)
{
	const struct oper *o = members_oper(&c->members, &p->id);
	Pm__FleetReply out = PM__FLEET_REPLY__INIT;
	Pm__WhoAmI who = PM__WHO_AM_I__INIT;
	Pm__Binding bindings[16], *list[16];

	who.operator_ = text(peer_name(p));
	who.cluster_id = c->cluster_text;
	who.version = text(PM_VERSION);
	who.coordinator_key.data = (uint8_t *)(uintptr_t)pm_key_public(c->key);
	who.coordinator_key.len = PM_KEY_BYTES;
	for (size_t i = 0; o != NULL && i < o->n_bindings && i < PM_COUNT(bindings); i++) {
		pm__binding__init(&bindings[i]);
		bindings[i].role = o->bindings[i].role;
		bindings[i].targets = o->bindings[i].targets;
		bindings[i].apps = o->bindings[i].apps;
		list[who.n_bindings++] = &bindings[i];
	}
	who.bindings = list;
	out.what_case = PM__FLEET_REPLY__WHAT_WHO;
	out.who = &who;
	reply(p->link, id, &out);
}

/* ---- the requests ---- */

static int dispatch(struct coord *c, struct peer *p, uint64_t id, const Pm__FleetRequest *req,
                    const struct fleet_view *v, const struct access *a, struct pm_error *err)
{
	struct store_request request = { .now_ms = pm_wall_ms() };
	uint64_t ops = pm_ops_of_fleet(req);

	/* Changes of nodes look at each node's rights; the rest is for the whole fleet. */
	if (req->what_case != PM__FLEET_REQUEST__WHAT_NODE_QUERY &&
	    req->what_case != PM__FLEET_REQUEST__WHAT_NODE_CHANGE &&
	    req->what_case != PM__FLEET_REQUEST__WHAT_WHO_AM_I && !access_allows_fleet(a, ops))
		return pm_fail(err, PM_DENIED, "your role does not allow that");
	switch (req->what_case) {
	case PM__FLEET_REQUEST__WHAT_NODE_QUERY:
		answer_nodes(c, p, id, req->node_query, v, a);
		return 0;
	case PM__FLEET_REQUEST__WHAT_NODE_CHANGE:
		return change_nodes(c, p, id, req->node_change, v, a, ops, err);
	case PM__FLEET_REQUEST__WHAT_TOKEN_CREATE:
		return create_token(c, p, id, req->token_create, err);
	case PM__FLEET_REQUEST__WHAT_TOKEN_QUERY:
		request.op = STORE_LIST_TOKENS;
		return submit_word(c, p, id, &request, "list the tokens", on_tokens, req, err);
	case PM__FLEET_REQUEST__WHAT_TOKEN_REVOKE:
		return revoke_token(c, p, id, req->token_revoke, err);
	case PM__FLEET_REQUEST__WHAT_OPERATOR_QUERY:
		answer_operators(c, p, id, req->operator_query);
		return 0;
	case PM__FLEET_REQUEST__WHAT_OPERATOR_CHANGE:
		return change_operator(c, p, id, req, err);
	case PM__FLEET_REQUEST__WHAT_GROUP_QUERY:
		answer_groups(c, p, id, req->group_query);
		return 0;
	case PM__FLEET_REQUEST__WHAT_GROUP_CHANGE:
		return change_group(c, p, id, req->group_change, v, err);
	case PM__FLEET_REQUEST__WHAT_AUDIT_QUERY:
		request.op = STORE_LIST_AUDIT;
		return submit_word(c, p, id, &request, "read the audit", on_audit, req, err);
	case PM__FLEET_REQUEST__WHAT_BACKUP:
		return backup(c, p, id, req->backup, err);
	case PM__FLEET_REQUEST__WHAT_WHO_AM_I:
		answer_who(c, p, id);
		return 0;
	case PM__FLEET_REQUEST__WHAT__NOT_SET:
	case _PM__FLEET_REQUEST__WHAT__CASE_IS_INT_SIZE:
		break;
	}
	return pm_fail(err, PM_UNSUPPORTED, "this coordinator does not know that request");
}

void request_fleet(struct coord *c, struct peer *p, uint64_t id, const Pm__FleetRequest *req)
{
	struct fleet_view v = { 0 };
	struct access *a = NULL;
	struct pm_error err = { .code = PM_OK };

	if (fleet_view_make(&c->members, &v, &err) < 0 || peer_access(p, &v, &a, &err) < 0 ||
	    dispatch(c, p, id, req, &v, a, &err) < 0)
		pm_link_reply_error(p->link, id, &err);
	access_destroy(a);
	fleet_view_finish(&v);
}

/* ---- passed on ---- */

static void on_forward_end(void *arg, size_t n_done, size_t n_other)
{
	(void)arg;
	pm_log(PM_LOG_INFO, "forward.end", "done=%zu other=%zu", n_done, n_other);
}

/* Why a node is not asked; UNSPECIFIED: it is. */
static Pm__ForwardState rule_out(const struct coord *c, const struct node *n, bool changes,
                                 bool allowed, const char **words)
{
	*words = "";
	if (!allowed) {
		*words = "your role does not allow it there";
		return PM__FORWARD_STATE__FORWARD_DENIED;
	}
	if (changes && n->state == AGENT_QUARANTINED) {
		*words = n->note;
		return PM__FORWARD_STATE__FORWARD_DENIED;
	}
	if (n->state != AGENT_ACCEPTED && n->state != AGENT_QUARANTINED) {
		*words = "it is not accepted";
		return PM__FORWARD_STATE__FORWARD_DENIED;
	}
	if (!has_active_key(c, n)) {
		*words = "its key is revoked";
		return PM__FORWARD_STATE__FORWARD_DENIED;
	}
	if (n->link == NULL)
		return PM__FORWARD_STATE__FORWARD_OFFLINE;
	return PM__FORWARD_STATE__FORWARD_UNSPECIFIED;
}

/* The apps that a request is about; 0 of them: all. */
static size_t apps_of(const Pm__Forward *f, char **out, size_t most)
{
	Pm__Target *const *targets = f->what_case == PM__FORWARD__WHAT_COMMAND
	                                     ? f->command->targets
	                                     : f->status_request->targets;
	size_t n = f->what_case == PM__FORWARD__WHAT_COMMAND ? f->command->n_targets
	                                                     : f->status_request->n_targets;
	size_t kept = 0;

	if (n + f->n_specs > most)
		return 0; /* as if all were meant: more rights are needed, not fewer */
	for (size_t i = 0; i < n; i++)
		out[kept++] = targets[i]->text;
	for (size_t i = 0; i < f->n_specs; i++)
		out[kept++] = f->specs[i]->spec != NULL ? f->specs[i]->spec->name : none;
	return kept;
}

static int forward_to(struct coord *c, struct peer *p, uint64_t id, const Pm__Forward *f,
                      const struct fleet_view *v, const struct access *a, struct targets *found,
                      struct pm_error *err)
{
	PM_FREE struct forward_target *list = pm_calloc(found->n + 1, sizeof(*list));
	char *apps[64];
	size_t n_apps = apps_of(f, apps, PM_COUNT(apps));
	uint64_t ops = f->what_case == PM__FORWARD__WHAT_COMMAND
	                       ? pm_ops_of_command(f->command)
	                       : pm_ops_of_status(f->status_request);
	bool changes = f->what_case == PM__FORWARD__WHAT_COMMAND;
	Pm__Actor actor;
	struct forward_request r;
	PM_BUF names = { 0 };
	const char *role = "none";

	if (list == NULL)
		return pm_fail(err, PM_NO_MEMORY, "pass a request on");
	if (f->n_specs > 0)
		ops |= PM_OP_BIT(PM_OP_DEFINE);
	for (size_t i = 0; i < found->n; i++) {
		struct node *n = c->members.nodes[found->hosts[i]];
		bool allowed = access_allows(a, ops, found->hosts[i], apps, n_apps);

		list[i] = (struct forward_target){
			.id = n->id_text,
			.name = n->name,
			.link = n->link,
			.agent = &n->forwards,
			.last_seen_wall_ms = n->last_seen_ms,
		};
		list[i].state = rule_out(c, n, changes, allowed, &list[i].text);
		if (allowed)
			role = access_role(a, found->hosts[i]);
	}
	peer_actor(p, p->local ? "admin" : role, &actor);
	if (changes) {
		if (targets_fold(found, &v->fleet, &names, err) < 0)
			return -1;
		coord_audit(c, peer_name(p), pm_verb_name(f->command->verb), names.bytes,
		            n_apps > 0 ? apps[0] : "", "sent");
	}
	r = (struct forward_request){
		.operator= p->link,
		.id = id,
		.what = f,
		.actor = &actor,
		.targets = list,
		.n_targets = found->n,
		.parallel = changes ? f->command->parallel : 0,
		.ended = on_forward_end,
	};
	return forward_begin(c->forwards, &r, err);
}

void request_forward(struct coord *c, struct peer *p, uint64_t id, const Pm__Forward *f)
{
	struct fleet_view v = { 0 };
	struct access *a = NULL;
	struct targets found = { 0 };
	Pm__Selector one = PM__SELECTOR__INIT;
	struct pm_error err;
	bool ok;

	if (f->what_case == PM__FORWARD__WHAT__NOT_SET) {
		(void)pm_fail(&err, PM_PROTOCOL, "a request that asks nothing"); /* the reply */
		pm_link_reply_error(p->link, id, &err);
		return;
	}
	if (f->agent[0] != '\0') {
		struct node *n = members_node_named(&c->members, f->agent);

		one.hosts = n != NULL ? n->name : f->agent;
	}
	ok = fleet_view_make(&c->members, &v, &err) == 0 && peer_access(p, &v, &a, &err) == 0 &&
	     members_select(&v, f->selector != NULL && f->agent[0] == '\0' ? f->selector : &one,
	                    &found, &err) == 0 &&
	     forward_to(c, p, id, f, &v, a, &found, &err) == 0;
	if (!ok)
		pm_link_reply_error(p->link, id, &err);
	targets_finish(&found);
	access_destroy(a);
	fleet_view_finish(&v);
}

int request_stream(struct coord *c, struct peer *p, struct pm_link_stream *st,
                   const Pm__StreamOpen *open, struct pm_error *err)
{
	struct node *n = members_node_named(&c->members, open->agent);
	struct fleet_view v = { 0 };
	struct access *a = NULL;
	char *apps[64];
	size_t n_apps = 0, at = 0;
	Pm__Actor actor;
	int rc = -1;

	if (n == NULL)
		return pm_fail(err, PM_NOT_FOUND, "%.60s: no such node", open->agent);
	if (open->what_case == PM__STREAM_OPEN__WHAT_LOGS &&
	    open->logs->n_targets <= PM_COUNT(apps))
		for (; n_apps < open->logs->n_targets; n_apps++)
			apps[n_apps] = open->logs->targets[n_apps]->text;
	if (fleet_view_make(&c->members, &v, err) < 0 || peer_access(p, &v, &a, err) < 0)
		goto out;
	while (c->members.nodes[at] != n)
		at++;
	if (!access_allows(a, pm_ops_of_stream(open), at, apps, n_apps)) {
		(void)pm_fail(err, PM_DENIED, "your role does not allow that on %s", n->name);
		goto out;
	}
	if (n->link == NULL) {
		(void)pm_fail(err, PM_UNREACHABLE, "%s is not connected", n->name);
		goto out;
	}
	peer_actor(p, p->local ? "admin" : access_role(a, at), &actor);
	rc = relay_open(st, n->link, open, &actor, err);
out:
	access_destroy(a);
	fleet_view_finish(&v);
	return rc;
}
