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

static bool send_request(struct end *e)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__StatusRequest req = PM__STATUS_REQUEST__INIT;

	env.id = pm_link_next_id(e->link);
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &req;
	return pm_link_send(e->link, &env);
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
