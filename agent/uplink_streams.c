#include "agent/uplink_streams.h"

#include <stdlib.h>

/* A message that the link did not take yet. */
struct waiting {
	struct waiting *next;
	size_t len;
	uint8_t packed[]; /* a StreamData */
};

struct relayed {
	struct relayed *next;
	struct carried_streams *owner;
	struct pm_link_stream *st; /* borrowed */
	uint32_t id;               /* on the supervisor's side */
	uint64_t reserve; /* credit of the coordinator's that the supervisor has not got yet */
	uint32_t granted; /* that it has and has not used */
	size_t waiting_bytes;
	struct waiting *first, **last; /* owned */
	bool ended;                    /* by the supervisor: closed once what waits has gone out */
	struct pm_error end;
};

static struct relayed *find(const struct carried_streams *r, uint32_t id)
{
	struct relayed *s = r->first;

	while (s != NULL && s->id != id)
		s = s->next;
	return s;
}

static void forget(struct carried_streams *r, struct relayed *s)
{
	struct relayed **at = &r->first;

	while (*at != NULL && *at != s)
		at = &(*at)->next;
	if (*at != NULL)
		*at = s->next;
	while (s->first != NULL) {
		struct waiting *w = s->first;

		s->first = w->next;
		free(w);
	}
	free(s);
}

/* ---- towards the supervisor ---- */

static void tell_closed(struct carried_streams *r, uint32_t id)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamClose body = PM__STREAM_CLOSE__INIT;

	env.stream = id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_CLOSE;
	env.stream_close = &body;
	(void)local_send(r->local, &env); /* fits a record */
}

/* What may be under way to the link at most: one window. */
static uint32_t take_credit(struct relayed *s)
{
	size_t out = s->granted + s->waiting_bytes;
	uint64_t room = out < PM_STREAM_WINDOW ? PM_STREAM_WINDOW - out : 0;
	uint32_t bytes = (uint32_t)PM_MIN(room, s->reserve);

	s->reserve -= bytes;
	s->granted += bytes;
	return bytes;
}

static void pass_credit(struct relayed *s)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamCredit body = PM__STREAM_CREDIT__INIT;

	if (s->ended)
		return;
	body.bytes = take_credit(s);
	if (body.bytes == 0)
		return;
	env.stream = s->id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_CREDIT;
	env.stream_credit = &body;
	(void)local_send(s->owner->local, &env); /* fits a record */
}

int carry_open(struct carried_streams *r, struct pm_link_stream *st, const Pm__StreamOpen *open,
               struct pm_error *err)
{
	struct relayed *s = pm_calloc(1, sizeof(*s));
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamOpen body = *open;

	if (s == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	s->owner = r;
	s->st = st;
	s->last = &s->first;
	s->id = r->last_id == 0 ? 1 : r->last_id + 2;
	s->reserve = open->credit;
	body.credit = take_credit(s);
	env.id = s->id; /* of its refusal, which is known by its stream */
	env.stream = s->id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_OPEN;
	env.stream_open = &body;
	if (s->id < r->last_id || !local_send(r->local, &env)) {
		free(s);
		return pm_fail(err, PM_LIMIT, "the stream cannot be passed on");
	}
	r->last_id = s->id;
	s->next = r->first;
	r->first = s;
	pm_link_stream_by_hand(st);
	pm_link_stream_set_user(st, s);
	return 0;
}

void carry_credit(struct pm_link_stream *st, uint32_t bytes)
{
	struct relayed *s = pm_link_stream_user(st);

	s->reserve += bytes;
	pass_credit(s);
}

void carry_closed(struct carried_streams *r, struct pm_link_stream *st)
{
	struct relayed *s = pm_link_stream_user(st);

	tell_closed(r, s->id);
	forget(r, s);
}

void carry_finish(struct carried_streams *r)
{
	while (r->first != NULL)
		forget(r, r->first);
	pm_arena_finish(&r->arena);
}

/* ---- towards the link ---- */

static void give_up(struct carried_streams *r, struct relayed *s, enum pm_code code,
                    const char *what)
{
	tell_closed(r, s->id);
	pm_link_stream_close(s->st, code, what);
	forget(r, s);
}

static bool put_waiting(struct relayed *s, const Pm__StreamData *data)
{
	size_t len = pm_stream_cost(data);
	struct waiting *w = pm_calloc(1, sizeof(*w) + len);

	if (w == NULL)
		return false;
	w->len = len;
	(void)pm__stream_data__pack(data, w->packed); /* the size was asked for */
	*s->last = w;
	s->last = &w->next;
	s->waiting_bytes += len;
	return true;
}

static void take_data(struct carried_streams *r, struct relayed *s, const Pm__StreamData *data)
{
	enum pm_link_sent sent = PM_LINK_BLOCKED;
	size_t cost = pm_stream_cost(data);

	s->granted -= (uint32_t)PM_MIN(cost, s->granted);
	if (s->first == NULL)
		sent = pm_link_stream_send(s->st, data);
	if (sent == PM_LINK_TOO_LARGE)
		give_up(r, s, PM_LIMIT, "a message of the stream does not fit the link");
	else if (sent == PM_LINK_BLOCKED && !put_waiting(s, data))
		give_up(r, s, PM_NO_MEMORY, "the uplink is out of memory");
	else if (sent == PM_LINK_SENT)
		pass_credit(s);
}

enum step {
	STEP_SENT,
	STEP_WAIT, /* the link takes no more now */
	STEP_GONE, /* so is the stream */
};

static enum step send_first(struct carried_streams *r, struct relayed *s)
{
	struct waiting *w = s->first;
	ProtobufCMessage *message;
	struct pm_error err;
	enum pm_link_sent sent = PM_LINK_TOO_LARGE;

	/* It came through the same decoder before. */
	if (pm_decode_message(&r->arena, &pm__stream_data__descriptor, w->packed, w->len,
	                      PM_ARENA_MAX, &message, &err) == 0)
		sent = pm_link_stream_send(s->st, (const Pm__StreamData *)(void *)message);
	pm_arena_reset(&r->arena);
	if (sent == PM_LINK_BLOCKED)
		return STEP_WAIT;
	if (sent == PM_LINK_TOO_LARGE) {
		give_up(r, s, PM_LIMIT, "a message of the stream does not fit the link");
		return STEP_GONE;
	}
	s->first = w->next;
	if (s->first == NULL)
		s->last = &s->first;
	s->waiting_bytes -= w->len;
	free(w);
	return STEP_SENT;
}

static void send_waiting(struct carried_streams *r, struct relayed *s)
{
	enum step step = STEP_SENT;

	while (step == STEP_SENT && s->first != NULL)
		step = send_first(r, s);
	if (step != STEP_SENT)
		return;
	if (!s->ended) {
		pass_credit(s);
		return;
	}
	pm_link_stream_close(s->st, s->end.code, s->end.what);
	forget(r, s);
}

void carry_ready(struct pm_link_stream *st)
{
	struct relayed *s = pm_link_stream_user(st);

	send_waiting(s->owner, s);
}

static void take_end(struct carried_streams *r, struct relayed *s, uint32_t code, const char *what,
                     const char *hint)
{
	s->ended = true;
	(void)pm_fail(&s->end, pm_code_from_wire(code), "%s%s%s", what, *hint == '\0' ? "" : "; ",
	              hint);
	send_waiting(r, s);
}

void carry_received(struct carried_streams *r, const Pm__Envelope *env)
{
	struct relayed *s = find(r, env->stream);

	if (s == NULL || s->ended)
		return; /* a late word */
	if (env->body_case == PM__ENVELOPE__BODY_STREAM_DATA)
		take_data(r, s, env->stream_data);
	else if (env->body_case == PM__ENVELOPE__BODY_STREAM_CLOSE)
		take_end(r, s, env->stream_close->code, env->stream_close->what, "");
	else if (env->body_case == PM__ENVELOPE__BODY_ERROR)
		take_end(r, s, env->error->code, env->error->what, env->error->hint);
}
