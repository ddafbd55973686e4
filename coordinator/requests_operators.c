/* requests_operators.c - the operators and their roles, and what one hears about himself. */
#include "coordinator/requests_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/rotation.h"
#include "proto/log.h"
#include "proto/ops.h"

void requests_answer_operators(struct coord *c, struct peer *p, uint64_t id,
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
		msg.id = requests_text(o->id_text);
		msg.name = requests_text(o->name);
		members_each_key(&c->members, &o->id, requests_key_of, &key);
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
		requests_reply(p->link, id, &out);
	}
	all.n_operators = 0;
	out.more = false;
	requests_reply(p->link, id, &out);
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
	requests_on_word(w, r);
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
	requests_on_word(w, r);
}

static void on_operator_revoked(void *arg, const struct store_result *r)
{
	struct pending *w = arg;
	struct oper *o = members_oper(&w->c->members, &w->member);

	if (r->status == STORE_OK && o != NULL) {
		o->state = OPERATOR_REVOKED;
		members_each_key(&w->c->members, &w->member, requests_revoke_local, NULL);
		peers_cut(w->c, &w->member, "revoked");
	}
	requests_on_word(w, r);
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
	if (access_check_binding(q->binding->targets, q->binding->apps, err) < 0)
		return -1;
	request.binding = (struct store_binding){
		.operator_id = o->id,
		.role = q->binding->role,
		.targets = q->binding->targets,
		.apps = q->binding->apps,
		.created_by = peer_name(p),
		.created_ms = request.now_ms,
	};
	request.audit = &entry;
	rc = requests_submit_word(c, p, id, &request, "granted", on_binding, req, err);
	if (rc == 0)
		requests_pending_about(&o->id);
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
	u->w = requests_pending_new(c, p, id);
	u->id = request.number;
	if (u->w == NULL) {
		free(u);
		return pm_fail(err, PM_NO_MEMORY, "take a role away");
	}
	(void)snprintf(u->w->what, sizeof(u->w->what), "taken away");
	request.audit = &entry;
	if (fleet_store_submit(c->store, &request, on_unbound, u, err) == 0)
		return 0;
	requests_pending_free(u->w);
	free(u);
	return -1;
}

int requests_change_operator(struct coord *c, struct peer *p, uint64_t id,
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
	rc = requests_submit_word(c, p, id, &request, "revoked", on_operator_revoked, NULL, err);
	if (rc == 0)
		requests_pending_about(&o->id);
	return rc;
}

void requests_answer_who(struct coord *c, struct peer *p, uint64_t id)
{
	const struct oper *o = members_oper(&c->members, &p->id);
	Pm__FleetReply out = PM__FLEET_REPLY__INIT;
	Pm__WhoAmI who = PM__WHO_AM_I__INIT;
	Pm__Binding bindings[16], *list[16];

	who.operator_ = requests_text(peer_name(p));
	who.cluster_id = c->cluster_text;
	who.version = requests_text(PM_VERSION);
	who.coordinator_key.data =
		(uint8_t *)(uintptr_t)pm_key_public(rotation_newest(c->rotation));
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
	requests_reply(p->link, id, &out);
}
