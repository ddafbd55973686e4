#include "tests/unit/unit.h"

#include "cli/path.h"
#include "cli/spec_build.h"

/* The only files these look at are / and the shell that every machine has. */
static char *const environment[] = {
	(char[]){ "PATH=/usr/bin:/bin" }, (char[]){ "HOME=/root" },
	(char[]){ "AWS_SECRET=canary" },  (char[]){ "PM2_HOME=/x" },
	(char[]){ "LC_ALL=C" },           (char[]){ "PORT=80" },
	(char[]){ "_=/bin/x" },           (char[]){ "EMPTY=" },
	(char[]){ "NODE_CHANNEL_FD=3" },  NULL,
};

static const struct build_context plain = { .cwd = "/", .environment = environment, .n_cpus = 4 };

/* key, value pairs as options; NULL ends them. */
static int build(const char *const *pairs, const struct build_context *ctx, Pm__AppSpec **out,
                 struct pm_error *err)
{
	struct spec_builder b;
	int rc;

	assert_int_equal(spec_builder_init(&b, err), 0);
	for (; pairs[0] != NULL; pairs += 2)
		if (spec_set_option(&b, spec_key_find(pairs[0]), pairs[1], false, err) < 0)
			fail_msg("%s", err->what);
	rc = spec_build(&b, ctx, out, err);
	spec_builder_finish(&b);
	return rc;
}

static Pm__AppSpec *built(const char *const *pairs, const struct build_context *ctx)
{
	Pm__AppSpec *spec = NULL;
	struct pm_error err;

	if (build(pairs, ctx, &spec, &err) < 0)
		fail_msg("%s", err.what);
	return spec;
}

static const char *env_of(const Pm__AppSpec *spec, const char *name)
{
	const Pm__EnvVar *v = spec_find_env(spec->env, spec->n_env, name);

	return v != NULL ? v->value : NULL;
}

static void a_program_in_path_runs_without_an_interpreter(void **state)
{
	static const char *const pairs[] = { "script", "sh", NULL };
	PM_SPEC *spec = built(pairs, &plain);

	(void)state;
	assert_string_equal(path_base(spec->script), "sh");
	assert_int_equal(spec->script[0], '/');
	assert_string_equal(spec->interpreter, "none");
	assert_string_equal(spec->name, "sh");
	assert_string_equal(spec->cwd, "/");
	assert_int_equal(spec->exec_mode, PM__EXEC_MODE__EXEC_MODE_FORK);
	assert_true(spec->merge_logs);
	assert_int_equal(spec->instances, 1);
}

static void text_with_a_blank_is_a_command(void **state)
{
	static const char *const pairs[] = { "script", "sleep 10", NULL };
	static const char *const slash[] = { "script", "ls /", NULL };
	PM_SPEC *spec = built(pairs, &plain);
	PM_SPEC *other = built(slash, &plain);

	(void)state;
	assert_true(spec->command);
	assert_string_equal(spec->script, "sleep 10");
	assert_string_equal(spec->name, "sleep 10");
	assert_string_equal(other->name, "app");
}

static void only_listed_variables_are_taken(void **state)
{
	static const char *const pairs[] = { "script", "sh", NULL };
	static const char *const more[] = { "script", "sh", "take_env", "AWS_*,EMPTY", NULL };
	struct build_context as_pm2 = plain;
	PM_SPEC *spec = built(pairs, &plain);
	PM_SPEC *wider = built(more, &plain);
	PM_SPEC *all = NULL;

	(void)state;
	assert_string_equal(env_of(spec, "LC_ALL"), "C");
	assert_string_equal(env_of(spec, "PORT"), "80");
	assert_null(env_of(spec, "AWS_SECRET"));
	assert_null(env_of(spec, "PM2_HOME"));
	assert_null(env_of(spec, "_"));
	assert_string_equal(env_of(wider, "AWS_SECRET"), "canary");
	assert_string_equal(env_of(wider, "EMPTY"), "");
	assert_int_equal(spec_find_env(spec->env, spec->n_env, "PORT")->origin,
	                 PM__ENV_ORIGIN__ENV_SHELL);
	as_pm2.as_pm2 = true;
	all = built(pairs, &as_pm2);
	assert_true(all->pm2_env);
	assert_string_equal(env_of(all, "AWS_SECRET"), "canary");
	assert_null(env_of(all, "NODE_CHANNEL_FD"));
	assert_null(env_of(all, "PM2_HOME"));
}

static void filter_env_and_port_have_their_say(void **state)
{
	static const char *const pairs[] = {
		"script", "sh", "filter_env", "LC_", "port", "9", NULL
	};
	static const char *const none[] = { "script", "sh", "filter_env", "true", NULL };
	PM_SPEC *spec = built(pairs, &plain);
	PM_SPEC *empty = built(none, &plain);

	(void)state;
	assert_null(env_of(spec, "LC_ALL"));
	assert_string_equal(env_of(spec, "PORT"), "9");
	assert_int_equal(empty->n_env, 0);
}

static void instances_count_from_the_cpus(void **state)
{
	static const struct {
		const char *text;
		unsigned n;
	} cases[] = { { "max", 4 }, { "0", 4 }, { "-1", 3 }, { "-9", 1 }, { "7", 7 } };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		const char *const pairs[] = { "script", "sh", "instances", cases[i].text, NULL };
		PM_SPEC *spec = built(pairs, &plain);

		assert_int_equal(spec->instances, cases[i].n);
		assert_false(spec->merge_logs);
		assert_int_equal(spec->exec_mode, PM__EXEC_MODE__EXEC_MODE_CLUSTER);
		assert_int_equal(spec->listen_timeout_ms, 30000);
	}
}

static void a_number_means_cluster_mode_for_what_can_do_it(void **state)
{
	static const char *const sh[] = { "script", "sh", "instances", "2", NULL };
	static const char *const js[] = { "script",    "sh", "interpreter", "node",
		                          "instances", "2",  NULL };
	static const char *const no[] = { "script",    "sh",   "instances", "2",
		                          "exec_mode", "fork", NULL };
	struct build_context as_pm2 = plain;
	PM_SPEC *pm2_sh = NULL, *pm2_js = NULL, *fork = NULL;

	(void)state;
	as_pm2.as_pm2 = true;
	pm2_sh = built(sh, &as_pm2);
	pm2_js = built(js, &as_pm2);
	fork = built(no, &plain);
	assert_int_equal(pm2_sh->exec_mode, PM__EXEC_MODE__EXEC_MODE_FORK);
	assert_int_equal(pm2_js->exec_mode, PM__EXEC_MODE__EXEC_MODE_CLUSTER);
	assert_int_equal(pm2_js->listen_timeout_ms, 3000); /* scripts rely on PM2's own */
	assert_int_equal(fork->exec_mode, PM__EXEC_MODE__EXEC_MODE_FORK);
	assert_int_equal(fork->listen_timeout_ms, 3000);
}

static void paths_become_absolute(void **state)
{
	static const char *const pairs[] = { "script",   "sh",      "cwd",        "/usr/../usr",
		                             "out_file", "./a.log", "error_file", "NULL",
		                             "log_file", "true",    "pid_file",   "~/p.pid",
		                             "watch",    "../etc",  NULL };
	PM_SPEC *spec = built(pairs, &plain);

	(void)state;
	assert_string_equal(spec->cwd, "/usr");
	assert_string_equal(spec->out_file, "/usr/a.log");
	assert_string_equal(spec->error_file, "/dev/null");
	assert_string_equal(spec->log_file, "*");
	assert_string_equal(spec->pid_file, "/root/p.pid");
	assert_string_equal(spec->watch_paths[0], "/etc");
}

static void what_is_not_there_is_said(void **state)
{
	static const struct {
		const char *pairs[5];
		enum pm_code code;
		const char *what;
	} cases[] = {
		{ { "script", "no-such-program", NULL }, PM_NOT_FOUND, "Script not found" },
		{ { "script", "/etc", NULL }, PM_CONFIG, "not a file" },
		{ { "script", "serve", NULL }, PM_UNSUPPORTED, "static server" },
		{ { "name", "x", NULL }, PM_CONFIG, "script" },
		{ { "script", "sh", "cwd", "/no/such", NULL }, PM_CONFIG, "cwd" },
		{ { "script", "sh", "interpreter", "no-such", NULL },
		  PM_NOT_FOUND,
		  "NOT AVAILABLE" },
		{ { "script", "sh", "interpreter", "node@0.0.1", NULL }, PM_NOT_FOUND, "v0.0.1" },
		{ { "script", "sh", "depends_on", "sh", NULL }, PM_CONFIG, "depends_on" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		Pm__AppSpec *spec = NULL;
		struct pm_error err = { 0 };

		assert_int_equal(build(cases[i].pairs, &plain, &spec, &err), -1);
		if (err.code != cases[i].code || strstr(err.what, cases[i].what) == NULL)
			fail_msg("case %zu: %s", i, err.what);
	}
}

static void running_out_of_memory_at_any_moment_leaks_nothing(void **state)
{
	static const char *const pairs[] = {
		"script",
		"sh",
		"args",
		"a b",
		"limits",
		"nofile=1,core=2",
		"vizion",
		"false",
		"log_file",
		"x.log",
		"watch",
		"src",
		"port",
		"1",
		"take_env",
		"A*",
		"name_prefix",
		"p",
		"stop_exit_codes",
		"1",
		NULL,
	};
	bool done = false;

	(void)state;
	for (unsigned n = 1; !done && n < 1000; n++) {
		PM_SPEC *spec = NULL;
		struct spec_builder b = { 0 };
		struct pm_error err = { 0 };
		int rc;

		pm_alloc_fail_at(n);
		rc = spec_builder_init(&b, &err);
		for (const char *const *p = pairs; rc == 0 && p[0] != NULL; p += 2)
			rc = spec_set_option(&b, spec_key_find(p[0]), p[1], false, &err);
		if (rc == 0)
			rc = spec_build(&b, &plain, &spec, &err);
		pm_alloc_fail_at(0);
		spec_builder_finish(&b);
		done = rc == 0;
		if (rc < 0 && err.code != PM_NO_MEMORY)
			fail_msg("allocation %u: %s", n, err.what);
	}
	assert_true(done);
}

static void paths_resolve_as_in_node(void **state)
{
	static const char *const cases[][3] = {
		{ "/a/b", "c", "/a/b/c" },    { "/a/b", "../c", "/a/c" },
		{ "/a", "../../..", "/" },    { "/a", "/x//y/./z/", "/x/y/z" },
		{ "/a", "~/x", "/home/u/x" }, { "/a", "~", "/home/u" },
		{ "/a", "~x", "/a/~x" },      { "/", ".", "/" },
		{ "/a", "...", "/a/..." },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_FREE char *out = NULL;
		struct pm_error err;

		assert_int_equal(path_resolve(cases[i][0], "/home/u", cases[i][1], &out, &err), 0);
		assert_string_equal(out, cases[i][2]);
	}
	assert_string_equal(path_extension("/a.b/c"), "");
	assert_string_equal(path_extension("/a/.env"), "");
	assert_string_equal(path_extension("x.config.js"), ".js");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_in_path_runs_without_an_interpreter),
		cmocka_unit_test(text_with_a_blank_is_a_command),
		cmocka_unit_test(only_listed_variables_are_taken),
		cmocka_unit_test(filter_env_and_port_have_their_say),
		cmocka_unit_test(instances_count_from_the_cpus),
		cmocka_unit_test(a_number_means_cluster_mode_for_what_can_do_it),
		cmocka_unit_test(paths_become_absolute),
		cmocka_unit_test(what_is_not_there_is_said),
		cmocka_unit_test(running_out_of_memory_at_any_moment_leaks_nothing),
		cmocka_unit_test(paths_resolve_as_in_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
