#include "tests/unit/unit.h"

#include "proto/buf.h"
#include "proto/width.h"

static void columns_of_characters(void **state)
{
	static const struct {
		uint32_t cp;
		int want;
	} rows[] = {
		{ 'a', 1 },     { 0xFC, 1 },    { 0x300, 0 },    { 0x36F, 0 },   { 0x370, 1 },
		{ 0x1100, 2 },  { 0x1160, 0 },  { 0x200B, 0 },   { 0x200D, 0 },  { 0x2013, 1 },
		{ 0x2026, 1 },  { 0x2500, 1 },  { 0x2714, 1 },   { 0x3000, 2 },  { 0x3042, 2 },
		{ 0x4E00, 2 },  { 0x9FFF, 2 },  { 0xAC00, 2 },   { 0xD7A3, 2 },  { 0xFE0F, 0 },
		{ 0xFF01, 2 },  { 0xFF61, 1 },  { 0xFFFD, 1 },   { 0x1F600, 2 }, { 0x1F1E6, 1 },
		{ 0x20000, 2 }, { 0xE0100, 0 }, { 0x10FFFF, 1 },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++)
		if (pm_char_width(rows[i].cp) != rows[i].want)
			fail_msg("U+%04X: %d", rows[i].cp, pm_char_width(rows[i].cp));
}

static void columns_of_text(void **state)
{
	(void)state;
	assert_int_equal(pm_text_width("", 0), 0);
	assert_int_equal(pm_text_width("abc", 3), 3);
	assert_int_equal(pm_text_width("e\xCC\x81t\xC3\xA9", 6), 3);
	assert_int_equal(pm_text_width("\xE6\x97\xA5\xE6\x9C\xAC", 6), 4);
	assert_int_equal(pm_text_width("a\xFF\xE2\x82", 4), 3);
}

static void text_is_cut_in_the_middle(void **state)
{
	static const struct {
		const char *in;
		size_t width;
		bool ascii;
		const char *want;
	} rows[] = {
		{ "abcdef", 6, false, "abcdef" },
		{ "abcdefgh", 5, false, "ab\xE2\x80\xA6gh" },
		{ "abcdefgh", 6, false, "abc\xE2\x80\xA6gh" },
		{ "abcdefgh", 5, true, "ab..h" },
		{ "abcdefgh", 6, true, "ab..gh" },
		{ "abcdefgh", 2, false, "a\xE2\x80\xA6" },
		{ "abcdefgh", 1, false, "\xE2\x80\xA6" },
		{ "abcdefgh", 2, true, ".." },
		{ "abcdefgh", 1, true, "." },
		{ "abcdefgh", 0, false, "" },
		{ "", 0, false, "" },
		/* a wide character that does not fit leaves a column free */
		{ "\xE6\x97\xA5\xE6\x9C\xAC\xE6\x97\xA5\xE6\x9C\xAC", 5, false,
		  "\xE6\x97\xA5\xE2\x80\xA6\xE6\x9C\xAC" },
		{ "\xE6\x97\xA5\xE6\x9C\xAC\xE6\x97\xA5", 3, false, "\xE2\x80\xA6" },
		/* combining marks stay with their letter */
		{ "e\xCC\x81"
		  "bcdefe\xCC\x81",
		  3, false,
		  "e\xCC\x81\xE2\x80\xA6"
		  "e\xCC\x81" },
		{ "abcde\xCC\x81g", 3, false, "a\xE2\x80\xA6g" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		PM_BUF out = { 0 };

		pm_text_fit(rows[i].in, strlen(rows[i].in), rows[i].width, rows[i].ascii, &out);
		assert_string_equal(out.bytes == NULL ? "" : out.bytes, rows[i].want);
		assert_true(pm_text_width(out.bytes == NULL ? "" : out.bytes, out.len) <=
		            rows[i].width);
	}
}

static void whatever_comes_in_the_result_fits(void **state)
{
	char text[40];

	(void)state;
	srand(3);
	for (int round = 0; round < 20000; round++) {
		static const char *const pieces[] = { "a",       "\xE6\x97\xA5", "\xCC\x81",
			                              "\xFF",    "\xC3\xA9",     "\xF0\x9F\x98\x80",
			                              "\xE2\x82" };
		const size_t width = (size_t)rand() % 12;
		PM_BUF out = { 0 };
		size_t len = 0;

		while (len < 30) {
			const char *piece = pieces[(size_t)rand() % PM_COUNT(pieces)];

			memcpy(text + len, piece, strlen(piece));
			len += strlen(piece);
		}
		pm_text_fit(text, len, width, (round & 1) != 0, &out);
		assert_true(pm_text_width(out.bytes == NULL ? "" : out.bytes, out.len) <= width);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_of_characters),
		cmocka_unit_test(columns_of_text),
		cmocka_unit_test(text_is_cut_in_the_middle),
		cmocka_unit_test(whatever_comes_in_the_result_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
