#include "tests/unit/unit.h"

#include "proto/buf.h"
#include "proto/sanitize.h"

#define COLOURS  PM_SANITIZE_COLOURS
#define ONE_LINE PM_SANITIZE_ONE_LINE

static void s20_what_could_act_on_a_terminal_is_made_visible(void **state)
{
	static const struct {
		unsigned flags;
		const char *in, *want;
	} rows[] = {
		{ 0, "", "" },
		{ 0, "plain text\twith tab\n", "plain text\twith tab\n" },
		{ 0, "gr\xC3\xBC\xC3\x9F \xE6\x97\xA5 \xF0\x9F\x98\x80",
		  "gr\xC3\xBC\xC3\x9F \xE6\x97\xA5 \xF0\x9F\x98\x80" },
		{ ONE_LINE, "a\nb\tc\r\n", "a\\x0ab\\x09c\\x0d\\x0a" },
		{ 0, "a\r\nb\rc\r", "a\nb\\x0dc\\x0d" },
		{ 0, "\r\r\n", "\\x0d\n" },
		{ 0, "bell\a back\b del\x7f", "bell\\x07 back\\x08 del\\x7f" },
		{ 0, "\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H" },
		{ 0, "\x1b]52;c;aGk=\a", "\\x1b]52;c;aGk=\\x07" },
		{ 0, "\x1b[31mred", "\\x1b[31mred" },
		{ COLOURS, "\x1b[31mred", "\x1b[31mred\x1b[0m" },
		{ COLOURS, "\x1b[31mred\x1b[0m!", "\x1b[31mred\x1b[0m!" },
		{ COLOURS, "\x1b[1;38;5;8mx\x1b[m\n", "\x1b[1;38;5;8mx\x1b[m\n" },
		{ COLOURS, "\x1b[32ma\nb\n", "\x1b[32ma\x1b[0m\nb\n" },
		{ COLOURS, "\x1b[38;2;8;8;8;48;2;1;8;3mx", "\x1b[38;2;8;8;8;48;2;1;8;3mx\x1b[0m" },
		{ COLOURS, "\x1b[8mhidden", "\\x1b[8mhidden" },
		{ COLOURS, "\x1b[1;8mhidden", "\\x1b[1;8mhidden" },
		{ COLOURS, "\x1b[38;5;1;8mhidden", "\\x1b[38;5;1;8mhidden" },
		{ COLOURS, "\x1b[008mhidden", "\\x1b[008mhidden" },
		{ COLOURS, "\x1b[31", "\\x1b[31" },
		{ COLOURS, "\x1b[", "\\x1b[" },
		{ COLOURS, "\x1b[>4;2m", "\\x1b[>4;2m" },
		{ COLOURS, "\x1b[3 q", "\\x1b[3 q" },
		{ COLOURS, "\x1b[2K\x1b[1A", "\\x1b[2K\\x1b[1A" },
		{ COLOURS, "\x1b[4:3mx", "\\x1b[4:3mx" },
		{ COLOURS, "\x1b[99999999999mx", "\\x1b[99999999999mx" },
		{ COLOURS, "\x1b[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1mx",
		  "\\x1b[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1mx" },
		{ 0,
		  "c1 \xC2\x9B"
		  "2J raw \x9B",
		  "c1 \\u009b2J raw \\x9b" },
		{ 0,
		  "\xE2\x80\xAE"
		  "evil",
		  "\\u202eevil" },
		{ 0, "\xE2\x81\xA6\xD8\x9C\xE2\x80\xA8\xEF\xBB\xBF",
		  "\\u2066\\u061c\\u2028\\ufeff" },
		{ 0, "\xF3\xA0\x81\x81", "\\U000e0041" },
		{ 0, "\xFF\xC0\xAF\xED\xA0\x80\xE2\x82",
		  "\\xff\\xc0\\xaf\\xed\\xa0\\x80\\xe2\\x82" },
		{ 0, "\xF4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		PM_BUF out = { 0 };

		pm_sanitize(rows[i].in, strlen(rows[i].in), rows[i].flags, &out);
		assert_string_equal(out.bytes == NULL ? "" : out.bytes, rows[i].want);
	}
}

static void a_nul_is_shown_too(void **state)
{
	PM_BUF out = { 0 };

	(void)state;
	pm_sanitize("a\0b", 3, 0, &out);
	assert_string_equal(out.bytes, "a\\x00b");
}

static void lines_may_come_one_by_one(void **state)
{
	static const char in[] = "\x1b[31mone\n\x1b[1mtwo\x1b[0m\n\x1b[3Jthree\n";
	PM_BUF whole = { 0 };
	PM_BUF parts = { 0 };

	(void)state;
	pm_sanitize(in, sizeof(in) - 1, COLOURS, &whole);
	for (const char *at = in; *at != '\0';) {
		const size_t len = (size_t)(strchr(at, '\n') - at) + 1;

		pm_sanitize(at, len, COLOURS, &parts);
		at += len;
	}
	assert_string_equal(whole.bytes, parts.bytes);
}

static void without_memory_the_buffer_says_so(void **state)
{
	PM_BUF out = { 0 };

	(void)state;
	pm_alloc_fail_at(1);
	pm_sanitize("\x1b[31mx", 6, COLOURS, &out);
	pm_alloc_fail_at(0);
	assert_true(out.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(s20_what_could_act_on_a_terminal_is_made_visible),
		cmocka_unit_test(a_nul_is_shown_too),
		cmocka_unit_test(lines_may_come_one_by_one),
		cmocka_unit_test(without_memory_the_buffer_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
