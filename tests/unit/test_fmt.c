/* Durations, instants and signals as text; and the nearest word. */
#include "unit.h"

#include <signal.h>

#include "cli/fmt.h"
#include "proto/nearest.h"

static void durations_have_two_units(void **state)
{
	static const struct {
		uint64_t ms;
		const char *want;
	} cases[] = {
		{ 0, "0ms" },      { 999, "999ms" },      { 1000, "1s" },
		{ 1500, "1.5s" },  { 60000, "1m" },       { 200000, "3m 20s" },
		{ 3600000, "1h" }, { 5400000, "1h 30m" }, { 187200000, "2d 4h" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		char out[FMT_MAX];

		fmt_duration(cases[i].ms, out);
		assert_string_equal(out, cases[i].want);
	}
}

static void instants_are_utc_with_milliseconds(void **state)
{
	char out[FMT_MAX];

	(void)state;
	fmt_iso(1795397576899, out);
	assert_string_equal(out, "2026-11-23T01:32:56.899Z");
	fmt_iso(-1, out);
	assert_string_equal(out, "1969-12-31T23:59:59.999Z");
}

static void signals_are_known_by_name_and_number(void **state)
{
	char out[FMT_MAX];

	(void)state;
	fmt_signal(SIGKILL, out);
	assert_string_equal(out, "SIGKILL");
	fmt_signal(200, out);
	assert_string_equal(out, "signal 200");
	assert_int_equal(fmt_parse_signal("SIGUSR2"), SIGUSR2);
	assert_int_equal(fmt_parse_signal("usr2"), SIGUSR2);
	assert_int_equal(fmt_parse_signal("9"), SIGKILL);
	assert_int_equal(fmt_parse_signal("SIGFOO"), 0);
	assert_int_equal(fmt_parse_signal("0"), 0);
	assert_int_equal(fmt_parse_signal("9x"), 0);
	assert_int_equal(fmt_parse_signal(""), 0);
}

static void the_nearest_word_is_at_most_two_slips_away(void **state)
{
	static const struct {
		const char *typed, *want; /* NULL: none */
	} cases[] = {
		{ "strat", "start" }, { "stat", "start" },      { "restatr", "restart" },
		{ "lst", "list" },    { "lsi", NULL },          { "descibre", "describe" },
		{ "xyz", NULL },      { "deleteme", "delete" }, { "delete me", NULL },
	};
	static const char *const words[] = { "start", "restart", "list", "describe", "delete" };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct nearest n;

		nearest_init(&n, cases[i].typed);
		for (size_t w = 0; w < PM_COUNT(words); w++)
			nearest_offer(&n, words[w]);
		assert_int_equal(nearest_found(&n), cases[i].want != NULL);
		if (cases[i].want != NULL)
			assert_string_equal(n.best, cases[i].want);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_have_two_units),
		cmocka_unit_test(instants_are_utc_with_milliseconds),
		cmocka_unit_test(signals_are_known_by_name_and_number),
		cmocka_unit_test(the_nearest_word_is_at_most_two_slips_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
