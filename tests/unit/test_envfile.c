#include "tests/unit/unit.h"

#include "proto/buf.h"
#include "proto/envfile.h"
#include "proto/limits.h"

static int collect(void *arg, const char *name, const char *value, struct pm_error *err)
{
	struct pm_buf *out = arg;

	(void)err;
	pm_buf_printf(out, "%s=[%s];", name, value);
	return 0;
}

static int refuse(void *arg, const char *name, const char *value, struct pm_error *err)
{
	(void)arg;
	(void)value;
	return pm_fail(err, PM_LIMIT, "no %s", name);
}

static void lines_read_as_documented(void **state)
{
	static const char *const cases[][2] = {
		{ "A=1", "A=[1];" },
		{ "\xef\xbb\xbf A = 1 \r\nB=2\n\n", "A=[1];B=[2];" },
		{ "# c\nexport A=1 # d\nB=x#y", "A=[1];B=[x#y];" },
		{ "export=1", "export=[1];" },
		{ "A=", "A=[];" },
		{ "A= # only a comment", "A=[];" },
		{ "A='a\\n#\"b' # c", "A=[a\\n#\"b];" },
		{ "A=\"a\\n\\t\\\"\\\\\\$\\x\"", "A=[a\n\t\"\\$\\x];" },
		{ "A='one\ntwo'\nB=$HOME", "A=[one\ntwo];B=[$HOME];" },
		{ "A=it's", "A=[it's];" },
		{ "a.b-c=1", "a.b-c=[1];" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct pm_error err;
		PM_BUF out = { 0 };

		pm_buf_str(&out, "");
		if (envfile_parse(cases[i][0], strlen(cases[i][0]), collect, &out, &err) < 0)
			fail_msg("case %zu: %s", i, err.what);
		assert_string_equal(out.len > 0 ? out.bytes : "", cases[i][1]);
	}
}

static void errors_name_the_line_and_never_the_value(void **state)
{
	static const char *const cases[][2] = {
		{ "A=1\nsecret", "line 2: '=' is missing after the name" },
		{ "A='x\ny'\n=secret", "line 3: expected NAME=value" },
		{ "1A=secret", "line 1: expected NAME=value" },
		{ "A=1\nB=\"secret\n\n", "line 2: the quote has no end" },
		{ "A='secret' secret", "line 1: text after the closing quote" },
		{ "A B=secret", "line 1: '=' is missing after the name" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_BUF out = { 0 };
		struct pm_error err;

		assert_int_equal(
			envfile_parse(cases[i][0], strlen(cases[i][0]), collect, &out, &err), -1);
		assert_string_equal(err.what, cases[i][1]);
	}
}

static void zero_bytes_size_and_the_callers_refusal_end_it(void **state)
{
	struct pm_error err;
	PM_BUF out = { 0 };

	(void)state;
	assert_int_equal(envfile_parse("A=\0b", 4, collect, &out, &err), -1);
	assert_int_equal(envfile_parse("", PM_ENVFILE_MAX + 1, collect, &out, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	assert_int_equal(envfile_parse("A=1", 3, refuse, NULL, &err), -1);
	assert_string_equal(err.what, "no A");
	for (unsigned n = 1; n <= 2; n++) {
		pm_alloc_fail_at(n);
		assert_int_equal(envfile_parse("A=1", 3, refuse, NULL, &err), -1);
		pm_alloc_fail_at(0);
		assert_int_equal(err.code, PM_NO_MEMORY);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_read_as_documented),
		cmocka_unit_test(errors_name_the_line_and_never_the_value),
		cmocka_unit_test(zero_bytes_size_and_the_callers_refusal_end_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
