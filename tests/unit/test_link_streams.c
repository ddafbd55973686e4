#include "tests/unit/link_rig.h"

static struct pm_link_stream *open_logs(void)
{
	Pm__StreamOpen open = PM__STREAM_OPEN__INIT;
	Pm__LogQuery logs = PM__LOG_QUERY__INIT;
	struct pm_link_stream *st = NULL;
	struct pm_error err;

	open.what_case = PM__STREAM_OPEN__WHAT_LOGS;
	open.logs = &logs;
	assert_int_equal(pm_link_stream_open(a.link, &open, &a, &st, &err), 0);
	return st;
}

static void data_flows_under_credit_to_its_end(void **state)
{
	struct pm_link_stream *st;

	(void)state;
	b.serve = true;
	b.to_send = 200;
	b.data_bytes = 16000; /* 3 MB: many windows */
	rig_meet();
	st = open_logs();
	assert_ptr_equal(pm_link_stream_user(st), &a);
	assert_ptr_equal(pm_link_stream_link(st), a.link);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.to_send, 0);
	assert_int_equal(a.n_data, 200);
	assert_int_equal(a.n_data_bytes, 200 * 16000);
	assert_true(b.n_credit >= 200 * 16000 / (PM_STREAM_WINDOW));
	pm_link_stream_close(b.stream, PM_OK, NULL);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_stream_closed, 1);
	assert_int_equal(a.stream_why.code, PM_OK);
	assert_int_equal(b.n_stream_closed, 0); /* who closes is not told */
}

/* Without the peer's pump: how far a producer gets on its own. */
static void a_producer_is_stopped_by_the_batch_and_by_credit(void **state)
{
	size_t sent = 0, len;

	(void)state;
	b.serve = true;
	b.to_send = 1000;
	b.data_bytes = 16000;
	rig_meet();
	(void)open_logs();
	assert_true(pm_link_input(b.link, rig_bytes, rig_take(&a, rig_bytes, 4000), now_ms));
	assert_in_range(1000 - b.to_send, 4, 5); /* one batch */
	while ((len = rig_take(&b, rig_bytes, sizeof(rig_bytes))) > 0) {
		assert_true(len <= PM_LINK_BATCH + PM_RECORD_MAX);
		sent += len;
	}
	assert_in_range(sent, PM_STREAM_WINDOW - 20000, PM_STREAM_WINDOW + 2000);
}

static void control_overtakes_data(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusRequest req = PM__STATUS_REQUEST__INIT;
	const uint8_t *bytes;
	size_t len;

	(void)state;
	b.serve = true;
	b.to_send = 100;
	b.data_bytes = 16000;
	rig_meet();
	(void)open_logs();
	assert_true(pm_link_input(b.link, rig_bytes, rig_take(&a, rig_bytes, 4000), now_ms));
	assert_true(pm_link_output(b.link, &bytes, &len, now_ms)); /* a batch is on its way */
	assert_true(pm_link_input(a.link, bytes, len, now_ms));
	env.id = 5;
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &req;
	assert_true(pm_link_send(b.link, &env));
	assert_true(pm_link_written(b.link, now_ms));
	assert_true(pm_link_output(b.link, &bytes, &len, now_ms));
	/* The very next record is the request, whatever waits behind it. */
	assert_true(pm_link_input(a.link, bytes, 2 + ((size_t)bytes[0] << 8 | bytes[1]), now_ms));
	assert_int_equal(a.n_requests, 1);
}

static void streams_take_turns(void **state)
{
	(void)state;
	b.serve = true;
	b.data_bytes = 60000;
	rig_meet();
	for (unsigned i = 0; i < 4; i++)
		(void)open_logs();
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_streams, 4);
	b.to_send = 40;
	assert_int_equal(rig_send_data(&b, b.stream), PM_LINK_BLOCKED);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.to_send, 0);
	assert_int_equal(a.n_data, 40);
}

static void one_session_has_so_much_credit_and_no_more(void **state)
{
	Pm__StreamOpen open = PM__STREAM_OPEN__INIT;
	struct pm_link_stream *st, *first = NULL;
	struct pm_error err;

	(void)state;
	b.serve = true;
	rig_meet();
	for (unsigned i = 0; i < PM_LINK_CREDIT_MAX / PM_STREAM_WINDOW; i++) {
		st = open_logs();
		first = first == NULL ? st : first;
	}
	assert_int_equal(pm_link_stream_open(a.link, &open, NULL, &st, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	pm_link_stream_close(first, PM_OK, NULL);
	(void)open_logs();
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_streams, 5);
	assert_int_equal(b.n_stream_closed, 1);
}

static void a_stream_is_refused_in_words_and_the_session_goes_on(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;

	(void)state;
	rig_meet();
	(void)open_logs();
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_stream_closed, 1);
	assert_int_equal(a.stream_why.code, PM_NOT_FOUND);
	assert_string_equal(a.stream_why.what, "no such app");
	assert_int_equal(a.n_answers, 0);
	/* Asked without a number, the refusal is a close. */
	env.stream = 3;
	env.body_case = PM__ENVELOPE__BODY_STREAM_OPEN;
	env.stream_open = &(Pm__StreamOpen)PM__STREAM_OPEN__INIT;
	env.stream_open->credit = PM_STREAM_WINDOW;
	assert_true(pm_link_send(a.link, &env));
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_closed, 1); /* a, which never opened stream 3, takes it for an error */
	assert_int_equal(b.n_closed, 0);
}

static void a_peer_over_its_credit_is_left(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__Gap gap = PM__GAP__INIT;
	static char why[65000];

	(void)state;
	b.serve = true;
	rig_meet();
	(void)open_logs();
	rig_pump(SIZE_MAX / 2);
	memset(why, 'w', sizeof(why) - 1);
	gap.why = why;
	data.what_case = PM__STREAM_DATA__WHAT_GAP;
	data.gap = &gap;
	env.stream = 2; /* a stream that nobody opened */
	env.body_case = PM__ENVELOPE__BODY_STREAM_DATA;
	env.stream_data = &data;
	assert_true(pm_link_send(b.link, &env));
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_closed, 1);
	assert_int_equal(a.why.code, PM_PROTOCOL);
	assert_int_equal(a.n_stream_closed, 1); /* with the session */
	assert_int_equal(a.stream_why.code, PM_PROTOCOL);
}

/* A relay passes credit on as it comes from the other end. */
static void credit_by_hand(void **state)
{
	struct pm_link_stream *st;

	(void)state;
	b.serve = true;
	b.to_send = 100;
	b.data_bytes = 16000;
	rig_meet();
	st = open_logs();
	pm_link_stream_by_hand(st);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_data, PM_STREAM_WINDOW / 16010);
	assert_int_equal(b.n_credit, 0);
	assert_int_equal(pm_link_stream_grant(st, 32100), 32100);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_credit, 1);
	assert_int_equal(a.n_data, PM_STREAM_WINDOW / 16010 + 2);
	/* The session's sum is the end of it. */
	assert_true(pm_link_stream_grant(st, UINT32_MAX) <= PM_LINK_CREDIT_MAX);
	assert_int_equal(pm_link_stream_grant(st, 1), 0);
	rig_pump(SIZE_MAX / 2);
	assert_true(b.to_send < 30);
}

/* The opener may send too, once the other side grants it something. */
static void an_opener_sends_what_it_is_granted(void **state)
{
	struct pm_link_stream *st;

	(void)state;
	b.serve = true;
	rig_meet();
	st = open_logs();
	a.to_send = 2;
	a.data_bytes = 1000;
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(rig_send_data(&a, st), PM_LINK_BLOCKED);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_data, 0);
	assert_int_equal(pm_link_stream_grant(b.stream, PM_STREAM_WINDOW), PM_STREAM_WINDOW);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_data, 2);
}

static void what_does_not_fit_a_record_is_not_sent(void **state)
{
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__Gap gap = PM__GAP__INIT;
	static char why[PM_RECORD_MAX];

	(void)state;
	b.serve = true;
	rig_meet();
	(void)open_logs();
	rig_pump(SIZE_MAX / 2);
	gap.why = why;
	data.what_case = PM__STREAM_DATA__WHAT_GAP;
	data.gap = &gap;
	for (size_t len = PM_RECORD_MAX - 30; len < PM_RECORD_MAX; len++) {
		enum pm_link_sent sent;

		memset(why, 'w', len);
		why[len] = '\0';
		sent = pm_link_stream_send(b.stream, &data);
		assert_true(sent == (len <= PM_RECORD_MAX - 15 ? PM_LINK_SENT : PM_LINK_TOO_LARGE));
		rig_pump(SIZE_MAX / 2);
	}
	assert_int_equal(a.n_closed + b.n_closed, 0);
}

static void streams_end_with_their_session(void **state)
{
	struct pm_error why;

	(void)state;
	b.serve = true;
	rig_meet();
	for (unsigned i = 0; i < 3; i++)
		(void)open_logs();
	rig_pump(SIZE_MAX / 2);
	(void)pm_fail(&why, PM_UNREACHABLE, "cut");
	assert_false(pm_link_lost(a.link, &why));
	assert_int_equal(a.n_stream_closed, 3);
	assert_int_equal(a.n_closed, 1);
	pm_link_destroy(b.link); /* by its carrier, without closed() */
	b.link = NULL;
	assert_int_equal(b.n_stream_closed, 3);
	assert_int_equal(b.n_closed, 0);
}

/* With the n-th allocation failing the session may end, but nothing breaks or leaks. */
static void running_out_of_memory_ends_at_most_the_session(void **state)
{
	bool failed = true;

	(void)state;
	for (unsigned n = 1; failed && n < 200; n++) {
		struct pm_error err;

		a.n_closed = b.n_closed = a.n_data = 0;
		b.serve = true;
		b.to_send = 3;
		b.data_bytes = 30000;
		pm_alloc_fail_at(n);
		failed = pm_link_create(a.host, pm_key_public(b.key), false, now_ms, &a.link,
		                        &err) < 0 ||
		         pm_link_create(b.host, NULL, false, now_ms, &b.link, &err) < 0;
		if (!failed) {
			rig_pump(777);
			if (pm_link_is_up(a.link)) {
				Pm__StreamOpen open = PM__STREAM_OPEN__INIT;
				struct pm_link_stream *st;

				failed = pm_link_stream_open(a.link, &open, NULL, &st, &err) < 0;
			}
			rig_pump(777);
		}
		pm_alloc_fail_at(0);
		failed |= a.n_closed + b.n_closed > 0 || a.n_data < 3;
		pm_link_destroy(a.link);
		pm_link_destroy(b.link);
		a.link = b.link = NULL;
	}
	assert_false(failed);
}

int main(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		ONE(data_flows_under_credit_to_its_end),
		ONE(a_producer_is_stopped_by_the_batch_and_by_credit),
		ONE(control_overtakes_data),
		ONE(streams_take_turns),
		ONE(one_session_has_so_much_credit_and_no_more),
		ONE(a_stream_is_refused_in_words_and_the_session_goes_on),
		ONE(a_peer_over_its_credit_is_left),
		ONE(credit_by_hand),
		ONE(an_opener_sends_what_it_is_granted),
		ONE(what_does_not_fit_a_record_is_not_sent),
		ONE(streams_end_with_their_session),
		ONE(running_out_of_memory_ends_at_most_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
