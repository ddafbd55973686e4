/* jlist: PM2's shape, and what is hidden in it. */
#include "unit.h"

#include <jansson.h>

#include "cli/jlist.h"
#include "cli/redact.h"
#include "status.h"

static json_t *parse(struct status_sample *s, const struct jlist_style *style)
{
	Pm__InstanceStatus *list[] = { &s->status };
	PM_BUF out = { 0 };
	struct json_out j;
	json_error_t error;
	json_t *root;

	json_init(&j, &out);
	jlist_write(&j, list, 1, style);
	assert_false(out.failed);
	root = json_loads(out.bytes, JSON_REJECT_DUPLICATES, &error);
	assert_non_null(root);
	return root;
}

static const char *text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void the_keys_that_consumers_read_are_there(void **state)
{
	static const char *const keys[] = {
		"name",
		"namespace",
		"status",
		"pm_id",
		"pm_uptime",
		"created_at",
		"restart_time",
		"unstable_restarts",
		"exec_mode",
		"exec_interpreter",
		"pm_exec_path",
		"pm_cwd",
		"node_args",
		"pm_out_log_path",
		"pm_err_log_path",
		"pm_pid_path",
		"instances",
		"env",
		"username",
		"watch",
		"merge_logs",
		"autorestart",
		"autostart",
		"treekill",
		"kill_retry_time",
		"kill_timeout",
		"listen_timeout",
		"wait_ready",
		"shutdown_with_message",
		"min_uptime",
		"max_restarts",
		"restart_delay",
		"exp_backoff_restart_delay",
		"instance_var",
		"unique_id",
		"km_link",
		"axm_actions",
		"axm_monitor",
		"axm_options",
		"axm_dynamic",
		"vizion_running",
		"NODE_APP_INSTANCE",
	};
	struct status_sample s;
	json_t *root, *app, *env;

	(void)state;
	status_sample(&s, "api", 7);
	root = parse(&s, &(struct jlist_style){ .as_pm2 = true });
	app = json_array_get(root, 0);
	env = json_object_get(app, "pm2_env");
	assert_int_equal(json_array_size(root), 1);
	assert_int_equal(json_integer_value(json_object_get(app, "pid")), 4242);
	assert_int_equal(json_integer_value(json_object_get(app, "pm_id")), 7);
	assert_string_equal(text(app, "name"), "api");
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(app, "monit"), "memory")),
		53896806);
	assert_true(json_real_value(json_object_get(json_object_get(app, "monit"), "cpu")) > 2.4);
	for (size_t i = 0; i < PM_COUNT(keys); i++)
		if (json_object_get(env, keys[i]) == NULL)
			fail_msg("pm2_env.%s is missing", keys[i]);
	assert_string_equal(text(env, "exec_mode"), "fork_mode");
	json_decref(root);
}

static void under_the_name_pm2_variables_are_flat_too_but_never_over_its_keys(void **state)
{
	struct status_sample s;
	json_t *root, *env;

	(void)state;
	status_sample(&s, "api", 0);
	root = parse(&s, &(struct jlist_style){ .as_pm2 = true });
	env = json_object_get(json_array_get(root, 0), "pm2_env");
	assert_string_equal(text(env, "PORT"), "3000");
	assert_string_equal(text(env, "API_TOKEN"), "hunter2");
	assert_string_equal(text(env, "status"), "online");
	assert_string_equal(text(json_object_get(env, "env"), "status"), "mine");
	json_decref(root);
}

static void secrets_are_hidden_unless_revealed(void **state)
{
	struct status_sample s;
	json_t *root, *env;

	(void)state;
	status_sample(&s, "api", 0);
	root = parse(&s, &(struct jlist_style){ 0 });
	env = json_object_get(json_object_get(json_array_get(root, 0), "pm2_env"), "env");
	assert_string_equal(text(env, "API_TOKEN"), REDACTED);
	assert_string_equal(text(env, "PORT"), "3000");
	json_decref(root);
	root = parse(&s, &(struct jlist_style){ .reveal = true });
	env = json_object_get(json_object_get(json_array_get(root, 0), "pm2_env"), "env");
	assert_string_equal(text(env, "API_TOKEN"), "hunter2");
	json_decref(root);
}

static void names_of_secrets_are_known_in_either_case(void **state)
{
	static const struct {
		const char *name;
		bool want;
	} cases[] = {
		{ "API_KEY", true },     { "apiKey", true },     { "DB_PASSWORD", true },
		{ "PGPASS", true },      { "AWS_SECRET", true }, { "GITHUB_TOKEN", true },
		{ "CREDENTIALS", true }, { "PORT", false },      { "NODE_ENV", false },
		{ "PATH", false },       { "", false },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++)
		assert_int_equal(redact_is_secret(cases[i].name), cases[i].want);
}

static void exit_code_and_signal_are_kept_apart(void **state)
{
	struct status_sample s;
	json_t *root, *env;

	(void)state;
	status_sample(&s, "api", 0);
	s.status.exit_known = true;
	s.status.exit_signal = 9;
	root = parse(&s, &(struct jlist_style){ .as_pm2 = true });
	env = json_object_get(json_array_get(root, 0), "pm2_env");
	assert_int_equal(json_integer_value(json_object_get(env, "exit_code")), 0);
	assert_int_equal(json_integer_value(json_object_get(env, "exit_signal")), 9);
	json_decref(root);
}

static void without_details_there_is_still_an_object(void **state)
{
	struct status_sample s;
	json_t *root;

	(void)state;
	status_sample(&s, "api", 0);
	s.status.spec = NULL;
	root = parse(&s, &(struct jlist_style){ 0 });
	assert_string_equal(text(json_array_get(root, 0), "name"), "api");
	json_decref(root);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_keys_that_consumers_read_are_there),
		cmocka_unit_test(under_the_name_pm2_variables_are_flat_too_but_never_over_its_keys),
		cmocka_unit_test(secrets_are_hidden_unless_revealed),
		cmocka_unit_test(names_of_secrets_are_known_in_either_case),
		cmocka_unit_test(exit_code_and_signal_are_kept_apart),
		cmocka_unit_test(without_details_there_is_still_an_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
