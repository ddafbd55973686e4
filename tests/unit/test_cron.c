#include "tests/unit/unit.h"

#include <time.h>

#include "agent/tz.h"
#include "proto/cron.h"
#include "tests/unit/golden_cron.h"

static const int32_t no_offset;
static const struct cron_zone utc = { cron_fixed_span, &no_offset };

/* "2024-02-29 12:00:00" as UTC. */
static int64_t at(const char *text)
{
	struct tm tm = { 0 };

	assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
	return (int64_t)timegm(&tm);
}

static struct cron parsed(const char *text)
{
	struct pm_error err;
	struct cron c;

	if (cron_parse(text, &c, &err) < 0)
		fail_msg("%s: %s", text, err.what);
	return c;
}

static void next_times_in_utc(void **state)
{
	static const struct {
		const char *expression, *after, *want;
	} rows[] = {
		{ "* * * * *", "2024-01-01 00:00:00", "2024-01-01 00:01:00" },
		{ "* * * * * *", "2024-01-01 00:00:00", "2024-01-01 00:00:01" },
		{ "*/15 * * * *", "2024-01-01 00:44:59", "2024-01-01 00:45:00" },
		{ "*/15 * * * *", "2024-01-01 00:45:00", "2024-01-01 01:00:00" },
		{ "5/15 * * * *", "2024-01-01 00:05:00", "2024-01-01 00:20:00" },
		{ "10-20/5 8-9 * * *", "2024-01-01 08:20:00", "2024-01-01 09:10:00" },
		{ "0 0 1 1 *", "2024-01-01 00:00:00", "2025-01-01 00:00:00" },
		{ "0 0 1 jan,JUL ?", "2024-01-01 00:00:00", "2024-07-01 00:00:00" },
		{ "0 9 * * mon-fri", "2024-01-05 09:00:00", "2024-01-08 09:00:00" },
		{ "0 9 * * 7", "2024-01-01 00:00:00", "2024-01-07 09:00:00" },
		{ "0 9 * * 0", "2024-01-01 00:00:00", "2024-01-07 09:00:00" },
		{ "0 9 * * sat-sun", "2024-01-06 09:00:00", "2024-01-07 09:00:00" },
		{ "0 9 * * 5-7", "2024-01-06 09:00:00", "2024-01-07 09:00:00" },
		{ "0 0 29 2 *", "2024-02-29 00:00:00", "2028-02-29 00:00:00" },
		{ "0 0 29 2 *", "2096-03-01 00:00:00", "2104-02-29 00:00:00" },
		{ "0 0 31 * *", "2024-01-31 00:00:00", "2024-03-31 00:00:00" },
		{ "0 0 L * *", "2024-01-31 00:00:00", "2024-02-29 00:00:00" },
		{ "0 0 15,L * *", "2023-02-15 00:00:00", "2023-02-28 00:00:00" },
		{ "0 0 * * fri#2", "2024-01-01 00:00:00", "2024-01-12 00:00:00" },
		{ "0 0 * * 5L", "2024-01-01 00:00:00", "2024-01-26 00:00:00" },
		{ "0 0 * * 5L", "2024-05-01 00:00:00", "2024-05-31 00:00:00" },
		{ "0 0 * 2 5#5", "2024-01-01 00:00:00", "2036-02-29 00:00:00" },
		/* crontab(5): both days restricted, either will do */
		{ "0 0 13 * 5", "2024-01-01 00:00:00", "2024-01-05 00:00:00" },
		{ "0 0 13 * 5", "2024-01-12 00:00:00", "2024-01-13 00:00:00" },
		{ "0 0 */2 * 1", "2024-01-01 00:00:00", "2024-01-15 00:00:00" },
		{ "59 59 23 31 12 *", "2024-01-01 00:00:00", "2024-12-31 23:59:59" },
		{ "0 0 0 1 1 *", "2024-12-31 23:59:59", "2025-01-01 00:00:00" },
		{ "30 10 5 * * *", "2024-01-01 05:10:29", "2024-01-01 05:10:30" },
		{ "30 10 5 * * *", "2024-01-01 05:10:30", "2024-01-02 05:10:30" },
		{ "30 10,50 5,7 * * *", "2024-01-01 05:50:30", "2024-01-01 07:10:30" },
		{ "30 10,50 5,7 * * *", "2024-01-01 05:20:00", "2024-01-01 05:50:30" },
		{ "@hourly", "2024-01-01 00:00:00", "2024-01-01 01:00:00" },
		{ "@daily", "2024-01-01 00:00:00", "2024-01-02 00:00:00" },
		{ "@Weekly", "2024-01-01 00:00:00", "2024-01-07 00:00:00" },
		{ "@monthly", "2024-01-01 00:00:00", "2024-02-01 00:00:00" },
		{ " @yearly", "2024-01-01 00:00:00", "2025-01-01 00:00:00" },
		{ "  0\t0 * *  * ", "2024-01-01 00:00:00", "2024-01-02 00:00:00" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		const struct cron c = parsed(rows[i].expression);
		const int64_t got = cron_next(&c, &utc, at(rows[i].after));

		if (got != at(rows[i].want))
			fail_msg("%s after %s: %lld, not %s", rows[i].expression, rows[i].after,
			         (long long)got, rows[i].want);
	}
}

static void bad_expressions_name_the_field_and_what_was_expected(void **state)
{
	static const struct {
		const char *expression, *want;
	} rows[] = {
		{ "", "expected 5 fields" },
		{ "* * * *", "not 4" },
		{ "* * * * * * *", "not 7" },
		{ "* * * * * * * * * *", "not 10" },
		{ "60 * * * *", "minute: expected 0-59, not '60'" },
		{ "* 24 * * *", "hour: expected 0-23, not '24'" },
		{ "* * 0 * *", "day of month: expected 1-31, not '0'" },
		{ "* * 32 * *", "day of month: expected 1-31" },
		{ "* * * 13 *", "month: expected 1-12 or jan-dec, not '13'" },
		{ "* * * foo *", "month: expected 1-12 or jan-dec, not 'foo'" },
		{ "* * * * 8", "day of week: expected 0-7 or sun-sat, not '8'" },
		{ "* * * * mo", "day of week: expected 0-7 or sun-sat" },
		{ "* * * * monday", "day of week: expected 0-7 or sun-sat" },
		{ "jan * * * *", "minute: expected 0-59, not 'jan'" },
		{ "60 * * * * *", "second: expected 0-59" },
		{ "5-1 * * * *", "minute: expected a range that goes upwards, not '1'" },
		{ "*/0 * * * *", "minute: expected a step of 1-59 after '/', not '0'" },
		{ "*/60 * * * *", "minute: expected a step of 1-59" },
		{ "*/ * * * *", "minute: expected a step" },
		{ "1, * * * *", "minute: expected 0-59 at the end" },
		{ ",1 * * * *", "minute: expected 0-59, not ',1'" },
		{ "1- * * * *", "minute: expected 0-59 at the end" },
		{ "1-2-3 * * * *", "minute: expected ',' or the next field, not '-3'" },
		{ "-1 * * * *", "minute: expected 0-59, not '-1'" },
		{ "1.5 * * * *", "minute: expected ',' or the next field, not '.5'" },
		{ "99999999999 * * * *", "minute: expected 0-59" },
		{ "* L * * *", "hour: expected 0-23, not 'L'" },
		{ "* 5L * * *", "hour: expected ',' or the next field, not 'L'" },
		{ "* * * * 5#6", "day of week: expected 1-5 after '#'" },
		{ "* * * * 5#", "day of week: expected 1-5 after '#' at the end" },
		{ "0 0 30 2 *", "no month given has such a day" },
		{ "0 0 31 4,6,9,11 *", "no month given has such a day" },
		{ "@reboot", "expected @hourly" },
		{ "@", "expected @hourly" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct cron c = { .seconds = 42 };
		struct pm_error err;

		if (cron_parse(rows[i].expression, &c, &err) == 0)
			fail_msg("accepted: %s", rows[i].expression);
		if (strstr(err.what, rows[i].want) == NULL)
			fail_msg("%s: %s", rows[i].expression, err.what);
		assert_int_equal(err.code, PM_CONFIG);
		assert_int_equal(c.seconds, 42);
	}
}

static void an_overlong_expression_is_refused(void **state)
{
	char text[CRON_TEXT_MAX + 2];
	struct pm_error err;
	struct cron c;

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "* * * * *", 9);
	text[CRON_TEXT_MAX] = '\0';
	assert_int_equal(cron_parse(text, &c, &err), 0);
	text[CRON_TEXT_MAX] = ' ';
	text[CRON_TEXT_MAX + 1] = '\0';
	assert_int_equal(cron_parse(text, &c, &err), -1);
}

static struct tz *golden_tz(const char *name)
{
	struct pm_error err;
	struct tz *tz = NULL;

	for (size_t i = 0; i < PM_COUNT(golden_zones); i++)
		if (strcmp(golden_zones[i].name, name) == 0 &&
		    tz_parse(golden_zones[i].tzif, golden_zones[i].len, &tz, &err) < 0)
			fail_msg("%s: %s", name, err.what);
	assert_non_null(tz);
	return tz;
}

static void x36_berlin_skips_and_repeats_an_hour(void **state)
{
	static const struct {
		const char *expression, *after, *want;
	} rows[] = {
		/* 31 March 2024, 02:00 becomes 03:00 at 01:00 UTC */
		{ "30 2 * * *", "2024-03-30 12:00:00", "2024-03-31 01:00:00" },
		{ "*/10 2 * * *", "2024-03-30 12:00:00", "2024-03-31 01:00:00" },
		{ "*/10 2 * * *", "2024-03-31 01:00:00", "2024-04-01 00:00:00" },
		{ "0 2,3 * * *", "2024-03-31 00:00:00", "2024-03-31 01:00:00" },
		{ "0 2,3 * * *", "2024-03-31 01:00:00", "2024-04-01 00:00:00" },
		{ "30 * * * *", "2024-03-31 00:30:00", "2024-03-31 01:30:00" },
		{ "30 4 * * *", "2024-03-30 12:00:00", "2024-03-31 02:30:00" },
		/* 27 October 2024, 03:00 becomes 02:00 at 01:00 UTC */
		{ "30 2 * * *", "2024-10-26 12:00:00", "2024-10-27 00:30:00" },
		{ "30 2 * * *", "2024-10-27 00:30:00", "2024-10-28 01:30:00" },
		{ "0 3 * * *", "2024-10-26 12:00:00", "2024-10-27 02:00:00" },
		{ "30 * * * *", "2024-10-27 00:30:00", "2024-10-27 01:30:00" },
		/* asked in the middle of the repeated hour */
		{ "45 2 * * *", "2024-10-27 01:10:00", "2024-10-28 01:45:00" },
	};
	struct tz *tz = golden_tz("Europe/Berlin");
	const struct cron_zone zone = tz_zone(tz);

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		const struct cron c = parsed(rows[i].expression);

		if (cron_next(&c, &zone, at(rows[i].after)) != at(rows[i].want))
			fail_msg("%s after %s", rows[i].expression, rows[i].after);
	}
	tz_destroy(tz);
}

static void check_golden(const struct golden_zone *g, size_t e)
{
	const struct cron c = parsed(golden_expressions[e]);
	struct tz *tz = golden_tz(g->name);
	const struct cron_zone zone = tz_zone(tz);
	uint64_t fnv = UINT64_C(0xcbf29ce484222325);
	int64_t t = GOLDEN_FROM_S - 1;
	int n = 0;

	for (;;) {
		const int64_t next = cron_next(&c, &zone, t);

		assert_true(next > t);
		if (next >= golden_until_s[e])
			break;
		fnv = (fnv ^ (uint64_t)next) * UINT64_C(0x100000001b3);
		t = next;
		n++;
	}
	tz_destroy(tz);
	if (n != g->runs[e].n || fnv != g->runs[e].fnv)
		fail_msg("%s in %s: %d times, not %d", golden_expressions[e], g->name, n,
		         g->runs[e].n);
}

static void x36_twenty_one_years_in_many_zones(void **state)
{
	(void)state;
	assert_true(PM_COUNT(golden_zones) >= 20);
	for (size_t i = 0; i < PM_COUNT(golden_zones); i++)
		for (size_t e = 0; e < PM_COUNT(golden_expressions); e++)
			check_golden(&golden_zones[i], e);
}

/* A zone that claims nonsense must not hang us. */
static void backwards_span(const void *arg, int64_t utc_s, struct cron_span *out)
{
	(void)arg;
	*out = (struct cron_span){ utc_s - 10, utc_s - 5, 0 };
}

static void a_broken_zone_and_a_far_future_end(void **state)
{
	const struct cron_zone broken = { backwards_span, NULL };
	const struct cron c = parsed("0 0 29 2 *");

	(void)state;
	assert_int_equal(cron_next(&c, &broken, 1000000), -1);
	assert_int_equal(cron_next(&c, &utc, INT64_MAX), -1);
	assert_true(cron_next(&c, &utc, INT64_MIN) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(next_times_in_utc),
		cmocka_unit_test(bad_expressions_name_the_field_and_what_was_expected),
		cmocka_unit_test(an_overlong_expression_is_refused),
		cmocka_unit_test(x36_berlin_skips_and_repeats_an_hour),
		cmocka_unit_test(x36_twenty_one_years_in_many_zones),
		cmocka_unit_test(a_broken_zone_and_a_far_future_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
