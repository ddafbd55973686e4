/* What a link does once it is there: messages, enrolment, liveness, its end. */
#include "tests/unit/link_rig.h"

static bool send_result(struct end *e, uint64_t re, size_t text_len)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Result result = PM__RESULT__INIT;
	static char text[70000];

	memset(text, 't', text_len);
	text[text_len] = '\0';
	result.text = text;
	env.re = re;
	env.body_case = PM__ENVELOPE__BODY_RESULT;
	env.result = &result;
	return pm_link_send(e->link, &env);
}

static void requests_and_answers_go_both_ways(void **state)
{
	(void)state;
	rig_link(false);
	assert_false(send_request(&a)); /* not yet */
	assert_false(send_request(&b));
	rig_pump(SIZE_MAX / 2);
	for (unsigned i = 0; i < 3000; i++) { /* rekeyed twice on the way */
		assert_true(send_request(&a));
		assert_true(send_request(&b));
		assert_true(send_result(&b, i, i));
		rig_pump(SIZE_MAX / 2);
	}
	assert_int_equal(b.n_requests, 3000);
	assert_int_equal(a.n_requests, 3000);
	assert_int_equal(a.n_answers, 3000);
	assert_int_equal(a.last_re, 2999);
	assert_false(send_result(&a, 1, 66000)); /* does not fit a record, and nothing happened */
	assert_true(send_result(&a, 1, 65500));
	rig_pump(1000);
	assert_int_equal(b.n_answers, 1);
	assert_int_equal(a.n_closed + b.n_closed, 0);
}

static void a_link_is_idle_when_nothing_would_be_lost(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Result result = PM__RESULT__INIT;

	(void)state;
	rig_meet();
	assert_true(pm_link_is_idle(a.link));
	assert_true(pm_link_is_idle(b.link));
	assert_true(send_request(&a));
	assert_false(pm_link_is_idle(a.link)); /* it waits to be sent */
	rig_pump(SIZE_MAX / 2);
	assert_true(pm_link_is_idle(a.link)); /* whose question it is, knows that itself */
	assert_false(pm_link_is_idle(b.link));
	env.re = 1;
	env.body_case = PM__ENVELOPE__BODY_RESULT;
	env.result = &result;
	result.more = true;
	assert_true(pm_link_send(b.link, &env));
	rig_pump(SIZE_MAX / 2);
	assert_false(pm_link_is_idle(b.link)); /* more follows */
	assert_true(send_result(&b, 1, 10));
	rig_pump(SIZE_MAX / 2);
	assert_true(pm_link_is_idle(b.link));
	assert_true(send_result(&b, 1, 10)); /* once too often is no harm */
	rig_pump(SIZE_MAX / 2);
	assert_true(pm_link_is_idle(b.link));
}

static void a_packed_message_goes_to_many(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	PM_BUF packed = { 0 };
	struct pm_error err;

	(void)state;
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.id = 77;
	env.status_request = &(Pm__StatusRequest)PM__STATUS_REQUEST__INIT;
	assert_int_equal(pm_encode(&env, &packed, &err), 0);
	rig_link(false);
	assert_false(pm_link_send_packed(b.link, (const uint8_t *)packed.bytes, packed.len));
	rig_pump(SIZE_MAX / 2);
	assert_false(pm_link_send_packed(b.link, (const uint8_t *)packed.bytes, packed.len - 1));
	assert_true(pm_link_send_packed(b.link, (const uint8_t *)packed.bytes, packed.len));
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_requests, 1);
}

static void an_unknown_request_is_answered_and_a_bad_message_is_the_end(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Hello hello = PM__HELLO__INIT;

	(void)state;
	rig_meet();
	env.id = 9; /* without a body: of a newer version */
	assert_true(pm_link_send(a.link, &env));
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_answers, 1);
	assert_int_equal(a.last_re, 9);
	env.body_case = PM__ENVELOPE__BODY_HELLO;
	env.hello = &hello;
	assert_true(pm_link_send(a.link, &env));
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_closed, 1);
	assert_int_equal(b.why.code, PM_PROTOCOL);
}

static void a_handler_may_close_the_link(void **state)
{
	(void)state;
	rig_meet();
	b.close_in_message = true;
	assert_true(send_request(&a));
	assert_true(send_request(&a));
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_requests, 1);
	assert_int_equal(b.n_closed, 1);
	assert_int_equal(b.why.code, PM_DENIED);
	assert_true(send_request(&b)); /* goes nowhere */
	assert_false(pm_link_is_open(b.link));
}

/* ---- enrolment ---- */

static void a_new_key_enrols_and_goes_on(void **state)
{
	(void)state;
	b.verdict = PM_PEER_NEW;
	rig_link(true);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_enrol, 1);
	assert_string_equal(b.name, "web01");
	assert_int_equal(a.n_enrolled, 1);
	assert_string_equal(a.name, "agent-1");
	assert_int_equal(a.n_up, 1);
	assert_int_equal(b.n_up, 1);
	assert_false(pm_link_is_new(b.link));
}

static void an_enrolment_may_be_answered_later_or_too_late(void **state)
{
	Pm__Enrolled enrolled = PM__ENROLLED__INIT;

	(void)state;
	b.verdict = PM_PEER_NEW;
	b.enrol_later = true;
	rig_link(true);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_enrol, 1);
	assert_true(pm_link_is_new(b.link));
	assert_int_equal(a.n_enrolled, 0);
	assert_true(pm_link_work(b.link, now_ms + 4999));
	pm_link_enrolled(b.link, b.enrol_id, &enrolled);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_up, 1);
	pm_link_enrolled(b.link, b.enrol_id, &enrolled); /* once is enough */
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_closed + b.n_closed, 0);
	pm_link_destroy(a.link);
	pm_link_destroy(b.link);
	rig_link(true);
	rig_pump(SIZE_MAX / 2);
	assert_false(pm_link_work(b.link, now_ms + 5000));
	assert_int_equal(b.why.code, PM_DEADLINE);
	pm_link_enrolled(b.link, b.enrol_id, &enrolled);
	pm_link_refuse(b.link, b.enrol_id, &b.why);
	assert_int_equal(b.n_closed, 1);
}

static void a_used_token_is_refused_in_words(void **state)
{
	(void)state;
	b.verdict = PM_PEER_NEW;
	b.refuse_enrol = true;
	rig_link(true);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_closed, 1);
	assert_string_equal(a.why.what, "that token was used before");
	assert_int_equal(b.n_closed, 1);
	assert_int_equal(a.n_up + b.n_up, 0);
}

static void a_new_key_that_does_not_enrol_is_let_go(void **state)
{
	(void)state;
	b.verdict = PM_PEER_NEW;
	rig_link(false); /* says Hello */
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_closed, 1);
	assert_int_equal(b.why.code, PM_PROTOCOL);
	assert_int_equal(b.n_up, 0);
}

static void a_known_key_does_not_enrol_again(void **state)
{
	(void)state;
	rig_link(true);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_closed, 1);
	assert_int_equal(b.n_enrol, 0);
}

/* ---- liveness ---- */

/* Run `ms` in steps of 100 ms, with the wire cut or not. */
static void run_for(uint64_t ms, bool cut)
{
	for (uint64_t t = 0; t < ms; t += 100) {
		now_ms += 100;
		if (!cut) {
			rig_pump(SIZE_MAX / 2);
			continue;
		}
		if (a.n_closed == 0)
			(void)rig_take(&a, rig_bytes, sizeof(rig_bytes));
		if (b.n_closed == 0)
			(void)rig_take(&b, rig_bytes, sizeof(rig_bytes));
	}
}

static void heartbeats_keep_a_silent_session(void **state)
{
	unsigned n;

	(void)state;
	rig_meet();
	n = b.n_notices;
	run_for(100000, false);
	assert_in_range(b.n_notices - n, 8, 12); /* one in 10 s, give or take a tenth */
	assert_int_equal(a.n_suspect + b.n_suspect + a.n_closed + b.n_closed, 0);
}

static void a_dead_peer_is_suspected_and_then_left(void **state)
{
	(void)state;
	rig_meet();
	run_for(14000, true);
	assert_int_equal(a.n_suspect + b.n_suspect, 0);
	run_for(2000, true);
	assert_int_equal(a.n_suspect, 1);
	assert_int_equal(b.n_suspect, 1);
	run_for(13000, true);
	assert_int_equal(a.n_closed + b.n_closed, 0);
	run_for(2000, true);
	assert_int_equal(a.n_closed, 1);
	assert_int_equal(b.n_closed, 1);
	assert_int_equal(b.why.code, PM_UNREACHABLE);
}

static void a_peer_that_comes_back_is_trusted_again(void **state)
{
	(void)state;
	rig_meet();
	now_ms += 16000; /* nobody did anything in between */
	assert_true(pm_link_work(b.link, now_ms));
	rig_pump(SIZE_MAX / 2);
	run_for(100, false);
	assert_int_equal(b.n_suspect, 1);
	assert_int_equal(b.n_trusted, 1);
	assert_int_equal(b.n_closed, 0);
}

/* A machine that slept for an hour first reads what came meanwhile. */
static void ones_own_absence_is_not_blamed_on_the_peer(void **state)
{
	size_t len;

	(void)state;
	rig_meet();
	assert_true(send_request(&a));
	len = rig_take(&a, rig_bytes, sizeof(rig_bytes));
	now_ms += 3600000;
	assert_true(pm_link_work(b.link, now_ms));
	assert_true(pm_link_input(b.link, rig_bytes, len, now_ms));
	run_for(100, true);
	assert_int_equal(b.n_closed, 0);
	run_for(31000, true); /* but then it counts */
	assert_int_equal(b.n_closed, 1);
}

static void work_is_due_when_it_says(void **state)
{
	(void)state;
	rig_meet();
	for (unsigned i = 0; i < 1000 && b.n_closed == 0; i++) {
		uint64_t due = pm_link_due_ms(b.link);
		const uint8_t *bytes;
		size_t len;

		assert_true(due > now_ms || i == 0);
		now_ms = PM_MAX(due, now_ms);
		(void)pm_link_work(b.link, now_ms);
		if (pm_link_output(b.link, &bytes, &len, now_ms))
			(void)pm_link_written(b.link, now_ms);
	}
	assert_int_equal(b.n_suspect, 1);
	assert_int_equal(b.n_closed, 1);
}

static void a_peer_that_takes_nothing_is_left(void **state)
{
	const uint8_t *bytes;
	size_t len;

	(void)state;
	rig_meet();
	assert_true(send_request(&b));
	assert_true(pm_link_output(b.link, &bytes, &len, now_ms));
	assert_false(pm_link_output(b.link, &bytes, &len, now_ms)); /* one batch at a time */
	for (unsigned i = 0; i < 29; i++) { /* it speaks, but takes nothing of ours */
		now_ms += 1000;
		assert_true(send_request(&a));
		assert_true(
			pm_link_input(b.link, rig_bytes, rig_take(&a, rig_bytes, 4000), now_ms));
		assert_true(pm_link_work(b.link, now_ms));
	}
	now_ms += 1000;
	assert_false(pm_link_work(b.link, now_ms));
	assert_int_equal(b.why.code, PM_UNREACHABLE);
	assert_non_null(strstr(b.why.what, "takes no data"));
}

static void the_control_queue_has_an_end(void **state)
{
	unsigned n;

	(void)state;
	rig_meet();
	for (n = 0; pm_link_is_open(b.link); n++)
		assert_true(send_request(&b));
	assert_int_equal(n, PM_LINK_MESSAGES_MAX + 1);
	assert_int_equal(b.n_closed, 0); /* not from within the owner's call */
	assert_false(pm_link_work(b.link, now_ms));
	assert_int_equal(b.why.code, PM_LIMIT);
	pm_link_destroy(a.link);
	pm_link_destroy(b.link);
	rig_meet();
	for (n = 0; pm_link_is_open(b.link); n++)
		assert_true(send_result(&b, 1, 65000));
	assert_int_equal(n, PM_SEND_QUEUE_MAX / 65000 + 1);
}

static void room_is_told_when_there_is_some(void **state)
{
	(void)state;
	rig_meet();
	for (unsigned i = 0; i < 4; i++)
		assert_true(send_result(&b, 1, 40000));
	pm_link_want_room(b.link);
	assert_true(pm_link_work(b.link, now_ms));
	assert_int_equal(b.n_room, 0);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_room, 1);
	pm_link_want_room(b.link); /* with nothing queued, too */
	assert_true(pm_link_work(b.link, now_ms));
	assert_int_equal(b.n_room, 2);
}

static void a_goodbye_is_heard_with_its_time(void **state)
{
	(void)state;
	rig_meet();
	assert_true(send_request(&b)); /* what was queued before comes first */
	pm_link_goodbye(b.link, "shutting down", 12000);
	assert_false(pm_link_is_open(b.link));
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_requests, 1);
	assert_int_equal(a.n_closed, 1);
	assert_int_equal(a.retry_after_ms, 12000);
	assert_non_null(strstr(a.why.what, "shutting down"));
	assert_int_equal(b.n_closed, 1);
	assert_int_equal(b.why.code, PM_OK);
}

static void a_goodbye_that_nobody_takes_ends_all_the_same(void **state)
{
	const uint8_t *bytes;
	size_t len;

	(void)state;
	rig_meet();
	pm_link_goodbye(b.link, "x", 0);
	assert_true(pm_link_work(b.link, now_ms));
	assert_true(pm_link_output(b.link, &bytes, &len, now_ms));
	assert_true(pm_link_work(b.link, now_ms + 1999));
	assert_false(pm_link_work(b.link, now_ms + 2000));
	pm_link_destroy(a.link);
	pm_link_destroy(b.link);
	rig_link(false); /* before there is a session: at once */
	a.n_closed = 0;
	pm_link_goodbye(a.link, "x", 0);
	assert_false(pm_link_work(a.link, now_ms));
	assert_int_equal(a.n_closed, 1);
}

int main(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		ONE(requests_and_answers_go_both_ways),
		ONE(a_link_is_idle_when_nothing_would_be_lost),
		ONE(a_packed_message_goes_to_many),
		ONE(an_unknown_request_is_answered_and_a_bad_message_is_the_end),
		ONE(a_handler_may_close_the_link),
		ONE(a_new_key_enrols_and_goes_on),
		ONE(an_enrolment_may_be_answered_later_or_too_late),
		ONE(a_used_token_is_refused_in_words),
		ONE(a_new_key_that_does_not_enrol_is_let_go),
		ONE(a_known_key_does_not_enrol_again),
		ONE(heartbeats_keep_a_silent_session),
		ONE(a_dead_peer_is_suspected_and_then_left),
		ONE(a_peer_that_comes_back_is_trusted_again),
		ONE(ones_own_absence_is_not_blamed_on_the_peer),
		ONE(work_is_due_when_it_says),
		ONE(a_peer_that_takes_nothing_is_left),
		ONE(the_control_queue_has_an_end),
		ONE(room_is_told_when_there_is_some),
		ONE(a_goodbye_is_heard_with_its_time),
		ONE(a_goodbye_that_nobody_takes_ends_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
