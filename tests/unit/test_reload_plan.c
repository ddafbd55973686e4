#include "tests/unit/unit.h"

#include "agent/reload_plan.h"

static const struct reload_facts ready = {
	.old = LIFE_UP, .next = LIFE_UP, .began_ms = 1000, .ready_ms = 2000, .prove_ms = 500
};

static void a_successor_takes_over_when_it_has_proved_itself(void **state)
{
	struct reload_facts f = ready;
	struct reload_step s;

	(void)state;
	s = reload_plan(&f, 2000);
	assert_int_equal(s.verdict, RELOAD_WAIT);
	assert_int_equal(s.wait_ms, 500);
	s = reload_plan(&f, 2499);
	assert_int_equal(s.verdict, RELOAD_WAIT);
	assert_int_equal(s.wait_ms, 1);
	assert_int_equal(reload_plan(&f, 2500).verdict, RELOAD_SWAP);
	f.prove_ms = 0;
	assert_int_equal(reload_plan(&f, 2000).verdict, RELOAD_SWAP);
	f = ready;
	f.ready_ms = 0; /* seen up for the first time */
	assert_int_equal(reload_plan(&f, 2000).wait_ms, 500);
	f.ready_ms = 3000; /* never before it was ready, whatever the clock says */
	assert_int_equal(reload_plan(&f, 2000).verdict, RELOAD_WAIT);
}

static void one_whose_check_fails_again_does_not_take_over(void **state)
{
	struct reload_facts f = ready;

	(void)state;
	f.unfit = true;
	assert_int_equal(reload_plan(&f, 2100).verdict, RELOAD_FAIL);
	f.old = LIFE_DOWN; /* better than nobody */
	assert_int_equal(reload_plan(&f, 2100).verdict, RELOAD_SWAP);
}

static void it_takes_over_at_once_when_nobody_else_serves(void **state)
{
	static const enum life_state down[] = { LIFE_DOWN, LIFE_BACKOFF, LIFE_HELD, LIFE_FAILED,
		                                LIFE_SPAWNING };
	struct reload_facts f = ready;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(down); i++) {
		f.old = down[i];
		assert_int_equal(reload_plan(&f, 2000).verdict, RELOAD_SWAP);
		f.next = LIFE_UP_WAIT; /* but not before it is ready */
		assert_int_equal(reload_plan(&f, 2000).verdict, RELOAD_WAIT);
		f.next = LIFE_UP;
	}
}

static void one_that_ends_or_is_late_has_failed(void **state)
{
	static const enum life_state gone[] = { LIFE_DOWN,    LIFE_ABORTING, LIFE_ENDING,
		                                LIFE_KILLING, LIFE_BACKOFF,  LIFE_FAILED };
	struct reload_facts f = ready;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(gone); i++) {
		f.next = gone[i];
		assert_int_equal(reload_plan(&f, 9000).verdict, RELOAD_FAIL);
	}
	f.next = LIFE_UP_WAIT;
	assert_int_equal(reload_plan(&f, 9000).verdict, RELOAD_WAIT);
	f.late = true;
	assert_int_equal(reload_plan(&f, 9000).verdict, RELOAD_FAIL);
}

static void no_room_to_fork_is_waited_for_within_reason(void **state)
{
	struct reload_facts f = ready;
	struct reload_step s;

	(void)state;
	f.next = LIFE_HELD;
	s = reload_plan(&f, 1000);
	assert_int_equal(s.verdict, RELOAD_WAIT);
	assert_int_equal(s.wait_ms, RELOAD_HELD_MS);
	assert_int_equal(reload_plan(&f, 1000 + RELOAD_HELD_MS - 1).wait_ms, 1);
	assert_int_equal(reload_plan(&f, 1000 + RELOAD_HELD_MS).verdict, RELOAD_FAIL);
}

/* Looks until something else than waiting is said; *now is when. */
static enum retire_verdict look(struct retire *r, unsigned waiting, unsigned connections,
                                uint64_t *now)
{
	for (;;) {
		struct retire_step s = retire_plan(r, waiting, connections, *now);

		if (s.verdict != RETIRE_WAIT)
			return s.verdict;
		assert_true(s.wait_ms > 0);
		*now += s.wait_ms;
	}
}

static void one_that_goes_is_told_when_nothing_waits_and_ended_when_nothing_is_left(void **state)
{
	struct retire r = { .began_ms = 1000, .timeout_ms = 30000 };
	uint64_t now = 1000;

	(void)state;
	assert_int_equal(look(&r, 0, 7, &now), RETIRE_TELL);
	assert_in_range(now, 1000 + RETIRE_SETTLE_MS, 1000 + 3 * RETIRE_SETTLE_MS);
	for (int i = 0; i < 3; i++) {
		struct retire_step s = retire_plan(&r, 0, 1, now);

		assert_int_equal(s.verdict, RETIRE_WAIT);
		now += s.wait_ms;
	}
	/* One look that finds nothing is not enough. */
	assert_int_equal(retire_plan(&r, 0, 0, now).verdict, RETIRE_WAIT);
	assert_int_equal(retire_plan(&r, 1, 0, now + 10).verdict, RETIRE_WAIT);
	assert_int_equal(retire_plan(&r, 0, 0, now + 20).verdict, RETIRE_WAIT);
	assert_int_equal(retire_plan(&r, 0, 0, now + 30).verdict, RETIRE_END);
}

static void its_time_is_bounded(void **state)
{
	struct retire r = { .began_ms = 1000, .timeout_ms = 5000 };
	uint64_t now = 1000;

	(void)state;
	assert_int_equal(look(&r, 3, 0, &now), RETIRE_END); /* it does not accept any more */
	assert_int_equal(now, 6000);
	assert_false(r.told);
	r = (struct retire){ .began_ms = 1000, .timeout_ms = 5000 };
	now = 1000;
	assert_int_equal(look(&r, 0, 1, &now), RETIRE_TELL);
	assert_int_equal(look(&r, 0, 1, &now), RETIRE_END); /* a client that never leaves */
	assert_int_equal(now, 6000);
	r = (struct retire){ .began_ms = 1000, .timeout_ms = 0 };
	assert_int_equal(retire_plan(&r, 9, 9, 1000).verdict, RETIRE_END);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_successor_takes_over_when_it_has_proved_itself),
		cmocka_unit_test(it_takes_over_at_once_when_nobody_else_serves),
		cmocka_unit_test(one_whose_check_fails_again_does_not_take_over),
		cmocka_unit_test(one_that_ends_or_is_late_has_failed),
		cmocka_unit_test(no_room_to_fork_is_waited_for_within_reason),
		cmocka_unit_test(
			one_that_goes_is_told_when_nothing_waits_and_ended_when_nothing_is_left),
		cmocka_unit_test(its_time_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
