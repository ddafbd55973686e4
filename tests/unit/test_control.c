#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
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

static void welcome(void *arg, struct session *s, Pm__Welcome *w)
{
	static char home[] = "/home";

	(void)arg;
	(void)s;
	w->home = home;
	w->n_cpus = 2;
}

static void reply_text(struct session *s, uint64_t id, const char *text)
{
	Pm__Result result = PM__RESULT__INIT;
	char copy[64];

	(void)snprintf(copy, sizeof(copy), "%s", text);
	result.text = copy;
	session_reply_result(s, id, &result);
}

static void command(void *arg, struct session *s, uint64_t id, const Pm__Command *cmd)
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
static bool page(void *arg, struct session *s, uint64_t re)
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

static void pages_done(void *arg)
{
	(void)arg;
	f.n_done++;
}

static void status(void *arg, struct session *s, uint64_t id, const Pm__StatusRequest *req)
{
	(void)req;
	f.n_status++;
	session_reply_pages(s, id, page, pages_done, arg);
}

static void spec_push(void *arg, struct session *s, uint64_t id, const Pm__SpecPush *push)
{
	(void)arg;
	(void)s;
	(void)id;
	assert_non_null(push);
	f.n_pushes++;
}

/* Batches of about 1,000 bytes while they go out. */
static void send_on_stream(void)
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

static int stream_open(void *arg, struct session_stream *st, const Pm__StreamOpen *open,
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

static void stream_ready(void *arg, struct session_stream *st)
{
	(void)arg;
	assert_ptr_equal(st, f.stream);
	assert_ptr_equal(stream_user(st), &f);
	f.n_ready++;
	send_on_stream();
}

static void stream_closed(void *arg, struct session_stream *st)
{
	(void)arg;
	assert_ptr_equal(st, f.stream);
	f.n_closed_streams++;
	f.stream = NULL;
}

static void session_closed(void *arg, struct session *s)
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

static void peer_init(struct peer *p, int fd)
{
	memset(p, 0, sizeof(*p));
	p->fd = fd;
}

static void peer_finish(struct peer *p)
{
	pm_closep(&p->fd);
	pm_record_finish(&p->reader);
	pm_arena_finish(&p->arena);
}

static void connect_peer(struct peer *p)
{
	struct pm_error err;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
	                 0);
	assert_int_equal(control_adopt(f.control, fds[0], &err), 0);
	peer_init(p, fds[1]);
}

static void turn(void)
{
	(void)uv_run(&f.loop, UV_RUN_NOWAIT);
}

/* The next envelope; NULL when the connection ends. */
static Pm__Envelope *peer_receive(struct peer *p)
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

static void peer_send(struct peer *p, const Pm__Envelope *env)
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

static void peer_hello(struct peer *p)
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

static void peer_command(struct peer *p, uint64_t id, Pm__Verb verb)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Command cmd = PM__COMMAND__INIT;

	cmd.verb = verb;
	env.id = id;
	env.body_case = PM__ENVELOPE__BODY_COMMAND;
	env.command = &cmd;
	peer_send(p, &env);
}

static void peer_status(struct peer *p, uint64_t id)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusRequest req = PM__STATUS_REQUEST__INIT;

	env.id = id;
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &req;
	peer_send(p, &env);
}

static void peer_open(struct peer *p, uint32_t stream, uint32_t credit)
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

static Pm__Envelope *expect(struct peer *p, Pm__Envelope__BodyCase what)
{
	Pm__Envelope *env = peer_receive(p);

	assert_non_null(env);
	assert_int_equal(env->body_case, what);
	return env;
}

static void greet(struct peer *p)
{
	connect_peer(p);
	peer_hello(p);
	(void)expect(p, PM__ENVELOPE__BODY_WELCOME);
}

static void run_until(const int *counter, int want)
{
	uint64_t give_up = pm_now_ms() + PATIENCE_MS;

	while (*counter < want && pm_now_ms() < give_up)
		turn();
	assert_int_equal(*counter, want);
}

/* ---- fixture ---- */

static char dir[64];

static int set_up(void **state)
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

static int tear_down(void **state)
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

/* ---- tests ---- */

static void requests_behind_a_hello_are_answered_in_order(void **state)
{
	struct peer p;
	Pm__Envelope *env;

	(void)state;
	connect_peer(&p);
	f.pages_left = 1;
	peer_hello(&p);
	peer_command(&p, 2, PM__VERB__VERB_PING);
	peer_status(&p, 3);
	env = expect(&p, PM__ENVELOPE__BODY_WELCOME);
	assert_int_equal(env->re, 1);
	assert_int_equal(env->welcome->protocol, 1);
	assert_string_equal(env->welcome->version, PM_VERSION);
	assert_string_equal(env->welcome->home, "/home");
	env = expect(&p, PM__ENVELOPE__BODY_RESULT);
	assert_int_equal(env->re, 2);
	assert_string_equal(env->result->text, "pong");
	env = expect(&p, PM__ENVELOPE__BODY_STATUS_LIST);
	assert_int_equal(env->re, 3);
	assert_false(env->status_list->more);
	assert_int_equal(f.n_done, 1);
	peer_finish(&p);
	run_until(&f.n_closed_sessions, 1); /* at once */
	assert_int_equal(control_n_sessions(f.control), 0);
}

static void who_does_not_greet_is_told_and_dropped(void **state)
{
	struct peer p;
	Pm__Envelope *env;

	(void)state;
	connect_peer(&p);
	peer_command(&p, 1, PM__VERB__VERB_KILL);
	env = expect(&p, PM__ENVELOPE__BODY_ERROR);
	assert_int_equal(env->error->code, PM_PROTOCOL);
	assert_null(peer_receive(&p));
	assert_int_equal(f.n_commands, 0);
	assert_int_equal(f.n_closed_sessions, 1);
	peer_finish(&p);
}

static void a_version_nobody_speaks_is_refused_in_words(void **state)
{
	struct peer p;
	Pm__Envelope env = PM__ENVELOPE__INIT, *got;
	Pm__Hello hello = PM__HELLO__INIT;

	(void)state;
	connect_peer(&p);
	hello.protocol_min = hello.protocol_max = 7;
	env.id = 1;
	env.body_case = PM__ENVELOPE__BODY_HELLO;
	env.hello = &hello;
	peer_send(&p, &env);
	peer_command(&p, 2, PM__VERB__VERB_KILL);
	got = expect(&p, PM__ENVELOPE__BODY_ERROR);
	assert_int_equal(got->re, 1);
	assert_int_equal(got->error->code, PM_UNSUPPORTED);
	assert_null(peer_receive(&p));
	assert_int_equal(f.n_commands, 0);
	peer_finish(&p);
}

/* */
static void junk_costs_only_the_session_that_sent_it(void **state)
{
	static const char *const junk[] = { "\0\0", "\xff\xff", "\0\x02\xff\xff" };
	static const size_t lengths[] = { 2, 2, 4 };
	struct peer good, bad;
	Pm__Envelope *env;

	(void)state;
	greet(&good);
	for (size_t i = 0; i < PM_COUNT(junk); i++) {
		greet(&bad);
		assert_int_equal(send(bad.fd, junk[i], lengths[i], 0), lengths[i]);
		env = expect(&bad, PM__ENVELOPE__BODY_ERROR);
		assert_int_equal(env->error->code, PM_PROTOCOL);
		assert_null(peer_receive(&bad));
		peer_finish(&bad);
	}
	peer_command(&good, 2, PM__VERB__VERB_PING);
	(void)expect(&good, PM__ENVELOPE__BODY_RESULT);
	peer_finish(&good);
}

static void unanswered_requests_are_limited(void **state)
{
	struct peer p;
	Pm__Envelope *env;

	(void)state;
	f.answer = false;
	greet(&p);
	for (uint64_t id = 2; id < 2 + PM_REQUESTS_MAX + 1; id++)
		peer_command(&p, id, PM__VERB__VERB_STOP);
	env = expect(&p, PM__ENVELOPE__BODY_ERROR);
	assert_int_equal(env->re, 2 + PM_REQUESTS_MAX);
	assert_int_equal(env->error->code, PM_LIMIT);
	assert_int_equal(f.n_commands, PM_REQUESTS_MAX);
	reply_text(f.kept, f.kept_id, "late");
	env = expect(&p, PM__ENVELOPE__BODY_RESULT);
	assert_int_equal(env->re, f.kept_id);
	peer_command(&p, 500, PM__VERB__VERB_STOP);
	run_until(&f.n_commands, PM_REQUESTS_MAX + 1);
	peer_finish(&p);
}

/* */
static void who_does_not_read_costs_its_queue_and_no_more(void **state)
{
	struct peer stuck, good;
	Pm__Result result = PM__RESULT__INIT;
	PM_FREE char *text = pm_calloc(1, 50001);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 50000);
	result.text = text;
	result.more = true;
	f.answer = false;
	greet(&stuck);
	peer_command(&stuck, 2, PM__VERB__VERB_STOP);
	run_until(&f.n_commands, 1);
	for (int i = 0; i < 60 && session_is_open(f.kept); i++) {
		Pm__Envelope env = PM__ENVELOPE__INIT;

		env.re = 2;
		env.body_case = PM__ENVELOPE__BODY_RESULT;
		env.result = &result;
		assert_true(session_send(f.kept, &env));
	}
	assert_false(session_is_open(f.kept));
	assert_int_equal(f.n_closed_sessions, 0); /* not from within the call */
	run_until(&f.n_closed_sessions, 1);
	reply_text(f.kept, 2, "nobody hears this");
	f.answer = true;
	greet(&good);
	peer_command(&good, 2, PM__VERB__VERB_PING);
	(void)expect(&good, PM__ENVELOPE__BODY_RESULT);
	peer_finish(&good);
	peer_finish(&stuck);
}

static void an_answer_of_many_outcomes_comes_whole(void **state)
{
	enum {
		N = 8192
	};
	PM_FREE Pm__Outcome *all = pm_calloc(N, sizeof(*all));
	PM_FREE Pm__Outcome **list = pm_calloc(N, sizeof(Pm__Outcome *));
	Pm__Result result = PM__RESULT__INIT;
	char text[201] = { 0 };
	struct peer p;
	uint32_t n = 0;
	bool more = true;

	(void)state;
	assert_true(all != NULL && list != NULL);
	memset(text, 'x', 200);
	for (uint32_t i = 0; i < N; i++) {
		pm__outcome__init(&all[i]);
		all[i].pm_id = i;
		all[i].text = text;
		list[i] = &all[i];
	}
	result.outcomes = list;
	result.n_outcomes = N;
	f.answer = false;
	greet(&p);
	peer_command(&p, 2, PM__VERB__VERB_STOP);
	run_until(&f.n_commands, 1);
	session_reply_result(f.kept, 2, &result);
	while (more) {
		Pm__Envelope *env = expect(&p, PM__ENVELOPE__BODY_RESULT);

		for (size_t i = 0; i < env->result->n_outcomes; i++)
			assert_int_equal(env->result->outcomes[i]->pm_id, n++);
		more = env->result->more;
	}
	assert_int_equal(n, N);
	peer_finish(&p);
}

static void long_answers_come_in_pages(void **state)
{
	struct peer p;
	uint32_t n = 100;
	bool more = true;

	(void)state;
	f.pages_left = n; /* 6 MB, far over the queue's limit */
	greet(&p);
	peer_status(&p, 2);
	run_until(&f.n_status, 1);
	for (int i = 0; i < 50; i++)
		turn();
	assert_true(f.pages_left > 80); /* it waits for us */
	while (more) {
		Pm__Envelope *env = expect(&p, PM__ENVELOPE__BODY_STATUS_LIST);

		assert_int_equal(env->status_list->instances[0]->pm_id, --n);
		more = env->status_list->more;
	}
	assert_int_equal(n, 0);
	assert_int_equal(f.n_done, 1);
	f.pages_left = 100;
	peer_status(&p, 3);
	run_until(&f.n_status, 2);
	peer_finish(&p); /* goes away in the middle */
	run_until(&f.n_closed_sessions, 1);
	assert_int_equal(f.n_done, 2);
}

static size_t count_data(struct peer *p, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		Pm__Envelope *env = expect(p, PM__ENVELOPE__BODY_STREAM_DATA);

		bytes += protobuf_c_message_get_packed_size(&env->stream_data->base);
	}
	return bytes;
}

static void a_stream_stops_at_its_credit_and_goes_on_with_more(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT, *got;
	Pm__StreamCredit credit = PM__STREAM_CREDIT__INIT;
	struct peer p;
	size_t sent, bytes;

	(void)state;
	f.stream_left = 400;
	greet(&p);
	peer_open(&p, 1, PM_STREAM_WINDOW_MIN);
	while (f.stream == NULL)
		turn();
	/* The queue's room may end a turn before the credit does. */
	bytes = count_data(&p, PM_STREAM_WINDOW_MIN / 1010);
	sent = 400 - f.stream_left;
	assert_int_equal(f.last_sent, STREAM_BLOCKED);
	assert_true(bytes <= PM_STREAM_WINDOW_MIN);
	assert_true(sent < 400 && sent * 1000 < PM_STREAM_WINDOW_MIN);
	credit.bytes = 300 * 1024;
	env.stream = 1;
	env.body_case = PM__ENVELOPE__BODY_STREAM_CREDIT;
	env.stream_credit = &credit;
	peer_send(&p, &env);
	(void)count_data(&p, 400 - PM_STREAM_WINDOW_MIN / 1010);
	got = expect(&p, PM__ENVELOPE__BODY_STREAM_CLOSE);
	assert_int_equal(got->stream_close->code, PM_OK);
	assert_string_equal(got->stream_close->what, "the end");
	assert_true(f.n_ready >= 1);
	assert_int_equal(f.n_closed_streams, 0); /* we closed it ourselves */
	peer_finish(&p);
}

static void a_stream_ends_with_the_peer_or_with_the_session(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamClose close_it = PM__STREAM_CLOSE__INIT;
	struct peer p;

	(void)state;
	greet(&p);
	peer_open(&p, 1, PM_STREAM_WINDOW);
	env.stream = 1;
	env.body_case = PM__ENVELOPE__BODY_STREAM_CLOSE;
	env.stream_close = &close_it;
	peer_send(&p, &env);
	run_until(&f.n_closed_streams, 1);
	assert_int_equal(f.n_closed_sessions, 0);
	peer_open(&p, 3, PM_STREAM_WINDOW);
	while (f.stream == NULL)
		turn();
	peer_finish(&p);
	run_until(&f.n_closed_streams, 2);
	run_until(&f.n_closed_sessions, 1);
}

static void a_refused_stream_says_why(void **state)
{
	struct peer p;
	Pm__Envelope *env;

	(void)state;
	f.refuse_streams = true;
	greet(&p);
	for (uint32_t id = 1; id < 2 * PM_STREAMS_MAX + 10; id += 2) { /* none of them stays */
		peer_open(&p, id, PM_STREAM_WINDOW);
		env = expect(&p, PM__ENVELOPE__BODY_ERROR);
		assert_int_equal(env->stream, id);
		assert_int_equal(env->re, 100 + id);
		assert_int_equal(env->error->code, PM_NOT_FOUND);
		assert_string_equal(env->error->hint, "look at the list");
	}
	peer_finish(&p);
}

static void a_late_answer_to_a_closed_session_goes_nowhere(void **state)
{
	struct peer p;

	(void)state;
	f.answer = false;
	greet(&p);
	peer_command(&p, 2, PM__VERB__VERB_RESTART);
	run_until(&f.n_commands, 1);
	assert_true(session_is_pm2(f.kept));
	assert_int_equal(session_uid(f.kept), geteuid());
	assert_int_equal(session_pid(f.kept), getpid());
	peer_finish(&p);
	run_until(&f.n_closed_sessions, 1);
	assert_false(session_is_open(f.kept));
	reply_text(f.kept, 2, "done");
	session_reply_pages(f.kept, 2, page, pages_done, NULL);
	assert_int_equal(f.n_done, 1);
}

static void goodbye_is_said_before_the_end(void **state)
{
	struct peer p;
	Pm__Envelope *env;

	(void)state;
	greet(&p);
	control_goodbye(f.control, "upgrade", 250);
	env = expect(&p, PM__ENVELOPE__BODY_GOODBYE);
	assert_string_equal(env->goodbye->reason, "upgrade");
	assert_int_equal(env->goodbye->retry_after_ms, 250);
	assert_null(peer_receive(&p));
	assert_int_equal(f.n_closed_sessions, 1);
	peer_finish(&p);
}

static void a_handler_may_close_everything(void **state)
{
	struct peer p, other;

	(void)state;
	f.close_in_command = true;
	greet(&other);
	greet(&p);
	peer_command(&p, 2, PM__VERB__VERB_KILL);
	peer_command(&p, 3, PM__VERB__VERB_KILL);
	run_until(&f.n_closed_sessions, 2);
	assert_int_equal(f.n_commands, 1);
	assert_null(peer_receive(&p));
	peer_finish(&p);
	peer_finish(&other);
}

/* S-13 */
static void another_user_is_refused_before_anything_is_parsed(void **state)
{
	struct pm_error err;
	struct peer p;
	Pm__Envelope *env;
	int fds[2];

	(void)state;
	if (geteuid() != 0) {
		print_message("needs root: nobody else can look like another user\n");
		skip();
	}
	/* The system call itself changes this thread only, and a pair takes its maker's identity.
	 */
	assert_int_equal(syscall(SYS_setresuid, -1, 12345, -1), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
	                 0);
	assert_int_equal(syscall(SYS_setresuid, -1, 0, -1), 0);
	assert_int_equal(control_adopt(f.control, fds[0], &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	peer_init(&p, fds[1]);
	env = expect(&p, PM__ENVELOPE__BODY_ERROR);
	assert_int_equal(env->error->code, PM_DENIED);
	assert_non_null(strstr(env->error->what, "uid 12345"));
	assert_null(peer_receive(&p));
	assert_int_equal(control_n_sessions(f.control), 0);
	peer_finish(&p);
}

static void one_session_too_many_is_refused_in_words(void **state)
{
	static int fds[PM_SESSIONS_MAX + 1][2];
	struct pm_error err;
	struct peer p;
	Pm__Envelope *env;

	(void)state;
	for (int i = 0; i <= PM_SESSIONS_MAX; i++) {
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds[i]),
			0);
		assert_int_equal(control_adopt(f.control, fds[i][0], &err),
		                 i < PM_SESSIONS_MAX ? 0 : -1);
	}
	peer_init(&p, fds[PM_SESSIONS_MAX][1]);
	env = expect(&p, PM__ENVELOPE__BODY_ERROR);
	assert_int_equal(env->error->code, PM_LIMIT);
	peer_finish(&p);
	for (int i = 0; i < PM_SESSIONS_MAX; i++)
		(void)close(fds[i][1]);
	run_until(&f.n_closed_sessions, PM_SESSIONS_MAX);
}

static int dial(void)
{
	struct sockaddr_un addr;
	struct pm_error err;
	socklen_t len;
	int via, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(pm_home_address(dir, PM_HOME_SOCKET, &addr, &len, &via, &err), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, len), 0);
	return fd;
}

/* */
static void without_descriptors_it_refuses_politely_and_recovers(void **state)
{
	struct rlimit was, none;
	struct peer p, later;
	Pm__Envelope *env;
	int fd = dial(), probe;

	(void)state;
	turn(); /* the first one is accepted with descriptors to spare */
	peer_init(&p, fd);
	probe = dup(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = (rlim_t)probe; /* the lowest free number is over the limit now */
	assert_int_equal(close(probe), 0);
	peer_init(&later, dial());
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	env = expect(&later, PM__ENVELOPE__BODY_ERROR);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(env->error->code, PM_LIMIT);
	assert_string_equal(env->error->what, "the agent is out of descriptors");
	assert_null(peer_receive(&later));
	peer_finish(&later);
	peer_hello(&p); /* those who were there are served */
	(void)expect(&p, PM__ENVELOPE__BODY_WELCOME);
	peer_finish(&p);
	peer_init(&later, dial());
	peer_hello(&later);
	(void)expect(&later, PM__ENVELOPE__BODY_WELCOME);
	peer_finish(&later);
}

/* */
static void a_stale_socket_is_replaced_and_a_file_is_not(void **state)
{
	struct pm_error err;
	struct stat st;
	char path[128];
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/%s", dir, PM_HOME_SOCKET);
	fd = control_listen(dir, &err);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(control_listen(dir, &err), -1);
	assert_int_equal(err.code, PM_EXISTS);
}

static void running_out_of_memory_costs_a_session_at_most(void **state)
{
	struct peer p;
	unsigned n;

	(void)state;
	for (n = 1; n < 50; n++) {
		struct pm_error err;
		int fds[2], rc;

		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
		peer_init(&p, fds[1]);
		peer_hello(&p);
		peer_command(&p, 2, PM__VERB__VERB_PING);
		pm_alloc_fail_at(n);
		rc = control_adopt(f.control, fds[0], &err);
		for (int i = 0; i < 4; i++)
			turn();
		pm_alloc_fail_at(0);
		peer_finish(&p);
		while (control_n_sessions(f.control) > 0)
			turn();
		if (rc == 0 && f.n_commands == 1)
			break;
	}
	assert_in_range(n, 3, 49);
	greet(&p);
	peer_finish(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_behind_a_hello_are_answered_in_order),
		TEST(who_does_not_greet_is_told_and_dropped),
		TEST(a_version_nobody_speaks_is_refused_in_words),
		TEST(junk_costs_only_the_session_that_sent_it),
		TEST(unanswered_requests_are_limited),
		TEST(who_does_not_read_costs_its_queue_and_no_more),
		TEST(an_answer_of_many_outcomes_comes_whole),
		TEST(long_answers_come_in_pages),
		TEST(a_stream_stops_at_its_credit_and_goes_on_with_more),
		TEST(a_stream_ends_with_the_peer_or_with_the_session),
		TEST(a_refused_stream_says_why),
		TEST(a_late_answer_to_a_closed_session_goes_nowhere),
		TEST(goodbye_is_said_before_the_end),
		TEST(a_handler_may_close_everything),
		TEST(another_user_is_refused_before_anything_is_parsed),
		TEST(one_session_too_many_is_refused_in_words),
		TEST(without_descriptors_it_refuses_politely_and_recovers),
		TEST(a_stale_socket_is_replaced_and_a_file_is_not),
		TEST(running_out_of_memory_costs_a_session_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
