#include "tests/unit/unit.h"

#include <stdbool.h>

#include "proto/limits.h"
#include "proto/session.h"

/* A session past its greeting. */
static void greeted(struct pm_session *s, bool dialling)
{
	pm_session_init(s, dialling);
	s->greeted = true;
	s->protocol = 1;
}

static int receive_body(struct pm_session *s, uint32_t stream, Pm__Envelope__BodyCase what,
                        void *body, struct pm_event *ev, struct pm_error *err)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;

	env.stream = stream;
	env.body_case = what;
	env.stream_open = body; /* any member of the union */
	return pm_session_receive(s, &env, ev, err);
}

static int receive_open(struct pm_session *s, uint32_t stream, uint32_t credit, struct pm_event *ev,
                        struct pm_error *err)
{
	Pm__StreamOpen open = PM__STREAM_OPEN__INIT;

	open.credit = credit;
	return receive_body(s, stream, PM__ENVELOPE__BODY_STREAM_OPEN, &open, ev, err);
}

/* Data that costs exactly `cost` bytes: a batch of one line with a text to fill it. */
static int receive_data(struct pm_session *s, uint32_t stream, size_t cost, struct pm_event *ev,
                        struct pm_error *err)
{
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__LogBatch batch = PM__LOG_BATCH__INIT;
	Pm__LogLine line = PM__LOG_LINE__INIT, *lines[] = { &line };
	PM_FREE uint8_t *bytes = pm_calloc(1, cost);

	assert_non_null(bytes);
	line.text.data = bytes;
	line.text.len = cost;
	batch.lines = lines;
	batch.n_lines = 1;
	data.what_case = PM__STREAM_DATA__WHAT_LINES;
	data.lines = &batch;
	while (pm_stream_cost(&data) > cost)
		line.text.len--;
	assert_int_equal(pm_stream_cost(&data), cost);
	return receive_body(s, stream, PM__ENVELOPE__BODY_STREAM_DATA, &data, ev, err);
}

static int receive_credit(struct pm_session *s, uint32_t stream, uint32_t bytes,
                          struct pm_event *ev, struct pm_error *err)
{
	Pm__StreamCredit credit = PM__STREAM_CREDIT__INIT;

	credit.bytes = bytes;
	return receive_body(s, stream, PM__ENVELOPE__BODY_STREAM_CREDIT, &credit, ev, err);
}

static void the_highest_common_version_is_chosen(void **state)
{
	static const struct {
		uint32_t min, max;
		bool ok;
	} cases[] = { { 1, 1, true },  { 1, 9, true },  { 0, 1, true },
		      { 2, 3, false }, { 0, 0, false }, { 5, 1, false } };
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct pm_session s;
		Pm__Hello hello = PM__HELLO__INIT;

		pm_session_init(&s, false);
		hello.protocol_min = cases[i].min;
		hello.protocol_max = cases[i].max;
		assert_int_equal(pm_session_agree(&s, &hello, &err), cases[i].ok ? 0 : -1);
		assert_int_equal(s.protocol, cases[i].ok ? 1 : 0);
		assert_int_equal(s.greeted, cases[i].ok);
		if (!cases[i].ok) {
			assert_int_equal(err.code, PM_UNSUPPORTED);
			assert_true(err.hint[0] != '\0');
		}
	}
}

static void nothing_goes_before_the_greeting(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Hello hello = PM__HELLO__INIT;
	Pm__Welcome welcome = PM__WELCOME__INIT;
	Pm__Error error = PM__ERROR__INIT;
	struct pm_session s;
	struct pm_event ev;
	struct pm_error err;

	(void)state;
	pm_session_init(&s, false);
	env.id = 1;
	assert_int_equal(pm_session_receive(&s, &env, &ev, &err), -1);
	assert_int_equal(receive_open(&s, 1, PM_STREAM_WINDOW, &ev, &err), -1);
	assert_int_equal(err.code, PM_PROTOCOL);
	assert_int_equal(receive_body(&s, 0, PM__ENVELOPE__BODY_HELLO, &hello, &ev, &err), 0);
	assert_int_equal(ev.kind, PM_EVENT_HELLO);
	s.greeted = true;
	assert_int_equal(receive_body(&s, 0, PM__ENVELOPE__BODY_HELLO, &hello, &ev, &err), -1);

	pm_session_init(&s, true);
	assert_int_equal(receive_body(&s, 0, PM__ENVELOPE__BODY_ERROR, &error, &ev, &err), 0);
	assert_int_equal(ev.kind, PM_EVENT_NOTICE);
	assert_int_equal(receive_body(&s, 0, PM__ENVELOPE__BODY_HELLO, &hello, &ev, &err), -1);
	welcome.protocol = 2;
	assert_int_equal(receive_body(&s, 0, PM__ENVELOPE__BODY_WELCOME, &welcome, &ev, &err), -1);
	assert_int_equal(err.code, PM_UNSUPPORTED);
	welcome.protocol = 1;
	assert_int_equal(receive_body(&s, 0, PM__ENVELOPE__BODY_WELCOME, &welcome, &ev, &err), 0);
	assert_int_equal(ev.kind, PM_EVENT_WELCOME);
	assert_true(s.greeted);
}

static void an_unknown_body_is_answered_only_if_it_asks(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	struct pm_session s;
	struct pm_event ev;
	struct pm_error err;

	(void)state;
	greeted(&s, false);
	assert_int_equal(pm_session_receive(&s, &env, &ev, &err), 0);
	assert_int_equal(ev.kind, PM_EVENT_IGNORE);
	env.id = 4;
	assert_int_equal(pm_session_receive(&s, &env, &ev, &err), 0);
	assert_int_equal(ev.kind, PM_EVENT_UNKNOWN);
}

static void stream_numbers_are_the_openers_and_only_grow(void **state)
{
	static const struct {
		uint32_t id;
		bool ok;
	} cases[] = { { 0, false }, { 2, false }, { 1, true }, { 1, false },
		      { 7, true },  { 5, false }, { 9, true } };
	struct pm_session s;
	struct pm_event ev;
	struct pm_error err;

	(void)state;
	greeted(&s, false);
	for (size_t i = 0; i < PM_COUNT(cases); i++)
		if (receive_open(&s, cases[i].id, PM_STREAM_WINDOW, &ev, &err) !=
		    (cases[i].ok ? 0 : -1))
			fail_msg("stream %u", cases[i].id);
	assert_int_equal(s.n_streams, 3);
	pm_session_finish(&s);
}

static void both_sides_number_their_streams_apart(void **state)
{
	struct pm_session dialler, listener;
	struct pm_stream *st;
	struct pm_error err;

	(void)state;
	greeted(&dialler, true);
	greeted(&listener, false);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(pm_session_open_stream(&dialler, 1, &st, &err), 0);
		assert_int_equal(st->id, 2 * i + 1);
		assert_int_equal(pm_session_open_stream(&listener, 1, &st, &err), 0);
		assert_int_equal(st->id, 2 * i + 2);
	}
	pm_session_finish(&dialler);
	pm_session_finish(&listener);
}

static void one_stream_too_many_is_refused_and_the_rest_live(void **state)
{
	struct pm_session s;
	struct pm_event ev;
	struct pm_stream *st;
	struct pm_error err;

	(void)state;
	greeted(&s, false);
	for (uint32_t i = 0; i <= PM_STREAMS_MAX; i++) {
		assert_int_equal(receive_open(&s, 2 * i + 1, PM_STREAM_WINDOW, &ev, &err), 0);
		assert_int_equal(ev.kind, PM_EVENT_STREAM_OPEN);
		if (i < PM_STREAMS_MAX)
			assert_non_null(ev.stream);
		else
			assert_null(ev.stream);
	}
	assert_int_equal(pm_session_open_stream(&s, 1, &st, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	pm_session_close_stream(&s, 3);
	assert_int_equal(pm_session_open_stream(&s, 1, &st, &err), 0);
	pm_session_finish(&s);
}

static void credit_is_bounded_at_both_ends(void **state)
{
	struct pm_session s;
	struct pm_event ev;
	struct pm_error err;

	(void)state;
	greeted(&s, false);
	assert_int_equal(receive_open(&s, 1, PM_STREAM_WINDOW_MIN - 1, &ev, &err), -1);
	assert_int_equal(receive_open(&s, 1, PM_STREAM_CREDIT_MAX + 1, &ev, &err), -1);
	assert_int_equal(receive_open(&s, 1, PM_STREAM_WINDOW_MIN, &ev, &err), 0);
	assert_true(pm_stream_spend(ev.stream, PM_STREAM_WINDOW_MIN));
	assert_false(pm_stream_spend(ev.stream, 1));
	assert_int_equal(receive_credit(&s, 1, 0, &ev, &err), -1);
	assert_int_equal(receive_credit(&s, 1, 10, &ev, &err), 0);
	assert_int_equal(ev.kind, PM_EVENT_STREAM_CREDIT);
	assert_false(pm_stream_spend(ev.stream, 11));
	assert_true(pm_stream_spend(ev.stream, 10));
	assert_int_equal(receive_credit(&s, 1, UINT32_MAX, &ev, &err), -1);
	assert_int_equal(err.code, PM_PROTOCOL);
	pm_session_finish(&s);
}

static void a_sender_over_its_credit_breaks_the_protocol(void **state)
{
	struct pm_session s;
	struct pm_stream *st;
	struct pm_event ev;
	struct pm_error err;

	(void)state;
	greeted(&s, true);
	assert_int_equal(pm_session_open_stream(&s, PM_STREAM_WINDOW, &st, &err), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(receive_data(&s, 1, 60000, &ev, &err), 0);
	assert_int_equal(receive_data(&s, 1, PM_STREAM_WINDOW - 240000, &ev, &err), 0);
	assert_int_equal(receive_data(&s, 1, 10, &ev, &err), -1);
	assert_int_equal(err.code, PM_PROTOCOL);
	pm_session_finish(&s);
}

static void credit_goes_back_at_half_of_the_window(void **state)
{
	struct pm_session s;
	struct pm_stream *st;
	struct pm_event ev;
	struct pm_error err;

	(void)state;
	greeted(&s, true);
	assert_int_equal(pm_session_open_stream(&s, PM_STREAM_WINDOW, &st, &err), 0);
	assert_int_equal(receive_data(&s, 1, 60000, &ev, &err), 0);
	assert_int_equal(receive_data(&s, 1, 60000, &ev, &err), 0);
	assert_int_equal(pm_stream_refill(st), 0);
	assert_int_equal(receive_data(&s, 1, PM_STREAM_WINDOW / 2 - 120000, &ev, &err), 0);
	assert_int_equal(pm_stream_refill(st), PM_STREAM_WINDOW / 2);
	assert_int_equal(pm_stream_refill(st), 0);
	assert_int_equal(st->granted, PM_STREAM_WINDOW);
	pm_session_finish(&s);
}

static void a_late_word_on_a_closed_stream_is_ignored(void **state)
{
	struct pm_session s;
	struct pm_stream *st;
	struct pm_event ev;
	struct pm_error err;

	(void)state;
	greeted(&s, true);
	assert_int_equal(pm_session_open_stream(&s, PM_STREAM_WINDOW, &st, &err), 0);
	pm_session_close_stream(&s, 1);
	assert_int_equal(receive_data(&s, 1, 100, &ev, &err), 0);
	assert_int_equal(ev.kind, PM_EVENT_IGNORE);
	assert_int_equal(receive_data(&s, 3, 100, &ev, &err), -1); /* never opened */
	assert_int_equal(receive_data(&s, 2, 100, &ev, &err), -1);
	assert_int_equal(receive_data(&s, 0, 100, &ev, &err), -1);
	pm_session_finish(&s);
}

static int receive_word(struct pm_session *s, Pm__Envelope__BodyCase what, struct pm_event *ev,
                        struct pm_error *err)
{
	static Pm__Enrol enrol = PM__ENROL__INIT; /* any message: only its kind is looked at */

	return receive_body(s, 0, what, &enrol, ev, err);
}

static void a_new_key_enrols_before_it_says_hello(void **state)
{
	Pm__Hello hello = PM__HELLO__INIT;
	struct pm_session s;
	struct pm_event ev;
	struct pm_error err;

	(void)state;
	pm_session_init(&s, false);
	s.enrol = PM_ENROL_FIRST;
	assert_int_equal(receive_word(&s, PM__ENVELOPE__BODY_HELLO, &ev, &err), -1);
	assert_int_equal(receive_word(&s, PM__ENVELOPE__BODY_ENROLLED, &ev, &err), -1);
	assert_int_equal(receive_word(&s, PM__ENVELOPE__BODY_ENROL, &ev, &err), 0);
	assert_int_equal(ev.kind, PM_EVENT_ENROL);
	/* One message is allowed, not two. */
	assert_int_equal(receive_word(&s, PM__ENVELOPE__BODY_ENROL, &ev, &err), -1);
	assert_int_equal(receive_word(&s, PM__ENVELOPE__BODY_HELLO, &ev, &err), -1);
	assert_int_equal(err.code, PM_PROTOCOL);
	pm_session_enrolled(&s);
	assert_int_equal(receive_word(&s, PM__ENVELOPE__BODY_ENROL, &ev, &err), -1);
	assert_int_equal(receive_body(&s, 0, PM__ENVELOPE__BODY_HELLO, &hello, &ev, &err), 0);
	assert_int_equal(ev.kind, PM_EVENT_HELLO);
	s.greeted = true;
	assert_int_equal(receive_word(&s, PM__ENVELOPE__BODY_ENROL, &ev, &err), -1);
}

static void who_enrols_waits_for_its_answer(void **state)
{
	Pm__Welcome welcome = PM__WELCOME__INIT;
	struct pm_session s;
	struct pm_event ev;
	struct pm_error err;

	(void)state;
	welcome.protocol = 1;
	pm_session_init(&s, true);
	s.enrol = PM_ENROL_FIRST;
	assert_int_equal(receive_body(&s, 0, PM__ENVELOPE__BODY_WELCOME, &welcome, &ev, &err), -1);
	assert_int_equal(receive_word(&s, PM__ENVELOPE__BODY_ERROR, &ev, &err), 0);
	assert_int_equal(ev.kind, PM_EVENT_NOTICE);
	assert_int_equal(receive_word(&s, PM__ENVELOPE__BODY_ENROLLED, &ev, &err), 0);
	assert_int_equal(ev.kind, PM_EVENT_ENROLLED);
	assert_int_equal(receive_word(&s, PM__ENVELOPE__BODY_ENROLLED, &ev, &err), -1);
	assert_int_equal(receive_body(&s, 0, PM__ENVELOPE__BODY_WELCOME, &welcome, &ev, &err), 0);
	assert_int_equal(receive_word(&s, PM__ENVELOPE__BODY_ENROLLED, &ev, &err), -1);
	/* Where nobody enrols, as on the unix socket, it is no first message. */
	pm_session_init(&s, false);
	assert_int_equal(receive_word(&s, PM__ENVELOPE__BODY_ENROL, &ev, &err), -1);
}

static void the_fleets_words_are_sorted(void **state)
{
	static const struct {
		Pm__Envelope__BodyCase what;
		enum pm_event_kind kind;
	} cases[] = {
		{ PM__ENVELOPE__BODY_FORWARD, PM_EVENT_REQUEST },
		{ PM__ENVELOPE__BODY_FORWARDED, PM_EVENT_ANSWER },
		{ PM__ENVELOPE__BODY_SLOT_REQUEST, PM_EVENT_NOTICE },
		{ PM__ENVELOPE__BODY_SLOT, PM_EVENT_NOTICE },
		{ PM__ENVELOPE__BODY_SLOT_RELEASE, PM_EVENT_NOTICE },
	};
	struct pm_session s;
	struct pm_event ev;
	struct pm_error err;

	(void)state;
	greeted(&s, false);
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		assert_int_equal(receive_word(&s, cases[i].what, &ev, &err), 0);
		assert_int_equal(ev.kind, cases[i].kind);
	}
}

static void all_streams_share_the_credit_of_a_session(void **state)
{
	struct pm_session s;
	struct pm_stream *st;
	struct pm_event ev;
	struct pm_error err;

	(void)state;
	greeted(&s, true);
	s.credit_max = 2 * PM_STREAM_WINDOW + PM_STREAM_WINDOW_MIN;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pm_session_open_stream(&s, PM_STREAM_WINDOW, &st, &err), 0);
		assert_int_equal(st->granted, i < 2 ? PM_STREAM_WINDOW : PM_STREAM_WINDOW_MIN);
	}
	assert_int_equal(pm_session_open_stream(&s, PM_STREAM_WINDOW, &st, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	/* What was used is out until it is given back, and a small window comes back in time. */
	assert_int_equal(receive_data(&s, 5, 60000, &ev, &err), 0);
	assert_int_equal(pm_stream_refill(pm_session_stream(&s, 5)), 0);
	assert_int_equal(pm_session_open_stream(&s, PM_STREAM_WINDOW, &st, &err), -1);
	assert_int_equal(receive_data(&s, 5, 6000, &ev, &err), 0);
	assert_int_equal(pm_stream_refill(pm_session_stream(&s, 5)), 66000);
	pm_session_close_stream(&s, 1);
	assert_int_equal(pm_session_open_stream(&s, PM_STREAM_WINDOW, &st, &err), 0);
	pm_session_finish(&s);
}

static void credit_by_hand_is_given_by_hand_only(void **state)
{
	struct pm_session s;
	struct pm_stream *st;
	struct pm_event ev;
	struct pm_error err;

	(void)state;
	greeted(&s, true);
	s.credit_max = PM_LINK_CREDIT_MAX;
	assert_int_equal(receive_open(&s, 2, PM_STREAM_WINDOW, &ev, &err), 0);
	st = ev.stream;
	st->by_hand = true;
	assert_int_equal(receive_data(&s, 2, 1000, &ev, &err), -1); /* none was given */
	assert_int_equal(pm_stream_grant(&s, st, PM_STREAM_WINDOW), PM_STREAM_WINDOW);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(receive_data(&s, 2, 60000, &ev, &err), 0);
	assert_int_equal(pm_stream_refill(st), 0);
	assert_int_equal(pm_stream_grant(&s, st, 200000), 200000);
	assert_int_equal(st->used, 40000);
	assert_int_equal(pm_stream_grant(&s, st, UINT32_MAX),
	                 PM_LINK_CREDIT_MAX - (PM_STREAM_WINDOW - 240000) - 200000);
	assert_int_equal(pm_stream_grant(&s, st, 1), 0);
	pm_session_finish(&s);
}

/* F-36: an operator looks at many hosts at once, and all of them have room for a record. */
static void an_operators_session_has_many_streams_and_credit_for_all(void **state)
{
	struct pm_session s;
	struct pm_stream *st;
	struct pm_error err;
	uint64_t sum = 0;

	(void)state;
	greeted(&s, true);
	s.streams_max = PM_OPERATOR_STREAMS_MAX;
	s.credit_max = PM_VIEWER_CREDIT_MAX;
	for (unsigned i = 0; i < PM_OPERATOR_STREAMS_MAX; i++) {
		assert_int_equal(pm_session_open_stream(&s, PM_STREAM_WINDOW, &st, &err), 0);
		assert_int_equal(st->granted,
		                 i < PM_STREAMS_MAX ? PM_STREAM_WINDOW : PM_STREAM_WINDOW_MIN);
		sum += st->granted;
	}
	assert_int_equal(sum, PM_VIEWER_CREDIT_MAX);
	assert_int_equal(pm_session_open_stream(&s, PM_STREAM_WINDOW, &st, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	pm_session_finish(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_operators_session_has_many_streams_and_credit_for_all),
		cmocka_unit_test(the_highest_common_version_is_chosen),
		cmocka_unit_test(nothing_goes_before_the_greeting),
		cmocka_unit_test(an_unknown_body_is_answered_only_if_it_asks),
		cmocka_unit_test(stream_numbers_are_the_openers_and_only_grow),
		cmocka_unit_test(both_sides_number_their_streams_apart),
		cmocka_unit_test(one_stream_too_many_is_refused_and_the_rest_live),
		cmocka_unit_test(credit_is_bounded_at_both_ends),
		cmocka_unit_test(a_sender_over_its_credit_breaks_the_protocol),
		cmocka_unit_test(credit_goes_back_at_half_of_the_window),
		cmocka_unit_test(a_late_word_on_a_closed_stream_is_ignored),
		cmocka_unit_test(a_new_key_enrols_before_it_says_hello),
		cmocka_unit_test(who_enrols_waits_for_its_answer),
		cmocka_unit_test(the_fleets_words_are_sorted),
		cmocka_unit_test(all_streams_share_the_credit_of_a_session),
		cmocka_unit_test(credit_by_hand_is_given_by_hand_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
