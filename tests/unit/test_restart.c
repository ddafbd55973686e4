#include "tests/unit/unit.h"

#include "agent/restart.h"

static const struct restart_policy defaults = {
	.autorestart = true,
	.min_uptime_ms = 1000,
	.max_restarts = 16,
};

static struct restart_exit crash(uint64_t run_ms)
{
	return (struct restart_exit){ .known = true, .code = 1, .run_ms = run_ms };
}

static struct restart_step after(struct restart *r, const struct restart_policy *p, uint64_t run_ms)
{
	struct restart_exit e = crash(run_ms);

	return restart_on_exit(r, p, &e);
}

static void sixteen_short_runs_in_a_row_give_up(void **state)
{
	struct restart r = { 0 };
	struct restart_step step;

	(void)state;
	for (uint32_t i = 1; i <= 15; i++) {
		step = after(&r, &defaults, 999);
		assert_int_equal(step.verdict, RESTART_WAIT);
		assert_int_equal(step.delay_ms, 0);
		assert_int_equal(r.short_runs, i);
	}
	step = after(&r, &defaults, 0);
	assert_int_equal(step.verdict, RESTART_GIVE_UP);
	assert_int_equal(step.short_runs, 16);
	assert_int_equal(r.short_runs, 0);
}

static void a_good_run_clears_the_count(void **state)
{
	struct restart r = { .short_runs = 15 };

	(void)state;
	assert_int_equal(after(&r, &defaults, 1000).verdict, RESTART_WAIT);
	assert_int_equal(r.short_runs, 0);
	assert_int_equal(after(&r, &defaults, 999).verdict, RESTART_WAIT);
	assert_int_equal(r.short_runs, 1);
}

static void the_limit_is_exact_and_zero_means_the_default(void **state)
{
	static const struct {
		uint32_t max_restarts, short_before;
		uint64_t run_ms;
		enum restart_verdict want;
	} rows[] = {
		{ 1, 0, 999, RESTART_GIVE_UP },
		{ 1, 0, 1000, RESTART_WAIT },
		{ 2, 0, 0, RESTART_WAIT },
		{ 2, 1, 0, RESTART_GIVE_UP },
		{ 0, 14, 0, RESTART_WAIT },
		{ 0, 15, 0, RESTART_GIVE_UP },
		{ 0, 15, 5000, RESTART_WAIT },
		{ UINT32_MAX, 100, 0, RESTART_WAIT },
		{ 5, 90, 0, RESTART_GIVE_UP }, /* the limit was lowered meanwhile */
		{ UINT32_MAX, UINT32_MAX, 0, RESTART_GIVE_UP },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct restart r = { .short_runs = rows[i].short_before };
		struct restart_policy p = defaults;

		p.max_restarts = rows[i].max_restarts;
		assert_int_equal(after(&r, &p, rows[i].run_ms).verdict, rows[i].want);
	}
}

static void the_backoff_grows_by_half_to_its_cap(void **state)
{
	static const uint32_t want_ms[] = { 100,  150,  225,  337,  505,   757,   1135,  1702,
		                            2553, 3829, 5743, 8614, 12921, 15000, 15000, 15000 };
	struct restart_policy p = defaults;
	struct restart r = { 0 };

	(void)state;
	p.exp_backoff_ms = 100;
	p.max_restarts = 1000;
	p.restart_delay_ms = 700; /* the backoff wins */
	for (size_t i = 0; i < PM_COUNT(want_ms); i++)
		assert_int_equal(after(&r, &p, 10).delay_ms, want_ms[i]);
}

static void the_backoff_starts_anew_after_thirty_seconds_up(void **state)
{
	struct restart_policy p = defaults;
	struct restart r = { 0 };

	(void)state;
	p.exp_backoff_ms = 100;
	assert_int_equal(after(&r, &p, 10).delay_ms, 100);
	assert_int_equal(after(&r, &p, 30000).delay_ms, 150);
	assert_int_equal(after(&r, &p, 30001).delay_ms, 100);
	assert_int_equal(after(&r, &p, 10).delay_ms, 150);
	restart_on_stable(&r);
	assert_int_equal(after(&r, &p, 10).delay_ms, 100);
}

static void strange_backoffs_stay_within_bounds(void **state)
{
	struct restart_policy p = defaults;
	struct restart r = { 0 };

	(void)state;
	p.exp_backoff_ms = UINT32_MAX;
	assert_int_equal(after(&r, &p, 10).delay_ms, 15000);
	r.prev_delay_ms = UINT32_MAX; /* a damaged memory must not overflow */
	assert_int_equal(after(&r, &p, 10).delay_ms, 15000);
	p.exp_backoff_ms = 1; /* floor(1.5) is 1 for ever, as in PM2 */
	r.prev_delay_ms = 0;
	assert_int_equal(after(&r, &p, 10).delay_ms, 1);
	assert_int_equal(after(&r, &p, 10).delay_ms, 1);
}

static void a_fixed_delay_stays_fixed_and_still_gives_up(void **state)
{
	struct restart_policy p = defaults;
	struct restart r = { 0 };

	(void)state;
	p.restart_delay_ms = 700;
	p.max_restarts = 3;
	assert_int_equal(after(&r, &p, 10).delay_ms, 700);
	assert_int_equal(after(&r, &p, 10).delay_ms, 700);
	assert_int_equal(after(&r, &p, 10).verdict, RESTART_GIVE_UP);
}

static void without_autorestart_it_ends_stopped_whatever_the_delays(void **state)
{
	struct restart_policy p = defaults;
	struct restart r = { .short_runs = 15, .prev_delay_ms = 5 };

	(void)state;
	p.autorestart = false;
	p.restart_delay_ms = 100;
	p.exp_backoff_ms = 100;
	assert_int_equal(after(&r, &p, 0).verdict, RESTART_DOWN);
	assert_int_equal(r.short_runs, 15);
}

static void only_a_real_exit_code_can_be_a_stop_code(void **state)
{
	static const int32_t codes[] = { 0, 42 };
	static const struct {
		struct restart_exit exit;
		enum restart_verdict want;
	} rows[] = {
		{ { .known = true, .code = 0 }, RESTART_DOWN },
		{ { .known = true, .code = 42 }, RESTART_DOWN },
		{ { .known = true, .code = 1 }, RESTART_WAIT },
		{ { .known = true, .code = 0, .signal = 9 }, RESTART_WAIT },
		{ { .known = false, .code = 0 }, RESTART_WAIT },
	};
	struct restart_policy p = defaults;

	(void)state;
	p.stop_exit_codes = codes;
	p.n_stop_exit_codes = PM_COUNT(codes);
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct restart r = { 0 };

		assert_int_equal(restart_on_exit(&r, &p, &rows[i].exit).verdict, rows[i].want);
	}
}

static void an_order_clears_everything(void **state)
{
	struct restart r = { .short_runs = 9, .prev_delay_ms = 9 };

	(void)state;
	restart_clear(&r);
	assert_int_equal(r.short_runs, 0);
	assert_int_equal(r.prev_delay_ms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sixteen_short_runs_in_a_row_give_up),
		cmocka_unit_test(a_good_run_clears_the_count),
		cmocka_unit_test(the_limit_is_exact_and_zero_means_the_default),
		cmocka_unit_test(the_backoff_grows_by_half_to_its_cap),
		cmocka_unit_test(the_backoff_starts_anew_after_thirty_seconds_up),
		cmocka_unit_test(strange_backoffs_stay_within_bounds),
		cmocka_unit_test(a_fixed_delay_stays_fixed_and_still_gives_up),
		cmocka_unit_test(without_autorestart_it_ends_stopped_whatever_the_delays),
		cmocka_unit_test(only_a_real_exit_code_can_be_a_stop_code),
		cmocka_unit_test(an_order_clears_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
