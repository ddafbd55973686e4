/* requests.c - what operators ask of the coordinator: whom a request goes to, and the answers that
 * wait for the store. */
#include "coordinator/requests_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/rollouts.h"
#include "coordinator/rotation.h"
#include "proto/ops.h"

static char none[] = "";

char *requests_text(const char *s)
{
	return s == NULL ? none : (char *)(uintptr_t)s; /* packing does not write */
}

/* ---- asking later: a request whose answer waits for the store ---- */

static struct pending *pendings;

struct pending *requests_pending_new(struct coord *c, struct peer *p, uint64_t id)
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

void requests_pending_free(struct pending *w)
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

void requests_pending_about(const struct store_id *member)
{
	pendings->member = *member;
}

void requests_link_gone(struct coord *c, const struct pm_link *l)
{
	for (struct pending *w = pendings; w != NULL; w = w->next)
		if (w->link == l)
			w->link = NULL;
	requests_rollouts_link_gone(l);
	rollout_start_link_gone(l);
	rollouts_link_gone(c->rollouts, l);
}

void requests_reply(struct pm_link *l, uint64_t re, Pm__FleetReply *r)
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

void requests_reply_done(struct pm_link *l, uint64_t re, const char *words, uint32_t n)
{
	Pm__FleetReply r = PM__FLEET_REPLY__INIT;
	Pm__Done done = PM__DONE__INIT;

	done.text = requests_text(words);
	done.n_changed = n;
	r.what_case = PM__FLEET_REPLY__WHAT_DONE;
	r.done = &done;
	requests_reply(l, re, &r);
}

void requests_reply_store(struct pending *w, const struct store_result *r)
{
	struct pm_error err;
	enum pm_code code = r->status == STORE_NOT_FOUND  ? PM_NOT_FOUND
	                    : r->status == STORE_CONFLICT ? PM_EXISTS
	                                                  : PM_NO_SPACE;

	(void)pm_fail(&err, code, "%s: %s", w->what, r->why != NULL ? r->why : "not done");
	if (w->link != NULL)
		pm_link_reply_error(w->link, w->id, &err);
}

/* ---- what the store answers with a word ---- */

void requests_on_word(void *arg, const struct store_result *r)
{
	struct pending *w = arg;

	if (r->status == STORE_OK)
		requests_reply_done(w->link, w->id, w->what, 1);
	else
		requests_reply_store(w, r);
	requests_pending_free(w);
}

int requests_submit_word(struct coord *c, struct peer *p, uint64_t id,
                         const struct store_request *request, const char *words, store_fn *fn,
                         const Pm__FleetRequest *req, struct pm_error *err)
{
	struct pending *w = requests_pending_new(c, p, id);

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
			requests_pending_free(w);
			return pm_fail(err, PM_NO_MEMORY, "%s", words);
		}
	}
	if (fleet_store_submit(c->store, request, fn, w, err) == 0)
		return 0;
	requests_pending_free(w);
	return -1;
}

/* ---- the requests ---- */

static int dispatch(struct coord *c, struct peer *p, uint64_t id, const Pm__FleetRequest *req,
                    const struct fleet_view *v, const struct access *a, struct pm_error *err)
{
	struct store_request request = { .now_ms = pm_wall_ms() };
	uint64_t ops = pm_ops_of_fleet(req);

	/* Changes of nodes and rollouts look at each node's rights; the rest is for the whole
	 * fleet. */
	if (req->what_case != PM__FLEET_REQUEST__WHAT_NODE_QUERY &&
	    req->what_case != PM__FLEET_REQUEST__WHAT_NODE_CHANGE &&
	    req->what_case != PM__FLEET_REQUEST__WHAT_ROLLOUT_START &&
	    req->what_case != PM__FLEET_REQUEST__WHAT_ROLLOUT_QUERY &&
	    req->what_case != PM__FLEET_REQUEST__WHAT_ROLLOUT_CHANGE &&
	    req->what_case != PM__FLEET_REQUEST__WHAT_WHO_AM_I && !access_allows_fleet(a, ops))
		return pm_fail(err, PM_DENIED, "your role does not allow that");
	switch (req->what_case) {
	case PM__FLEET_REQUEST__WHAT_NODE_QUERY:
		requests_answer_nodes(c, p, id, req->node_query, v, a);
		return 0;
	case PM__FLEET_REQUEST__WHAT_NODE_CHANGE:
		return requests_change_nodes(c, p, id, req->node_change, v, a, ops, err);
	case PM__FLEET_REQUEST__WHAT_TOKEN_CREATE:
		return requests_create_token(c, p, id, req->token_create, err);
	case PM__FLEET_REQUEST__WHAT_TOKEN_QUERY:
		request.op = STORE_LIST_TOKENS;
		return requests_submit_word(c, p, id, &request, "list the tokens",
		                            requests_on_tokens, req, err);
	case PM__FLEET_REQUEST__WHAT_TOKEN_REVOKE:
		return requests_revoke_token(c, p, id, req->token_revoke, err);
	case PM__FLEET_REQUEST__WHAT_OPERATOR_QUERY:
		requests_answer_operators(c, p, id, req->operator_query);
		return 0;
	case PM__FLEET_REQUEST__WHAT_OPERATOR_CHANGE:
		return requests_change_operator(c, p, id, req, err);
	case PM__FLEET_REQUEST__WHAT_GROUP_QUERY:
		requests_answer_groups(c, p, id, req->group_query);
		return 0;
	case PM__FLEET_REQUEST__WHAT_GROUP_CHANGE:
		return requests_change_group(c, p, id, req->group_change, v, err);
	case PM__FLEET_REQUEST__WHAT_AUDIT_QUERY:
		request.op = STORE_LIST_AUDIT;
		return requests_submit_word(c, p, id, &request, "read the audit", requests_on_audit,
		                            req, err);
	case PM__FLEET_REQUEST__WHAT_BACKUP:
		return requests_backup(c, p, id, req->backup, err);
	case PM__FLEET_REQUEST__WHAT_WHO_AM_I:
		requests_answer_who(c, p, id);
		return 0;
	case PM__FLEET_REQUEST__WHAT_ROLLOUT_START:
		return rollout_start(c, p, id, req->rollout_start, v, a, err);
	case PM__FLEET_REQUEST__WHAT_ROLLOUT_QUERY:
		return requests_answer_rollouts(c, p, id, req->rollout_query, v, a, ops, err);
	case PM__FLEET_REQUEST__WHAT_ROLLOUT_CHANGE:
		return requests_change_rollout(c, p, id, req->rollout_change, a, ops, err);
	case PM__FLEET_REQUEST__WHAT_KEYS_RELOAD:
		return rotation_reload(c->rotation, p, id, req->keys_reload, err);
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
