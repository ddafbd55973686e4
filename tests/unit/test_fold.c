/* Many answers as few: groups, the account that sums up, the exit status, what differs. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "cli/fold.h"
#include "proto/buf.h"
#include "proto/hostlist.h"
#include "proto/limits.h"

static struct fold *a_fold(void)
{
	struct fold *f;
	struct pm_error err;

	assert_int_equal(fold_create(&f, &err), 0);
	return f;
}

static void add(struct fold *f, const char *host, enum fold_result result, const char *text)
{
	struct pm_error err;

	assert_int_equal(
		fold_add(f, host, result, result == FOLD_OK ? PM_OK : PM_FAILED, text, &err), 0);
}

/* All groups in lines: "N result text: hosts". */
static void print(struct fold *f, struct pm_buf *out)
{
	const struct fold_group *groups;
	struct pm_error err;
	size_t n;

	pm_buf_reset(out);
	assert_int_equal(fold_groups(f, &groups, &n, &err), 0);
	for (size_t i = 0; i < n; i++) {
		pm_buf_printf(out, "%zu %d%s %s: ", groups[i].n, (int)groups[i].result,
		              groups[i].majority ? "*" : "", groups[i].text);
		assert_int_equal(hostlist_fold(groups[i].hosts, groups[i].n, out, &err), 0);
		pm_buf_char(out, '\n');
	}
}

/* F-08 */
static void a_thousand_hosts_are_three_lines(void **state)
{
	struct fold *f = a_fold();
	PM_BUF out = { 0 };

	(void)state;
	for (unsigned i = 1000; i > 0; i--) {
		char host[16];

		(void)snprintf(host, sizeof(host), "web%04u", i);
		if (i == 1000)
			add(f, host, FOLD_UNREACHABLE, "12m");
		else
			add(f, host, FOLD_OK, i == 413 ? "v1.4.1" : "v1.4.2");
	}
	print(f, &out);
	assert_string_equal(out.bytes, "998 0* v1.4.2: web[0001-0412,0414-0999]\n"
	                               "1 0 v1.4.1: web0413\n"
	                               "1 2 12m: web1000\n");
	fold_destroy(f);
}

static void equal_texts_with_different_results_or_codes_stay_apart(void **state)
{
	struct fold *f = a_fold();
	struct pm_error err;
	PM_BUF out = { 0 };

	(void)state;
	add(f, "a", FOLD_OK, "x");
	add(f, "b", FOLD_FAILED, "x");
	add(f, "c", FOLD_UNKNOWN, "x");
	assert_int_equal(fold_add(f, "d", FOLD_FAILED, PM_DENIED, "x", &err), 0);
	print(f, &out);
	assert_string_equal(out.bytes, "1 0 x: a\n1 1 x: b\n1 1 x: d\n1 4 x: c\n");
	fold_destroy(f);
}

static void a_later_answer_takes_the_place_of_the_first(void **state)
{
	struct fold *f = a_fold();
	PM_BUF out = { 0 };

	(void)state;
	add(f, "a", FOLD_UNREACHABLE, "gone");
	add(f, "b", FOLD_OK, "x");
	add(f, "a", FOLD_OK, "x");
	print(f, &out);
	assert_string_equal(out.bytes, "2 0* x: a,b\n");
	assert_int_equal(fold_count(f), 2);
	fold_destroy(f);
}

static void without_a_majority_nobody_is_normal(void **state)
{
	struct fold *f = a_fold();
	PM_BUF out = { 0 };

	(void)state;
	add(f, "a", FOLD_OK, "x");
	add(f, "b", FOLD_OK, "y");
	print(f, &out);
	assert_null(strchr(out.bytes, '*'));
	add(f, "c", FOLD_FAILED, "z");
	add(f, "d", FOLD_FAILED, "z");
	add(f, "e", FOLD_FAILED, "z");
	add(f, "g", FOLD_FAILED, "z");
	print(f, &out); /* that most fail the same way makes it no norm */
	assert_null(strchr(out.bytes, '*'));
	fold_destroy(f);
}

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

static void every_host_is_in_one_group(void **state)
{
	static const char *const texts[] = { "", "a", "b", "a\nb", "c" };
	unsigned seed = 5;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct fold *f = a_fold();
		bool given[200] = { false };
		const struct fold_group *groups;
		size_t distinct = 0, sum = 0, n;
		unsigned adds = next(&seed) % 400;
		struct pm_error err;

		for (unsigned i = 0; i < adds; i++) {
			unsigned host = next(&seed) % PM_COUNT(given);
			char name[16];

			(void)snprintf(name, sizeof(name), "h%u", host);
			add(f, name, (enum fold_result)(next(&seed) % FOLD_RESULTS),
			    texts[next(&seed) % PM_COUNT(texts)]);
			distinct += !given[host];
			given[host] = true;
		}
		assert_int_equal(fold_groups(f, &groups, &n, &err), 0);
		assert_int_equal(fold_count(f), distinct);
		for (size_t i = 0; i < n; i++)
			sum += groups[i].n;
		assert_int_equal(sum, distinct);
		fold_destroy(f);
	}
}

/* F-09 */
static void what_differs_is_shown_by_lines(void **state)
{
	static const struct {
		const char *was, *is, *want;
	} rows[] = {
		{ "", "", "" },
		{ "a\nb\n", "a\nb\n", "" },
		{ "a\nb", "a\nb\n", "" },
		{ "a\nb\nc\n", "a\nx\nc\n", "- b\n+ x\n" },
		{ "a\nc\n", "a\nb\nc\n", "+ b\n" },
		{ "a\nb\nc\n", "c\n", "- a\n- b\n" },
		{ "", "a\nb\n", "+ a\n+ b\n" },
		{ "a\nb\n", "", "- a\n- b\n" },
		{ "a\n\nb\n", "a\nb\n", "- \n" },
		{ "v1\nup 4\n", "v2\nup 4\n", "- v1\n+ v2\n" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct pm_error err;
		PM_BUF out = { 0 };

		assert_int_equal(fold_diff(rows[i].was, rows[i].is, &out, &err), 0);
		assert_string_equal(out.bytes == NULL ? "" : out.bytes, rows[i].want);
	}
}

static void long_differences_are_cut_and_counted(void **state)
{
	struct pm_error err;
	PM_BUF text = { 0 };
	PM_BUF out = { 0 };

	(void)state;
	for (unsigned i = 0; i < PM_FOLD_DIFF_MAX + 20; i++)
		pm_buf_printf(&text, "%u\n", i);
	assert_int_equal(fold_diff("", text.bytes, &out, &err), 0);
	assert_non_null(strstr(out.bytes, "... and 20 more lines\n"));
}

static void memory_may_run_out_anywhere(void **state)
{
	int rc = -1;

	(void)state;
	for (unsigned nth = 1; rc < 0; nth++) {
		const struct fold_group *groups;
		struct fold *f = NULL;
		struct pm_error err = { 0 };
		PM_BUF out = { 0 };
		size_t n = 0;

		assert_true(nth < 400);
		pm_alloc_fail_at(nth);
		rc = fold_create(&f, &err);
		for (unsigned i = 0; rc == 0 && i < 40; i++) {
			char host[8], text[8];

			(void)snprintf(host, sizeof(host), "h%u", i);
			(void)snprintf(text, sizeof(text), "%u", i);
			rc = fold_add(f, host, FOLD_OK, PM_OK, text, &err);
		}
		if (rc == 0)
			rc = fold_groups(f, &groups, &n, &err);
		if (rc == 0)
			rc = fold_diff("a\nb\n", "a\nc\n", &out, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
		else
			assert_int_equal(n, 40);
		fold_destroy(f);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thousand_hosts_are_three_lines),
		cmocka_unit_test(equal_texts_with_different_results_or_codes_stay_apart),
		cmocka_unit_test(a_later_answer_takes_the_place_of_the_first),
		cmocka_unit_test(without_a_majority_nobody_is_normal),
		cmocka_unit_test(every_host_is_in_one_group),
		cmocka_unit_test(what_differs_is_shown_by_lines),
		cmocka_unit_test(long_differences_are_cut_and_counted),
		cmocka_unit_test(memory_may_run_out_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
