#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "cli/dump_own.h"
#include "proto/base.h"
#include "proto/spec_builder.h"

/* What an entry of PM2's has a key of its own for, or what pmctl finds out anew. */
static const char *const not_ours[] = {
	"name",
	"namespace",
	"script",
	"args",
	"interpreter",
	"interpreter_args",
	"cwd",
	"exec_mode",
	"instances",
	"instances_given",
	"env",
	"env_profiles",
	"env_profile",
	"filter_env",
	"filter_env_all",
	"command",
	"uid",
	"gid",
	"out_file",
	"error_file",
	"log_file",
	"merge_logs",
	"disable_logs",
	"log_type",
	"log_date_format",
	"autorestart",
	"autostart",
	"stop_exit_codes",
	"restart_delay_ms",
	"exp_backoff_ms",
	"min_uptime_ms",
	"max_restarts",
	"max_memory",
	"cron",
	"watch",
	"watch_paths",
	"ignore_watch",
	"ignore_watch_set",
	"watch_delay_ms",
	"kill_timeout_ms",
	"treekill",
	"shutdown_with_message",
	"kill_retry_ms",
	"wait_ready",
	"listen_timeout_ms",
	"instance_var",
	"increment_var",
	"source_map_support",
	"pm2_env",
	"version",
	"node_version",
	"username",
	"extra",
};

static void each_member_is_saved_somewhere(void **state)
{
	const ProtobufCMessageDescriptor *d = &pm__app_spec__descriptor;

	(void)state;
	for (unsigned i = 0; i < d->n_fields; i++) {
		const char *name = d->fields[i].name;
		int places = dump_own_has(name);

		for (size_t k = 0; k < PM_COUNT(not_ours); k++)
			places += strcmp(not_ours[k], name) == 0;
		if (places != 1)
			fail_msg("%s is in %d of the two lists", name, places);
	}
}

static void set_one(struct spec_builder *b, const char *key, const char *text)
{
	struct doc_node node = { .type = DOC_TEXT, .text = (char *)(uintptr_t)text };
	struct pm_error err;

	if (spec_set(b, spec_key_find(key), &node, &err) < 0)
		fail_msg("%s: %s", key, err.what);
}

/* A spec that spec_validate() takes, with nothing of ours given. */
static void plain(struct spec_builder *b)
{
	struct pm_error err;

	assert_int_equal(spec_builder_init(b, &err), 0);
	set_one(b, "name", "web");
	set_one(b, "script", "/srv/web");
	set_one(b, "cwd", "/srv");
	set_one(b, "interpreter", "none");
	b->spec->exec_mode = PM__EXEC_MODE__EXEC_MODE_FORK;
	b->spec->instances = 1;
}

static void what_is_not_given_is_not_written(void **state)
{
	struct spec_builder b;
	PM_BUF text = { 0 };

	(void)state;
	plain(&b);
	dump_own_write(b.spec, &text);
	assert_false(text.failed);
	assert_int_equal(text.len, 0);
	spec_builder_finish(&b);
}

static void given(struct spec_builder *b)
{
	plain(b);
	set_one(b, "listen", "tcp://127.0.0.1:8080");
	set_one(b, "ready", "http://:8080/health");
	set_one(b, "kill_signal", "SIGQUIT");
	set_one(b, "log_max_size", "10M");
	set_one(b, "drain_timeout", "7s");
	set_one(b, "depends_on", "db");
	set_one(b, "pid_file", "/run/web.pid");
}

static void what_is_given_comes_back(void **state)
{
	struct spec_builder a, b;
	PM_BUF first = { 0 }, second = { 0 };
	struct pm_error err;

	(void)state;
	given(&a);
	plain(&b);
	dump_own_write(a.spec, &first);
	assert_false(first.failed);
	assert_true(first.len > 0);
	if (dump_own_read(first.bytes, b.spec, &err) < 0)
		fail_msg("%s", err.what);
	assert_int_equal(b.spec->kill_signal, 3);
	assert_int_equal(b.spec->drain_timeout_ms, 7000);
	assert_int_equal(b.spec->n_listen, 1);
	assert_string_equal(b.spec->listen[0], a.spec->listen[0]);
	assert_non_null(b.spec->ready);
	assert_string_equal(b.spec->pid_file, "/run/web.pid");
	assert_string_equal(b.spec->name, "web");
	dump_own_write(b.spec, &second);
	assert_string_equal(second.bytes, first.bytes);
	spec_builder_finish(&a);
	spec_builder_finish(&b);
}

static void an_older_text_leaves_newer_keys(void **state)
{
	struct spec_builder a, b;
	PM_BUF text = { 0 }, older = { 0 };
	struct pm_error err;

	(void)state;
	given(&a);
	plain(&b);
	b.spec->drain_timeout_ms = 1234;
	dump_own_write(a.spec, &text);
	pm_buf_printf(&older, "70%s", strchr(text.bytes, ':')); /* of kill_signal only */
	assert_int_equal(dump_own_read(older.bytes, b.spec, &err), 0);
	assert_int_equal(b.spec->kill_signal, 3);
	assert_int_equal(b.spec->drain_timeout_ms, 1234);
	spec_builder_finish(&a);
	spec_builder_finish(&b);
}

static void what_is_none_of_ours_changes_nothing(void **state)
{
	/* The last two: a member of another type, and a signal that there is not. */
	static const char *const texts[] = {
		"",    "true", "70",   "70:%%%",  "70:AAAA",
		"-1:", ",70:", "70,:", "22:sgEA", "70:sAT//wM=",
	};
	struct spec_builder b;
	struct pm_error err;

	(void)state;
	plain(&b);
	for (size_t i = 0; i < PM_COUNT(texts); i++) {
		PM_BUF after = { 0 };

		if (dump_own_read(texts[i], b.spec, &err) == 0)
			fail_msg("'%s' was taken", texts[i]);
		dump_own_write(b.spec, &after);
		assert_int_equal(after.len, 0);
	}
	spec_builder_finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_member_is_saved_somewhere),
		cmocka_unit_test(what_is_not_given_is_not_written),
		cmocka_unit_test(what_is_given_comes_back),
		cmocka_unit_test(an_older_text_leaves_newer_keys),
		cmocka_unit_test(what_is_none_of_ours_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
