/* Globs against fnmatch(3), and expressions that would take a program's time. */
#include "tests/unit/unit.h"

#include <fnmatch.h>

#include "proto/glob.h"
#include "proto/limits.h"
#include "proto/regex.h"

static void globs_match_as_fnmatch_does(void **state)
{
	static const char letters[] = "ab*?[]!-\\";
	char pattern[8], name[5];
	unsigned seed = 3;

	(void)state;
	for (unsigned round = 0; round < 400000; round++) {
		size_t len, odd = 0;

		seed = seed * 1103515245u + 12345u;
		len = (seed >> 16) % 7;
		for (size_t i = 0; i < len; i++) {
			seed = seed * 1103515245u + 12345u;
			pattern[i] = letters[(seed >> 16) % (sizeof(letters) - 1)];
			odd += strchr("[\\", pattern[i]) != NULL;
		}
		pattern[len] = '\0';
		for (size_t i = 0; i < 4; i++) {
			seed = seed * 1103515245u + 12345u;
			name[i] = "ab-]"[(seed >> 16) % 4];
		}
		name[4] = '\0';
		/* Where glibc takes a bracket that nothing closes, or a lone backslash, its own
		 * way, ours is in the header; and its ranges go by the locale. */
		if (odd > 0)
			(void)glob_match(pattern, len, name);
		else
			assert_int_equal(glob_match(pattern, len, name),
			                 fnmatch(pattern, name, 0) == 0);
	}
}

static void brackets_and_backslashes(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool want;
	} cases[] = {
		{ "web[1-3]", "web2", true },
		{ "web[1-3]", "web4", false },
		{ "web[!1-3]", "web4", true },
		{ "web[^1-3]", "web2", false },
		{ "[]]", "]", true },
		{ "[!]]", "]", false },
		{ "[a-]", "-", true },
		{ "[a\\]b]", "]", true },
		{ "web[", "web[", true },
		{ "a\\*", "a*", true },
		{ "a\\*", "ab", false },
		{ "a\\", "a\\", true },
		{ "", "", true },
		{ "", "a", false },
		{ "*", "", true },
		{ "**a", "ba", true },
		{ "*a*b*c*", "xaxbxc", true },
		{ "*a*b*c*", "xaxcxb", false },
		{ "[z-a]", "m", false },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++)
		assert_int_equal(
			glob_match(cases[i].pattern, strlen(cases[i].pattern), cases[i].name),
			cases[i].want);
	assert_true(glob_match_any("api,web-*", "web-1"));
	assert_true(glob_match_any("web-*,,api", "api"));
	assert_false(glob_match_any("api,web-*", "db"));
	assert_false(glob_match_any("", ""));
}

static void no_glob_takes_long(void **state)
{
	char pattern[4000], name[PM_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 2);
	memset(name, 'a', PM_NAME_MAX);
	name[PM_NAME_MAX] = '\0';
	assert_false(glob_match(pattern, sizeof(pattern), name)); /* and comes back at all */
}

static void regexes_are_bounded(void **state)
{
	static const struct {
		const char *text;
		enum pm_code code;
	} cases[] = {
		{ "^web[0-9]+$", PM_OK },
		{ "a{2,5}b{10}", PM_OK },
		{ "[{]{3}", PM_OK },
		{ "[]{9999}]", PM_OK },
		{ "\\{9999}", PM_OK },
		{ "", PM_USAGE },
		{ "a(", PM_USAGE },
		{ "(a)\\1", PM_USAGE },
		{ "((a{255}){255}){255}", PM_USAGE },
		{ "a{100}{100}", PM_USAGE },
		{ "a{1001}", PM_USAGE },
		{ "a+b+c+d+e+f+g+h+i+", PM_OK },
		{ "r2n++++++++++++++++++++++++++++++++++++++", PM_USAGE }, /* 2^38 states */
		{ "a{99999999999999999999999}", PM_USAGE },
	};
	char longest[PM_REGEX_MAX + 1];
	struct pm_error err;
	regex_t regex;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		int rc = pm_regex_compile(cases[i].text, strlen(cases[i].text), &regex, &err);

		assert_int_equal(rc, cases[i].code == PM_OK ? 0 : -1);
		if (rc == 0)
			regfree(&regex);
		else
			assert_int_equal(err.code, cases[i].code);
	}
	memset(longest, 'a', sizeof(longest));
	assert_int_equal(pm_regex_compile(longest, sizeof(longest), &regex, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	assert_int_equal(pm_regex_compile("a\0b", 3, &regex, &err), -1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(globs_match_as_fnmatch_does),
		cmocka_unit_test(brackets_and_backslashes),
		cmocka_unit_test(no_glob_takes_long),
		cmocka_unit_test(regexes_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
