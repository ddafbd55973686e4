#include "tests/unit/unit.h"

#include <stdio.h>

#include "proto/units.h"

#define BAD UINT64_MAX

static void sizes_count_in_1024(void **state)
{
	static const struct {
		const char *text;
		uint64_t want;
	} rows[] = {
		{ "0", 0 },
		{ "1000", 1000 },
		{ "300M", 300ull << 20 },
		{ "1G", 1ull << 30 },
		{ "512K", 512ull << 10 },
		{ "10MB", 10ull << 20 },
		{ "64kib", 64ull << 10 },
		{ "1.5g", 3ull << 29 },
		{ " 2 m ", 2ull << 20 },
		{ "1b", 1 },
		{ "16777215T", 16777215ull << 40 },
		{ "16777216T", BAD },
		{ "18446744073709551616", BAD },
		{ "", BAD },
		{ "M", BAD },
		{ "-1", BAD },
		{ "+1", BAD },
		{ "1x", BAD },
		{ "1.M", BAD },
		{ ".5M", BAD },
		{ "1 M x", BAD },
		{ "1e3", BAD },
		{ "0x10", BAD },
		{ "1MMMMMMMMMMMM", BAD },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		uint64_t out = BAD;

		if (pm_parse_size(rows[i].text, &out) != (rows[i].want != BAD) ||
		    out != rows[i].want)
			fail_msg("'%s': %llu", rows[i].text, (unsigned long long)out);
	}
}

static void durations_are_in_ms_unless_they_say_otherwise(void **state)
{
	static const struct {
		const char *text;
		uint64_t unit_ms, want;
	} rows[] = {
		{ "1500", 1, 1500 },    { "10", 1000, 10000 },
		{ "500ms", 1000, 500 }, { "10s", 1, 10000 },
		{ "30m", 1, 1800000 },  { "1h", 1, 3600000 },
		{ "1d", 1, 86400000 },  { "1.5m", 1, 90000 },
		{ "0", 1, 0 },          { "0.0004s", 1, 0 },
		{ "1H", 1, 3600000 },   { "h", 1, BAD },
		{ "1 week", 1, BAD },   { "-1s", 1, BAD },
		{ "", 1, BAD },         { "99999999999999999d", 1, BAD },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		uint64_t out = BAD;

		if (pm_parse_duration(rows[i].text, rows[i].unit_ms, &out) !=
		            (rows[i].want != BAD) ||
		    out != rows[i].want)
			fail_msg("'%s': %llu", rows[i].text, (unsigned long long)out);
	}
}

static void integers_are_whole_texts(void **state)
{
	int64_t out = 7;

	(void)state;
	assert_true(pm_parse_int(" -12 ", &out));
	assert_int_equal(out, -12);
	assert_true(pm_parse_int("9223372036854775807", &out));
	assert_true(out == INT64_MAX);
	out = 7;
	assert_false(pm_parse_int("9223372036854775808", &out));
	assert_false(pm_parse_int("", &out));
	assert_false(pm_parse_int("1a", &out));
	assert_false(pm_parse_int("1 2", &out));
	assert_false(pm_parse_int("0x1", &out));
	assert_int_equal(out, 7);
}

static void uptime_takes_the_next_unit_from_two_on(void **state)
{
	static const struct {
		uint64_t seconds;
		const char *want;
	} rows[] = {
		{ 0, "0s" },
		{ 70, "70s" },
		{ 119, "119s" },
		{ 120, "2m" },
		{ 660, "11m" },
		{ 7199, "119m" },
		{ 7200, "2h" },
		{ 172799, "47h" },
		{ 172800, "2D" },
		{ 259200, "3D" },
		{ 60 * 86400 - 1, "59D" },
		{ 60 * 86400, "2M" },
		{ 730 * 86400 - 1, "24M" },
		{ 730 * 86400, "2Y" },
	};
	char text[PM_UPTIME_TEXT];

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		pm_uptime_text(rows[i].seconds * 1000 + 999, text);
		assert_string_equal(text, rows[i].want);
	}
	pm_uptime_text(UINT64_MAX, text);
	assert_string_equal(text, "584942417Y");
}

static void bytes_have_one_decimal(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *want;
	} rows[] = {
		{ 0, "0b" },
		{ 1023, "1023b" },
		{ 1024, "1.0kb" },
		{ 1536, "1.5kb" },
		{ 53896806, "51.4mb" },
		{ 1ull << 30, "1.0gb" },
		{ 1ull << 40, "1.0tb" },
		{ 5000ull << 40, "5000.0tb" },
		{ UINT64_MAX, "16777216.0tb" },
	};
	char text[PM_BYTES_TEXT];

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		pm_bytes_text(rows[i].bytes, text);
		assert_string_equal(text, rows[i].want);
	}
}

static void numbers_look_as_in_javascript(void **state)
{
	static const struct {
		double number;
		const char *want;
	} rows[] = {
		{ 0, "0" },
		{ -0.0, "0" },
		{ 1.5, "1.5" },
		{ 0.1, "0.1" },
		{ -3, "-3" },
		{ 1e20, "100000000000000000000" },
		{ 1e21, "1e+21" },
		{ 1e-6, "0.000001" },
		{ 1e-7, "1e-7" },
		{ 1.25e-7, "1.25e-7" },
		{ 0.00015, "0.00015" },
		{ 123456789.125, "123456789.125" },
	};
	char text[PM_NUMBER_TEXT];

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		pm_number_text(rows[i].number, text);
		assert_string_equal(text, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_count_in_1024),
		cmocka_unit_test(durations_are_in_ms_unless_they_say_otherwise),
		cmocka_unit_test(integers_are_whole_texts),
		cmocka_unit_test(uptime_takes_the_next_unit_from_two_on),
		cmocka_unit_test(bytes_have_one_decimal),
		cmocka_unit_test(numbers_look_as_in_javascript),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
