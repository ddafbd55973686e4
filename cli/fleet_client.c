#include "cli/fleet_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "cli/carrier.h"
#include "cli/client_priv.h"
#include "proto/link.h"

#define CONNECT_MS   20000
#define HANDSHAKE_MS 5000 /* for each address, after the connection is there */

struct fleet_stream {
	struct fleet_stream *next, **prev; /* of the client's */
	struct pm_link_stream *link_stream;
	const struct fleet_stream_handlers *handlers; /* borrowed, with arg */
	void *arg;
};

/* What is being asked. */
struct question {
	uint64_t id; /* 0: nothing */
	fleet_answer_fn *fn;
	void *arg;
	bool done;
	bool failed;
	struct pm_error err;
};

struct fleet_client {
	struct pm_link_host *host; /* owned */
	struct pm_link *link;      /* owned; NULL: over */
	struct carrier *carrier;   /* owned */
	bool up, over, writing, stop, has_next;
	uint8_t next[PM_KEY_BYTES]; /* of the coordinator's keys */
	struct pm_error why;        /* it is over */
	struct question question;
	struct fleet_stream *streams;               /* owned */
	const struct fleet_client_options *options; /* while connecting */
};

/* ---- the link's handlers ---- */

static void on_ask(void *arg, struct pm_link *l, Pm__Enrol *enrol)
{
	struct fleet_client *c = arg;
	const struct pm_token *token = c->options->token;

	(void)l;
	if (c->options->enrol != NULL)
		*enrol = *c->options->enrol;
	/* A const token: what the message points at is only read. */
	enrol->token_id.len = PM_TOKEN_ID_BYTES;
	enrol->token_id.data = (uint8_t *)(uintptr_t)token->id;
	enrol->secret.len = PM_TOKEN_SECRET_BYTES;
	enrol->secret.data = token->secret;
}

static void on_enrolled(void *arg, struct pm_link *l, const Pm__Enrolled *enrolled)
{
	const struct fleet_client *c = arg;

	(void)l;
	if (c->options != NULL && c->options->enrolled != NULL)
		c->options->enrolled(c->options->arg, enrolled);
}

static void on_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	struct fleet_client *c = arg;

	const Pm__CoordinatorKeys *keys = welcome->fleet == NULL ? NULL : welcome->fleet->keys;

	(void)l;
	c->has_next = keys != NULL && keys->next.len == PM_KEY_BYTES;
	if (c->has_next)
		memcpy(c->next, keys->next.data, PM_KEY_BYTES);
	c->up = true;
}

static void on_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                       enum pm_event_kind kind)
{
	struct fleet_client *c = arg;
	struct question *q = &c->question;
	int rc;

	(void)l;
	if (kind != PM_EVENT_ANSWER || q->id == 0 || env->re != q->id || q->done)
		return;
	if (env->body_case == PM__ENVELOPE__BODY_ERROR)
		rc = client_fail_remote(&q->err, env->error);
	else
		rc = q->fn(q->arg, env, &q->err);
	q->failed = rc < 0;
	q->done = rc != 0;
	c->stop = c->stop || q->done;
}

static struct fleet_stream *stream_of(struct pm_link_stream *st)
{
	return pm_link_stream_user(st);
}

static void on_stream_data(void *arg, struct pm_link_stream *ls, const Pm__StreamData *data)
{
	struct fleet_stream *st = stream_of(ls);

	(void)arg;
	st->handlers->data(st->arg, st, data);
}

static void forget_stream(struct fleet_stream *st)
{
	*st->prev = st->next;
	if (st->next != NULL)
		st->next->prev = st->prev;
	free(st);
}

static void on_stream_closed(void *arg, struct pm_link_stream *ls, const struct pm_error *why)
{
	struct fleet_stream *st = stream_of(ls);

	(void)arg;
	st->handlers->closed(st->arg, st, why);
	forget_stream(st);
}

static void on_closed(void *arg, struct pm_link *l, const struct pm_error *why,
                      uint32_t retry_after_ms)
{
	struct fleet_client *c = arg;

	(void)l;
	(void)retry_after_ms;
	c->over = true;
	c->why = *why;
}

static const struct pm_link_handlers handlers = {
	.ask = on_ask,
	.enrolled = on_enrolled,
	.up = on_up,
	.message = on_message,
	.stream_data = on_stream_data,
	.stream_closed = on_stream_closed,
	.closed = on_closed,
};

/* ---- moving bytes ---- */

static void take_input(struct fleet_client *c)
{
	const uint8_t *bytes;
	struct pm_error err;
	size_t len;
	int rc;

	while (!c->over && (rc = carrier_read(c->carrier, &bytes, &len, &err)) != 0) {
		if (rc < 0) {
			(void)pm_link_lost(c->link, &err);
			return;
		}
		(void)pm_link_input(c->link, bytes, len, pm_now_ms()); /* on_closed() tells */
		carrier_taken(c->carrier);
		if (c->stop)
			return;
	}
}

static void put_output(struct fleet_client *c)
{
	const uint8_t *bytes;
	struct pm_error err;
	size_t len;
	bool progress;
	int rc;

	while (!c->over) {
		if (c->writing) {
			rc = carrier_written(c->carrier, &progress, &err);
			if (progress)
				pm_link_progress(c->link, pm_now_ms());
			if (rc < 0)
				(void)pm_link_lost(c->link, &err);
			if (rc <= 0)
				return;
			c->writing = false;
			(void)pm_link_written(c->link, pm_now_ms()); /* on_closed() tells */
			continue;
		}
		if (!pm_link_output(c->link, &bytes, &len, pm_now_ms()))
			return;
		carrier_write(c->carrier, bytes, len);
		c->writing = true;
	}
}

static void turn(struct fleet_client *c)
{
	carrier_look(c->carrier);
	take_input(c);
	if (!c->over)
		(void)pm_link_work(c->link, pm_now_ms()); /* on_closed() tells */
	put_output(c);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * One turn after another until `done` says so.
 *
 * returns    -1 with err: the session is over
 */
static int pump(struct fleet_client *c, const struct fleet_wait *wait, const bool *done,
                enum fleet_waited *out, struct pm_error *err)
{
	uint64_t begin = pm_now_ms(), next_tick = begin + wait->tick_ms;
	uint64_t deadline = wait->timeout_ms == 0 ? UINT64_MAX : begin + wait->timeout_ms;

	for (;;) {
		struct pollfd pfds[2] = { { .fd = carrier_fd(c->carrier), .events = POLLIN },
			                  { .fd = wait->stop_fd, .events = POLLIN } };
		uint64_t now, until;
		int n;

		turn(c);
		*out = FLEET_DONE;
		if (*done)
			return 0;
		if (c->over) {
			*err = c->why;
			return -1;
		}
		now = pm_now_ms();
		if (now >= deadline) {
			*out = FLEET_TIME_OUT;
			return 0;
		}
		if (wait->tick_ms != 0 && now >= next_tick) {
			wait->tick(wait->arg);
			next_tick = now + wait->tick_ms;
		}
		until = earlier(deadline, pm_link_due_ms(c->link));
		if (wait->tick_ms != 0)
			until = earlier(until, next_tick);
		now = pm_now_ms();
		n = poll(pfds, 2, until <= now ? 0 : (int)earlier(until - now, 60000));
		if (n < 0 && errno != EINTR)
			return pm_fail_errno(err, errno, "wait for the coordinator");
		if (n > 0 && pfds[1].revents != 0) {
			*out = FLEET_STOPPED;
			return 0;
		}
	}
}

/* ---- life ---- */

static void hang_up(struct fleet_client *c)
{
	carrier_close(c->carrier); /* first: what it writes is the link's */
	pm_link_destroy(c->link);
	c->carrier = NULL;
	c->link = NULL;
	c->over = c->writing = false;
}

void fleet_client_close(struct fleet_client *c)
{
	if (c == NULL)
		return;
	while (c->streams != NULL)
		fleet_stream_close(c->streams);
	if (c->link != NULL && !c->over)
		put_output(c);     /* what a stream's end left, as far as it goes at once */
	carrier_close(c->carrier); /* first: what it writes is the link's */
	pm_link_destroy(c->link);
	pm_link_host_destroy(c->host);
	free(c);
}

void fleet_client_closep(struct fleet_client **c)
{
	fleet_client_close(*c);
}

const uint8_t *fleet_client_next_key(const struct fleet_client *c)
{
	return c->has_next ? c->next : NULL;
}

const uint8_t *fleet_client_peer_key(const struct fleet_client *c)
{
	return pm_link_peer_key(c->link);
}

bool fleet_client_is_up(const struct fleet_client *c)
{
	return c != NULL && c->up && !c->over;
}

/* Closed without a word, as a coordinator does with a key that it does not know. */
static int explain(const struct fleet_client *c, struct pm_error *err)
{
	if (err->code == PM_UNREACHABLE && c->options->token == NULL)
		pm_hint(err, "if it is up, it may not know this key any more: 'pmctl login' again");
	else if (err->code == PM_UNREACHABLE)
		pm_hint(err, "is this the coordinator that the token is of?");
	return pm_wrap(err, "%s", carrier_peer(c->carrier));
}

static uint32_t left_ms(uint64_t deadline)
{
	uint64_t now = pm_now_ms();

	return now < deadline ? (uint32_t)(deadline - now) : 1;
}

/* One address: a connection, and a session on it. */
static int try_address(struct fleet_client *c, const struct pm_address *address, uint64_t deadline,
                       struct pm_error *err)
{
	const struct fleet_client_options *o = c->options;
	struct fleet_wait wait = { .stop_fd = o->stop_fd };
	enum fleet_waited waited;

	if (carrier_dial(address, left_ms(deadline), o->stop_fd, &c->carrier, err) < 0 ||
	    pm_link_create(c->host, o->coordinator, o->token != NULL, pm_now_ms(), &c->link, err) <
	            0)
		return -1;
	wait.timeout_ms = left_ms(deadline);
	if (pump(c, &wait, &c->up, &waited, err) < 0)
		return explain(c, err);
	if (waited == FLEET_DONE)
		return 0;
	return pm_fail(err, PM_DEADLINE, "%s: the coordinator did not answer in time",
	               carrier_peer(c->carrier));
}

/* Whether another address may do better: nobody there has said no. */
static bool is_silence(enum pm_code code)
{
	return code == PM_UNREACHABLE || code == PM_DEADLINE || code == PM_PROTOCOL;
}

static int try_addresses(struct fleet_client *c, uint64_t deadline, struct pm_error *err)
{
	const struct fleet_client_options *o = c->options;

	(void)pm_fail(err, PM_UNREACHABLE, "no address is known");
	for (unsigned i = 0; i < o->n_addresses; i++) {
		struct pollfd stop = { .fd = o->stop_fd, .events = POLLIN };

		if (try_address(c, &o->addresses[i], deadline, err) == 0)
			return 0;
		hang_up(c);
		if (!is_silence(err->code))
			return -1;
		if (pm_now_ms() >= deadline || poll(&stop, 1, 0) > 0) {
			err->code = PM_DEADLINE;
			return -1;
		}
	}
	err->code = PM_UNREACHABLE;
	return -1;
}

int fleet_client_connect(const struct fleet_client_options *options, struct fleet_client **out,
                         struct pm_error *err)
{
	PM_CLEANUP(fleet_client_closep) struct fleet_client *c = pm_calloc(1, sizeof(*c));
	struct pm_link_config config = {
		.key = options->key,
		.role = options->role,
		.program = options->program,
		.handshake_ms = HANDSHAKE_MS,
		.credit_max = PM_VIEWER_CREDIT_MAX,
	};
	uint32_t timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : CONNECT_MS;

	if (c == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	c->options = options;
	if (pm_link_host_create(&config, &handlers, c, &c->host, err) < 0 ||
	    try_addresses(c, pm_now_ms() + timeout_ms, err) < 0)
		return -1;
	c->options = NULL;
	*out = PM_STEAL(c);
	return 0;
}

/* ---- asking ---- */

int fleet_client_begin(struct fleet_client *c, const Pm__Envelope *env, fleet_answer_fn *fn,
                       void *arg, struct pm_error *err)
{
	Pm__Envelope copy = *env;

	if (c->over) {
		*err = c->why;
		return -1;
	}
	copy.id = pm_link_next_id(c->link);
	if (!pm_link_send(c->link, &copy))
		return pm_fail(err, PM_LIMIT, "the request does not fit one record");
	c->question = (struct question){ .id = copy.id, .fn = fn, .arg = arg };
	return 0;
}

int fleet_client_end(struct fleet_client *c, bool *done, struct pm_error *err)
{
	*done = c->question.id == 0 || c->question.done;
	if (!*done)
		return 0;
	c->question.id = 0;
	if (!c->question.failed)
		return 0;
	*err = c->question.err;
	return -1;
}

int fleet_client_ask(struct fleet_client *c, const Pm__Envelope *env, const struct fleet_wait *wait,
                     fleet_answer_fn *fn, void *arg, enum fleet_waited *out, struct pm_error *err)
{
	bool done;
	int rc;

	if (fleet_client_begin(c, env, fn, arg, err) < 0)
		return -1;
	rc = pump(c, wait, &c->question.done, out, err);
	if (rc == 0 && *out == FLEET_DONE)
		rc = fleet_client_end(c, &done, err);
	c->question.id = 0;
	return rc;
}

int fleet_client_wait(struct fleet_client *c, const struct fleet_wait *wait, enum fleet_waited *out,
                      struct pm_error *err)
{
	if (c->over) {
		*err = c->why;
		return -1;
	}
	c->stop = false;
	return pump(c, wait, &c->stop, out, err);
}

void fleet_client_stop_waiting(struct fleet_client *c)
{
	c->stop = true;
}

/* ---- streams ---- */

int fleet_stream_open(struct fleet_client *c, const Pm__StreamOpen *open,
                      const struct fleet_stream_handlers *stream_handlers, void *arg,
                      struct fleet_stream **out, struct pm_error *err)
{
	struct fleet_stream *st;

	if (c->over) {
		*err = c->why;
		return -1;
	}
	st = pm_calloc(1, sizeof(*st));
	if (st == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	st->handlers = stream_handlers;
	st->arg = arg;
	if (pm_link_stream_open(c->link, open, st, &st->link_stream, err) < 0) {
		free(st);
		return -1;
	}
	st->next = c->streams;
	st->prev = &c->streams;
	if (st->next != NULL)
		st->next->prev = &st->next;
	c->streams = st;
	*out = st;
	return 0;
}

void fleet_stream_close(struct fleet_stream *st)
{
	if (st == NULL)
		return;
	pm_link_stream_close(st->link_stream, PM_OK, "");
	forget_stream(st);
}
