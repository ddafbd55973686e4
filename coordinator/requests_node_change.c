/* requests_node_change.c - what operators change of nodes: names, labels, drains, keys. */
#include "coordinator/requests_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/hostlist.h"
#include "proto/log.h"

static void one_changed(struct pending *w)
{
	if (--w->n_waiting > 0)
		return;
	if (!w->failed && w->link != NULL)
		requests_reply_done(w->link, w->id, w->what, w->n_changed);
	requests_pending_free(w);
}

struct change {
	struct pending *w;
	struct store_id node;
	Pm__NodeVerb verb;
	enum agent_state state;
	int drained; /* -1: as it is */
	char *name, *labels, *note;
	struct store_raise raise; /* of a node that shows an old store; else zeroed */
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
		peers_forget_node(c, n);
		members_drop_node(&c->members, n);
		return;
	}
	if (ch->raise.epoch != 0 || ch->raise.command != 0) {
		n->store_old = false;
		peers_cut(c, &ch->node, "accepted: it begins anew");
	}
	row = (struct store_agent){
		.id = n->id,
		.name = ch->name != NULL ? ch->name : n->name,
		.state = ch->state != 0 ? ch->state : n->state,
		.labels = ch->labels != NULL ? ch->labels : n->labels_text,
		.claimed = n->claimed_text,
		.facts = n->facts_text,
		.note = ch->note != NULL ? ch->note : n->note,
		.epoch = ch->raise.epoch,
		.command = ch->raise.command,
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
		requests_reply_store(w, r);
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
	[PM__NODE_VERB__NODE_ROTATE] = { "node.rotate", "asked to replace its key", 0, -1 },
};

struct revocation {
	struct pending *w;
	struct store_id owner;
};

void requests_revoke_local(void *arg, const struct member_key *key)
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
		members_each_key(&w->c->members, &v->owner, requests_revoke_local, NULL);
		peers_cut(w->c, &v->owner, "its key was revoked");
		w->n_changed++;
	} else if (!w->failed) {
		w->failed = true;
		requests_reply_store(w, r);
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

/* ---- another key, which the node makes itself ---- */

/* All or none: whoever is told that it was done need not look for those where it was not. */
static int check_rotation(const struct coord *c, const struct targets *found, struct pm_error *err)
{
	for (size_t i = 0; i < found->n; i++) {
		const struct node *n = c->members.nodes[found->hosts[i]];

		if (n->link == NULL || !pm_link_is_up(n->link)) {
			(void)pm_fail(err, PM_UNREACHABLE,
			              "%.60s is not connected; no key was replaced", n->name);
			pm_hint(err, "leave it out with --exclude, or wait for it");
			return -1;
		}
		if ((pm_link_features(n->link) & PM_FEATURE_ROTATION) == 0) {
			(void)pm_fail(err, PM_UNSUPPORTED,
			              "the agent of %.60s does not know how; no key was replaced",
			              n->name);
			pm_hint(err, "upgrade it: 'pmctl agent upgrade'");
			return -1;
		}
	}
	return 0;
}

static void ask_for_rotation(struct coord *c, struct pending *w, const struct peer *p,
                             const struct node *n)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__KeyWanted wanted = PM__KEY_WANTED__INIT;

	env.body_case = PM__ENVELOPE__BODY_KEY_WANTED;
	env.key_wanted = &wanted;
	(void)pm_link_send(n->link, &env); /* fits a record */
	coord_audit(c, peer_name(p), "node.rotate", n->name, "", "ok");
	w->n_changed++;
}

static void change_node(struct coord *c, struct pending *w, struct peer *p, struct node *n,
                        const Pm__NodeChange *q)
{
	struct store_request request = { .op = STORE_SET_AGENT, .now_ms = pm_wall_ms() };
	struct change *ch;
	struct audit_entry entry;
	struct pm_error err;

	if (q->verb == PM__NODE_VERB__NODE_ROTATE) {
		ask_for_rotation(c, w, p, n);
		return;
	}
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
	} else if (q->verb == PM__NODE_VERB__NODE_ACCEPT && n->state == AGENT_ACCEPTED &&
	           n->store_old) {
		ch->raise = (struct store_raise){ n->id, n->history.last.epoch,
			                          n->history.last.counter };
		request.op = STORE_RAISE_COUNTER;
		request.raise = ch->raise;
		entry.field[AUDIT_DETAIL] = "it knew more: the store is an old copy";
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

int requests_change_nodes(struct coord *c, struct peer *p, uint64_t id, const Pm__NodeChange *q,
                          const struct fleet_view *v, const struct access *a, uint64_t ops,
                          struct pm_error *err)
{
	struct targets found = { 0 };
	struct pending *w;

	if (q->verb == PM__NODE_VERB__NODE_VERB_UNSPECIFIED || q->verb >= PM_COUNT(node_verbs))
		return pm_fail(err, PM_UNSUPPORTED, "this coordinator does not know that change");
	if (requests_is_empty(q->selector))
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
	if (q->verb == PM__NODE_VERB__NODE_ROTATE && check_rotation(c, &found, err) < 0) {
		targets_finish(&found);
		return -1;
	}
	w = check_change(q, found.n, err) < 0 ? NULL : requests_pending_new(c, p, id);
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
