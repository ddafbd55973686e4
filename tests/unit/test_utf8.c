#include "tests/unit/unit.h"

#include "proto/utf8.h"

static void every_character_survives_writing_and_reading(void **state)
{
	(void)state;
	for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
		char text[4];
		uint32_t back = 0;
		const size_t len = pm_utf8_put(text, cp);

		if (cp >= 0xD800 && cp <= 0xDFFF) {
			assert_true(pm_utf8_next(text, len, &back) < 0);
			continue;
		}
		assert_int_equal(pm_utf8_next(text, len, &back), (int)len);
		assert_int_equal(back, cp);
		for (size_t cut = 1; cut < len; cut++) {
			assert_int_equal(pm_utf8_next(text, cut, &back), -(int)cut);
			assert_int_equal(pm_utf8_whole(text, cut), 0);
		}
		assert_int_equal(pm_utf8_whole(text, len), len);
	}
}

static void what_is_invalid_is_one_maximal_part(void **state)
{
	static const struct {
		const char *text;
		int want;
	} rows[] = {
		{ "\x80", -1 },         { "\xC0\x80", -1 },      { "\xC1\xBF", -1 },
		{ "\xE0\x80\x80", -1 }, { "\xE0\xA0x", -2 },     { "\xED\xA0\x80", -1 },
		{ "\xF0\x80\x80", -1 }, { "\xF0\x90\x80x", -3 }, { "\xF4\x90\x80\x80", -1 },
		{ "\xF5\x80", -1 },     { "\xFF", -1 },          { "\xC3x", -1 },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		uint32_t cp;

		assert_int_equal(pm_utf8_next(rows[i].text, strlen(rows[i].text), &cp),
		                 rows[i].want);
	}
}

static void only_a_cut_sequence_is_left_for_later(void **state)
{
	static const struct {
		const char *text;
		size_t want;
	} rows[] = {
		{ "", 0 },           { "abc", 3 },
		{ "ab\xC3", 2 },     { "ab\xC3\xA9", 4 },
		{ "ab\xE2\x82", 2 }, { "ab\xF0\x9F\x98", 2 },
		{ "ab\xFF", 3 },     { "ab\x80\x80\x80\x80", 6 },
		{ "ab\xED\xA0", 4 }, { "ab\xC3\xA9\x80", 5 },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++)
		assert_int_equal(pm_utf8_whole(rows[i].text, strlen(rows[i].text)), rows[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_character_survives_writing_and_reading),
		cmocka_unit_test(what_is_invalid_is_one_maximal_part),
		cmocka_unit_test(only_a_cut_sequence_is_left_for_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
