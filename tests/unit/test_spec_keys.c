#include "tests/unit/unit.h"

#include <signal.h>

#include "proto/spec_builder.h"
#include "proto/units.h"

/* One good and one bad text for every key; bad NULL: any text will do. */
struct sample {
	const char *key, *good, *bad;
};

static const struct sample samples[] = {
	{ "script", "app.js", NULL },
	{ "name", "api", "a/b" },
	{ "name_prefix", "acme", "a/b" },
	{ "namespace", "web", "\x1b[31m" },
	{ "cwd", "/srv", "" },
	{ "args", "a 'b c'", NULL },
	{ "interpreter", "python3", NULL },
	{ "node_args", "--inspect", NULL },
	{ "instances", "max", "many" },
	{ "exec_mode", "cluster_mode", "threads" },
	{ "execute_command", "true", "yes" },
	{ "filter_env", "AWS", NULL },
	{ "take_env", "AWS_*,GH_TOKEN", NULL },
	{ "env_file", ".env", NULL },
	{ "append_env_to_name", "true", "1" },
	{ "port", "8080", "65536" },
	{ "uid", "www-data", "a:b" },
	{ "gid", "33", "a/b" },
	{ "umask", "022", "999" },
	{ "limits", "nofile=64:128,core=unlimited", "nofiles=1" },
	{ "nice", "-5", "20" },
	{ "oom_score_adj", "500", "1001" },
	{ "no_new_privs", "true", "on" },
	{ "out_file", "out.log", "" },
	{ "error_file", "/dev/null", "" },
	{ "log_file", "both.log", "" },
	{ "pid_file", "a.pid", "" },
	{ "merge_logs", "true", "maybe" },
	{ "disable_logs", "false", "2" },
	{ "log_type", "json", "xml" },
	{ "log_date_format", "YYYY", NULL },
	{ "time", "true", "now" },
	{ "log_max_size", "1.5G", "big" },
	{ "log_keep", "3", "-1" },
	{ "log_total_cap", "1T", "1E" },
	{ "log_compress", "zstd", "rar" },
	{ "log_rotate_every", "1d", "daily" },
	{ "log_on_full", "block", "wait" },
	{ "autorestart", "false", "no" },
	{ "autostart", "true", "" },
	{ "stop_exit_codes", "143", "256" },
	{ "restart_delay", "1500", "-1" },
	{ "exp_backoff_restart_delay", "100ms", "1 year" },
	{ "min_uptime", "2m", "99" },
	{ "max_restarts", "0", "-1" },
	{ "max_memory_restart", "300M", "300X" },
	{ "cron_restart", "*/5 * * * *", "61 * * * *" },
	{ "cron_tz", "Europe/Berlin", NULL },
	{ "watch", "src", NULL },
	{ "ignore_watch", "node_modules", NULL },
	{ "watch_delay", "250ms", "soon" },
	{ "watch_exts", "js,ts", NULL },
	{ "kill_signal", "sigterm", "SIGFOO" },
	{ "kill_timeout", "3s", "3x" },
	{ "kill_retry_time", "50", "0" },
	{ "treekill", "false", "0" },
	{ "shutdown_with_message", "true", "t" },
	{ "wait_ready", "true", "ready" },
	{ "listen_timeout", "10s", "99999999999" },
	{ "instance_var", "N", "A=B" },
	{ "increment_var", "PORT", "" },
	{ "depends_on", "db,cache", NULL },
	{ "listen", "web=tcp://:80,unix:///run/x.sock", NULL },
	{ "start_timeout", "1h", "1y" },
	{ "ready", "http://:3000/healthz", "https://:3000/" },
	{ "startup", "exec ./check.sh -f", "exec" },
	{ "live", "tcp://127.0.0.1:80", "notify" },
	{ "start_grace", "2m", "long" },
	{ "watchdog", "10s", "yes" },
	{ "drain", "false", "no" },
	{ "drain_timeout", "5s", "-1" },
	{ "source_map_support", "true", "x" },
	{ "disable_source_map_support", "true", "x" },
};

static const struct sample *sample_of(const char *key)
{
	for (size_t i = 0; i < PM_COUNT(samples); i++)
		if (strcmp(samples[i].key, key) == 0)
			return &samples[i];
	return NULL;
}

/* A rollout's options as an app file has them (F-14); returns what spec_set() does. */
static int set_rollout(struct spec_builder *b, const char *name, const char *value,
                       struct pm_error *err)
{
	struct doc_node one = { .type = DOC_TEXT, .name = name, .text = value };
	struct doc_node map = { .type = DOC_MAP, .first = &one, .last = &one, .n = 1 };

	return spec_set(b, spec_key_find("rollout"), &map, err);
}

static void f14_rollout_takes_an_object_of_a_rollouts_options(void **state)
{
	struct spec_builder b;
	struct pm_error err;

	(void)state;
	assert_int_equal(spec_builder_init(&b, &err), 0);
	assert_int_equal(set_rollout(&b, "max_down", "half", &err), -1);
	assert_int_equal(err.code, PM_CONFIG);
	assert_int_equal(set_rollout(&b, "bach", "1", &err), -1);
	assert_string_equal(err.hint, "did you mean batch?");
	assert_int_equal(set_rollout(&b, "min_healthy", "2m", &err), -1); /* F-15 */
	assert_int_equal(b.spec->n_rollout, 0);
	assert_int_equal(set_rollout(&b, "batch", "1,10%", &err), 0);
	assert_int_equal(b.spec->n_rollout, 1);
	assert_string_equal(b.spec->rollout[0]->name, "batch");
	assert_string_equal(b.spec->rollout[0]->value, "1,10%");
	assert_int_equal(set_rollout(&b, "wait", "ask", &err), 0); /* the later one counts */
	assert_int_equal(b.spec->n_rollout, 1);
	assert_string_equal(b.spec->rollout[0]->name, "wait");
	spec_builder_finish(&b);
}

static void every_key_takes_its_good_value_and_refuses_its_bad_one(void **state)
{
	struct spec_builder b;
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < spec_n_keys; i++) {
		const struct spec_key *k = &spec_keys[i];
		const struct sample *s = sample_of(k->name);

		if (k->type == SPEC_KEPT || k->type == SPEC_ENV || k->type == SPEC_ROLLOUT)
			continue; /* objects */
		if (s == NULL)
			fail_msg("key %s has no sample", k->name);
		assert_int_equal(spec_builder_init(&b, &err), 0);
		if (s->bad != NULL) {
			if (spec_set_option(&b, k, s->bad, false, &err) == 0)
				fail_msg("%s took \"%s\"", k->name, s->bad);
			assert_int_equal(err.code, PM_CONFIG);
			assert_false(spec_is_given(&b, k->name));
			assert_int_equal(strncmp(err.what, k->name, strlen(k->name)), 0);
		}
		if (spec_set_option(&b, k, s->good, false, &err) < 0)
			fail_msg("%s", err.what);
		assert_true(spec_is_given(&b, k->name));
		spec_builder_finish(&b);
	}
}

static void every_key_explains_itself(void **state)
{
	char expects[128];

	(void)state;
	for (size_t i = 0; i < spec_n_keys; i++) {
		const struct spec_key *k = &spec_keys[i];

		spec_key_expects(k, expects, sizeof(expects));
		assert_true(strlen(expects) > 3 && strlen(expects) < sizeof(expects) - 1);
		assert_true(strlen(k->help) > 20);
		assert_ptr_equal(spec_key_find(k->name), k);
	}
}

static void no_name_and_no_option_is_taken_twice(void **state)
{
	bool off;

	(void)state;
	for (size_t i = 0; i < spec_n_keys; i++) {
		if (spec_keys[i].opt != '\0')
			assert_ptr_equal(spec_key_by_option(NULL, spec_keys[i].opt, &off),
			                 &spec_keys[i]);
		for (size_t k = 0; k < spec_n_keys; k++)
			if (k != i)
				assert_string_not_equal(spec_keys[i].name, spec_keys[k].name);
	}
	assert_null(spec_key_by_option(NULL, '\0', &off));
	assert_null(spec_key_by_option("no-such", '\0', &off));
}

static void keys_are_found_by_alias_and_in_camel_case(void **state)
{
	static const char *const pairs[][2] = {
		{ "maxMemoryRestart", "max_memory_restart" },
		{ "exec", "script" },
		{ "interpreterArgs", "node_args" },
		{ "cron", "cron_restart" },
		{ "err_file", "error_file" },
		{ "errFile", "error_file" },
		{ "user", "uid" },
		{ "rlimits", "limits" },
		{ "windowsHide", "windowsHide" },
		{ "combineLogs", "merge_logs" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(pairs); i++) {
		assert_non_null(spec_key_find(pairs[i][0]));
		assert_string_equal(spec_key_find(pairs[i][0])->name, pairs[i][1]);
	}
	assert_null(spec_key_find("MaxMemoryRestart"));
	assert_null(spec_key_find("max-memory-restart"));
	assert_null(spec_key_find(""));
}

static void options_say_no_repeat_and_count_seconds(void **state)
{
	struct spec_builder b;
	struct pm_error err;
	const struct spec_key *key;
	bool off = false;

	(void)state;
	assert_int_equal(spec_builder_init(&b, &err), 0);
	key = spec_key_by_option("no-autorestart", 0, &off);
	assert_int_equal(spec_set_option(&b, key, NULL, off, &err), 0);
	assert_true(off);
	assert_false(b.spec->autorestart);
	key = spec_key_by_option("watch", 0, &off);
	assert_false(off);
	assert_int_equal(spec_set_option(&b, key, NULL, off, &err), 0);
	assert_int_equal(spec_set_option(&b, spec_key_find("watch"), "src", false, &err), 0);
	assert_int_equal(spec_set_option(&b, spec_key_find("watch"), "lib", false, &err), 0);
	assert_true(b.spec->watch);
	assert_int_equal(b.spec->n_watch_paths, 2);
	assert_int_equal(spec_set_option(&b, spec_key_find("watch_delay"), "2", false, &err), 0);
	assert_int_equal(b.spec->watch_delay_ms, 2000);
	assert_int_equal(spec_set_option(&b, spec_key_find("node_args"), "null", false, &err), 0);
	assert_int_equal(b.spec->n_interpreter_args, 0);
	assert_int_equal(spec_set_option(&b, spec_key_find("log_file"), NULL, false, &err), 0);
	assert_string_equal(b.spec->log_file, "*");
	assert_int_equal(spec_set_option(&b, spec_key_find("vizion"), NULL, true, &err), 0);
	assert_string_equal(b.spec->extra[0]->value, "false");
	assert_int_equal(spec_set_option(&b, spec_key_find("time"), NULL, false, &err), 0);
	assert_string_equal(b.spec->log_date_format, "YYYY-MM-DDTHH:mm:ss");
	spec_builder_finish(&b);
}

static void options_win_over_the_file_and_nothing_else_changes(void **state)
{
	struct spec_builder file, over;
	struct pm_error err;

	(void)state;
	assert_int_equal(spec_builder_init(&file, &err), 0);
	assert_int_equal(spec_builder_init(&over, &err), 0);
	assert_int_equal(spec_set_option(&file, spec_key_find("kill_timeout"), "5s", false, &err),
	                 0);
	assert_int_equal(spec_set_option(&file, spec_key_find("name"), "api", false, &err), 0);
	assert_int_equal(spec_set_option(&over, spec_key_find("instances"), "-1", false, &err), 0);
	assert_int_equal(spec_set_option(&over, spec_key_find("name"), "web", false, &err), 0);
	assert_int_equal(spec_builder_merge(&file, &over, &err), 0);
	assert_string_equal(file.spec->name, "web");
	assert_int_equal(file.spec->kill_timeout_ms, 5000);
	assert_int_equal(file.instances, -1);
	assert_true(file.spec->instances_given);
	assert_true(spec_is_given(&file, "kill_timeout") && spec_is_given(&file, "instances"));
	spec_builder_finish(&file);
	spec_builder_finish(&over);
}

static void a_patch_names_the_fields_of_the_given_keys(void **state)
{
	struct spec_builder b;
	struct pm_error err;
	char **fields = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(spec_builder_init(&b, &err), 0);
	assert_int_equal(spec_set_option(&b, spec_key_find("nice"), "3", false, &err), 0);
	assert_int_equal(spec_patch_fields(&b, &fields, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_string_equal(fields[0], "nice");
	assert_string_equal(fields[1], "nice_set");
	spec_clear_list(&fields, &n);
	assert_int_equal(spec_set_option(&b, spec_key_find("cwd"), "/x", false, &err), 0);
	assert_int_equal(spec_patch_fields(&b, &fields, &n, &err), -1);
	assert_int_equal(err.code, PM_USAGE);
	spec_builder_finish(&b);
}

static void every_field_that_a_key_names_is_in_the_message(void **state)
{
	PM_SPEC *base = NULL;
	PM_SPEC *from = NULL;
	struct spec_builder b;
	struct pm_error err;

	(void)state;
	assert_int_equal(spec_create(&base, &err), 0);
	assert_int_equal(spec_create(&from, &err), 0);
	for (size_t i = 0; i < spec_n_keys; i++) {
		char **fields = NULL;
		size_t n = 0;

		assert_int_equal(spec_builder_init(&b, &err), 0);
		b.given[i / 64] = 1ull << (i % 64);
		if ((spec_keys[i].flags & SPEC_NO_PATCH) == 0) {
			assert_int_equal(spec_patch_fields(&b, &fields, &n, &err), 0);
			if (spec_patch(base, from, fields, n, &err) < 0)
				fail_msg("%s: %s", spec_keys[i].name, err.what);
		}
		spec_clear_list(&fields, &n);
		spec_builder_finish(&b);
	}
}

static void texts_split_at_blanks_but_not_inside_quotes(void **state)
{
	char **list = NULL;
	struct pm_error err;
	size_t n = 0;

	(void)state;
	assert_int_equal(spec_split("  a 'b c'  d\"e f\"'' \"\" ", &list, &n, &err), 0);
	assert_int_equal(n, 4);
	assert_string_equal(list[1], "b c");
	assert_string_equal(list[2], "de f");
	assert_string_equal(list[3], "");
	spec_clear_list(&list, &n);
	assert_int_equal(spec_split(" ", &list, &n, &err), 0);
	assert_int_equal(n, 0);
	spec_clear_list(&list, &n);
}

static void sizes_and_durations_read_as_people_write_them(void **state)
{
	uint64_t v = 7;

	(void)state;
	assert_true(pm_parse_size("1.5k", &v) && v == 1536);
	assert_true(pm_parse_size("2 MiB", &v) && v == 2 << 20);
	assert_true(pm_parse_size("17179869183G", &v) && v == 17179869183ull << 30);
	assert_false(pm_parse_size("17179869184G", &v));
	assert_false(pm_parse_size("99999999999999999999", &v));
	assert_false(pm_parse_size("1.", &v));
	assert_false(pm_parse_size("-1", &v));
	assert_false(pm_parse_size("1MB!", &v));
	assert_true(pm_parse_duration("0.5h", 1, &v) && v == 1800000);
	assert_true(pm_parse_duration("2", 1000, &v) && v == 2000);
	assert_false(pm_parse_duration("", 1, &v));
}

static void numbers_become_text_as_in_javascript(void **state)
{
	static const struct {
		double number;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ -0.0, "0" },
		{ 3000, "3000" },
		{ 1.5, "1.5" },
		{ 0.1, "0.1" },
		{ 1e21, "1e+21" },
		{ 1e20, "100000000000000000000" },
		{ 0.000001, "0.000001" },
		{ 1e-7, "1e-7" },
		{ 0.00001234, "0.00001234" },
		{ -2.25, "-2.25" },
		{ 9007199254740991.0, "9007199254740991" },
		{ 1.0 / 3, "0.3333333333333333" },
		{ 5e-324, "5e-324" },
	};
	char text[PM_NUMBER_TEXT];

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		pm_number_text(cases[i].number, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void signals_have_names_and_numbers(void **state)
{
	(void)state;
	assert_int_equal(spec_signal_number("TERM"), SIGTERM);
	assert_int_equal(spec_signal_number("SIGUSR2"), SIGUSR2);
	assert_int_equal(spec_signal_number("9"), 9);
	assert_int_equal(spec_signal_number("SIGRTMIN+1"), SIGRTMIN + 1);
	assert_int_equal(spec_signal_number("0"), 0);
	assert_int_equal(spec_signal_number(""), 0);
	assert_int_equal(spec_signal_number("SIGNONE"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f14_rollout_takes_an_object_of_a_rollouts_options),
		cmocka_unit_test(every_key_takes_its_good_value_and_refuses_its_bad_one),
		cmocka_unit_test(every_key_explains_itself),
		cmocka_unit_test(no_name_and_no_option_is_taken_twice),
		cmocka_unit_test(keys_are_found_by_alias_and_in_camel_case),
		cmocka_unit_test(options_say_no_repeat_and_count_seconds),
		cmocka_unit_test(options_win_over_the_file_and_nothing_else_changes),
		cmocka_unit_test(a_patch_names_the_fields_of_the_given_keys),
		cmocka_unit_test(every_field_that_a_key_names_is_in_the_message),
		cmocka_unit_test(texts_split_at_blanks_but_not_inside_quotes),
		cmocka_unit_test(sizes_and_durations_read_as_people_write_them),
		cmocka_unit_test(numbers_become_text_as_in_javascript),
		cmocka_unit_test(signals_have_names_and_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
