#include "cli/fleet_route.h"

#include <stdlib.h>
#include <string.h>

#include "cli/client_priv.h"

#define DEADLINE_MS 60000 /* of a request without one of its own: the coordinator's */

struct route {
	struct fleet_client *session; /* borrowed */
	char *agent;                  /* owned; NULL: none in particular */
	struct client *client;        /* whose route this is */
	Pm__Welcome welcome;
	struct pm_buf inbox; /* records that wait to be received, from inbox_at on */
	size_t inbox_at;
	uint64_t asked; /* the client's number of the request under way; 0: none */
	bool answered;  /* its last answer is in the inbox */
	struct fleet_stream *stream;
	uint32_t stream_id; /* the client's */
	/* specs pushed and not sent yet; copies in the arena */
	Pm__SpecPush **specs;
	size_t n_specs;
	struct pm_arena arena;
	/* status answered from memory; borrowed */
	bool preloaded;
	Pm__InstanceStatus **instances;
	size_t n_instances;
	const Pm__AgentStatus *agent_status;
};

/* ---- the inbox ---- */

static void put(struct route *r, const Pm__Envelope *env)
{
	struct pm_error err;

	/* What does not fit a record came in one with less around it; without memory the buffer
	 * says so when it is read. */
	if (pm_encode(env, &r->inbox, &err) < 0)
		r->inbox.failed = true;
	fleet_client_stop_waiting(r->session);
}

static int take(struct route *r, struct pm_arena *arena, Pm__Envelope **out, struct pm_error *err)
{
	const uint8_t *at = (const uint8_t *)r->inbox.bytes + r->inbox_at;
	size_t len = (size_t)at[0] << 8 | at[1];
	int rc = pm_decode(arena, at + 2, len, out, err);

	r->inbox_at += 2 + len;
	if (r->inbox_at == r->inbox.len) {
		pm_buf_reset(&r->inbox);
		r->inbox_at = 0;
	}
	return rc;
}

static void put_error(struct route *r, enum pm_code code, const char *what)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Error error = PM__ERROR__INIT;

	env.re = r->asked;
	env.body_case = PM__ENVELOPE__BODY_ERROR;
	env.error = &error;
	error.code = (uint32_t)code;
	error.what = (char *)(uintptr_t)what; /* only read */
	put(r, &env);
	r->answered = true;
}

/* ---- requests ---- */

/* One agent's answer as the agent sent it. */
static void take_forwarded(struct route *r, const Pm__Forwarded *f)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;

	env.re = r->asked;
	switch (f->what_case) {
	case PM__FORWARDED__WHAT_RESULT:
		env.body_case = PM__ENVELOPE__BODY_RESULT;
		env.result = f->result;
		r->answered = !f->result->more;
		break;
	case PM__FORWARDED__WHAT_PROGRESS:
		env.body_case = PM__ENVELOPE__BODY_PROGRESS;
		env.progress = f->progress;
		break;
	case PM__FORWARDED__WHAT_STATUS_LIST:
		env.body_case = PM__ENVELOPE__BODY_STATUS_LIST;
		env.status_list = f->status_list;
		r->answered = !f->status_list->more;
		break;
	case PM__FORWARDED__WHAT_ERROR:
		env.body_case = PM__ENVELOPE__BODY_ERROR;
		env.error = f->error;
		r->answered = true;
		break;
	case PM__FORWARDED__WHAT__NOT_SET:
	case _PM__FORWARDED__WHAT__CASE_IS_INT_SIZE:
		return;
	}
	put(r, &env);
}

static void take_end(struct route *r, const Pm__ForwardEnd *end)
{
	const Pm__ForwardTarget *t = end->n_targets > 0 ? end->targets[0] : NULL;

	if (r->answered || t == NULL)
		return;
	switch (t->state) {
	case PM__FORWARD_STATE__FORWARD_OFFLINE:
		put_error(r, PM_UNREACHABLE,
		          t->text[0] != '\0' ? t->text : "it is not connected to the coordinator");
		break;
	case PM__FORWARD_STATE__FORWARD_DENIED:
		put_error(r, PM_DENIED,
		          t->text[0] != '\0' ? t->text : "your role does not allow it there");
		break;
	case PM__FORWARD_STATE__FORWARD_UNSPECIFIED:
	case PM__FORWARD_STATE__FORWARD_DONE:
	case PM__FORWARD_STATE__FORWARD_UNKNOWN:
	case _PM__FORWARD_STATE_IS_INT_SIZE:
		put_error(r, PM_UNKNOWN,
		          t->text[0] != '\0' ? t->text : "sent, and its answer did not come");
		break;
	}
}

static int on_answer(void *arg, const Pm__Envelope *env, struct pm_error *err)
{
	struct route *r = arg;

	(void)err;
	if (env->body_case == PM__ENVELOPE__BODY_FORWARDED)
		take_forwarded(r, env->forwarded);
	if (env->body_case != PM__ENVELOPE__BODY_FLEET_REPLY)
		return 0;
	if (env->fleet_reply->what_case == PM__FLEET_REPLY__WHAT_FORWARD_END)
		take_end(r, env->fleet_reply->forward_end);
	return !env->fleet_reply->more;
}

static int forward(struct route *r, uint64_t id, Pm__Forward *f, struct pm_error *err)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;

	f->agent = r->agent;
	f->specs = r->specs;
	f->n_specs = r->n_specs;
	env.body_case = PM__ENVELOPE__BODY_FORWARD;
	env.forward = f;
	r->asked = id;
	r->answered = false;
	if (fleet_client_begin(r->session, &env, on_answer, r, err) < 0)
		return -1;
	r->n_specs = 0;
	return 0;
}

static void answer_from_memory(struct route *r, uint64_t id)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusList list = PM__STATUS_LIST__INIT;
	Pm__AgentStatus agent = PM__AGENT_STATUS__INIT;

	env.re = id;
	env.body_case = PM__ENVELOPE__BODY_STATUS_LIST;
	env.status_list = &list;
	/* One at a time: each came in a record, and all of them may not fit one. */
	for (size_t i = 0; i < r->n_instances; i++) {
		list.instances = &r->instances[i];
		list.n_instances = 1;
		list.more = true;
		put(r, &env);
	}
	list = (Pm__StatusList)PM__STATUS_LIST__INIT;
	if (r->agent_status != NULL) {
		agent = *r->agent_status;
		list.agent = &agent;
	}
	put(r, &env);
	r->asked = id;
	r->answered = true;
}

static int push_spec(struct route *r, const Pm__SpecPush *push, struct pm_error *err)
{
	Pm__SpecPush **grown = pm_realloc(r->specs, (r->n_specs + 1) * sizeof(*grown));
	size_t len = pm__spec_push__get_packed_size(push);
	PM_FREE uint8_t *bytes = pm_calloc(1, len + 1);
	ProtobufCMessage *copy;

	if (grown != NULL)
		r->specs = grown;
	if (grown == NULL || bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	(void)pm__spec_push__pack(push, bytes);
	if (pm_decode_message(&r->arena, &pm__spec_push__descriptor, bytes, len, PM_ARENA_MAX,
	                      &copy, err) < 0)
		return -1;
	grown[r->n_specs++] = (Pm__SpecPush *)copy;
	return 0;
}

/* ---- the stream ---- */

static void on_stream_data(void *arg, struct fleet_stream *st, const Pm__StreamData *data)
{
	struct route *r = arg;
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamData copy = *data;

	(void)st;
	env.stream = r->stream_id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_DATA;
	env.stream_data = &copy;
	put(r, &env);
}

static void on_stream_closed(void *arg, struct fleet_stream *st, const struct pm_error *why)
{
	struct route *r = arg;
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamClose close = PM__STREAM_CLOSE__INIT;

	(void)st;
	r->stream = NULL;
	close.code = (uint32_t)why->code;
	close.what = (char *)(uintptr_t)why->what; /* only read */
	env.stream = r->stream_id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_CLOSE;
	env.stream_close = &close;
	put(r, &env);
}

static const struct fleet_stream_handlers stream_handlers = { on_stream_data, on_stream_closed };

static int open_stream(struct route *r, const Pm__Envelope *env, struct pm_error *err)
{
	Pm__StreamOpen open = *env->stream_open;

	open.agent = r->agent;
	r->stream_id = env->stream;
	return fleet_stream_open(r->session, &open, &stream_handlers, r, &r->stream, err);
}

/* ---- the route ---- */

static int send_forward(struct route *r, const Pm__Envelope *env, struct pm_error *err)
{
	Pm__Forward f = PM__FORWARD__INIT;

	if (r->agent == NULL)
		return pm_fail(err, PM_UNSUPPORTED,
		               "this cannot be asked of several hosts at once");
	if (env->body_case == PM__ENVELOPE__BODY_COMMAND) {
		f.what_case = PM__FORWARD__WHAT_COMMAND;
		f.command = env->command;
		f.deadline_ms = env->command->timeout_ms;
		if (f.deadline_ms == 0)
			f.deadline_ms = PM_FLEET_ACT_MS;
	} else if (r->preloaded) {
		answer_from_memory(r, env->id);
		return 0;
	} else {
		f.what_case = PM__FORWARD__WHAT_STATUS_REQUEST;
		f.status_request = env->status_request;
		f.deadline_ms = DEADLINE_MS;
	}
	return forward(r, env->id, &f, err);
}

static int route_send(void *arg, const Pm__Envelope *env, struct pm_error *err)
{
	struct route *r = arg;

	/* The few things that a client says. */
	if (env->body_case == PM__ENVELOPE__BODY_COMMAND ||
	    env->body_case == PM__ENVELOPE__BODY_STATUS_REQUEST)
		return send_forward(r, env, err);
	if (env->body_case == PM__ENVELOPE__BODY_SPEC_PUSH)
		return push_spec(r, env->spec_push, err);
	if (env->body_case == PM__ENVELOPE__BODY_STREAM_OPEN)
		return open_stream(r, env, err);
	if (env->body_case == PM__ENVELOPE__BODY_STREAM_CLOSE) {
		fleet_stream_close(r->stream);
		r->stream = NULL;
	}
	return 0; /* credit is given by the session itself */
}

/* The session ended, or the coordinator refused the request as a whole. */
static int fail(struct route *r, const struct pm_error *why, struct pm_error *err)
{
	*err = *why;
	if (!fleet_client_is_up(r->session) && r->asked != 0 && !r->answered)
		err->code = PM_UNKNOWN; /* it may have been passed on */
	return -1;
}

static int route_receive(void *arg, struct pm_arena *arena, int extra_fd, uint64_t deadline,
                         Pm__Envelope **out, struct pm_error *err)
{
	struct route *r = arg;
	enum fleet_waited waited = FLEET_DONE;
	struct pm_error why;
	bool done;

	for (;;) {
		struct fleet_wait wait = { .stop_fd = extra_fd };
		int left = client_left_ms(deadline);

		if (r->inbox.failed)
			return pm_fail(err, PM_NO_MEMORY, "out of memory");
		if (r->inbox_at < r->inbox.len)
			return take(r, arena, out, err);
		if (fleet_client_end(r->session, &done, &why) < 0)
			return fail(r, &why, err);
		if (left == 0)
			return pm_fail(err, PM_DEADLINE, "the agent did not answer in time");
		wait.timeout_ms = left < 0 ? 0 : (uint32_t)left;
		if (fleet_client_wait(r->session, &wait, &waited, &why) < 0 &&
		    r->inbox_at == r->inbox.len)
			return fail(r, &why, err);
		if (waited == FLEET_STOPPED && r->inbox_at == r->inbox.len) {
			*out = NULL;
			return 0;
		}
	}
}

static void route_destroy(void *arg)
{
	struct route *r = arg;

	fleet_stream_close(r->stream);
	pm_buf_finish(&r->inbox);
	pm_arena_finish(&r->arena);
	free(r->specs);
	free(r->agent);
	free(r);
}

static const struct client_route route = { route_send, route_receive, route_destroy };

int fleet_route_create(struct fleet_client *session, const char *agent, uint32_t n_cpus,
                       struct client **out, struct pm_error *err)
{
	struct route *r = pm_calloc(1, sizeof(*r));

	if (r == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	r->session = session;
	pm__welcome__init(&r->welcome);
	r->welcome.n_cpus = n_cpus;
	r->agent = pm_strdup(agent);
	if ((agent != NULL && r->agent == NULL) ||
	    client_on_route(&route, r, &r->welcome, &r->client, err) < 0) {
		route_destroy(r);
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	*out = r->client;
	return 0;
}

void fleet_route_preload(struct client *c, Pm__InstanceStatus **instances, size_t n,
                         const Pm__AgentStatus *agent)
{
	struct route *r = c->route_arg;

	r->preloaded = instances != NULL;
	r->instances = instances;
	r->n_instances = n;
	r->agent_status = agent;
}

Pm__SpecPush **fleet_route_specs(struct client *c, size_t *n)
{
	struct route *r = c->route_arg;

	*n = r->n_specs;
	return r->specs;
}
