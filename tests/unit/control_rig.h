/* control_rig.h - a control socket on a loop, with handlers that count, and the other end of it. */
#ifndef PM_TESTS_CONTROL_RIG_H
#define PM_TESTS_CONTROL_RIG_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/control.h"
#include "proto/buf.h"
#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/paths.h"
#include "proto/record.h"

#define PATIENCE_MS 20000

/* What the handlers saw, and what they are told to do. */
static struct fixture {
	uv_loop_t loop;
	struct control *control;
	int n_commands, n_status, n_pushes, n_closed_sessions, n_closed_streams, n_ready, n_done;
	struct session *kept; /* a reference, from the last command */
	uint64_t kept_id;
	struct session_stream *stream;
	size_t pages_left, stream_left;
	enum stream_sent last_sent;
	bool answer, refuse_streams, close_in_command;
} f;

static inline void welcome(void *arg, struct session *s, Pm__Welcome *w)
{
	static char home[] = "/home";

	(void)arg;
	(void)s;
	w->home = home;
	w->n_cpus = 2;
}

static inline void reply_text(struct session *s, uint64_t id, const char *text)
{
	Pm__Result result = PM__RESULT__INIT;
	char copy[64];

	(void)snprintf(copy, sizeof(copy), "%s", text);
	result.text = copy;
	session_reply_result(s, id, &result);
}

static inline void command(void *arg, struct session *s, uint64_t id, const Pm__Command *cmd)
{
	(void)arg;
	f.n_commands++;
	if (f.close_in_command) {
		control_close(f.control);
		f.control = NULL;
	} else if (f.answer) {
		reply_text(s, id, cmd->verb == PM__VERB__VERB_PING ? "pong" : "done");
	} else if (f.kept == NULL) {
		f.kept = session_ref(s);
		f.kept_id = id;
	}
}

/* One page of some 60 kB. */
static inline bool page(void *arg, struct session *s, uint64_t re)
{
	static char note[60000];
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusList list = PM__STATUS_LIST__INIT;
	Pm__InstanceStatus one = PM__INSTANCE_STATUS__INIT, *ones[] = { &one };

	(void)arg;
	memset(note, 'x', sizeof(note) - 1);
	f.pages_left--;
	one.note = note;
	one.pm_id = (uint32_t)f.pages_left;
	list.instances = ones;
	list.n_instances = 1;
	list.more = f.pages_left > 0;
	env.re = re;
	env.body_case = PM__ENVELOPE__BODY_STATUS_LIST;
	env.status_list = &list;
	assert_true(session_send(s, &env));
	return f.pages_left > 0;
}

static inline void pages_done(void *arg)
{
	(void)arg;
	f.n_done++;
}

static inline void status(void *arg, struct session *s, uint64_t id, const Pm__StatusRequest *req)
{
	(void)req;
	f.n_status++;
	session_reply_pages(s, id, page, pages_done, arg);
}

static inline void spec_push(void *arg, struct session *s, uint64_t id, const Pm__SpecPush *push)
{
	(void)arg;
	(void)s;
	(void)id;
	assert_non_null(push);
	f.n_pushes++;
}

/* Batches of about 1,000 bytes while they go out. */
static inline void send_on_stream(void)
{
	static uint8_t text[1000];
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__LogBatch batch = PM__LOG_BATCH__INIT;
	Pm__LogLine line = PM__LOG_LINE__INIT, *lines[] = { &line };

	line.text.data = text;
	line.text.len = sizeof(text);
	batch.lines = lines;
	batch.n_lines = 1;
	data.what_case = PM__STREAM_DATA__WHAT_LINES;
	data.lines = &batch;
	while (f.stream_left > 0 && (f.last_sent = stream_send(f.stream, &data)) == STREAM_SENT)
		f.stream_left--;
	if (f.stream_left == 0) {
		stream_close(f.stream, PM_OK, "the end");
		f.stream = NULL;
	}
}

static inline int stream_open(void *arg, struct session_stream *st, const Pm__StreamOpen *open,
                              struct pm_error *err)
{
	(void)arg;
	(void)open;
	if (f.refuse_streams) {
		(void)pm_fail(err, PM_NOT_FOUND, "no such app");
		pm_hint(err, "look at the list");
		return -1;
	}
	f.stream = st;
	stream_set_user(st, &f);
	if (f.stream_left > 0)
		send_on_stream();
	return 0;
}

static inline void stream_ready(void *arg, struct session_stream *st)
{
	(void)arg;
	assert_ptr_equal(st, f.stream);
	assert_ptr_equal(stream_user(st), &f);
	f.n_ready++;
	send_on_stream();
}

static inline void stream_closed(void *arg, struct session_stream *st)
{
	(void)arg;
	assert_ptr_equal(st, f.stream);
	f.n_closed_streams++;
	f.stream = NULL;
}

static inline void session_closed(void *arg, struct session *s)
{
	(void)arg;
	assert_false(session_is_open(s));
	f.n_closed_sessions++;
}

static const struct control_handlers handlers = {
	.welcome = welcome,
	.command = command,
	.status = status,
	.spec_push = spec_push,
	.stream_open = stream_open,
	.stream_ready = stream_ready,
	.stream_closed = stream_closed,
	.session_closed = session_closed,
};

/* ---- the other end ---- */

struct peer {
	int fd;
	struct pm_record_reader reader;
	uint8_t buf[65536];
	const uint8_t *at;
	size_t len;
	struct pm_arena arena;
	bool closed;
};

static inline void peer_init(struct peer *p, int fd)
{
	memset(p, 0, sizeof(*p));
	p->fd = fd;
}

static inline void peer_finish(struct peer *p)
{
	pm_closep(&p->fd);
	pm_record_finish(&p->reader);
	pm_arena_finish(&p->arena);
}

static inline void connect_peer(struct peer *p)
{
	struct pm_error err;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
	                 0);
	assert_int_equal(control_adopt(f.control, fds[0], &err), 0);
	peer_init(p, fds[1]);
}

static inline void turn(void)
{
	(void)uv_run(&f.loop, UV_RUN_NOWAIT);
}

/* The next envelope; NULL when the connection ends. */
static inline Pm__Envelope *peer_receive(struct peer *p)
{
	uint64_t give_up = pm_now_ms() + PATIENCE_MS;
	const uint8_t *record;
	struct pm_error err;
	Pm__Envelope *env;
	size_t n;

	while (pm_now_ms() < give_up) {
		struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
		int rc = pm_record_next(&p->reader, &p->at, &p->len, &record, &n, &err);
		ssize_t got;

		assert_int_not_equal(rc, -1);
		if (rc == 1) {
			pm_arena_reset(&p->arena);
			assert_int_equal(pm_decode(&p->arena, record, n, &env, &err), 0);
			return env;
		}
		turn();
		(void)poll(&pfd, 1, 1);
		got = recv(p->fd, p->buf, sizeof(p->buf), MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN)) {
			p->closed = true;
			return NULL;
		}
		p->at = p->buf;
		p->len = got > 0 ? (size_t)got : 0;
	}
	fail_msg("nothing came");
	return NULL;
}

static inline void peer_send(struct peer *p, const Pm__Envelope *env)
{
	PM_BUF out = { 0 };
	struct pm_error err;
	size_t at = 0;

	assert_int_equal(pm_encode(env, &out, &err), 0);
	while (at < out.len) {
		ssize_t n = send(p->fd, out.bytes + at, out.len - at, MSG_NOSIGNAL);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			turn();
			continue;
		}
		at += (size_t)n;
	}
}

static inline void peer_hello(struct peer *p)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Hello hello = PM__HELLO__INIT;
	char program[] = "pm2";

	hello.protocol_min = hello.protocol_max = 1;
	hello.program = program;
	env.id = 1;
	env.body_case = PM__ENVELOPE__BODY_HELLO;
	env.hello = &hello;
	peer_send(p, &env);
}

static inline void peer_command(struct peer *p, uint64_t id, Pm__Verb verb)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Command cmd = PM__COMMAND__INIT;

	cmd.verb = verb;
	env.id = id;
	env.body_case = PM__ENVELOPE__BODY_COMMAND;
	env.command = &cmd;
	peer_send(p, &env);
}

static inline void peer_status(struct peer *p, uint64_t id)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusRequest req = PM__STATUS_REQUEST__INIT;

	env.id = id;
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &req;
	peer_send(p, &env);
}

static inline void peer_open(struct peer *p, uint32_t stream, uint32_t credit)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamOpen open = PM__STREAM_OPEN__INIT;

	open.credit = credit;
	env.id = 100 + stream;
	env.stream = stream;
	env.body_case = PM__ENVELOPE__BODY_STREAM_OPEN;
	env.stream_open = &open;
	peer_send(p, &env);
}

static inline Pm__Envelope *expect(struct peer *p, Pm__Envelope__BodyCase what)
{
	Pm__Envelope *env = peer_receive(p);

	assert_non_null(env);
	assert_int_equal(env->body_case, what);
	return env;
}

static inline void greet(struct peer *p)
{
	connect_peer(p);
	peer_hello(p);
	(void)expect(p, PM__ENVELOPE__BODY_WELCOME);
}

static inline void run_until(const int *counter, int want)
{
	uint64_t give_up = pm_now_ms() + PATIENCE_MS;

	while (*counter < want && pm_now_ms() < give_up)
		turn();
	assert_int_equal(*counter, want);
}

/* ---- fixture ---- */

static char dir[64];

static inline int set_up(void **state)
{
	struct pm_error err;
	int fd;

	(void)state;
	memset(&f, 0, sizeof(f));
	f.answer = true;
	(void)snprintf(dir, sizeof(dir), "/tmp/pm-control-XXXXXX");
	if (mkdtemp(dir) == NULL || uv_loop_init(&f.loop) < 0)
		return -1;
	fd = control_listen(dir, &err);
	if (fd < 0)
		return -1;
	return control_create(&f.loop, fd, &handlers, NULL, &f.control, &err);
}

static inline int tear_down(void **state)
{
	char path[128];

	(void)state;
	session_unref(f.kept);
	control_close(f.control);
	(void)uv_run(&f.loop, UV_RUN_DEFAULT);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, PM_HOME_SOCKET);
	(void)unlink(path);
	(void)rmdir(dir);
	return uv_loop_close(&f.loop); /* UV_EBUSY: a handle was forgotten */
}

#endif
