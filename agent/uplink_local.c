#include "agent/uplink_local.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "proto/buf.h"
#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/record.h"
#include "proto/session.h"

#define READ_MAX (64u * 1024) /* taken in one turn of the loop */

struct local {
	uv_poll_t poll;
	uv_idle_t more; /* runs while records that came wait for their turn */
	unsigned n_handles;
	int fd;                                /* owned */
	const struct local_handlers *handlers; /* borrowed, with arg */
	void *arg;
	struct pm_record_reader reader;
	struct pm_arena arena;
	const uint8_t *at; /* of read_buf: not dealt with yet */
	size_t left;
	struct pm_buf out; /* from out_at on */
	size_t out_at;
	bool reading, closing, busy;
	uint8_t read_buf[READ_MAX];
};

static void on_event(uv_poll_t *poll, int status, int events);
static void on_more(uv_idle_t *idle);

static void watch(struct local *l)
{
	bool read = l->reading && l->left == 0;
	int events = (read ? UV_READABLE : 0) | (local_queued(l) > 0 ? UV_WRITABLE : 0);

	if (l->closing)
		return;
	if (events == 0)
		events = UV_DISCONNECT;                  /* that is to be known in any case */
	(void)uv_poll_start(&l->poll, events, on_event); /* fails for no descriptor of ours */
	if (l->reading && l->left > 0)
		(void)uv_idle_start(&l->more, on_more); /* cannot fail */
	else
		(void)uv_idle_stop(&l->more);
}

/* ---- sending ---- */

size_t local_queued(const struct local *l)
{
	return l->out.len - l->out_at;
}

static void flush(struct local *l)
{
	while (local_queued(l) > 0) {
		ssize_t n = send(l->fd, l->out.bytes + l->out_at, local_queued(l),
		                 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break; /* full, or over: then reading says so */
		l->out_at += (size_t)n;
	}
	if (l->out_at > 0) {
		pm_buf_drop(&l->out, l->out_at);
		l->out_at = 0;
	}
	if (l->out.len == 0 && l->out.cap > PM_SEND_ROOM)
		pm_buf_finish(&l->out);
	watch(l);
}

bool local_send(struct local *l, const Pm__Envelope *env)
{
	struct pm_error err;

	if (l->closing)
		return true;
	if (pm_encode(env, &l->out, &err) < 0)
		return err.code != PM_LIMIT; /* without memory the session misses one */
	flush(l);
	return true;
}

/* ---- receiving ---- */

static void end(struct local *l, const struct pm_error *why)
{
	l->reading = false;
	l->left = 0;
	(void)uv_poll_stop(&l->poll);
	(void)uv_idle_stop(&l->more);
	l->handlers->ended(l->arg, why);
}

static void take_records(struct local *l)
{
	const uint8_t *record;
	struct pm_error err;
	Pm__Envelope *env;
	size_t n;
	int rc = 1;

	l->busy = true;
	while (rc > 0 && l->reading && !l->closing) {
		rc = pm_record_next(&l->reader, &l->at, &l->left, &record, &n, &err);
		if (rc > 0 && pm_decode(&l->arena, record, n, &env, &err) < 0)
			rc = -1;
		if (rc > 0)
			l->handlers->received(l->arg, env);
		pm_arena_reset(&l->arena);
	}
	l->busy = false;
	if (l->closing)
		return;
	if (rc < 0)
		end(l, &err);
	else
		watch(l);
}

static void on_more(uv_idle_t *idle)
{
	take_records(idle->data);
}

static void on_readable(struct local *l)
{
	ssize_t n = recv(l->fd, l->read_buf, sizeof(l->read_buf), MSG_DONTWAIT);
	struct pm_error err;

	if (n > 0) {
		l->at = l->read_buf;
		l->left = (size_t)n;
		take_records(l);
	} else if (n == 0) {
		(void)pm_fail(&err, PM_OK, "the supervisor has gone");
		end(l, &err);
	} else if (errno != EAGAIN && errno != EINTR) {
		(void)pm_fail_errno(&err, errno, "hear from the supervisor");
		end(l, &err);
	}
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct local *l = poll->data;
	struct pm_error err;

	if ((events & UV_WRITABLE) != 0)
		flush(l);
	if (l->reading && l->left == 0 && (status < 0 || (events & UV_READABLE) != 0)) {
		on_readable(l);
	} else if (status < 0 || (events & UV_DISCONNECT) != 0) {
		(void)pm_fail(&err, PM_OK, "the supervisor has gone");
		end(l, &err);
	}
}

void local_read(struct local *l, bool on)
{
	if (l->reading == on || l->closing)
		return;
	l->reading = on;
	if (!l->busy)
		watch(l);
}

/* ---- life ---- */

static void say_hello(struct local *l)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Hello hello = PM__HELLO__INIT;
	static char program[] = "uplink", version[] = PM_VERSION;

	hello.protocol_min = PM_PROTOCOL_MIN;
	hello.protocol_max = PM_PROTOCOL_MAX;
	hello.program = program;
	hello.version = version;
	env.id = 1;
	env.body_case = PM__ENVELOPE__BODY_HELLO;
	env.hello = &hello;
	(void)local_send(l, &env); /* fits a record */
}

int local_create(uv_loop_t *loop, int fd, const struct local_handlers *handlers, void *arg,
                 struct local **out, struct pm_error *err)
{
	struct local *l = pm_calloc(1, sizeof(*l));
	int rc;

	if (l == NULL) {
		pm_closep(&fd);
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	l->fd = fd;
	l->handlers = handlers;
	l->arg = arg;
	l->reading = true;
	rc = uv_poll_init(loop, &l->poll, fd);
	if (rc < 0) {
		pm_closep(&fd);
		free(l);
		return pm_fail_errno(err, -rc, "watch the supervisor's socket");
	}
	(void)uv_idle_init(loop, &l->more); /* cannot fail */
	l->poll.data = l->more.data = l;
	l->n_handles = 2;
	say_hello(l);
	*out = l;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct local *l = handle->data;

	if (--l->n_handles > 0)
		return;
	pm_record_finish(&l->reader);
	pm_arena_finish(&l->arena);
	pm_buf_finish(&l->out);
	free(l);
}

void local_close(struct local *l)
{
	if (l == NULL || l->closing)
		return;
	l->closing = true;
	/* What is left unread would reset the connection, and take our last words with it. */
	while (recv(l->fd, l->read_buf, sizeof(l->read_buf), MSG_DONTWAIT) > 0)
		continue;
	uv_close((uv_handle_t *)&l->poll, on_closed);
	uv_close((uv_handle_t *)&l->more, on_closed);
	pm_closep(&l->fd);
	l->fd = -1;
}
