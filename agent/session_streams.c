/* Streams of a session: data goes out only with credit from the peer and room in the queue. */
#include "agent/session_priv.h"

#include <stdio.h>
#include <stdlib.h>

static void append(struct session *s, struct session_stream *st)
{
	st->next = NULL;
	st->prev = s->last;
	if (s->last != NULL)
		s->last->next = st;
	else
		s->first = st;
	s->last = st;
}

static void detach(struct session *s, struct session_stream *st)
{
	if (st->prev != NULL)
		st->prev->next = st->next;
	else
		s->first = st->next;
	if (st->next != NULL)
		st->next->prev = st->prev;
	else
		s->last = st->prev;
}

static struct session_stream *find(const struct session *s, uint32_t id)
{
	for (struct session_stream *st = s->first; st != NULL; st = st->next)
		if (st->id == id)
			return st;
	return NULL;
}

static void forget(struct session *s, struct session_stream *st)
{
	pm_session_close_stream(&s->core, st->id);
	detach(s, st);
	free(st);
}

void session_stream_refuse(struct session *s, const Pm__Envelope *asked, const struct pm_error *why)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Error error = PM__ERROR__INIT;
	struct pm_error copy = *why;

	error.code = why->code;
	error.what = copy.what;
	error.hint = copy.hint;
	env.re = asked->id;
	env.stream = asked->stream;
	env.body_case = PM__ENVELOPE__BODY_ERROR;
	env.error = &error;
	(void)session_send(s, &env); /* fits a record */
}

void session_stream_opened(struct session *s, const Pm__Envelope *env, struct pm_stream *core)
{
	struct session_stream *st;
	struct pm_error err;

	if (core == NULL) {
		(void)pm_fail(&err, PM_LIMIT, "%d streams are open in this session",
		              PM_STREAMS_MAX);
		session_stream_refuse(s, env, &err);
		return;
	}
	st = pm_calloc(1, sizeof(*st));
	if (st == NULL) {
		(void)pm_fail(&err, PM_NO_MEMORY, "out of memory");
		session_stream_refuse(s, env, &err);
		pm_session_close_stream(&s->core, env->stream);
		return;
	}
	st->session = s;
	st->id = env->stream;
	append(s, st);
	if (s->host->handlers->stream_open(s->host->arg, st, env->stream_open, &err) < 0) {
		session_stream_refuse(s, env, &err);
		forget(s, st);
	}
}

void session_stream_ended(struct session *s, uint32_t id)
{
	struct session_stream *st = find(s, id);

	if (st == NULL)
		return;
	s->host->handlers->stream_closed(s->host->arg, st);
	forget(s, st);
}

void session_streams_finish(struct session *s)
{
	while (s->first != NULL) {
		s->host->handlers->stream_closed(s->host->arg, s->first);
		forget(s, s->first);
	}
}

static struct session_stream *first_to_wake(const struct session *s)
{
	for (struct session_stream *st = s->first; st != NULL; st = st->next)
		if (st->wake)
			return st;
	return NULL;
}

/* Handlers may close any stream of the session, so each one is looked for anew. */
void session_streams_wake(struct session *s, uint32_t id)
{
	struct session_stream *st;

	for (st = s->first; st != NULL; st = st->next)
		st->wake = st->blocked && (id == 0 || st->id == id);
	while (session_is_open(s) && session_queued(s) < PM_SEND_ROOM &&
	       (st = first_to_wake(s)) != NULL) {
		st->wake = st->blocked = false;
		detach(s, st); /* to the end: the others are first the next time */
		append(s, st);
		s->host->handlers->stream_ready(s->host->arg, st);
	}
}

enum stream_sent stream_send(struct session_stream *st, const Pm__StreamData *data)
{
	struct session *s = st->session;
	struct pm_stream *core = pm_session_stream(&s->core, st->id);
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamData body = *data;
	size_t cost = pm_stream_cost(data);
	bool owed = st->blocked; /* an event that fits does not pay for a line that did not */

	if (cost > PM_RECORD_MAX)
		return STREAM_TOO_LARGE;
	st->blocked = true;
	if (session_queued(s) >= PM_SEND_ROOM) {
		s->wants_room = true;
		return STREAM_BLOCKED;
	}
	if (!session_is_open(s) || core == NULL || !pm_stream_spend(core, cost))
		return STREAM_BLOCKED;
	st->blocked = owed;
	env.stream = st->id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_DATA;
	env.stream_data = &body;
	if (session_send(s, &env))
		return STREAM_SENT;
	core->credit += cost;
	return STREAM_TOO_LARGE;
}

void stream_close(struct session_stream *st, enum pm_code code, const char *what)
{
	struct session *s = st->session;
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamClose body = PM__STREAM_CLOSE__INIT;
	char text[256];

	(void)snprintf(text, sizeof(text), "%s", what == NULL ? "" : what); /* cut if longer */
	body.code = (uint32_t)code;
	body.what = text;
	env.stream = st->id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_CLOSE;
	env.stream_close = &body;
	(void)session_send(s, &env); /* fits a record */
	forget(s, st);
}

struct session *stream_session(const struct session_stream *st)
{
	return st->session;
}

void stream_set_user(struct session_stream *st, void *user)
{
	st->user = user;
}

void *stream_user(const struct session_stream *st)
{
	return st->user;
}
