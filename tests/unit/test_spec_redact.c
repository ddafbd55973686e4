#include "tests/unit/unit.h"

#include <string.h>

#include "agent/spec_redact.h"
#include "proto/base.h"

static char name_a[] = "A", name_b[] = "DB_PASS", canary[] = "canary-7f3a", profile_name[] = "prod";

static void no_value_is_left(void **state)
{
	Pm__AppSpec spec = PM__APP_SPEC__INIT;
	Pm__EnvVar a = PM__ENV_VAR__INIT, b = PM__ENV_VAR__INIT;
	Pm__EnvVar *env[] = { &a, &b }, *vars[] = { &b };
	Pm__EnvProfile profile = PM__ENV_PROFILE__INIT, *profiles[] = { &profile };
	struct redacted_spec r;
	size_t len;

	(void)state;
	a.name = name_a;
	b.name = name_b;
	a.value = b.value = canary;
	profile.name = profile_name;
	profile.vars = vars;
	profile.n_vars = 1;
	spec.env = env;
	spec.n_env = 2;
	spec.env_profiles = profiles;
	spec.n_env_profiles = 1;
	assert_true(redacted_spec_make(&r, &spec));
	assert_string_equal(r.spec.env[1]->name, "DB_PASS");
	assert_string_equal(r.spec.env_profiles[0]->vars[0]->name, "DB_PASS");
	len = pm__app_spec__get_packed_size(&r.spec);
	{
		PM_FREE uint8_t *bytes = pm_calloc(len, 1);

		assert_non_null(bytes);
		assert_int_equal(pm__app_spec__pack(&r.spec, bytes), len);
		assert_null(memmem(bytes, len, canary, strlen(canary)));
		assert_non_null(memmem(bytes, len, "[redacted]", 10));
	}
	assert_string_equal(a.value, canary); /* the app's own stays */
	redacted_spec_finish(&r);
	for (unsigned n = 1; n <= 4; n++) {
		pm_alloc_fail_at(n);
		assert_false(redacted_spec_make(&r, &spec));
	}
	pm_alloc_fail_at(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_value_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
