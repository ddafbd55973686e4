/* When an app that its agent restarts by itself may go (F-27). */
#include "tests/unit/unit.h"

#include "agent/turn.h"
#include "proto/limits.h"

static const struct turn_facts one_waits = { .possible = true, .connected = true, .n_waiting = 1 };
static const struct turn_facts one_is_out = { .possible = true, .connected = true, .n_out = 1 };
static const struct turn_facts cut_off = { .possible = true, .n_waiting = 1 };
static const struct turn_facts nothing = { .possible = true, .connected = true };

static void it_asks_once_waits_goes_and_gives_it_back(void **state)
{
	struct turn t = { 0 };
	struct turn_step s = turn_next(&t, &one_waits, 1000);

	(void)state;
	assert_int_equal(s.acts, TURN_ASK);
	assert_int_equal(s.wake_ms, 1000 + PM_BUDGET_WAIT_MS);
	assert_int_equal(turn_next(&t, &one_waits, 1500).acts, 0);
	turn_granted(&t, 2000);
	assert_int_equal(turn_next(&t, &one_waits, 2000).acts, TURN_GO);
	s = turn_next(&t, &one_is_out, 2001);
	assert_int_equal(s.acts, 0);
	assert_int_equal(s.wake_ms, 0); /* that it is up comes by itself */
	assert_int_equal(turn_next(&t, &nothing, 3000).acts, TURN_END | TURN_RELEASE);
}

static void without_an_answer_it_goes_alone_and_says_so(void **state)
{
	struct turn t = { 0 };

	(void)state;
	(void)turn_next(&t, &one_waits, 1000);
	assert_int_equal(turn_next(&t, &one_waits, 999 + PM_BUDGET_WAIT_MS).acts, 0);
	assert_int_equal(turn_next(&t, &one_waits, 1000 + PM_BUDGET_WAIT_MS).acts,
	                 TURN_GO | TURN_CLAIM);
	turn_granted(&t, 40000); /* too late, and of no use */
	assert_int_equal(t.state, TURN_ALONE);
	assert_int_equal(turn_next(&t, &nothing, 41000).acts, TURN_END | TURN_RELEASE);
}

static void a_coordinator_that_answers_may_keep_it_waiting_but_not_for_ever(void **state)
{
	struct turn t = { 0 };
	uint64_t now = 1000;

	(void)state;
	(void)turn_next(&t, &one_waits, now);
	for (; now < 1000 + PM_BUDGET_MOST_MS; now += PM_BUDGET_TELL_MS) {
		turn_waits(&t, 3, now);
		assert_int_equal(turn_next(&t, &one_waits, now).acts, 0);
	}
	assert_int_equal(turn_next(&t, &one_waits, now).acts, TURN_GO | TURN_CLAIM);
}

static void who_is_away_is_not_waited_for(void **state)
{
	static const struct turn_facts away = { .possible = true, .away = true, .n_waiting = 1 },
				       in_none = { .n_waiting = 1 };
	struct turn t = { 0 };

	(void)state;
	assert_int_equal(turn_next(&t, &away, 1000).acts, TURN_GO);
	assert_int_equal(turn_next(&t, &one_is_out, 1001).acts, TURN_CLAIM); /* it is back */
	t = (struct turn){ 0 };
	assert_int_equal(turn_next(&t, &in_none, 1000).acts, TURN_GO);
	t = (struct turn){ 0 };
	(void)turn_next(&t, &one_waits, 1000); /* that it gives none shows when it is asked */
	assert_int_equal(turn_next(&t, &in_none, 1001).acts, TURN_GO);
}

static void another_session_is_asked_again(void **state)
{
	struct turn t = { 0 };

	(void)state;
	assert_int_equal(turn_next(&t, &cut_off, 1000).acts,
	                 0); /* only just gone: it may be back */
	assert_int_equal(turn_next(&t, &one_waits, 2000).acts, TURN_ASK);
	turn_new_session(&t);
	assert_int_equal(turn_next(&t, &cut_off, 2500).acts, 0);
	assert_int_equal(turn_next(&t, &one_waits, 3000).acts, TURN_ASK);
	turn_granted(&t, 3500);
	(void)turn_next(&t, &one_waits, 3500);
	turn_new_session(&t);
	assert_int_equal(turn_next(&t, &one_is_out, 4000).acts, TURN_CLAIM);
	turn_new_session(&t);
	assert_int_equal(turn_next(&t, &(struct turn_facts){ .possible = true }, 5000).acts,
	                 TURN_END); /* there is nobody to give it back to */
}

static void what_comes_within_the_lease_goes_with_it_and_later_asks_again(void **state)
{
	static const struct turn_facts both = {
		.possible = true, .connected = true, .n_waiting = 1, .n_out = 1
	};
	struct turn t = { 0 };

	(void)state;
	(void)turn_next(&t, &one_waits, 1000);
	turn_granted(&t, 2000);
	(void)turn_next(&t, &one_waits, 2000);
	assert_int_equal(turn_next(&t, &both, 1999 + PM_BUDGET_LEASE_MS).acts, TURN_GO);
	assert_int_equal(turn_next(&t, &both, 2000 + PM_BUDGET_LEASE_MS).acts, TURN_ASK);
	/* And if the reason goes away meanwhile, that is the end of it. */
	assert_int_equal(turn_next(&t, &one_is_out, 2001 + PM_BUDGET_LEASE_MS).acts,
	                 TURN_END | TURN_RELEASE);
}

static void the_last_that_is_well_stays_while_another_comes_up(void **state)
{
	(void)state;
	assert_true(turn_leaves_one(0, 0)); /* it is alone, or the others are not to run */
	assert_false(turn_leaves_one(0, 1));
	assert_true(turn_leaves_one(1, 0));
	assert_true(turn_leaves_one(1, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_asks_once_waits_goes_and_gives_it_back),
		cmocka_unit_test(without_an_answer_it_goes_alone_and_says_so),
		cmocka_unit_test(a_coordinator_that_answers_may_keep_it_waiting_but_not_for_ever),
		cmocka_unit_test(who_is_away_is_not_waited_for),
		cmocka_unit_test(another_session_is_asked_again),
		cmocka_unit_test(what_comes_within_the_lease_goes_with_it_and_later_asks_again),
		cmocka_unit_test(the_last_that_is_well_stays_while_another_comes_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
