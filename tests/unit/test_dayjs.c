#include "tests/unit/unit.h"

#include "proto/dayjs.h"

/* Friday the 3rd of July 2026, 09:05:07.042, one and a half hours west of UTC. */
static const struct tm friday = { .tm_year = 126,
	                          .tm_mon = 6,
	                          .tm_mday = 3,
	                          .tm_hour = 9,
	                          .tm_min = 5,
	                          .tm_sec = 7,
	                          .tm_wday = 5,
	                          .tm_gmtoff = -5400 };

static void formats_are_those_of_day_js(void **state)
{
	static const struct {
		const char *format, *want;
	} cases[] = {
		{ "YYYY-MM-DDTHH:mm:ss", "2026-07-03T09:05:07" },
		{ "YYYY-MM-DD HH:mm:ss.SSS Z", "2026-07-03 09:05:07.042 -01:30" },
		{ "YY/M/D h:m:s a", "26/7/3 9:5:7 am" },
		{ "dddd ddd dd d MMMM MMM", "Friday Fri Fr 5 July Jul" },
		{ "hh A ZZ", "09 AM -0130" },
		{ "[at] HH[h]", "at 09h" },
		{ "Y YYY SS [] [x", "Y YYY SS [] [x" },
		{ "", "" },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		assert_int_equal(pm_dayjs_tm(cases[i].format, &friday, 42, out, sizeof(out)),
		                 strlen(cases[i].want));
		assert_string_equal(out, cases[i].want);
	}
}

static void midnight_and_noon_are_twelve(void **state)
{
	struct tm tm = friday;
	char out[16];

	(void)state;
	tm.tm_hour = 0;
	(void)pm_dayjs_tm("h A", &tm, 0, out, sizeof(out));
	assert_string_equal(out, "12 AM");
	tm.tm_hour = 12;
	(void)pm_dayjs_tm("h A", &tm, 0, out, sizeof(out));
	assert_string_equal(out, "12 PM");
}

static void what_does_not_fit_is_nothing(void **state)
{
	char out[8];

	(void)state;
	assert_int_equal(pm_dayjs_tm("HH:mm", &friday, 0, out, 5), 0);
	assert_string_equal(out, "");
	assert_int_equal(pm_dayjs_tm("HH:mm", &friday, 0, out, 6), 5);
	assert_int_equal(pm_dayjs_tm("xxxxxxxxx", &friday, 0, out, sizeof(out)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_are_those_of_day_js),
		cmocka_unit_test(midnight_and_noon_are_twelve),
		cmocka_unit_test(what_does_not_fit_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
