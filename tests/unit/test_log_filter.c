#include "tests/unit/unit.h"

#include "agent/log_filter.h"

static void lines_are_taken_or_left(void **state)
{
	static const struct {
		const char *pattern, *line;
		bool invert, want;
	} cases[] = {
		{ NULL, "x", false, true },        { "", "x", true, true },
		{ "^a.c$", "abc", false, true },   { "^a.c$", "abcd", false, false },
		{ "b|z", "abc", true, false },     { "z", "abc", true, true },
		{ "a{2,3}", "caab", false, true },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct log_filter f = { 0 };
		struct pm_error err;

		assert_int_equal(log_filter_init(&f, cases[i].pattern, cases[i].invert, &err), 0);
		assert_int_equal(log_filter_takes(&f, cases[i].line, strlen(cases[i].line)),
		                 cases[i].want);
		log_filter_finish(&f);
	}
}

static void only_the_given_bytes_are_looked_at(void **state)
{
	struct log_filter f = { 0 };
	struct pm_error err;

	(void)state;
	assert_int_equal(log_filter_init(&f, "b$", false, &err), 0);
	assert_true(log_filter_takes(&f, "ab\nc", 2)); /* no NUL after it */
	assert_false(log_filter_takes(&f, "ab", 1));
	log_filter_finish(&f);
}

static void what_could_eat_the_machine_is_refused(void **state)
{
	char text[LOG_FILTER_MAX + 2];
	static const struct {
		const char *pattern;
		enum pm_code want;
	} cases[] = {
		{ "(", PM_USAGE },
		{ "((a{1,200}){1,200}){1,200}", PM_LIMIT },
		{ "(a*)*\\1", PM_LIMIT },
		{ "a{1001}", PM_LIMIT },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct log_filter f = { 0 };
		struct pm_error err;

		assert_int_equal(log_filter_init(&f, cases[i].pattern, false, &err), -1);
		assert_int_equal(err.code, cases[i].want);
	}
	memset(text, 'x', sizeof(text));
	for (size_t len = LOG_FILTER_MAX; len <= LOG_FILTER_MAX + 1; len++) {
		struct log_filter f = { 0 };
		struct pm_error err;

		text[len] = '\0';
		assert_int_equal(log_filter_init(&f, text, false, &err),
		                 len == LOG_FILTER_MAX ? 0 : -1);
		log_filter_finish(&f);
		text[len] = 'x';
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_taken_or_left),
		cmocka_unit_test(only_the_given_bytes_are_looked_at),
		cmocka_unit_test(what_could_eat_the_machine_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
