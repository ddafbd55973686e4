#include "tests/unit/link_rig.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/uplink_streams.h"
#include "proto/record.h"

/* The coordinator is `b` of the rig, the uplink is `a`, and the supervisor is this test. */
static struct {
	uv_loop_t loop;
	struct local *local;
	struct carried_streams carried;
	int fd; /* the supervisor's */
	struct pm_record_reader reader;
	struct pm_arena arena;
	uint8_t buf[65536];
	/* what it saw */
	unsigned n_opened, n_closed;
	uint32_t id;
	uint64_t credit;
} t;

static int on_open(void *arg, struct pm_link_stream *st, const Pm__StreamOpen *open,
                   struct pm_error *err)
{
	(void)arg;
	return carry_open(&t.carried, st, open, err);
}

static void on_ready(void *arg, struct pm_link_stream *st)
{
	(void)arg;
	carry_ready(st);
}

static void on_credit(void *arg, struct pm_link_stream *st, uint32_t bytes)
{
	(void)arg;
	carry_credit(st, bytes);
}

static void on_closed(void *arg, struct pm_link_stream *st, const struct pm_error *why)
{
	(void)arg;
	(void)why;
	carry_closed(&t.carried, st);
}

static void on_received(void *arg, const Pm__Envelope *env)
{
	(void)arg;
	if (env->stream != 0)
		carry_received(&t.carried, env);
}

static void on_ended(void *arg, const struct pm_error *why)
{
	(void)arg;
	(void)why;
}

static void take(const Pm__Envelope *env)
{
	if (env->body_case == PM__ENVELOPE__BODY_STREAM_OPEN) {
		t.n_opened++;
		t.id = env->stream;
		t.credit += env->stream_open->credit;
	} else if (env->body_case == PM__ENVELOPE__BODY_STREAM_CREDIT) {
		t.credit += env->stream_credit->bytes;
	} else if (env->body_case == PM__ENVELOPE__BODY_STREAM_CLOSE) {
		t.n_closed++;
	}
}

/* Let the uplink work, and hear what it says to the supervisor. */
static void turn(void)
{
	const uint8_t *record;
	struct pm_error err;
	Pm__Envelope *env;
	size_t n;

	for (int i = 0; i < 20; i++) {
		const uint8_t *at = t.buf;
		ssize_t got;
		size_t left;

		(void)uv_run(&t.loop, UV_RUN_NOWAIT);
		got = recv(t.fd, t.buf, sizeof(t.buf), MSG_DONTWAIT);
		left = got > 0 ? (size_t)got : 0;
		while (pm_record_next(&t.reader, &at, &left, &record, &n, &err) == 1) {
			assert_int_equal(pm_decode(&t.arena, record, n, &env, &err), 0);
			take(env);
			pm_arena_reset(&t.arena);
		}
	}
}

static void say(const Pm__Envelope *env)
{
	PM_BUF out = { 0 };
	struct pm_error err;
	size_t at = 0;

	assert_int_equal(pm_encode(env, &out, &err), 0);
	while (at < out.len) {
		ssize_t n = send(t.fd, out.bytes + at, out.len - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		assert_true(n > 0 || errno == EAGAIN);
		at += n > 0 ? (size_t)n : 0;
		turn();
	}
}

/* As the supervisor does it: no further than there is credit. */
static bool send_line(size_t len)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__LogBatch batch = PM__LOG_BATCH__INIT;
	Pm__LogLine line = PM__LOG_LINE__INIT, *lines[] = { &line };
	static uint8_t text[60000];

	line.text = (ProtobufCBinaryData){ len, text };
	batch.lines = lines;
	batch.n_lines = 1;
	data.what_case = PM__STREAM_DATA__WHAT_LINES;
	data.lines = &batch;
	if (pm_stream_cost(&data) > t.credit)
		return false;
	t.credit -= pm_stream_cost(&data);
	env.stream = t.id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_DATA;
	env.stream_data = &data;
	say(&env);
	return true;
}

static void send_end(enum pm_code code)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamClose body = PM__STREAM_CLOSE__INIT;
	static char what[] = "the end";

	body.code = (uint32_t)code;
	body.what = what;
	env.stream = t.id;
	env.body_case = PM__ENVELOPE__BODY_STREAM_CLOSE;
	env.stream_close = &body;
	say(&env);
}

static struct pm_link_stream *open_stream(void)
{
	Pm__StreamOpen open = PM__STREAM_OPEN__INIT;
	Pm__LogQuery query = PM__LOG_QUERY__INIT;
	struct pm_link_stream *st;
	struct pm_error err;

	open.what_case = PM__STREAM_OPEN__WHAT_LOGS;
	open.logs = &query;
	assert_int_equal(pm_link_stream_open(b.link, &open, &b, &st, &err), 0);
	rig_pump(SIZE_MAX / 2);
	turn();
	assert_int_equal(t.n_opened, 1);
	return st;
}

static int set_up(void **state)
{
	static struct pm_link_handlers handlers;
	static const struct local_handlers local_handlers = { on_received, on_ended };
	struct pm_link_config config = { .role = PM_ROLE_AGENT, .program = "agent" };
	struct pm_error err;
	int fds[2];

	(void)rig_setup(state);
	memset(&t, 0, sizeof(t));
	pm_link_host_destroy(a.host);
	handlers = rig_handlers;
	handlers.stream_open = on_open;
	handlers.stream_ready = on_ready;
	handlers.stream_credit = on_credit;
	handlers.stream_closed = on_closed;
	config.key = a.key;
	assert_int_equal(pm_link_host_create(&config, &handlers, &a, &a.host, &err), 0);
	assert_int_equal(uv_loop_init(&t.loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
	                 0);
	t.fd = fds[1];
	assert_int_equal(local_create(&t.loop, fds[0], &local_handlers, NULL, &t.local, &err), 0);
	t.carried.local = t.local;
	rig_meet();
	return 0;
}

static int tear_down(void **state)
{
	pm_link_destroy(a.link);
	a.link = NULL;
	carry_finish(&t.carried);
	local_close(t.local);
	(void)uv_run(&t.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&t.loop), 0);
	assert_int_equal(close(t.fd), 0);
	pm_record_finish(&t.reader);
	pm_arena_finish(&t.arena);
	return rig_teardown(state);
}

static void a_stream_is_carried_from_end_to_end(void **state)
{
	(void)state;
	(void)open_stream();
	assert_int_equal(t.credit, PM_STREAM_WINDOW);
	for (unsigned i = 0; i < 100; i++) {
		assert_true(send_line(20000));
		rig_pump(SIZE_MAX / 2);
		turn();
	}
	assert_int_equal(b.n_data, 100);
	send_end(PM_OK);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_stream_closed, 1);
	assert_int_equal(b.stream_why.code, PM_OK);
	assert_int_equal(t.n_closed, 0);
}

static void no_more_than_a_window_waits_for_the_link(void **state)
{
	struct pm_link_stream *st = open_stream();
	unsigned n = 0;

	(void)state;
	pm_link_stream_by_hand(st);
	(void)pm_link_stream_grant(st, PM_LINK_CREDIT_MAX);
	rig_pump(SIZE_MAX / 2);
	turn();
	/* Much more was granted; the link takes nothing while nobody moves its bytes. */
	while (send_line(30000))
		n++;
	assert_in_range(n, PM_STREAM_WINDOW / 30000 - 1, PM_STREAM_WINDOW / 30000 + 3);
	for (unsigned before = n + 1; before != n;) {
		before = n;
		rig_pump(SIZE_MAX / 2);
		turn();
		while (send_line(30000))
			n++;
	}
	assert_int_equal(b.n_data, n);
	assert_in_range(n * 30000, PM_LINK_CREDIT_MAX - 2 * 30100, PM_LINK_CREDIT_MAX);
}

static void what_waits_goes_out_before_the_end(void **state)
{
	unsigned n = 0;

	(void)state;
	(void)open_stream();
	while (send_line(30000))
		n++;
	send_end(PM_NOT_FOUND);
	assert_int_equal(b.n_stream_closed, 0);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_data, n);
	assert_int_equal(b.n_stream_closed, 1);
	assert_int_equal(b.stream_why.code, PM_NOT_FOUND);
	assert_string_equal(b.stream_why.what, "the end");
}

static void one_that_the_coordinator_ends_is_ended_here(void **state)
{
	struct pm_link_stream *st = open_stream();

	(void)state;
	(void)send_line(30000);
	(void)send_line(30000);
	(void)send_line(30000);
	pm_link_stream_close(st, PM_OK, "");
	rig_pump(SIZE_MAX / 2);
	turn();
	assert_int_equal(t.n_closed, 1);
	(void)send_line(100); /* it had not heard yet */
	send_end(PM_OK);
	rig_pump(SIZE_MAX / 2);
	assert_true(pm_link_is_up(a.link));
	assert_true(pm_link_is_up(b.link));
}

static void a_refusal_comes_as_its_end(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Error error = PM__ERROR__INIT;
	static char what[] = "no such app", hint[] = "look at the list";

	(void)state;
	(void)open_stream();
	error.code = PM_NOT_FOUND;
	error.what = what;
	error.hint = hint;
	env.re = t.id;
	env.stream = t.id;
	env.body_case = PM__ENVELOPE__BODY_ERROR;
	env.error = &error;
	say(&env);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_stream_closed, 1);
	assert_string_equal(b.stream_why.what, "no such app; look at the list");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_stream_is_carried_from_end_to_end, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(no_more_than_a_window_waits_for_the_link, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(what_waits_goes_out_before_the_end, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(one_that_the_coordinator_ends_is_ended_here, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(a_refusal_comes_as_its_end, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
