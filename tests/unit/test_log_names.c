#include "tests/unit/unit.h"

#include "agent/logs.h"
#include "proto/limits.h"

struct names_case {
	const char *name, *out_file, *error_file, *log_file, *pid_file;
	bool merge, disable;
	const char *out, *err, *combined, *pid;
};

#define L "/h/logs/"
static const struct names_case cases[] = {
	{ "api", "", "", "", "", false, false, L "api-out-3.log", L "api-error-3.log", "",
	  "/h/pids/api-3.pid" },
	{ "api", "", "", "", "", true, false, L "api-out.log", L "api-error.log", "",
	  "/h/pids/api-3.pid" },
	{ "a/b c_d.e", "", "", "*", "", true, false, L "a-b-c-d.e-out.log", L "a-b-c-d.e-error.log",
	  L "a-b-c-d.e.log", "/h/pids/a-b-c-d.e-3.pid" },
	{ "\u6771 x", "", "", "", "", true, false, L "\u6771-x-out.log", L "\u6771-x-error.log", "",
	  "/h/pids/\u6771-x-3.pid" },
	{ "..", "", "", "", "", true, false, L "..-out.log", L "..-error.log", "",
	  "/h/pids/..-3.pid" },
	{ "api", "/x/o.log", "/x/e.log", "/x/c.log", "/x/p.pid", false, false, "/x/o-3.log",
	  "/x/e-3.log", "/x/c-3.log", "/x/p-3.pid" },
	{ "api", "/x/o", "/x/e.txt", "/x/c", "/x/p", false, false, "/x/o", "/x/e.txt", "/x/c",
	  "/x/p" },
	{ "api", "/dev/null", "NULL", "/dev/null", "", false, false, "/dev/null", "/dev/null", "",
	  "/h/pids/api-3.pid" },
	{ "api", "/x/o.log", "", "*", "", false, true, "/dev/null", "/dev/null", "",
	  "/h/pids/api-3.pid" },
	{ "api", ".log", "", "", "", false, false, NULL, NULL, NULL, NULL },
	{ "api", "/x/.log", "/x/o.log.log", "", "", false, false, "/x/-3.log", "/x/o.log-3.log", "",
	  "/h/pids/api-3.pid" },
};

static void fill(Pm__AppSpec *spec, const struct names_case *c)
{
	pm__app_spec__init(spec);
	spec->name = (char *)(uintptr_t)c->name;
	spec->out_file = (char *)(uintptr_t)c->out_file;
	spec->error_file = (char *)(uintptr_t)c->error_file;
	spec->log_file = (char *)(uintptr_t)c->log_file;
	spec->pid_file = (char *)(uintptr_t)c->pid_file;
	spec->merge_logs = c->merge;
	spec->disable_logs = c->disable;
}

static void names_are_those_that_pm2_gives(void **state)
{
	struct log_names *n = pm_calloc(1, sizeof(*n));
	struct pm_error err;

	(void)state;
	assert_non_null(n);
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		const struct names_case *c = &cases[i];
		Pm__AppSpec spec;
		int rc;

		fill(&spec, c);
		rc = log_names_make("/h", &spec, 3, n, &err);
		assert_int_equal(rc, c->out == NULL ? -1 : 0);
		if (rc < 0) {
			assert_int_equal(err.code, PM_CONFIG);
			continue;
		}
		assert_string_equal(n->out, c->out);
		assert_string_equal(n->err, c->err);
		assert_string_equal(n->combined, c->combined);
		assert_string_equal(n->pid, c->pid);
	}
	free(n);
}

static void a_name_or_path_that_is_too_long_is_refused(void **state)
{
	struct log_names *n = pm_calloc(1, sizeof(*n));
	char name[PM_NAME_MAX + 2], path[PM_PATH_MAX + 1];
	struct names_case c = cases[0];
	struct pm_error err;
	Pm__AppSpec spec;

	(void)state;
	assert_non_null(n);
	memset(name, 'x', sizeof(name));
	name[PM_NAME_MAX] = '\0';
	c.name = name;
	fill(&spec, &c);
	assert_int_equal(log_names_make("/h", &spec, 3, n, &err), 0);
	name[PM_NAME_MAX] = 'x';
	name[PM_NAME_MAX + 1] = '\0';
	assert_int_equal(log_names_make("/h", &spec, 3, n, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	memcpy(path + PM_PATH_MAX - 5, ".log", 5); /* fits, but not with the id */
	c = cases[0];
	c.out_file = path;
	fill(&spec, &c);
	assert_int_equal(log_names_make("/h", &spec, 3, n, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	spec.merge_logs = true;
	assert_int_equal(log_names_make("/h", &spec, 3, n, &err), 0);
	free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_those_that_pm2_gives),
		cmocka_unit_test(a_name_or_path_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
