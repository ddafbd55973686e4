#include "tests/unit/unit.h"

#include <stdio.h>

#include "agent/rotate.h"

#define S "2026-11-23_01-22-59"

static void a_file_is_due_by_size_or_by_age(void **state)
{
	static const struct {
		struct rotate_config c;
		uint64_t size, age_ms;
		bool want;
	} rows[] = {
		{ { .max_size = 100 }, 99, UINT64_MAX, false },
		{ { .max_size = 100 }, 100, 0, true },
		{ { .max_size = 0 }, UINT64_MAX, UINT64_MAX, false },
		{ { .every_ms = 10 }, 1, 9, false },
		{ { .every_ms = 10 }, 1, 10, true },
		{ { .every_ms = 10 }, 0, 10, false },
		{ { .max_size = 100, .every_ms = 10 }, 5, 50, true },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++)
		assert_int_equal(rotate_due(&rows[i].c, rows[i].size, rows[i].age_ms),
		                 rows[i].want);
}

static void an_app_claims_its_own_files_only(void **state)
{
	static const struct {
		const char *file, *name;
		bool want;
	} rows[] = {
		{ "api-out.log", "api-out__" S ".log", true },
		{ "api-out.log", "api-out__" S ".log.gz", true },
		{ "api-out.log", "api-out__" S ".log.zst", true },
		{ "api-out.log", "api-out__" S "-1.log", true },
		{ "api-out.log", "api-out__" S "-9999.log.gz", true },
		{ "api-out.log", "api-out__" S "-10000.log", false },
		{ "api-out.log", "api-out__" S "-0.log", false },
		{ "api-out.log", "api-out__" S "-.log", false },
		{ "api-out.log", "api-out__" S "-out.log", false }, /* an app with a strange name */
		{ "api-out.log", "api-2-out__" S ".log", false },
		{ "api-out.log", "api-out-2__" S ".log", false },
		{ "api-out.log", "api-out__" S ".log.bz2", false },
		{ "api-out.log", "api-out__" S ".log.gz.tmp", false },
		{ "api-out.log", "api-out__" S "", false },
		{ "api-out.log", "api-out__2026-11-23_01-22.log", false },
		{ "api-out.log", "api-out__2026-11-23 01-22-59.log", false },
		{ "api-out.log", "api-out__", false },
		{ "api-out.log", "api-out.log", false },
		{ "api-out.log", "", false },
		{ "out.txt", "out.txt__" S, true },
		{ "out.txt", "out.txt__" S ".gz", true },
		{ "out.txt", "out.txt__" S ".log", false },
		{ ".log", ".log__" S, true },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++)
		if (rotate_is_of(rows[i].file, rows[i].name) != rows[i].want)
			fail_msg("%s: %s", rows[i].file, rows[i].name);
}

static void names_within_one_second_get_numbers(void **state)
{
	static const struct rotate_file files[] = {
		{ .name = "a__" S ".log.gz" },
		{ .name = "a__" S "-2.log" },
		{ .name = "b__" S "-7.log" },
		{ .name = "a__2026-11-23_01-22-58-9.log" },
	};
	struct pm_error err;
	char name[64];

	(void)state;
	assert_int_equal(rotate_name("a.log", S, NULL, 0, name, sizeof(name), &err), 0);
	assert_string_equal(name, "a__" S ".log");
	assert_true(rotate_is_of("a.log", name));
	assert_int_equal(rotate_name("a.log", S, files, 1, name, sizeof(name), &err), 0);
	assert_string_equal(name, "a__" S "-1.log");
	assert_int_equal(rotate_name("a.log", S, files, 4, name, sizeof(name), &err), 0);
	assert_string_equal(name, "a__" S "-3.log");
	assert_int_equal(rotate_name("a.txt", S, files, 4, name, sizeof(name), &err), 0);
	assert_string_equal(name, "a.txt__" S);
}

static void a_name_that_cannot_be_is_an_error(void **state)
{
	static const struct rotate_file files[] = { { .name = "a__" S "-9999.log" } };
	struct pm_error err;
	char name[26];

	(void)state;
	assert_int_equal(rotate_name("a.log", S, files, 1, name, sizeof(name), &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	assert_int_equal(rotate_name("a.log", S, NULL, 0, name, 26, &err), -1);
	assert_int_equal(err.code, PM_INTERNAL);
}

static const struct rotate_file many[] = {
	{ "api-out__2026-01-03_00-00-00.log.gz", 10, 300 },
	{ "api-2-out__2025-01-01_00-00-00.log", 1000, 1 },
	{ "api-out__2026-01-01_00-00-00.log.gz", 10, 100 },
	{ "api-out.log", 1000, 0 },
	{ "api-out__2026-01-04_00-00-00.log", 50, 400 },
	{ "api-out__2026-01-02_00-00-00.log.gz", 10, 200 },
	{ "api-out__2026-01-02_00-00-00-1.log.gz", 10, 200 },
};

static void the_oldest_go_first_until_the_limits_are_met(void **state)
{
	static const struct {
		struct rotate_config c;
		size_t n, gone[5];
	} rows[] = {
		{ { .keep = 10 }, 0, { 0 } },
		{ { .keep = 5 }, 0, { 0 } },
		{ { .keep = 3 }, 2, { 2, 5 } },
		{ { .keep = 2 }, 3, { 2, 5, 6 } },
		{ { .keep = 0 }, 5, { 2, 5, 6, 0, 4 } },
		{ { .keep = 10, .total_cap = 90 }, 0, { 0 } },
		{ { .keep = 10, .total_cap = 89 }, 1, { 2 } },
		{ { .keep = 10, .total_cap = 60 }, 3, { 2, 5, 6 } },
		{ { .keep = 10, .total_cap = 49 }, 5, { 2, 5, 6, 0, 4 } },
		{ { .keep = 4, .total_cap = 70 }, 2, { 2, 5 } },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		size_t out[PM_COUNT(many)];

		assert_int_equal(rotate_prune(&rows[i].c, "api-out.log", many, PM_COUNT(many), out),
		                 rows[i].n);
		for (size_t k = 0; k < rows[i].n; k++)
			assert_int_equal(out[k], rows[i].gone[k]);
	}
}

static void a_plain_file_goes_when_its_compressed_form_is_whole(void **state)
{
	static const struct rotate_file files[] = {
		{ "a__" S ".log", 100, 5 },
		{ "a__" S ".log.gz", 10, 5 },
		{ "a__" S "-1.log", 100, 6 },
		{ "b__" S ".log", 100, 5 },
	};
	const struct rotate_config c = { .keep = 2, .total_cap = 110 };
	size_t out[PM_COUNT(files)];

	(void)state;
	assert_int_equal(rotate_prune(&c, "a.log", files, PM_COUNT(files), out), 1);
	assert_int_equal(out[0], 0);
}

static void hundreds_are_sorted(void **state)
{
	static struct rotate_file files[500];
	static char names[500][64];
	const struct rotate_config c = { .keep = 0 };
	size_t out[500];

	(void)state;
	for (size_t i = 0; i < 500; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "a__2026-01-01_00-00-00-%zu.log",
		               (i * 197) % 500 + 1);
		files[i] = (struct rotate_file){ names[i], 1, 7 };
	}
	assert_int_equal(rotate_prune(&c, "a.log", files, 500, out), 500);
	for (size_t i = 0; i < 500; i++)
		assert_int_equal((out[i] * 197) % 500, i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_due_by_size_or_by_age),
		cmocka_unit_test(an_app_claims_its_own_files_only),
		cmocka_unit_test(names_within_one_second_get_numbers),
		cmocka_unit_test(a_name_that_cannot_be_is_an_error),
		cmocka_unit_test(the_oldest_go_first_until_the_limits_are_met),
		cmocka_unit_test(a_plain_file_goes_when_its_compressed_form_is_whole),
		cmocka_unit_test(hundreds_are_sorted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
