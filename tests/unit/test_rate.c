#include "tests/unit/unit.h"

#include "agent/rate.h"

#define HOUR_MS 3600000u

static void no_hour_sees_more_than_all_of_it(void **state)
{
	(void)state;
	for (uint32_t per_hour = 2; per_hour < 200; per_hour += 7) {
		struct rate r = { 0 };
		uint64_t taken[4000];
		size_t n = 0;

		for (uint64_t now = 5; now < 4 * (uint64_t)HOUR_MS && n < PM_COUNT(taken);
		     now += 9000)
			if (rate_take(&r, per_hour, now))
				taken[n++] = now;
		for (size_t i = 0; i + per_hour < n; i++)
			assert_true(taken[i + per_hour] - taken[i] >= HOUR_MS);
		assert_true(n >= 2 * per_hour); /* half at once, and half of it each hour */
	}
}

static void it_says_how_long_to_wait(void **state)
{
	struct rate r = { 0 };
	uint64_t now = 1000, wait;

	(void)state;
	assert_int_equal(rate_wait_ms(&r, 4, now), 0);
	assert_true(rate_take(&r, 4, now));
	assert_true(rate_take(&r, 4, now));
	assert_false(rate_take(&r, 4, now));
	wait = rate_wait_ms(&r, 4, now);
	assert_int_equal(wait, HOUR_MS / 2);
	assert_false(rate_take(&r, 4, now + wait - 1));
	assert_true(rate_take(&r, 4, now + wait));
	assert_false(rate_take(&r, 0, now + 100 * (uint64_t)HOUR_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_hour_sees_more_than_all_of_it),
		cmocka_unit_test(it_says_how_long_to_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
