/* The client's connection: what goes out, what comes in. */
#include "cli/client_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define REDIALS_MAX 3 /* of a connection that ended before Welcome */

uint64_t client_deadline(uint32_t timeout_ms)
{
	return timeout_ms == 0 ? 0 : pm_now_ms() + timeout_ms;
}

int client_left_ms(uint64_t deadline)
{
	uint64_t now;

	if (deadline == 0)
		return -1;
	now = pm_now_ms();
	return now >= deadline ? 0 : (int)PM_MIN(deadline - now, (uint64_t)INT32_MAX);
}

int client_fail_remote(struct pm_error *err, const Pm__Error *error)
{
	(void)pm_fail(err, pm_code_from_wire(error->code), "%s", error->what);
	if (err->code == PM_OK)
		err->code = PM_INTERNAL; /* an error that says it is none */
	pm_hint(err, "%s", error->hint);
	return -1;
}

/* ---- out ---- */

void client_drop(struct client *c)
{
	if (c->route != NULL) {
		pm_session_finish(&c->core);
		return;
	}
	pm_closep(&c->fd);
	c->fd = -1;
	pm_session_finish(&c->core);
	pm_record_finish(&c->reader);
	pm_buf_reset(&c->out);
	c->out_at = 0;
	c->in_len = 0;
	c->deaf = false;
	c->welcome = NULL;
	pm_arena_reset(&c->welcome_arena);
}

int client_queue(struct client *c, const Pm__Envelope *env, struct pm_error *err)
{
	if (c->route != NULL)
		return c->route->send(c->route_arg, env, err);
	return pm_encode(env, &c->out, err);
}

int client_begin(struct client *c, int fd, struct pm_error *err)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Hello hello = PM__HELLO__INIT;
	char version[] = PM_VERSION, program[32];

	client_drop(c);
	c->fd = fd;
	pm_session_init(&c->core, true);
	(void)snprintf(program, sizeof(program), "%s",
	               c->options.program != NULL ? c->options.program
	                                          : "pmctl"); /* cut if longer */
	hello.protocol_min = PM_PROTOCOL_MIN;
	hello.protocol_max = PM_PROTOCOL_MAX;
	hello.program = program;
	hello.version = version;
	env.id = pm_session_next_id(&c->core);
	env.body_case = PM__ENVELOPE__BODY_HELLO;
	env.hello = &hello;
	return client_queue(c, &env, err);
}

int client_flush(struct client *c, uint64_t deadline, struct pm_error *err)
{
	if (c->route != NULL)
		return 0; /* what was queued is on its way */
	if (c->fd < 0)
		return pm_fail(err, PM_UNREACHABLE, "not connected to the agent");
	while (c->out_at < c->out.len && !c->deaf) {
		struct pollfd pfd = { .fd = c->fd, .events = POLLOUT };
		ssize_t n = send(c->fd, c->out.bytes + c->out_at, c->out.len - c->out_at,
		                 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			c->out_at += (size_t)n;
		} else if (errno == EAGAIN) {
			n = poll(&pfd, 1, client_left_ms(deadline));
			if (n == 0)
				return pm_fail(err, PM_DEADLINE, "the agent does not read");
			if (n < 0 && errno != EINTR)
				return pm_fail_errno(err, errno, "wait for the agent");
		} else if (errno == EPIPE || errno == ECONNRESET) {
			c->deaf = true; /* it may have said why: that is still to be read */
		} else if (errno != EINTR) {
			return pm_fail_errno(err, errno, "send to the agent");
		}
	}
	if (c->core.greeted) {
		pm_buf_reset(&c->out);
		c->out_at = 0;
	}
	return 0;
}

/* ---- in ---- */

/* The connection ended without a Welcome, so nothing was carried out: say it all again. */
static int redial(struct client *c, uint64_t deadline, struct pm_error *err)
{
	int fd = -1;

	if (c->core.greeted || c->redials++ == REDIALS_MAX)
		return pm_fail(err, PM_UNREACHABLE, "the agent closed the connection");
	client_pause(1u << c->redials);
	if (client_dial(c->home, deadline, &fd, err) < 0) {
		if (err->code != PM_NOT_RUNNING || !c->options.start_agent)
			return -1;
		if (client_start_agent(c->home, c->options.as_pm2, deadline, &fd, err) < 0)
			return -1;
		c->started = true;
	}
	(void)close(c->fd);
	c->fd = fd;
	c->out_at = 0;
	c->in_len = 0;
	c->deaf = false;
	pm_record_finish(&c->reader);
	return client_flush(c, deadline, err);
}

/* 1: bytes came; 0: extra_fd is readable; -1 */
static int read_more(struct client *c, int extra_fd, uint64_t deadline, struct pm_error *err)
{
	for (;;) {
		struct pollfd pfds[2] = { { .fd = c->fd, .events = POLLIN },
			                  { .fd = extra_fd, .events = POLLIN } };
		int n = poll(pfds, extra_fd < 0 ? 1 : 2, client_left_ms(deadline));
		ssize_t got;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pm_fail_errno(err, errno, "wait for the agent");
		if (n == 0)
			return pm_fail(err, PM_DEADLINE, "the agent did not answer in time");
		if (pfds[0].revents == 0)
			return 0;
		got = recv(c->fd, c->in, CLIENT_READ_MAX, MSG_DONTWAIT);
		if (got > 0) {
			c->in_at = c->in;
			c->in_len = (size_t)got;
			return 1;
		}
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (redial(c, deadline, err) < 0)
			return -1;
	}
}

/* The first answer of all: it is kept, and what was sent before it need not be said again. */
static int keep_welcome(struct client *c, const uint8_t *record, size_t n, struct pm_error *err)
{
	Pm__Envelope *env;

	pm_arena_reset(&c->welcome_arena);
	if (pm_decode(&c->welcome_arena, record, n, &env, err) < 0)
		return -1;
	c->welcome = env->welcome;
	c->redials = 0;
	if (c->out_at == c->out.len) {
		pm_buf_reset(&c->out);
		c->out_at = 0;
	}
	return 0;
}

/* What is about the session and not about a request.  0: it was dealt with. */
static int handle_notice(const Pm__Envelope *env, struct pm_error *err)
{
	if (env->body_case == PM__ENVELOPE__BODY_ERROR)
		return client_fail_remote(err, env->error);
	if (env->body_case == PM__ENVELOPE__BODY_GOODBYE)
		return pm_fail(err, PM_UNREACHABLE, "the agent went away: %s",
		               env->goodbye->reason);
	return 0;
}

static int receive(struct client *c, struct pm_arena *arena, int extra_fd, uint64_t deadline,
                   Pm__Envelope **out, struct pm_error *err)
{
	const uint8_t *record;
	struct pm_event ev;
	size_t n;
	int rc;

	for (;;) {
		rc = pm_record_next(&c->reader, &c->in_at, &c->in_len, &record, &n, err);
		if (rc == 0) {
			rc = read_more(c, extra_fd, deadline, err);
			if (rc == 0) {
				*out = NULL;
				return 0;
			}
			if (rc > 0)
				continue;
		}
		if (rc < 0 || pm_decode(arena, record, n, out, err) < 0 ||
		    pm_session_receive(&c->core, *out, &ev, err) < 0)
			return -1;
		if (ev.kind == PM_EVENT_WELCOME && keep_welcome(c, record, n, err) < 0)
			return -1;
		if (ev.kind == PM_EVENT_NOTICE && handle_notice(*out, err) < 0)
			return -1;
		if (ev.kind == PM_EVENT_WELCOME || ev.kind == PM_EVENT_ANSWER ||
		    ev.kind == PM_EVENT_STREAM_DATA || ev.kind == PM_EVENT_STREAM_CLOSE)
			return 0;
	}
}

int client_receive(struct client *c, struct pm_arena *arena, int extra_fd, uint64_t deadline,
                   Pm__Envelope **out, struct pm_error *err)
{
	if (c->route != NULL)
		return c->route->receive(c->route_arg, arena, extra_fd, deadline, out, err);
	if (receive(c, arena, extra_fd, deadline, out, err) == 0)
		return 0;
	if (err->code != PM_DEADLINE) { /* nothing more can come of this connection */
		pm_closep(&c->fd);
		c->fd = -1;
	}
	return -1;
}
