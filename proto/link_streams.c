/* Streams of a link: data goes out only with credit from the peer and room in the batch. */
#include "proto/link_priv.h"

#include <stdio.h>
#include <stdlib.h>

static struct pm_link_stream *at(struct pm_chain *place)
{
	return PM_CHAIN_OF(place, struct pm_link_stream, chain);
}

static struct pm_link_stream *find(const struct pm_link *l, uint32_t id)
{
	for (struct pm_chain *place = l->streams.next; place != &l->streams; place = place->next)
		if (at(place)->id == id)
			return at(place);
	return NULL;
}

static void forget(struct pm_link *l, struct pm_link_stream *st)
{
	pm_session_close_stream(&l->core, st->id);
	pm_chain_remove(&st->chain);
	free(st);
}

static struct pm_link_stream *add(struct pm_link *l, uint32_t id, uint64_t asked, void *user)
{
	struct pm_link_stream *st = pm_calloc(1, sizeof(*st));

	if (st == NULL)
		return NULL;
	st->link = l;
	st->id = id;
	st->asked = asked;
	st->user = user;
	pm_chain_append(&l->streams, &st->chain);
	return st;
}

static void tell_closed(struct pm_link *l, uint32_t id, enum pm_code code, const char *what)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamClose body = PM__STREAM_CLOSE__INIT;
	char text[256];

	(void)snprintf(text, sizeof(text), "%s", what == NULL ? "" : what); /* cut if longer */
	body.code = (uint32_t)code;
	body.what = text;
	env.stream = id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_CLOSE;
	env.stream_close = &body;
	(void)link_queue(l, &env); /* fits a record */
}

/* ---- from the peer ---- */

static int accept_stream(struct pm_link *l, const Pm__Envelope *env, struct pm_stream *core,
                         struct pm_error *err)
{
	struct pm_link_stream *st;
	int rc;

	if (core == NULL)
		return pm_fail(err, PM_LIMIT, "%u streams are open in this session",
		               l->core.streams_max);
	st = l->host->handlers->stream_open == NULL ? NULL : add(l, env->stream, 0, NULL);
	if (st == NULL) {
		pm_session_close_stream(&l->core, env->stream);
		return l->host->handlers->stream_open == NULL
		               ? pm_fail(err, PM_UNSUPPORTED, "no streams are served here")
		               : pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	rc = l->host->handlers->stream_open(l->host->arg, st, env->stream_open, err);
	if (rc < 0)
		forget(l, st);
	return rc;
}

void link_stream_opened(struct pm_link *l, const Pm__Envelope *env, struct pm_stream *core)
{
	struct pm_error err;

	if (accept_stream(l, env, core, &err) == 0)
		return;
	if (env->id != 0)
		link_queue_error(l, env->id, env->stream, &err);
	else /* an Error that is no answer would end the session */
		tell_closed(l, env->stream, err.code, err.what);
}

static void tell_credit(struct pm_link *l, uint32_t id, uint32_t bytes)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamCredit body = PM__STREAM_CREDIT__INIT;

	if (bytes == 0)
		return;
	body.bytes = bytes;
	env.stream = id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_CREDIT;
	env.stream_credit = &body;
	(void)link_queue(l, &env); /* fits a record */
}

void link_stream_data(struct pm_link *l, const Pm__Envelope *env)
{
	struct pm_link_stream *st = find(l, env->stream);
	struct pm_stream *core;

	if (st == NULL)
		return;
	l->host->handlers->stream_data(l->host->arg, st, env->stream_data);
	core = pm_session_stream(&l->core, env->stream); /* the handler may have closed it */
	if (core != NULL)
		tell_credit(l, env->stream, pm_stream_refill(core));
}

void link_stream_credit(struct pm_link *l, const Pm__Envelope *env)
{
	struct pm_link_stream *st = find(l, env->stream);

	if (st == NULL)
		return;
	st->wake = st->blocked;
	if (l->host->handlers->stream_credit != NULL)
		l->host->handlers->stream_credit(l->host->arg, st, env->stream_credit->bytes);
}

void link_stream_ended(struct pm_link *l, uint32_t id, uint32_t code, const char *what)
{
	struct pm_link_stream *st = find(l, id);
	struct pm_error why;

	if (st == NULL)
		return;
	(void)pm_fail(&why, pm_code_from_wire(code), "%.200s", what);
	l->host->handlers->stream_closed(l->host->arg, st, &why);
	forget(l, st);
}

bool link_stream_refused(struct pm_link *l, const Pm__Envelope *env)
{
	struct pm_link_stream *st = find(l, env->stream);

	if (env->body_case != PM__ENVELOPE__BODY_ERROR || st == NULL || st->asked == 0 ||
	    st->asked != env->re)
		return false;
	link_stream_ended(l, env->stream, env->error->code, env->error->what);
	return true;
}

void link_streams_finish(struct pm_link *l, const struct pm_error *why)
{
	struct pm_chain *first;

	while ((first = pm_chain_first(&l->streams)) != NULL) {
		l->host->handlers->stream_closed(l->host->arg, at(first), why);
		forget(l, at(first));
	}
}

/* ---- to the peer ---- */

static struct pm_link_stream *first_to_wake(const struct pm_link *l)
{
	for (struct pm_chain *place = l->streams.next; place != &l->streams; place = place->next)
		if (at(place)->wake)
			return at(place);
	return NULL;
}

/* Handlers may close any stream of the session, so each one is looked for anew. */
void link_streams_pull(struct pm_link *l)
{
	struct pm_link_stream *st;

	while (l->batch.len < PM_LINK_BATCH && !l->doomed && l->n_control == 0 &&
	       (st = first_to_wake(l)) != NULL) {
		st->wake = st->blocked = false;
		pm_chain_remove(&st->chain); /* to the end: the others are first the next time */
		pm_chain_append(&l->streams, &st->chain);
		l->host->handlers->stream_ready(l->host->arg, st);
	}
}

/* Whether a record may be sealed now: it must not overtake control messages. */
static bool has_room(const struct pm_link *l)
{
	return l->state == LINK_UP && !l->doomed && !l->writing && l->n_control == 0 &&
	       l->batch.len < PM_LINK_BATCH;
}

static int seal_data(struct pm_link *l, uint32_t id, const Pm__StreamData *data,
                     struct pm_error *err)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamData body = *data;
	struct pm_buf *packed = &l->host->packed;

	env.stream = id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_DATA;
	env.stream_data = &body;
	pm_buf_reset(packed);
	if (pm_encode(&env, packed, err) < 0)
		return -1;
	return link_seal(l, (const uint8_t *)packed->bytes + PM_RECORD_HEAD,
	                 packed->len - PM_RECORD_HEAD, err);
}

enum pm_link_sent pm_link_stream_send(struct pm_link_stream *st, const Pm__StreamData *data)
{
	struct pm_link *l = st->link;
	struct pm_stream *core = pm_session_stream(&l->core, st->id);
	size_t cost = pm_stream_cost(data);
	struct pm_error err;

	if (cost > PM_RECORD_MAX)
		return PM_LINK_TOO_LARGE;
	if (!has_room(l)) {
		st->blocked = st->wake = true; /* as soon as the batch is out */
		link_poke(l);
		return PM_LINK_BLOCKED;
	}
	if (core == NULL || !pm_stream_spend(core, cost)) {
		st->blocked = true;
		return PM_LINK_BLOCKED;
	}
	if (seal_data(l, st->id, data, &err) == 0) {
		link_poke(l);
		return PM_LINK_SENT;
	}
	core->credit += cost;
	if (err.code == PM_LIMIT && pm_cipher_nonce(l->seal) < PM_NOISE_NONCE_END)
		return PM_LINK_TOO_LARGE;
	link_doom(l, &err);
	return PM_LINK_BLOCKED;
}

int pm_link_stream_open(struct pm_link *l, const Pm__StreamOpen *open, void *user,
                        struct pm_link_stream **out, struct pm_error *err)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamOpen body = *open;
	struct pm_link_stream *st;
	struct pm_stream *core;
	uint32_t window = open->credit >= PM_STREAM_WINDOW_MIN
	                          ? PM_MIN(open->credit, (uint32_t)PM_STREAM_WINDOW)
	                          : PM_STREAM_WINDOW;

	if (!pm_link_is_open(l) || !link_may_send(l))
		return pm_fail(err, PM_UNREACHABLE, "there is no session");
	if (pm_session_open_stream(&l->core, window, &core, err) < 0)
		return -1;
	body.credit = core->granted;
	env.stream = core->id;
	env.id = pm_session_next_id(&l->core);
	env.body_case = PM__ENVELOPE__BODY_STREAM_OPEN;
	env.stream_open = &body;
	st = add(l, env.stream, env.id, user);
	if (st == NULL) {
		pm_session_close_stream(&l->core, env.stream);
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	if (!link_queue(l, &env)) {
		forget(l, st);
		return pm_fail(err, PM_LIMIT, "what is asked for does not fit a message");
	}
	*out = st;
	return 0;
}

void pm_link_stream_close(struct pm_link_stream *st, enum pm_code code, const char *what)
{
	struct pm_link *l = st->link;

	tell_closed(l, st->id, code, what);
	forget(l, st);
}

void pm_link_stream_by_hand(struct pm_link_stream *st)
{
	struct pm_stream *core = pm_session_stream(&st->link->core, st->id);

	if (core != NULL)
		core->by_hand = true;
}

uint32_t pm_link_stream_grant(struct pm_link_stream *st, uint32_t bytes)
{
	struct pm_link *l = st->link;
	struct pm_stream *core = pm_session_stream(&l->core, st->id);

	if (core == NULL || !pm_link_is_open(l))
		return 0;
	bytes = pm_stream_grant(&l->core, core, bytes);
	tell_credit(l, st->id, bytes);
	return bytes;
}

struct pm_link *pm_link_stream_link(const struct pm_link_stream *st)
{
	return st->link;
}

void pm_link_stream_set_user(struct pm_link_stream *st, void *user)
{
	st->user = user;
}

void *pm_link_stream_user(const struct pm_link_stream *st)
{
	return st->user;
}
