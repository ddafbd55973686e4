/* The client's one stream. */
#include "cli/client_priv.h"

#include <stdlib.h>

#define SEND_MS 10000 /* for a few bytes: an agent that does not take them is stuck */

struct client_stream {
	struct client *client; /* borrowed */
	uint32_t id;
	uint64_t asked; /* the request's number */
	bool ended;     /* by the agent, or with the connection */
};

int client_stream_open(struct client *c, const Pm__StreamOpen *open, struct client_stream **out,
                       struct pm_error *err)
{
	struct client_stream *st;
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamOpen copy = *open;
	struct pm_stream *core;

	if (!client_is_connected(c))
		return pm_fail(err, PM_UNREACHABLE, "not connected to the agent");
	if (c->stream != NULL)
		return pm_fail(err, PM_INTERNAL, "a stream is open on this connection");
	st = pm_calloc(1, sizeof(*st));
	if (st == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (pm_session_open_stream(&c->core, PM_STREAM_WINDOW, &core, err) < 0) {
		free(st);
		return -1;
	}
	st->client = c;
	st->id = env.stream = core->id;
	st->asked = env.id = pm_session_next_id(&c->core);
	copy.credit = PM_STREAM_WINDOW;
	env.body_case = PM__ENVELOPE__BODY_STREAM_OPEN;
	env.stream_open = &copy;
	if (client_queue(c, &env, err) < 0 || client_flush(c, client_deadline(SEND_MS), err) < 0) {
		pm_session_close_stream(&c->core, st->id);
		free(st);
		return -1;
	}
	c->stream = st;
	*out = st;
	return 0;
}

void client_stream_close(struct client_stream *st)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamClose body = PM__STREAM_CLOSE__INIT;
	struct pm_error err;

	if (st == NULL)
		return;
	env.stream = st->id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_CLOSE;
	env.stream_close = &body;
	/* If it cannot be said, the end of the connection says it. */
	if (!st->ended && (client_queue(st->client, &env, &err) < 0 ||
	                   client_flush(st->client, client_deadline(SEND_MS), &err) < 0))
		client_drop(st->client);
	pm_session_close_stream(&st->client->core, st->id);
	st->client->stream = NULL;
	free(st);
}

/* Let the agent send on once half of the window was used. */
static int give_credit(struct client_stream *st, struct pm_error *err)
{
	struct pm_stream *core = pm_session_stream(&st->client->core, st->id);
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamCredit body = PM__STREAM_CREDIT__INIT;

	body.bytes = core == NULL ? 0 : pm_stream_refill(core);
	if (body.bytes == 0)
		return 0;
	env.stream = st->id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_CREDIT;
	env.stream_credit = &body;
	if (client_queue(st->client, &env, err) < 0)
		return -1;
	return client_flush(st->client, client_deadline(SEND_MS), err);
}

/* 1: *what is set; 0: not for us; -1 */
static int take(struct client_stream *st, const Pm__Envelope *env, enum client_next *what,
                const Pm__StreamData **data, struct pm_error *err)
{
	if (env->body_case == PM__ENVELOPE__BODY_ERROR && env->re == st->asked) {
		st->ended = true;
		return client_fail_remote(err, env->error);
	}
	if (env->stream != st->id)
		return 0;
	if (env->body_case == PM__ENVELOPE__BODY_STREAM_DATA) {
		*what = CLIENT_NEXT_DATA;
		*data = env->stream_data;
		return 1;
	}
	if (env->body_case != PM__ENVELOPE__BODY_STREAM_CLOSE)
		return 0;
	st->ended = true;
	*what = CLIENT_NEXT_END;
	if (env->stream_close->code == PM_OK)
		return 1;
	return pm_fail(err, pm_code_from_wire(env->stream_close->code), "%s",
	               env->stream_close->what);
}

int client_stream_next(struct client_stream *st, int extra_fd, int timeout_ms,
                       enum client_next *what, const Pm__StreamData **data, struct pm_error *err)
{
	struct client *c = st->client;
	uint64_t deadline = timeout_ms < 0 ? 0 : pm_now_ms() + (uint64_t)timeout_ms;
	Pm__Envelope *env;
	int rc = 0;

	if (st->ended) {
		*what = CLIENT_NEXT_END;
		return 0;
	}
	if (give_credit(st, err) < 0)
		goto lost;
	while (rc == 0) {
		pm_arena_reset(&c->arena);
		if (client_receive(c, &c->arena, extra_fd, deadline, &env, err) < 0) {
			if (err->code != PM_DEADLINE)
				goto lost;
			*what = CLIENT_NEXT_TIMEOUT;
			return 0;
		}
		if (env == NULL) {
			*what = CLIENT_NEXT_FD;
			return 0;
		}
		rc = take(st, env, what, data, err);
	}
	return rc < 0 ? -1 : 0;
lost:
	st->ended = true;
	return -1;
}
