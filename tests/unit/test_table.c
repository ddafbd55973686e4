/* The table layout: what fits where. */
#include "unit.h"

#include "cli/table.h"
#include "cli/text.h"

static const struct table_column columns[] = {
	{ .title = "id", .right = true },
	{ .title = "name", .least = 6, .most = 30 },
	{ .title = "namespace", .rank = 2, .least = 5 },
	{ .title = "status" },
	{ .title = "watching", .rank = 3 },
};

static const char *const rows[][PM_COUNT(columns)] = {
	{ "0", "api", "default", "online", "disabled" },
	{ "17", "a-long-name-of-a-worker", "billing", "waiting restart", "enabled" },
	{ "3", "日本語", "default", "stopped", "disabled" },
};

static char *render(const struct table_style *style)
{
	PM_TABLE *t = table_create(columns, PM_COUNT(columns));
	struct pm_buf out = { 0 };
	struct pm_error err;

	assert_non_null(t);
	for (size_t r = 0; r < PM_COUNT(rows); r++)
		for (size_t c = 0; c < PM_COUNT(columns); c++)
			table_cell(t, rows[r][c], c == 3 && r == 0 ? COLOR_GREEN : COLOR_NONE);
	assert_int_equal(table_render(t, style, &out, &err), 0);
	return pm_buf_take(&out);
}

static void a_pipe_gets_aligned_columns_without_lines_or_trailing_blanks(void **state)
{
	PM_FREE char *text = render(&(struct table_style){ 0 });

	(void)state;
	assert_string_equal(text,
	                    "id  name                     namespace  status           watching\n"
	                    " 0  api                      default    online           disabled\n"
	                    "17  a-long-name-of-a-worker  billing    waiting restart  enabled\n"
	                    " 3  日本語                   default    stopped          disabled\n");
}

static void a_wide_terminal_gets_a_box_with_every_column(void **state)
{
	PM_FREE char *text = render(&(struct table_style){ .width = 120, .box = true });

	(void)state;
	assert_string_equal(
		text,
		"┌────┬─────────────────────────┬───────────┬─────────────────┬──────────┐\n"
		"│ id │ name                    │ namespace │ status          │ watching │\n"
		"├────┼─────────────────────────┼───────────┼─────────────────┼──────────┤\n"
		"│  0 │ api                     │ default   │ online          │ disabled │\n"
		"│ 17 │ a-long-name-of-a-worker │ billing   │ waiting restart │ enabled  │\n"
		"│  3 │ 日本語                  │ default   │ stopped         │ disabled │\n"
		"└────┴─────────────────────────┴───────────┴─────────────────┴──────────┘\n");
}

static void names_are_cut_in_the_middle_before_a_column_is_dropped(void **state)
{
	PM_FREE char *text = render(&(struct table_style){ .width = 60, .box = true });

	(void)state;
	assert_string_equal(text, "┌────┬────────────┬───────────┬─────────────────┬──────────┐\n"
	                          "│ id │ name       │ namespace │ status          │ watching │\n"
	                          "├────┼────────────┼───────────┼─────────────────┼──────────┤\n"
	                          "│  0 │ api        │ default   │ online          │ disabled │\n"
	                          "│ 17 │ a-lon…rker │ billing   │ waiting restart │ enabled  │\n"
	                          "│  3 │ 日本語     │ default   │ stopped         │ disabled │\n"
	                          "└────┴────────────┴───────────┴─────────────────┴──────────┘\n");
}

static void a_narrow_terminal_keeps_only_the_columns_that_matter(void **state)
{
	PM_FREE char *text =
		render(&(struct table_style){ .width = 40, .box = true, .ascii = true });

	(void)state;
	assert_string_equal(text, "+----+---------------+-----------------+\n"
	                          "| id | name          | status          |\n"
	                          "+----+---------------+-----------------+\n"
	                          "|  0 | api           | online          |\n"
	                          "| 17 | a-long..orker | waiting restart |\n"
	                          "|  3 | 日本語        | stopped         |\n"
	                          "+----+---------------+-----------------+\n");
}

/* Columns of the first line that is longest. */
static unsigned widest_line(char *text)
{
	unsigned most = 0;
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		most = PM_MAX(most, text_width(line));
	return most;
}

static void every_width_from_40_to_300_fits_its_terminal(void **state)
{
	(void)state;
	for (unsigned width = 40; width <= 300; width++) {
		PM_FREE char *boxed = render(&(struct table_style){ .width = width, .box = true });
		PM_FREE char *ascii =
			render(&(struct table_style){ .width = width, .box = true, .ascii = true });
		PM_FREE char *plain = render(&(struct table_style){ .width = width });

		assert_in_range(widest_line(boxed), 30, width);
		assert_in_range(widest_line(ascii), 30, width);
		assert_in_range(widest_line(plain), 25, width);
	}
}

static void colour_surrounds_the_text_and_not_the_blanks(void **state)
{
	PM_FREE char *text = render(&(struct table_style){ .color = true });

	(void)state;
	assert_non_null(strstr(text, "\033[32monline\033[39m           disabled"));
}

static void a_column_may_be_fixed_and_cut_at_its_end_as_pm2_does(void **state)
{
	static const struct table_column pm2[] = {
		{ .title = "id", .fixed = 2 },
		{ .title = "name", .extra = 3, .most = 38 },
		{ .title = "namespace", .fixed = 11, .most = 11 },
	};
	PM_TABLE *t = table_create(pm2, PM_COUNT(pm2));
	PM_BUF out = { 0 };
	struct pm_error err;

	(void)state;
	assert_non_null(t);
	table_cell(t, "2", COLOR_NONE);
	table_cell(t, "aa", COLOR_NONE);
	table_cell(t, "some-long-namespace", COLOR_NONE);
	assert_int_equal(
		table_render(t, &(struct table_style){ .box = true, .cut_end = true }, &out, &err),
		0);
	assert_string_equal(out.bytes, "┌────┬───────┬─────────────┐\n"
	                               "│ id │ name  │ namespace   │\n"
	                               "├────┼───────┼─────────────┤\n"
	                               "│ 2  │ aa    │ some-long-… │\n"
	                               "└────┴───────┴─────────────┘\n");
}

static void running_out_of_memory_is_an_error_at_every_allocation(void **state)
{
	struct pm_error err;

	(void)state;
	for (unsigned nth = 1; nth < 8; nth++) {
		PM_TABLE *t;
		PM_BUF out = { 0 };

		pm_alloc_fail_at(nth);
		t = table_create(columns, PM_COUNT(columns));
		if (t != NULL) {
			for (size_t c = 0; c < PM_COUNT(columns); c++)
				table_cell(t, "text", COLOR_NONE);
			if (table_render(t, &(struct table_style){ .box = true }, &out, &err) < 0)
				assert_int_equal(err.code, PM_NO_MEMORY);
			else
				assert_non_null(strstr(out.bytes, "text"));
		}
		pm_alloc_fail_at(0);
	}
}

static void text_is_cut_at_character_borders(void **state)
{
	static const struct {
		const char *text;
		unsigned width;
		enum text_cut how;
		const char *want;
	} cases[] = {
		{ "abcdef", 6, TEXT_CUT_END, "abcdef" },
		{ "abcdef", 5, TEXT_CUT_END, "abcd…" },
		{ "abcdef", 5, TEXT_CUT_MIDDLE, "ab…ef" },
		{ "abcdef", 1, TEXT_CUT_MIDDLE, "…" },
		{ "日本語", 5, TEXT_CUT_END, "日本…" },
		{ "日本語", 4, TEXT_CUT_MIDDLE, "日…" },
		{ "日本語", 0, TEXT_CUT_END, "" },
		{ "e\xcc\x81tude", 4, TEXT_CUT_END, "e\xcc\x81tu…" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_BUF out = { 0 };
		unsigned used;

		pm_buf_str(&out, "");
		used = text_cut(&out, cases[i].text, cases[i].width, cases[i].how, "…");
		assert_string_equal(out.bytes, cases[i].want);
		assert_int_equal(used, text_width(out.bytes));
	}
}

static void colour_follows_the_terminal_the_variables_and_the_option(void **state)
{
	static const struct {
		enum color_when asked;
		bool tty;
		const char *no_color, *force, *term;
		bool want;
	} cases[] = {
		{ COLOR_AUTO, true, NULL, NULL, "xterm", true },
		{ COLOR_AUTO, false, NULL, NULL, "xterm", false },
		{ COLOR_AUTO, true, NULL, NULL, "dumb", false },
		{ COLOR_AUTO, true, "1", NULL, "xterm", false },
		{ COLOR_AUTO, true, "", NULL, "xterm", true },
		{ COLOR_AUTO, false, NULL, "1", NULL, true },
		{ COLOR_AUTO, false, NULL, "0", NULL, false },
		{ COLOR_AUTO, true, "1", "1", "xterm", false },
		{ COLOR_ALWAYS, false, "1", NULL, "dumb", true },
		{ COLOR_NEVER, true, NULL, "1", "xterm", false },
	};
	enum color_when when;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++)
		assert_int_equal(color_wanted(cases[i].asked, cases[i].tty, cases[i].no_color,
		                              cases[i].force, cases[i].term),
		                 cases[i].want);
	assert_true(color_parse_when("always", &when));
	assert_int_equal(when, COLOR_ALWAYS);
	assert_false(color_parse_when("sometimes", &when));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pipe_gets_aligned_columns_without_lines_or_trailing_blanks),
		cmocka_unit_test(a_wide_terminal_gets_a_box_with_every_column),
		cmocka_unit_test(names_are_cut_in_the_middle_before_a_column_is_dropped),
		cmocka_unit_test(a_narrow_terminal_keeps_only_the_columns_that_matter),
		cmocka_unit_test(every_width_from_40_to_300_fits_its_terminal),
		cmocka_unit_test(colour_surrounds_the_text_and_not_the_blanks),
		cmocka_unit_test(a_column_may_be_fixed_and_cut_at_its_end_as_pm2_does),
		cmocka_unit_test(running_out_of_memory_is_an_error_at_every_allocation),
		cmocka_unit_test(text_is_cut_at_character_borders),
		cmocka_unit_test(colour_follows_the_terminal_the_variables_and_the_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
