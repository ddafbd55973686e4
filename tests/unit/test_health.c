#include "tests/unit/unit.h"

#include "agent/health.h"

static const struct health_policy policy = {
	.period_ms = 5000, .timeout_ms = 2000, .fail = 3, .ok = 2, .grace_ms = 60000
};

/* Answers as a text, + and -, one a period; where the state changes is told. */
static enum health_state answer(struct health *h, const char *answers, uint64_t *now)
{
	for (const char *a = answers; *a != '\0'; a++) {
		uint64_t began = *now;

		health_look(h, &policy, began);
		*now += 10;
		(void)health_result(h, &policy, *a == '+', began, *now);
		*now += health_wait_ms(h, &policy, false, *now);
	}
	return h->state;
}

static void states_change_after_so_many_in_a_row(void **state)
{
	static const struct {
		const char *answers;
		enum health_state want;
	} rows[] = {
		{ "", HEALTH_UNKNOWN },
		{ "+", HEALTH_UNKNOWN },
		{ "++", HEALTH_OK },
		{ "+-+", HEALTH_UNKNOWN },
		{ "+++--", HEALTH_OK },
		{ "++---", HEALTH_FAILING },
		{ "++--+--", HEALTH_OK },
		{ "++---+", HEALTH_FAILING },
		{ "++---++", HEALTH_OK },
		{ "+---", HEALTH_FAILING },
		{ "----------", HEALTH_UNKNOWN }, /* in its grace */
		{ "-----------------", HEALTH_FAILING },
		{ "-+---", HEALTH_FAILING }, /* it had passed */
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		uint64_t now = 1000;
		struct health h;

		health_begin(&h, &policy, HEALTH_UNKNOWN, now);
		if (answer(&h, rows[i].answers, &now) != rows[i].want)
			fail_msg("%s: %d", rows[i].answers, (int)h.state);
	}
}

static void only_changes_are_told(void **state)
{
	static const bool want[] = { false, true, false };
	struct health h;

	(void)state;
	health_begin(&h, &policy, HEALTH_UNKNOWN, 0);
	for (size_t i = 0; i < PM_COUNT(want); i++)
		assert_int_equal(health_result(&h, &policy, true, 0, 1), want[i]);
	assert_int_equal(health_result(&h, &policy, false, 1, 2), false);
}

static void a_stretch_in_which_nobody_looked_is_forgiven(void **state)
{
	uint64_t now = 0;
	struct health h;

	(void)state;
	health_begin(&h, &policy, HEALTH_UNKNOWN, now);
	assert_int_equal(answer(&h, "++--", &now), HEALTH_OK);
	now += HEALTH_GAP_MS + 1; /* the machine slept */
	assert_int_equal(answer(&h, "-----", &now), HEALTH_OK);
	assert_int_equal(answer(&h, "+", &now), HEALTH_OK);
	assert_int_equal(answer(&h, "---", &now), HEALTH_FAILING);
	/* So is a look that was under way. */
	health_begin(&h, &policy, HEALTH_OK, now);
	assert_int_equal(answer(&h, "--", &now), HEALTH_OK);
	assert_false(health_result(&h, &policy, false, now, now + 2001 + HEALTH_GAP_MS));
	assert_int_equal(h.state, HEALTH_OK);
	assert_int_equal(h.n_fail, 0);
}

static void who_waits_is_answered_soon(void **state)
{
	uint64_t now = 0, before = 0;
	struct health h;

	(void)state;
	health_begin(&h, &policy, HEALTH_UNKNOWN, now);
	assert_int_equal(health_wait_ms(&h, &policy, true, now), 50);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t wait = health_wait_ms(&h, &policy, true, now);

		assert_true(wait >= before && wait <= 1000);
		before = wait;
	}
	assert_int_equal(before, 1000);
	assert_int_equal(health_wait_ms(&h, &policy, false, now), 5000);
}

static void what_was_acted_upon_is_counted_anew(void **state)
{
	uint64_t now = 0;
	struct health h;

	(void)state;
	health_begin(&h, &policy, HEALTH_FAILING, now);
	health_again(&h, &policy, now);
	assert_int_equal(h.state, HEALTH_UNKNOWN);
	assert_int_equal(answer(&h, "++---", &now), HEALTH_FAILING);
}

static void a_watchdog_waits_for_the_next_word(void **state)
{
	struct watchdog w;

	(void)state;
	watchdog_begin(&w, 1000, 60000, 0);
	assert_false(watchdog_missed(&w, 1000, 59999)); /* it starts */
	watchdog_heard(&w, 1000, 5000);
	assert_false(watchdog_missed(&w, 1000, 5999));
	assert_true(watchdog_missed(&w, 1000, 6000));
	watchdog_heard(&w, 1000, 6000);
	assert_false(watchdog_missed(&w, 1000, 7001 + HEALTH_GAP_MS)); /* nobody listened */
	assert_true(watchdog_missed(&w, 1000, 8001 + HEALTH_GAP_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_change_after_so_many_in_a_row),
		cmocka_unit_test(only_changes_are_told),
		cmocka_unit_test(a_stretch_in_which_nobody_looked_is_forgiven),
		cmocka_unit_test(who_waits_is_answered_soon),
		cmocka_unit_test(what_was_acted_upon_is_counted_anew),
		cmocka_unit_test(a_watchdog_waits_for_the_next_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
