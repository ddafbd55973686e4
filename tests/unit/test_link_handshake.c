/* How a link comes up: handshake, Hello and Welcome, and what strangers get. */
#include "tests/unit/link_rig.h"

static void both_come_up_and_know_each_other(void **state)
{
	(void)state;
	rig_link(false);
	assert_true(pm_link_is_open(a.link));
	assert_false(pm_link_is_up(a.link));
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_up, 1);
	assert_int_equal(b.n_up, 1);
	assert_int_equal(b.role, PM_ROLE_AGENT);
	assert_int_equal(pm_link_role(b.link), PM_ROLE_AGENT);
	assert_string_equal(b.program, "agent");
	assert_memory_equal(pm_link_peer_key(b.link), pm_key_public(a.key), PM_KEY_BYTES);
	assert_memory_equal(pm_link_peer_key(a.link), pm_key_public(b.key), PM_KEY_BYTES);
	assert_int_equal(pm_link_features(a.link), 0xf0);
	assert_int_equal(pm_link_features(b.link), 0xf0);
	assert_true(pm_link_is_proved(b.link));
	assert_int_equal(a.n_greeted, 1);
	assert_int_equal(b.n_notices, 1); /* the first heartbeat comes at once */
}

static void it_does_not_matter_how_the_bytes_are_cut(void **state)
{
	static const size_t steps[] = { 1, 2, 3, 7, 48, 49, 50, 113, 114, 115 };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(steps); i++) {
		rig_link(false);
		rig_pump(steps[i]);
		assert_true(pm_link_is_up(a.link));
		assert_true(pm_link_is_up(b.link));
		pm_link_destroy(a.link);
		pm_link_destroy(b.link);
		a.link = b.link = NULL;
	}
}

/* Flip one bit of the n-th byte that goes over, in either direction, until all came unchanged. */
static void a_flip_of_any_byte_ends_the_session_on_its_side(void **state)
{
	size_t n_all = 0;

	(void)state;
	for (size_t at = 0;; at++) {
		size_t n = 0;
		bool flipped = false, moved = true, over = false;

		a.n_closed = b.n_closed = 0;
		rig_link(false);
		while (moved && !over) {
			moved = false;
			for (unsigned side = 0; side < 2 && !over; side++) {
				struct end *from = side == 0 ? &a : &b, *to = side == 0 ? &b : &a;
				size_t len = rig_take(from, rig_bytes, sizeof(rig_bytes));

				if (at >= n && at < n + len) {
					rig_bytes[at - n] ^= (uint8_t)(1u << (at % 8));
					flipped = true;
				}
				n += len;
				moved |= len > 0;
				over = len > 0 && !pm_link_input(to->link, rig_bytes, len, now_ms);
			}
		}
		pm_link_destroy(a.link);
		pm_link_destroy(b.link);
		a.link = b.link = NULL;
		if (!flipped) {
			n_all = n;
			break;
		}
		/* A length that grew makes the reader wait for more, which its deadline ends. */
		if (a.n_closed + b.n_closed == 0 && at < PM_FRAME_FIRST + PM_FRAME_SECOND)
			fail_msg("byte %zu", at);
	}
	assert_true(n_all > 200);
	assert_true(a.n_closed == 0 && b.n_closed == 0);
}

static void the_session_can_be_cut_after_any_byte(void **state)
{
	struct pm_error why;

	(void)state;
	(void)pm_fail(&why, PM_UNREACHABLE, "cut");
	for (size_t cut = 0; cut < 400; cut++) {
		size_t n = 0;

		a.n_closed = b.n_closed = 0;
		rig_link(false);
		for (unsigned turn = 0; turn < 8 && n < cut; turn++) {
			struct end *from = turn % 2 == 0 ? &a : &b, *to = turn % 2 == 0 ? &b : &a;
			size_t len = PM_MIN(rig_take(from, rig_bytes, sizeof(rig_bytes)), cut - n);

			assert_true(pm_link_input(to->link, rig_bytes, len, now_ms));
			n += len;
		}
		assert_false(pm_link_lost(a.link, &why));
		assert_false(pm_link_lost(b.link, &why));
		assert_false(pm_link_lost(b.link, &why)); /* once is once */
		assert_int_equal(a.n_closed, 1);
		assert_int_equal(b.n_closed, 1);
		assert_int_equal(b.why.code, PM_UNREACHABLE);
		pm_link_destroy(a.link);
		pm_link_destroy(b.link);
		a.link = b.link = NULL;
	}
}

static void a_replay_of_all_that_was_said_makes_no_session(void **state)
{
	static uint8_t said[4096];
	size_t n = 0;
	struct pm_error err;

	(void)state;
	rig_link(false);
	for (unsigned i = 0; i < 4; i++) { /* what a says, written down */
		size_t len = rig_take(&a, said + n, sizeof(said) - n);

		if (len > 0 && !pm_link_input(b.link, said + n, len, now_ms))
			break;
		n += len;
		len = rig_take(&b, rig_bytes, sizeof(rig_bytes));
		if (len > 0)
			assert_true(pm_link_input(a.link, rig_bytes, len, now_ms));
	}
	assert_true(pm_link_is_up(b.link));
	pm_link_destroy(b.link);
	b.n_up = 0;
	assert_int_equal(pm_link_create(b.host, NULL, false, now_ms, &b.link, &err), 0);
	assert_true(pm_link_input(b.link, said, PM_FRAME_FIRST, now_ms)); /* is answered, */
	assert_int_equal(rig_take(&b, rig_bytes, sizeof(rig_bytes)), PM_FRAME_SECOND);
	assert_false(pm_link_is_proved(b.link)); /* but proves nothing */
	assert_false(pm_link_input(b.link, said + PM_FRAME_FIRST, n - PM_FRAME_FIRST, now_ms));
	assert_int_equal(b.why.code, PM_PROTOCOL);
	assert_int_equal(b.n_up, 0);
	assert_int_equal(b.n_closed, 1);
}

/* S-04, X-46 */
static void a_replayed_record_ends_the_session(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusRequest req = PM__STATUS_REQUEST__INIT;
	size_t len;

	(void)state;
	rig_meet();
	env.id = pm_link_next_id(a.link);
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &req;
	assert_true(pm_link_send(a.link, &env));
	len = rig_take(&a, rig_bytes, sizeof(rig_bytes));
	assert_true(pm_link_input(b.link, rig_bytes, len, now_ms));
	assert_int_equal(b.n_requests, 1);
	assert_false(pm_link_input(b.link, rig_bytes, len, now_ms));
	assert_int_equal(b.n_requests, 1);
	assert_int_equal(b.why.code, PM_PROTOCOL);
}

static void garbage_and_silence_get_no_answer(void **state)
{
	uint8_t junk[PM_FRAME_FIRST];

	(void)state;
	rig_link(false);
	memset(junk, 'G', sizeof(junk));                     /* a web browser */
	assert_true(pm_link_input(b.link, junk, 1, now_ms)); /* hears our version, no more */
	assert_int_equal(rig_take(&b, rig_bytes, sizeof(rig_bytes)), 1);
	assert_int_equal(b.n_closed, 1);
	assert_int_equal(b.why.code, PM_UNSUPPORTED);
	pm_link_destroy(b.link);
	b.n_closed = 0;
	assert_int_equal(pm_link_create(b.host, NULL, false, now_ms, &b.link, &b.why), 0);
	junk[0] = PM_HANDSHAKE_VERSION;
	junk[1] = PM_ROLE_AGENT;
	assert_false(pm_link_input(b.link, junk, sizeof(junk), now_ms)); /* no mac */
	assert_int_equal(rig_take(&b, rig_bytes, sizeof(rig_bytes)), 0);
	pm_link_destroy(b.link);
	assert_int_equal(pm_link_create(b.host, NULL, false, now_ms, &b.link, &b.why), 0);
	assert_true(pm_link_due_ms(b.link) == now_ms + 3000);
	assert_true(pm_link_work(b.link, now_ms + 2999));
	assert_false(pm_link_work(b.link, now_ms + 3000)); /* silence */
	assert_int_equal(b.why.code, PM_DEADLINE);
}

static void who_does_not_go_on_after_the_handshake_is_let_go(void **state)
{
	size_t len;

	(void)state;
	rig_link(false);
	len = rig_take(&a, rig_bytes, sizeof(rig_bytes));
	assert_true(pm_link_input(b.link, rig_bytes, len, now_ms));
	assert_int_equal(rig_take(&b, rig_bytes, sizeof(rig_bytes)), PM_FRAME_SECOND);
	assert_false(pm_link_is_proved(b.link));
	assert_false(pm_link_work(b.link, now_ms + 3000));
	assert_int_equal(b.why.code, PM_DEADLINE);
}

static void more_than_a_frame_before_its_answer_is_refused(void **state)
{
	size_t len;

	(void)state;
	rig_link(false);
	len = rig_take(&a, rig_bytes, sizeof(rig_bytes));
	b.verdict = PM_PEER_KNOWN;
	pm_link_destroy(b.link);
	b.link = NULL;
	pm_link_host_destroy(b.host);
	{ /* one with a door: the frame waits for its turn, and nothing may come meanwhile */
		struct pm_link_config c = { .key = b.key };
		struct pm_error err;

		assert_int_equal(pm_link_host_create(&c, &rig_handlers, &b, &b.host, &err), 0);
		assert_int_equal(pm_link_create(b.host, NULL, false, now_ms, &b.link, &err), 0);
	}
	assert_true(pm_link_input(b.link, rig_bytes, len, now_ms));
	assert_true(pm_link_wants_turn(b.link));
	assert_true(pm_link_work(b.link, now_ms + 60000)); /* its turn has no deadline, */
	pm_link_give_turn(b.link);
	assert_false(pm_link_wants_turn(b.link));
	assert_true(pm_link_input(b.link, NULL, 0, now_ms));
	assert_int_equal(rig_take(&b, rig_bytes + len, 100), PM_FRAME_SECOND);
	pm_link_destroy(b.link);
	assert_int_equal(pm_link_create(b.host, NULL, false, now_ms, &b.link, &b.why), 0);
	assert_true(pm_link_input(b.link, rig_bytes, len, now_ms));
	assert_false(pm_link_input(b.link, rig_bytes, 1, now_ms));
	assert_int_equal(b.why.code, PM_PROTOCOL);
}

static void a_refused_key_is_closed_without_a_word(void **state)
{
	(void)state;
	b.verdict = PM_PEER_REFUSED;
	rig_link(false);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_closed, 1);
	assert_int_equal(b.why.code, PM_DENIED);
	assert_int_equal(a.n_closed, 0); /* until the connection ends, or its deadline comes */
	assert_true(pm_link_work(a.link, now_ms + 9999));
	assert_false(pm_link_work(a.link, now_ms + 10000));
	assert_int_equal(a.why.code, PM_DEADLINE);
}

/* */
static void the_other_version_is_told_to_people(void **state)
{
	static const uint8_t version = 7;

	(void)state;
	rig_link(false);
	(void)rig_take(&a, rig_bytes, sizeof(rig_bytes));
	assert_false(pm_link_input(a.link, &version, 1, now_ms));
	assert_int_equal(a.why.code, PM_UNSUPPORTED);
	assert_non_null(strstr(a.why.what, "version 7"));
}

static void a_hello_is_refused_in_words(void **state)
{
	(void)state;
	b.refuse_hello = true;
	rig_link(false);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_closed, 1);
	assert_int_equal(a.why.code, PM_DENIED);
	assert_string_equal(a.why.what, "this agent is drained");
	assert_string_equal(a.why.hint, "ask an admin");
	assert_int_equal(b.n_closed, 1);
	assert_int_equal(b.why.code, PM_DENIED);
	assert_int_equal(a.n_up + b.n_up, 0);
}

/* */
static void x51_what_a_newer_version_adds_is_ignored(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;

	(void)state;
	a.is_newer = true;
	rig_link(false);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_up, 1);
	assert_int_equal(b.n_up, 1);
	/* A message that is not known here: nothing is asked, nothing is answered. */
	env.base.n_unknown_fields = 1;
	env.base.unknown_fields = &rig_unknown;
	assert_true(pm_link_send(a.link, &env));
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_answers + b.n_requests + a.n_closed + b.n_closed, 0);
	env.id = 9; /* it asks: answered in words, and the session goes on */
	assert_true(pm_link_send(a.link, &env));
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_answers, 1);
	assert_true(send_request(&a));
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_requests, 1);
	assert_int_equal(a.n_closed + b.n_closed, 0);
}

static void x51_a_feature_that_is_required_and_not_known_is_refused_by_name(void **state)
{
	char known[] = "generations", unknown[] = "time-travel";
	char *names[] = { known, unknown };

	(void)state;
	a.requires = names;
	a.n_requires = 1;
	rig_link(false);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_up, 1);
	pm_link_destroy(a.link);
	pm_link_destroy(b.link);
	a.n_up = b.n_up = 0;
	a.n_requires = 2;
	rig_link(false);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_up + b.n_up, 0);
	assert_int_equal(a.why.code, PM_UNSUPPORTED);
	assert_non_null(strstr(a.why.what, "needs 'time-travel'"));
	assert_int_equal(b.n_closed, 1);
}

static void x51_the_side_that_listens_may_require_something_too(void **state)
{
	char unknown[] = "time-travel", *names[] = { unknown };

	(void)state;
	b.requires = names;
	b.n_requires = 1;
	rig_link(false);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_up, 0);
	assert_int_equal(a.why.code, PM_UNSUPPORTED);
	assert_non_null(strstr(a.why.what, "needs 'time-travel'"));
}

static void a_hello_may_be_answered_later(void **state)
{
	char home[] = "late";
	Pm__Welcome welcome = PM__WELCOME__INIT;

	(void)state;
	b.hello_later = true;
	rig_link(false);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_up + b.n_up, 0);
	assert_int_equal(a.n_closed + b.n_closed, 0);
	welcome.home = home;
	pm_link_welcome(b.link, &welcome, NULL);
	assert_int_equal(b.n_up, 0); /* owners' calls call no handler */
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(b.n_up, 1);
	assert_int_equal(a.n_up, 1);
	pm_link_welcome(b.link, &welcome, NULL); /* it has been */
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_closed + b.n_closed, 0);
}

static void a_hello_may_be_refused_later(void **state)
{
	struct pm_error why;

	(void)state;
	b.hello_later = true;
	rig_link(false);
	rig_pump(SIZE_MAX / 2);
	(void)pm_fail(&why, PM_DENIED, "it has gone meanwhile");
	pm_link_welcome(b.link, NULL, &why);
	rig_pump(SIZE_MAX / 2);
	assert_string_equal(a.why.what, "it has gone meanwhile");
	assert_int_equal(a.n_up + b.n_up, 0);
	assert_int_equal(b.n_closed, 1);
}

static void a_hello_that_is_never_answered_ends_with_its_deadline(void **state)
{
	(void)state;
	b.hello_later = true;
	rig_link(false);
	rig_pump(SIZE_MAX / 2);
	assert_false(pm_link_work(b.link, now_ms + 5000));
	assert_int_equal(b.why.code, PM_DEADLINE);
	pm_link_welcome(b.link, NULL, &b.why); /* too late: nothing happens */
}

static void a_hello_over_the_first_records_size_is_not_sent(void **state)
{
	(void)state;
	a.facts_too_long = true;
	rig_link(false);
	rig_pump(SIZE_MAX / 2);
	assert_int_equal(a.n_closed, 1);
	assert_int_equal(a.why.code, PM_LIMIT);
}

/* S-02, X-47 */
static void record_lengths_are_checked_before_anything_is_read(void **state)
{
	static const unsigned bad[] = { 0, 1, 15, 16 };
	uint8_t head[2];

	(void)state;
	for (size_t i = 0; i < PM_COUNT(bad); i++) {
		rig_meet();
		head[0] = (uint8_t)(bad[i] >> 8);
		head[1] = (uint8_t)bad[i];
		assert_false(pm_link_input(b.link, head, 2, now_ms));
		assert_int_equal(b.why.code, PM_PROTOCOL);
		pm_link_destroy(a.link);
		pm_link_destroy(b.link);
	}
	/* A first record has a lower limit; a later one may have all that two bytes can say. */
	rig_link(false);
	assert_true(pm_link_input(b.link, rig_bytes, rig_take(&a, rig_bytes, 200), now_ms));
	head[0] = (PM_FIRST_RECORD_MAX + PM_NOISE_TAG + 1) >> 8;
	head[1] = (PM_FIRST_RECORD_MAX + PM_NOISE_TAG + 1) & 0xff;
	assert_false(pm_link_input(b.link, head, 2, now_ms));
	pm_link_destroy(a.link);
	pm_link_destroy(b.link);
	rig_meet();
	head[0] = head[1] = 0xff;
	assert_true(pm_link_input(b.link, head, 2, now_ms));
	memset(rig_bytes, 0, 65535);
	assert_false(pm_link_input(b.link, rig_bytes, 65535, now_ms));
	assert_int_equal(b.why.code, PM_PROTOCOL);
}

int main(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		ONE(both_come_up_and_know_each_other),
		ONE(it_does_not_matter_how_the_bytes_are_cut),
		ONE(a_flip_of_any_byte_ends_the_session_on_its_side),
		ONE(the_session_can_be_cut_after_any_byte),
		ONE(a_replay_of_all_that_was_said_makes_no_session),
		ONE(a_replayed_record_ends_the_session),
		ONE(garbage_and_silence_get_no_answer),
		ONE(who_does_not_go_on_after_the_handshake_is_let_go),
		ONE(more_than_a_frame_before_its_answer_is_refused),
		ONE(a_refused_key_is_closed_without_a_word),
		ONE(the_other_version_is_told_to_people),
		ONE(a_hello_is_refused_in_words),
		ONE(x51_what_a_newer_version_adds_is_ignored),
		ONE(x51_a_feature_that_is_required_and_not_known_is_refused_by_name),
		ONE(x51_the_side_that_listens_may_require_something_too),
		ONE(a_hello_may_be_answered_later),
		ONE(a_hello_may_be_refused_later),
		ONE(a_hello_that_is_never_answered_ends_with_its_deadline),
		ONE(a_hello_over_the_first_records_size_is_not_sent),
		ONE(record_lengths_are_checked_before_anything_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
