#include "tests/unit/unit.h"

#include <stdio.h>
#include <unistd.h>

#include "agent/preload.h"
#include "agent/procenv.h"
#include "agent/shim_proto.h"
#include "proto/limits.h"
#include "proto/spec.h"

static const struct log_names names = { .out = "/l/out", .err = "/l/err", .pid = "/p/a.pid" };
static const struct user same_user = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
static const struct user other_user = {
	.uid = 33, .gid = 33, .name = "www", .home = "/var/www", .shell = "/bin/false"
};

static Pm__AppSpec *make_spec(void)
{
	struct pm_error err;
	Pm__AppSpec *spec;

	assert_int_equal(spec_create(&spec, &err), 0);
	assert_int_equal(spec_put_str(&spec->name, "api", &err), 0);
	assert_int_equal(spec_put_str(&spec->script, "/app/main", &err), 0);
	assert_int_equal(spec_put_str(&spec->cwd, "/app", &err), 0);
	assert_int_equal(spec_put_str(&spec->interpreter, "none", &err), 0);
	return spec;
}

static void put(Pm__AppSpec *spec, const char *name, const char *value)
{
	struct pm_error err;

	assert_int_equal(spec_put_env(&spec->env, &spec->n_env, name, value,
	                              PM__ENV_ORIGIN__ENV_CONFIG, &err),
	                 0);
}

static struct procenv_facts facts_of(void)
{
	return (struct procenv_facts){
		.home = "/home/pmd",
		.pm_id = 7,
		.instance = 2,
		.restarts = 3,
		.unique_id = "u-u-i-d",
		.names = &names,
		.user = &same_user,
		.ipc_fd = -1,
		.secrets = true,
	};
}

static const char *value_of(const struct procenv *p, const char *name)
{
	size_t len = strlen(name);
	const char *found = NULL;

	for (size_t i = 0; i < p->n_envp; i++)
		if (strncmp(p->envp[i], name, len) == 0 && p->envp[i][len] == '=') {
			assert_null(found); /* each name once */
			found = p->envp[i] + len + 1;
		}
	return found;
}

static void assert_value(const struct procenv *p, const char *name, const char *want)
{
	const char *got = value_of(p, name);

	if (want == NULL) {
		assert_null(got);
		return;
	}
	assert_non_null(got);
	assert_string_equal(got, want);
}

static void ours_win_over_the_specs_variables(void **state)
{
	static const struct {
		const char *name, *want;
	} table[] = {
		{ "name", "api" },
		{ "pm_id", "7" },
		{ "restart_time", "3" },
		{ "NODE_APP_INSTANCE", "2" },
		{ "exec_mode", "fork_mode" },
		{ "unique_id", "u-u-i-d" },
		{ "PMD_HOME", "/home/pmd" },
		{ "PM2_HOME", NULL },
		{ "PWD", "/app" },
		{ "pm_out_log_path", "/l/out" },
		{ "MINE", "kept" },
		{ "PATH", "/spec/bin" },
		{ "NODE_CHANNEL_FD", NULL },
	};
	struct procenv_facts facts = facts_of();
	Pm__AppSpec *spec = make_spec();
	struct procenv p;
	struct pm_error err;

	(void)state;
	put(spec, "name", "of the spec");
	put(spec, "pm_id", "99");
	put(spec, "MINE", "kept");
	put(spec, "PATH", "/spec/bin");
	assert_int_equal(procenv_build(spec, &facts, &p, &err), 0);
	for (size_t i = 0; i < PM_COUNT(table); i++)
		assert_value(&p, table[i].name, table[i].want);
	assert_null(p.envp[p.n_envp]);
	procenv_finish(&p);
	spec_free(spec);
}

static void a_home_of_pm2_and_a_channel_are_told(void **state)
{
	struct procenv_facts facts = facts_of();
	Pm__AppSpec *spec = make_spec();
	struct procenv p;
	struct pm_error err;

	(void)state;
	facts.pm2_home = true;
	facts.ipc_fd = 3;
	facts.user = &other_user;
	assert_int_equal(procenv_build(spec, &facts, &p, &err), 0);
	assert_value(&p, "PM2_HOME", "/home/pmd");
	assert_value(&p, "PMD_HOME", NULL);
	assert_value(&p, "NODE_CHANNEL_FD", "3");
	assert_value(&p, "NODE_CHANNEL_SERIALIZATION_MODE", "json");
	assert_value(&p, "HOME", "/var/www");
	assert_value(&p, "USER", "www");
	assert_value(&p, "SHELL", "/bin/false");
	procenv_finish(&p);
	spec_free(spec);
}

static void a_variable_grows_with_the_instance(void **state)
{
	static const struct {
		const char *base, *want;
	} table[] = { { "3000", "3002" }, { NULL, "2" }, { "text", "2" }, { "-5", "-3" } };
	struct procenv_facts facts = facts_of();
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(table); i++) {
		Pm__AppSpec *spec = make_spec();
		struct procenv p;

		assert_int_equal(spec_put_str(&spec->increment_var, "PORT", &err), 0);
		assert_int_equal(spec_put_str(&spec->instance_var, "WHO", &err), 0);
		if (table[i].base != NULL)
			put(spec, "PORT", table[i].base);
		assert_int_equal(procenv_build(spec, &facts, &p, &err), 0);
		assert_value(&p, "PORT", table[i].want);
		assert_value(&p, "WHO", "2");
		procenv_finish(&p);
		spec_free(spec);
	}
}

static void arguments_follow_the_interpreter(void **state)
{
	static const struct {
		const char *interpreter, *script, *node_arg;
		bool command, maps;
		const char *path, *argv[6];
	} table[] = {
		{ "none", "/app/main", NULL, false, false, "/app/main", { "/app/main", "x y" } },
		{ "/bin/sh",
		  "/a.sh",
		  NULL,
		  false,
		  false,
		  "/bin/sh",
		  { "/bin/sh", "/a.sh", "x y" } },
		{ "/bin/sh",
		  "echo 1",
		  NULL,
		  true,
		  false,
		  "/bin/sh",
		  { "/bin/sh", "-c", "echo 1", "x y" } },
		{ "/opt/node",
		  "/a.js",
		  "--inspect",
		  false,
		  true,
		  "/opt/node",
		  { "node", "--inspect", "--enable-source-maps", "/a.js", "x y" } },
	};
	struct procenv_facts facts = facts_of();
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(table); i++) {
		Pm__AppSpec *spec = make_spec();
		struct procenv p;
		size_t n = 0;

		assert_int_equal(spec_put_str(&spec->interpreter, table[i].interpreter, &err), 0);
		assert_int_equal(spec_put_str(&spec->script, table[i].script, &err), 0);
		assert_int_equal(spec_add_str(&spec->args, &spec->n_args, "x y", &err), 0);
		if (table[i].node_arg != NULL)
			assert_int_equal(spec_add_str(&spec->interpreter_args,
			                              &spec->n_interpreter_args, table[i].node_arg,
			                              &err),
			                 0);
		spec->command = table[i].command;
		spec->source_map_support = table[i].maps;
		assert_int_equal(procenv_build(spec, &facts, &p, &err), 0);
		assert_string_equal(p.path, table[i].path);
		for (; n < PM_COUNT(table[i].argv) && table[i].argv[n] != NULL; n++) {
			assert_true(n < p.n_argv);
			assert_string_equal(p.argv[n], table[i].argv[n]);
		}
		assert_int_equal(p.n_argv, n);
		procenv_finish(&p);
		spec_free(spec);
	}
}

static void an_interpreter_that_is_nowhere_is_named(void **state)
{
	struct procenv_facts facts = facts_of();
	Pm__AppSpec *spec = make_spec();
	struct procenv p;
	struct pm_error err;

	(void)state;
	put(spec, "PATH", ":/nowhere::/nor/here");
	assert_int_equal(spec_put_str(&spec->interpreter, "deno", &err), 0);
	assert_int_equal(procenv_build(spec, &facts, &p, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
	assert_non_null(strstr(err.what, "deno"));
	spec_free(spec);
}

static void too_many_variables_are_refused(void **state)
{
	struct procenv_facts facts = facts_of();
	Pm__AppSpec *spec = make_spec();
	struct procenv p;
	struct pm_error err;
	char name[16];

	(void)state;
	for (int i = 0; i < PM_ENV_VARS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "V%d", i);
		put(spec, name, "");
	}
	assert_int_equal(procenv_build(spec, &facts, &p, &err), -1);
	assert_int_equal(err.code, PM_CONFIG); /* not one that is tried again and again */
	spec_free(spec);
}

static void env_files_are_not_read_for_display_and_must_be_there_for_a_start(void **state)
{
	struct procenv_facts facts = facts_of();
	Pm__AppSpec *spec = make_spec();
	struct procenv p;
	struct pm_error err;

	(void)state;
	assert_int_equal(
		spec_add_str(&spec->env_files, &spec->n_env_files, "/no/such/file.env", &err), 0);
	assert_int_equal(procenv_build(spec, &facts, &p, &err), -1);
	assert_int_equal(err.code, PM_CONFIG);
	assert_non_null(strstr(err.what, "/no/such/file.env"));
	facts.secrets = false;
	assert_int_equal(procenv_build(spec, &facts, &p, &err), 0);
	procenv_finish(&p);
	spec_free(spec);
}

static void running_out_of_memory_anywhere_fails_and_leaks_nothing(void **state)
{
	struct procenv_facts facts = facts_of();
	Pm__AppSpec *spec = make_spec();
	struct procenv p;
	struct pm_error err;
	unsigned n = 1;

	(void)state;
	put(spec, "A", "1");
	assert_int_equal(spec_add_str(&spec->args, &spec->n_args, "x", &err), 0);
	for (;; n++) {
		int rc;

		pm_alloc_fail_at(n);
		rc = procenv_build(spec, &facts, &p, &err);
		pm_alloc_fail_at(0);
		if (rc == 0)
			break;
		assert_int_equal(err.code, PM_NO_MEMORY);
		assert_null(p.envp);
		assert_null(p.argv);
	}
	assert_true(n > 20);
	procenv_finish(&p);
	spec_free(spec);
}

/* ---- workers ---- */

static void build_worker(Pm__AppSpec *spec, const struct procenv_worker *w, struct procenv *p)
{
	struct procenv_facts facts = facts_of();
	struct pm_error err;

	facts.worker = w;
	assert_int_equal(procenv_build(spec, &facts, p, &err), 0);
}

static void a_node_worker_is_told_its_number_and_given_ours_before_its_own_options(void **state)
{
	static const struct listen_fds none;
	static const struct {
		const char *theirs, *preload, *want, *kept;
	} rows[] = {
		{ NULL, "/lib/pmd-drain.cjs", "--require \"/lib/pmd-drain.cjs\"", "" },
		{ "--no-warnings", "/lib/pmd-drain.cjs",
		  "--require \"/lib/pmd-drain.cjs\" --no-warnings", "--no-warnings" },
		{ "", "/a b\\c\"/d.cjs", "--require \"/a b\\\\c\\\"/d.cjs\"", "" },
		{ "--permission", "/lib/pmd-drain.cjs", "--permission",
		  NULL }, /* it could not be read */
		{ "--no-warnings", NULL, "--no-warnings", NULL },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		const struct procenv_worker w = { .node_id = 3,
			                          .preload = rows[i].preload,
			                          .listen = &none };
		Pm__AppSpec *spec = make_spec();
		struct procenv p;

		if (rows[i].theirs != NULL)
			put(spec, "NODE_OPTIONS", rows[i].theirs);
		build_worker(spec, &w, &p);
		assert_value(&p, "NODE_UNIQUE_ID", "3");
		assert_value(&p, "NODE_OPTIONS", rows[i].want);
		assert_value(&p, PRELOAD_ENV_OPTIONS, rows[i].kept);
		assert_value(&p, "LD_PRELOAD", NULL);
		assert_value(&p, "LISTEN_FDS", NULL);
		procenv_finish(&p);
		spec_free(spec);
	}
}

static void another_worker_gets_the_library_before_its_own(void **state)
{
	static const struct listen_fds none;
	static const struct {
		const char *theirs, *want;
	} rows[] = {
		{ NULL, "/lib/libpmd-shim.so" },
		{ "", "/lib/libpmd-shim.so" },
		{ "/usr/lib/libjemalloc.so", "/lib/libpmd-shim.so:/usr/lib/libjemalloc.so" },
	};
	const struct procenv_worker w = { .preload = "/lib/libpmd-shim.so",
		                          .preload_env = "5:1234",
		                          .listen = &none };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		Pm__AppSpec *spec = make_spec();
		struct procenv p;

		if (rows[i].theirs != NULL)
			put(spec, "LD_PRELOAD", rows[i].theirs);
		build_worker(spec, &w, &p);
		assert_value(&p, "LD_PRELOAD", rows[i].want);
		assert_value(&p, SHIM_ENV_FD, "5:1234");
		assert_value(&p, "NODE_UNIQUE_ID", NULL);
		assert_value(&p, "NODE_OPTIONS", NULL);
		procenv_finish(&p);
		spec_free(spec);
	}
}

static void node_behind_another_worker_inherits_ours_and_how_it_is_told(void **state)
{
	static const struct listen_fds none;
	const struct procenv_worker w = { .preload = "/lib/libpmd-shim.so",
		                          .preload_env = "5:1234",
		                          .node_preload = "/lib/pmd-drain.cjs",
		                          .listen = &none };
	Pm__AppSpec *spec = make_spec();
	struct procenv p;

	(void)state;
	put(spec, "NODE_OPTIONS", "--no-warnings");
	build_worker(spec, &w, &p);
	assert_value(&p, "LD_PRELOAD", "/lib/libpmd-shim.so");
	assert_value(&p, "NODE_OPTIONS", "--require \"/lib/pmd-drain.cjs\" --no-warnings");
	assert_value(&p, PRELOAD_ENV_SIGNAL, "SIGWINCH");
	assert_value(&p, PRELOAD_ENV_OPTIONS, NULL); /* or it would be put back too soon */
	assert_value(&p, "NODE_UNIQUE_ID", NULL);
	procenv_finish(&p);
	spec_free(spec);
}

static void declared_sockets_are_told_as_systemd_does(void **state)
{
	char first[] = "http=tcp://127.0.0.1:8080", second[] = "tcp://127.0.0.1:8081";
	char *const listen[] = { first, second };
	Pm__AppSpec *spec = make_spec();
	struct procenv_worker w = { 0 };
	struct listen_fds l;
	struct pm_error err;
	struct procenv p;

	(void)state;
	assert_int_equal(listen_fds_init(&l, listen, PM_COUNT(listen), &err), 0);
	w.listen = &l;
	put(spec, "LISTEN_FDS", "9"); /* a supervisor's of ours is not the app's */
	build_worker(spec, &w, &p);
	assert_value(&p, "LISTEN_FDS", "2");
	assert_value(&p, "LISTEN_FDNAMES", "http:unknown");
	assert_non_null(value_of(&p, "LISTEN_PID"));
	procenv_finish(&p);
	spec_free(spec);
}

static void a_debugger_is_not_shared_by_the_library(void **state)
{
	static const struct listen_fds none;
	static const struct {
		const char *interpreter, *arg, *options, *theirs;
		const char *want; /* NULL: nothing */
	} rows[] = {
		{ "/usr/bin/python3", "--inspect=9300", NULL, NULL, NULL },
		{ "/usr/bin/python3", "-u", NULL, "udp", "udp" },
		{ "/bin/sh", "-e", "--inspect", NULL, "9229" },
		{ "/usr/bin/node", "--no-warnings", NULL, NULL, "9229" },
		{ "/usr/bin/node", "--inspect=9300", NULL, "8080,udp", "8080,udp,9300" },
		{ "/usr/bin/node", "--no-warnings", "--inspect=9301", "", "9301" },
	};
	const struct procenv_worker w = { .preload = "/lib/libpmd-shim.so",
		                          .preload_env = "31:1234",
		                          .listen = &none };
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		Pm__AppSpec *spec = make_spec();
		struct procenv p;

		assert_int_equal(spec_put_str(&spec->interpreter, rows[i].interpreter, &err), 0);
		assert_int_equal(spec_add_str(&spec->interpreter_args, &spec->n_interpreter_args,
		                              rows[i].arg, &err),
		                 0);
		if (rows[i].options != NULL)
			put(spec, "NODE_OPTIONS", rows[i].options);
		if (rows[i].theirs != NULL)
			put(spec, SHIM_ENV_EXCLUDE, rows[i].theirs);
		build_worker(spec, &w, &p);
		assert_value(&p, SHIM_ENV_EXCLUDE, rows[i].want);
		procenv_finish(&p);
		spec_free(spec);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ours_win_over_the_specs_variables),
		cmocka_unit_test(a_home_of_pm2_and_a_channel_are_told),
		cmocka_unit_test(a_variable_grows_with_the_instance),
		cmocka_unit_test(arguments_follow_the_interpreter),
		cmocka_unit_test(an_interpreter_that_is_nowhere_is_named),
		cmocka_unit_test(too_many_variables_are_refused),
		cmocka_unit_test(env_files_are_not_read_for_display_and_must_be_there_for_a_start),
		cmocka_unit_test(running_out_of_memory_anywhere_fails_and_leaks_nothing),
		cmocka_unit_test(
			a_node_worker_is_told_its_number_and_given_ours_before_its_own_options),
		cmocka_unit_test(another_worker_gets_the_library_before_its_own),
		cmocka_unit_test(node_behind_another_worker_inherits_ours_and_how_it_is_told),
		cmocka_unit_test(a_debugger_is_not_shared_by_the_library),
		cmocka_unit_test(declared_sockets_are_told_as_systemd_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
