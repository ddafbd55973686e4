/* Environments that apps have in common: kept once, told apart by every part of them, gone with the
 * last that has them. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "agent/env_pool.h"
#include "proto/spec.h"

static Pm__AppSpec *app(const char *name, const char *path, Pm__EnvOrigin origin)
{
	Pm__AppSpec *spec;
	struct pm_error err;

	assert_int_equal(spec_create(&spec, &err), 0);
	assert_int_equal(spec_put_str(&spec->name, name, &err), 0);
	assert_int_equal(spec_put_env(&spec->env, &spec->n_env, "HOME", "/",
	                              PM__ENV_ORIGIN__ENV_SHELL, &err),
	                 0);
	if (path != NULL)
		assert_int_equal(spec_put_env(&spec->env, &spec->n_env, "PATH", path, origin, &err),
		                 0);
	return spec;
}

static void assert_says_the_same(const Pm__AppSpec *a, const Pm__AppSpec *b)
{
	PM_FREE uint8_t *x = NULL, *y = NULL;
	struct pm_error err;
	size_t n, m;

	assert_int_equal(spec_pack(a, &x, &n, &err), 0);
	assert_int_equal(spec_pack(b, &y, &m, &err), 0);
	assert_int_equal(n, m);
	assert_memory_equal(x, y, n);
}

static void what_is_the_same_is_kept_once(void **state)
{
	struct env_pool pool = { 0 };
	Pm__AppSpec *frozen[300];
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(frozen); i++) {
		PM_SPEC *spec = NULL;
		char name[16], path[16];

		(void)snprintf(name, sizeof(name), "app%zu", i);
		(void)snprintf(path, sizeof(path), "/bin%zu", i / 100);
		spec = app(name, path, PM__ENV_ORIGIN__ENV_SHELL);
		assert_int_equal(env_pool_freeze(&pool, spec, &frozen[i], &err), 0);
		assert_says_the_same(spec, frozen[i]);
	}
	assert_int_equal(pool.n, 3);
	assert_ptr_equal(frozen[0]->env, frozen[99]->env);
	assert_ptr_not_equal(frozen[0]->env, frozen[100]->env);
	for (size_t i = 0; i < PM_COUNT(frozen); i++)
		env_pool_free(frozen[i]);
	assert_int_equal(pool.n, 0); /* and the leak checker agrees */
}

static void what_differs_in_any_part_is_not(void **state)
{
	Pm__AppSpec *specs[] = { app("a", "/bin", PM__ENV_ORIGIN__ENV_SHELL), app("a", NULL, 0),
		                 app("a", "/bin", PM__ENV_ORIGIN__ENV_CONFIG),
		                 app("a", "", PM__ENV_ORIGIN__ENV_SHELL) };
	struct env_pool pool = { 0 };
	Pm__AppSpec *frozen[PM_COUNT(specs)];
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(specs); i++)
		assert_int_equal(env_pool_freeze(&pool, specs[i], &frozen[i], &err), 0);
	assert_int_equal(pool.n, PM_COUNT(specs));
	for (size_t i = 0; i < PM_COUNT(specs); i++) {
		assert_says_the_same(specs[i], frozen[i]);
		env_pool_free(frozen[i]);
		spec_free(specs[i]);
	}
	env_pool_free(NULL);
	assert_int_equal(pool.n, 0);
}

static void an_app_without_variables_has_no_share(void **state)
{
	PM_SPEC *spec = NULL;
	struct env_pool pool = { 0 };
	Pm__AppSpec *frozen;
	struct pm_error err;

	(void)state;
	assert_int_equal(spec_create(&spec, &err), 0);
	assert_int_equal(env_pool_freeze(&pool, spec, &frozen, &err), 0);
	assert_int_equal(pool.n, 0);
	env_pool_free(frozen);
}

static void no_memory_leaves_nothing_behind(void **state)
{
	PM_SPEC *spec = app("a", "/bin", PM__ENV_ORIGIN__ENV_SHELL);
	struct env_pool pool = { 0 };
	Pm__AppSpec *frozen;
	struct pm_error err;
	unsigned at = 0;
	int rc;

	(void)state;
	do {
		pm_alloc_fail_at(++at);
		rc = env_pool_freeze(&pool, spec, &frozen, &err);
		pm_alloc_fail_at(0);
		if (rc < 0) {
			assert_int_equal(err.code, PM_NO_MEMORY);
			assert_int_equal(pool.n, 0);
		}
	} while (rc < 0);
	assert_true(at > 2);
	env_pool_free(frozen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_the_same_is_kept_once),
		cmocka_unit_test(what_differs_in_any_part_is_not),
		cmocka_unit_test(an_app_without_variables_has_no_share),
		cmocka_unit_test(no_memory_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
