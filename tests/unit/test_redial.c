#include "tests/unit/unit.h"

#include "proto/limits.h"
#include "proto/redial.h"

#define ALL UINT32_MAX /* the most that jitter can be */

static void waits_double_to_half_a_minute(void **state)
{
	static const uint64_t most_ms[] = { 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
	struct pm_redial r;

	(void)state;
	pm_redial_init(&r, 1);
	for (size_t i = 0; i < PM_COUNT(most_ms); i++)
		assert_int_equal(pm_redial_failed(&r, ALL).wait_ms, most_ms[i]);
	for (unsigned i = 0; i < 100000; i++) /* and stay there */
		(void)pm_redial_failed(&r, ALL);
	assert_int_equal(pm_redial_failed(&r, ALL).wait_ms, 30000);
}

static void the_jitter_is_full_and_even(void **state)
{
	struct pm_redial r;
	uint64_t sum = 0;

	(void)state;
	for (unsigned i = 0; i < 1024; i++) {
		pm_redial_init(&r, 1);
		sum += pm_redial_failed(&r, i << 22).wait_ms;
	}
	assert_in_range(sum / 1024, 245, 255);
	pm_redial_init(&r, 1);
	assert_int_equal(pm_redial_failed(&r, 0).wait_ms, 0);
}

static void every_address_is_tried_before_the_wait(void **state)
{
	struct pm_redial r;
	struct pm_redial_step s;

	(void)state;
	pm_redial_init(&r, 3);
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 1; i < 3; i++) {
			s = pm_redial_failed(&r, ALL);
			assert_int_equal(s.address, i);
			assert_int_equal(s.wait_ms, 0);
		}
		s = pm_redial_failed(&r, ALL);
		assert_int_equal(s.address, 0);
		assert_int_equal(s.wait_ms, 500u << round);
	}
}

static void a_healthy_session_forgives_what_was_before(void **state)
{
	static const struct {
		uint64_t up_ms, wait_ms;
	} cases[] = { { 0, 4000 }, { 59999, 4000 }, { 60000, 500 }, { 86400000, 500 } };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct pm_redial r;
		struct pm_redial_step s;

		pm_redial_init(&r, 2);
		for (unsigned k = 0; k < 7; k++)
			(void)pm_redial_failed(&r, 0);
		pm_redial_up(&r, 1000);
		s = pm_redial_down(&r, 1000 + cases[i].up_ms, 0, ALL);
		assert_int_equal(s.wait_ms, cases[i].wait_ms);
		assert_int_equal(s.address, 1); /* the one that worked */
	}
}

/* A peer that lets everybody in and throws them out at once meets growing waits all the same. */
static void short_sessions_are_failures(void **state)
{
	struct pm_redial r;
	uint64_t now = 1, last = 0;

	(void)state;
	pm_redial_init(&r, 1);
	for (unsigned i = 0; i < 7; i++) {
		struct pm_redial_step s;

		pm_redial_up(&r, now);
		s = pm_redial_down(&r, now + 10, 0, ALL);
		assert_true(s.wait_ms > last);
		last = s.wait_ms;
		now += 10 + s.wait_ms;
	}
	assert_int_equal(last, 30000);
}

static void a_goodbye_sends_away_for_so_long_and_spreads_the_return(void **state)
{
	static const struct {
		uint32_t told, random;
		uint64_t wait_ms;
	} cases[] = {
		{ 10000, 0, 10000 },   { 10000, ALL, 12500 },       { 100, ALL, 600 },
		{ 600000, 0, 600000 }, { UINT32_MAX, ALL, 750000 }, { 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct pm_redial r;

		pm_redial_init(&r, 1);
		pm_redial_up(&r, 5);
		assert_int_equal(pm_redial_down(&r, 70000, cases[i].told, cases[i].random).wait_ms,
		                 cases[i].wait_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_double_to_half_a_minute),
		cmocka_unit_test(the_jitter_is_full_and_even),
		cmocka_unit_test(every_address_is_tried_before_the_wait),
		cmocka_unit_test(a_healthy_session_forgives_what_was_before),
		cmocka_unit_test(short_sessions_are_failures),
		cmocka_unit_test(a_goodbye_sends_away_for_so_long_and_spreads_the_return),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
