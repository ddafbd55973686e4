#include "tests/unit/unit.h"

#include "proto/limits.h"
#include "proto/spec.h"

static Pm__AppSpec *fresh(void)
{
	Pm__AppSpec *spec = NULL;
	struct pm_error err;

	assert_int_equal(spec_create(&spec, &err), 0);
	return spec;
}

static void a_new_spec_holds_the_defaults(void **state)
{
	PM_SPEC *spec = fresh();

	(void)state;
	assert_string_equal(spec->namespace_, "default");
	assert_string_equal(spec->name, "");
	assert_int_equal(spec->kill_timeout_ms, 1600);
	assert_int_equal(spec->log_max_size, 10485760);
	assert_int_equal(spec->umask, -1);
	assert_true(spec->autorestart);
	assert_int_equal(spec->instances, 1);
}

static void a_frozen_copy_is_one_block_that_says_the_same(void **state)
{
	PM_FREE uint8_t *before = NULL, *after = NULL;
	Pm__AppSpec *frozen;
	PM_SPEC *spec = NULL;
	struct pm_error err;
	size_t n_before, n_after;

	(void)state;
	assert_int_equal(spec_create(&spec, &err), 0);
	assert_int_equal(spec_put_str(&spec->name, "api", &err), 0);
	assert_int_equal(spec_add_str(&spec->args, &spec->n_args, "--port", &err), 0);
	assert_int_equal(
		spec_put_env(&spec->env, &spec->n_env, "A", "1", PM__ENV_ORIGIN__ENV_CONFIG, &err),
		0);
	assert_int_equal(spec_pack(spec, &before, &n_before, &err), 0);
	assert_int_equal(spec_freeze(spec, &frozen, &err), 0);
	assert_int_equal(spec_pack(frozen, &after, &n_after, &err), 0);
	assert_int_equal(n_before, n_after);
	assert_memory_equal(before, after, n_before);
	free(frozen); /* nothing else of it is on the heap: the leak checker agrees */
	pm_alloc_fail_at(2);
	assert_int_equal(spec_freeze(spec, &frozen, &err), -1);
	pm_alloc_fail_at(0);
	assert_int_equal(err.code, PM_NO_MEMORY);
}

static void a_clone_shares_nothing(void **state)
{
	PM_SPEC *spec = fresh();
	PM_SPEC *copy = NULL;
	struct pm_error err;

	(void)state;
	assert_int_equal(spec_put_str(&spec->name, "api", &err), 0);
	assert_int_equal(spec_add_str(&spec->args, &spec->n_args, "--x", &err), 0);
	assert_int_equal(
		spec_put_env(&spec->env, &spec->n_env, "A", "1", PM__ENV_ORIGIN__ENV_CONFIG, &err),
		0);
	assert_int_equal(spec_clone(spec, &copy, &err), 0);
	assert_string_equal(copy->name, "api");
	assert_ptr_not_equal(copy->name, spec->name);
	assert_string_equal(copy->args[0], "--x");
	assert_string_equal(copy->env[0]->value, "1");
	assert_int_equal(copy->umask, -1);
}

static void a_variable_is_replaced_where_it_stands(void **state)
{
	PM_SPEC *spec = fresh();
	struct pm_error err;

	(void)state;
	for (int i = 0; i < 3; i++) {
		const char *names[] = { "A", "B", "A" };
		const char *values[] = { "1", "2", "3" };

		assert_int_equal(spec_put_env(&spec->env, &spec->n_env, names[i], values[i],
		                              PM__ENV_ORIGIN__ENV_CONFIG, &err),
		                 0);
	}
	assert_int_equal(spec->n_env, 2);
	assert_string_equal(spec->env[0]->value, "3");
	assert_null(spec_find_env(spec->env, spec->n_env, "C"));
}

static void a_patch_moves_the_named_fields_and_no_others(void **state)
{
	char args[] = "args", memory[] = "max_memory", kill[] = "kill_timeout_ms", cron[] = "cron",
	     env[] = "env", restart[] = "autorestart";
	char *fields[] = { args, memory, kill, cron, env, cron, restart };
	PM_SPEC *base = fresh();
	PM_SPEC *from = fresh();
	struct pm_error err;

	(void)state;
	assert_int_equal(spec_put_str(&base->name, "keep", &err), 0);
	assert_int_equal(spec_put_str(&from->name, "other", &err), 0);
	assert_int_equal(spec_put_str(&from->cron, "0 3 * * *", &err), 0);
	assert_int_equal(spec_add_str(&base->args, &base->n_args, "old", &err), 0);
	assert_int_equal(spec_add_str(&from->args, &from->n_args, "a", &err), 0);
	assert_int_equal(spec_add_str(&from->args, &from->n_args, "b", &err), 0);
	from->max_memory = 5ull << 32;
	from->kill_timeout_ms = 7;
	from->autorestart = false;
	from->restart_delay_ms = 9;
	assert_int_equal(spec_patch(base, from, fields, PM_COUNT(fields), &err), 0);
	assert_string_equal(base->name, "keep");
	assert_int_equal(base->n_args, 2);
	assert_string_equal(base->args[1], "b");
	assert_true(base->max_memory == 5ull << 32);
	assert_int_equal(base->kill_timeout_ms, 7);
	assert_string_equal(base->cron, "0 3 * * *");
	assert_false(base->autorestart);
	assert_int_equal(base->restart_delay_ms, 0);
	assert_string_equal(from->args[0], "a");
}

static void a_patch_with_an_unknown_field_changes_nothing(void **state)
{
	char kill[] = "kill_timeout_ms", colour[] = "colour";
	char *fields[] = { kill, colour };
	PM_SPEC *base = fresh();
	PM_SPEC *from = fresh();
	struct pm_error err;

	(void)state;
	from->kill_timeout_ms = 7;
	assert_int_equal(spec_patch(base, from, fields, 2, &err), -1);
	assert_int_equal(err.code, PM_UNSUPPORTED);
	assert_int_equal(base->kill_timeout_ms, 1600);
}

static void what_is_too_large_is_refused_both_ways(void **state)
{
	PM_FREE char *text = pm_calloc(1, PM_SPEC_MAX + 1);
	PM_FREE uint8_t *bytes = NULL;
	PM_SPEC *spec = fresh();
	Pm__AppSpec *out = NULL;
	struct pm_error err = { 0 };
	size_t len;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', PM_SPEC_MAX);
	assert_int_equal(spec_add_str(&spec->args, &spec->n_args, text, &err), 0);
	assert_int_equal(spec_pack(spec, &bytes, &len, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	assert_int_equal(spec_unpack((uint8_t *)text, PM_SPEC_MAX + 1, &out, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	/* Two bytes on the wire (env, empty) become fifty in memory. */
	for (size_t i = 0; i < PM_SPEC_MAX; i += 2) {
		text[i] = 11 << 3 | 2;
		text[i + 1] = 0;
	}
	assert_int_equal(spec_unpack((uint8_t *)text, PM_SPEC_MAX, &out, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	assert_int_equal(spec_unpack((const uint8_t *)"\xff\xff", 2, &out, &err), -1);
	assert_int_equal(err.code, PM_CORRUPT);
}

static void running_out_of_memory_fails_and_leaks_nothing(void **state)
{
	PM_SPEC *base = fresh();
	struct pm_error err = { 0 };
	bool done = false;

	(void)state;
	assert_int_equal(
		spec_put_env(&base->env, &base->n_env, "A", "1", PM__ENV_ORIGIN__ENV_CONFIG, &err),
		0);
	for (unsigned n = 1; !done && n < 100; n++) {
		PM_SPEC *copy = NULL;

		pm_alloc_fail_at(n);
		done = spec_clone(base, &copy, &err) == 0;
		pm_alloc_fail_at(0);
	}
	assert_true(done);
	for (unsigned n = 1; n < 3; n++) {
		pm_alloc_fail_at(n);
		assert_int_equal(spec_put_env(&base->env, &base->n_env, "B", "1",
		                              PM__ENV_ORIGIN__ENV_CONFIG, &err),
		                 -1);
		pm_alloc_fail_at(0);
	}
	assert_int_equal(base->n_env, 1);
}

/* A spec that passes; the tests below break one thing each. */
static Pm__AppSpec *valid(void)
{
	Pm__AppSpec *spec = fresh();
	struct pm_error err;

	assert_int_equal(spec_put_str(&spec->name, "api", &err), 0);
	assert_int_equal(spec_put_str(&spec->cwd, "/srv", &err), 0);
	assert_int_equal(spec_put_str(&spec->script, "/srv/app.js", &err), 0);
	return spec;
}

static void text_fields_are_checked_one_by_one(void **state)
{
	static const struct {
		size_t offset;
		const char *text;
		bool ok;
	} cases[] = {
#define F(m) offsetof(Pm__AppSpec, m)
		{ F(name), "", false },
		{ F(name), "..", false },
		{ F(name), "a/b", false },
		{ F(name), "a\nb", false },
		{ F(name), "a\xff", false },
		{ F(name), "\xc2\x9b", false },
		{ F(name), "caf\xc3\xa9", true },
		{ F(namespace_), "", false },
		{ F(script), "app.js", false },
		{ F(interpreter), "", false },
		{ F(interpreter), "bin/node", false },
		{ F(interpreter), "node", true },
		{ F(cwd), "srv", false },
		{ F(out_file), "x.log", false },
		{ F(out_file), "/x.log", true },
		{ F(error_file), "x", false },
		{ F(log_file), "*", true },
		{ F(log_file), "x", false },
		{ F(pid_file), "x", false },
		{ F(uid), "a:b", false },
		{ F(gid), "-1", false },
		{ F(cron), "* * *", false },
		{ F(cron), "0 3 * * *", true },
		{ F(cron_tz), "../../etc/passwd", false },
		{ F(cron_tz), "Europe/Berlin", true },
		{ F(log_date_format), "a\nb", false },
		{ F(instance_var), "", false },
		{ F(increment_var), "A=B", false },
		{ F(version), "\x1b[2J", false },
		{ F(username), "\n", false },
#undef F
	};
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_SPEC *spec = valid();

		assert_int_equal(spec_validate(spec, &err), 0);
		assert_int_equal(spec_put_str((char **)(void *)((char *)spec + cases[i].offset),
		                              cases[i].text, &err),
		                 0);
		if ((spec_validate(spec, &err) == 0) != cases[i].ok)
			fail_msg("case %zu: %s", i, cases[i].text);
	}
}

static void number_fields_are_checked_one_by_one(void **state)
{
	static const struct {
		size_t offset;
		uint64_t value;
		size_t width;
		bool ok;
	} cases[] = {
#define F(m, v) offsetof(Pm__AppSpec, m), (v), sizeof(((Pm__AppSpec *)0)->m)
		{ F(instances, 0), false },           { F(instances, 8193), false },
		{ F(exec_mode, 0), false },           { F(exec_mode, 2), true },
		{ F(log_compress, 9), false },        { F(log_on_full, 0), false },
		{ F(umask, 01000), false },           { F(umask, (uint32_t)-2), false },
		{ F(nice, (uint32_t)-20), true },     { F(nice, (uint32_t)-21), false },
		{ F(oom_score_adj, 1001), false },    { F(kill_signal, 0), false },
		{ F(kill_signal, 65), false },        { F(kill_timeout_ms, UINT32_MAX), false },
		{ F(kill_retry_ms, 0), false },       { F(min_uptime_ms, 99), false },
		{ F(max_memory, UINT64_MAX), false }, { F(max_memory, 1ull << 40), true },
		{ F(log_keep, 10001), false },        { F(log_rotate_every_ms, UINT64_MAX), false },
#undef F
	};
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_SPEC *spec = valid();

		/* Little-endian here as on every machine that CI has. */
		memcpy((char *)spec + cases[i].offset, &cases[i].value, cases[i].width);
		if ((spec_validate(spec, &err) == 0) != cases[i].ok)
			fail_msg("case %zu", i);
	}
}

static void lists_are_checked_item_by_item(void **state)
{
	PM_SPEC *spec = valid();
	struct pm_error err;

	(void)state;
	assert_int_equal(spec_add_str(&spec->depends_on, &spec->n_depends_on, "api", &err), 0);
	assert_int_equal(spec_validate(spec, &err), -1); /* of itself */
	assert_non_null(strstr(err.what, "depends_on"));
	spec_clear_list(&spec->depends_on, &spec->n_depends_on);
	assert_int_equal(spec_add_str(&spec->listen, &spec->n_listen, "tcp://:80", &err), 0);
	assert_int_equal(spec_add_str(&spec->listen, &spec->n_listen, "web=tcp://*:80", &err), 0);
	assert_int_equal(spec_validate(spec, &err), -1); /* twice */
	assert_non_null(strstr(err.what, "listen"));
	assert_int_equal(spec_put_str(&spec->listen[1], "udp://:80", &err), 0);
	assert_int_equal(spec_validate(spec, &err), 0);
	assert_int_equal(spec_put_str(&spec->listen[1], "tcp://localhost:80", &err), 0);
	assert_int_equal(spec_validate(spec, &err), -1);
	assert_non_null(strstr(err.hint, "unix:///"));
	spec_clear_list(&spec->listen, &spec->n_listen);
	assert_int_equal(spec_add_str(&spec->env_files, &spec->n_env_files, ".env", &err), 0);
	assert_int_equal(spec_validate(spec, &err), -1);
	spec_clear_list(&spec->env_files, &spec->n_env_files);
	assert_int_equal(
		spec_put_env(&spec->env, &spec->n_env, "A=", "1", PM__ENV_ORIGIN__ENV_CONFIG, &err),
		0);
	assert_int_equal(spec_validate(spec, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_spec_holds_the_defaults),
		cmocka_unit_test(a_clone_shares_nothing),
		cmocka_unit_test(a_variable_is_replaced_where_it_stands),
		cmocka_unit_test(a_patch_moves_the_named_fields_and_no_others),
		cmocka_unit_test(a_patch_with_an_unknown_field_changes_nothing),
		cmocka_unit_test(what_is_too_large_is_refused_both_ways),
		cmocka_unit_test(text_fields_are_checked_one_by_one),
		cmocka_unit_test(number_fields_are_checked_one_by_one),
		cmocka_unit_test(lists_are_checked_item_by_item),
		cmocka_unit_test(a_frozen_copy_is_one_block_that_says_the_same),
		cmocka_unit_test(running_out_of_memory_fails_and_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
