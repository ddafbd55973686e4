#include "tests/unit/unit.h"

#include <stdio.h>

#include "agent/app.h"
#include "agent/app_deps.h"
#include "agent/order_deps.h"
#include "proto/spec.h"

enum {
	N_APPS = 4
};

static struct super su;
static struct app apps[N_APPS];

/* A table of apps without instances: "a" to "d", serials from 1. */
static int make_table(void **state)
{
	struct pm_error err;

	(void)state;
	memset(&su, 0, sizeof(su));
	memset(apps, 0, sizeof(apps));
	for (uint32_t i = 0; i < N_APPS; i++) {
		const char name[2] = { (char)('a' + i), '\0' };

		apps[i].serial = i + 1;
		apps[i].su = &su;
		apps[i].next = i + 1 < N_APPS ? &apps[i + 1] : NULL;
		if (spec_create(&apps[i].spec, &err) < 0 ||
		    spec_put_str(&apps[i].spec->name, name, &err) < 0)
			return -1;
		lookup_add_app(&su.lookup, &apps[i]);
	}
	su.apps = apps;
	return 0;
}

static int free_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_APPS; i++)
		spec_free(apps[i].spec);
	return 0;
}

static void needs(size_t app, const char *name)
{
	struct pm_error err;

	assert_int_equal(spec_add_str(&apps[app].spec->depends_on, &apps[app].spec->n_depends_on,
	                              name, &err),
	                 0);
}

static enum deps_say ask(struct order_deps *d, size_t app, const char **need)
{
	*need = "";
	return order_deps_ask(d, &su, apps[app].spec, need);
}

static void it_waits_for_every_instance_of_what_it_needs(void **state)
{
	struct order_deps *d;
	struct pm_error err;
	const char *need;

	(void)state;
	needs(1, "a");
	assert_int_equal(order_deps_create(4, &d, &err), 0);
	order_deps_add(d, 1);
	order_deps_add(d, 2);
	order_deps_add(d, 1); /* not beside the first one */
	assert_int_equal(ask(d, 0, &need), DEPS_GO);
	assert_int_equal(ask(d, 1, &need), DEPS_WAIT);
	assert_string_equal(need, "a");
	assert_false(order_deps_settled(d, 1, true));
	assert_int_equal(ask(d, 1, &need), DEPS_WAIT);
	assert_true(order_deps_settled(d, 1, true));
	assert_int_equal(ask(d, 1, &need), DEPS_GO);
	order_deps_destroy(d);
}

static void one_failure_is_enough_and_comes_before_waiting(void **state)
{
	struct order_deps *d;
	struct pm_error err;
	const char *need;

	(void)state;
	needs(2, "a");
	needs(2, "b");
	assert_int_equal(order_deps_create(4, &d, &err), 0);
	order_deps_add(d, 1);
	order_deps_add(d, 2);
	order_deps_add(d, 2);
	(void)order_deps_settled(d, 2, false); /* the other instance of b is still at it */
	assert_int_equal(ask(d, 2, &need), DEPS_FAILED);
	assert_string_equal(need, "b");
	order_deps_destroy(d);
}

static void what_is_not_in_the_order_is_not_waited_for(void **state)
{
	struct order_deps *d;
	struct pm_error err;
	const char *need;

	(void)state;
	needs(1, "a");
	needs(1, "nobody");
	assert_int_equal(order_deps_create(1, &d, &err), 0);
	order_deps_add(d, 2);
	assert_int_equal(ask(d, 1, &need), DEPS_GO);
	assert_false(order_deps_settled(d, 77, true));
	order_deps_destroy(d);
}

static void waves_rise_with_what_an_app_needs(void **state)
{
	(void)state;
	assert_int_equal(app_deps_waves(&su), 0);
	needs(0, "b"); /* a needs b, b needs c and what is gone, d nothing */
	needs(1, "c");
	needs(1, "gone");
	assert_int_equal(app_deps_waves(&su), 2);
	assert_int_equal(apps[0].wave, 2);
	assert_int_equal(apps[1].wave, 1);
	assert_int_equal(apps[2].wave, 0);
	assert_int_equal(apps[3].wave, 0);
	needs(2, "a"); /* a cycle from an older file: all at once */
	assert_int_equal(app_deps_waves(&su), 0);
	assert_int_equal(apps[0].wave, 0);
}

static void a_new_spec_is_checked_against_what_it_replaces(void **state)
{
	struct pm_error err;
	Pm__AppSpec *spec;

	(void)state;
	needs(1, "a");
	assert_int_equal(spec_create(&spec, &err), 0);
	assert_int_equal(spec_put_str(&spec->name, "a", &err), 0);
	assert_int_equal(app_deps_check(&su, &spec, 1, &err), 0);
	assert_int_equal(spec_add_str(&spec->depends_on, &spec->n_depends_on, "b", &err), 0);
	assert_int_equal(app_deps_check(&su, &spec, 1, &err), -1);
	assert_int_equal(err.code, PM_CONFIG);
	assert_non_null(strstr(err.what, "a needs b"));
	assert_int_equal(spec_put_str(&spec->depends_on[0], "nobody", &err), 0);
	assert_int_equal(app_deps_check(&su, &spec, 1, &err), -1);
	assert_int_equal(err.code, PM_CONFIG);
	assert_non_null(strstr(err.what, "nobody"));
	spec_free(spec);
}

static void names_are_found_also_where_several_have_one(void **state)
{
	struct pm_error err;

	(void)state;
	assert_ptr_equal(app_find_name(&su, "c"), &apps[2]);
	assert_null(app_find_name(&su, "nobody"));
	assert_ptr_equal(app_find_serial(&su, 4), &apps[3]);
	lookup_remove_app(&su.lookup, &apps[2]);
	assert_int_equal(spec_put_str(&apps[2].spec->name, "a", &err), 0);
	lookup_add_app(&su.lookup, &apps[2]);
	assert_null(app_find_name(&su, "c"));
	assert_ptr_equal(app_find_name(&su, "a"), &apps[0]); /* the first declared */
	lookup_remove_app(&su.lookup, &apps[0]);
	assert_ptr_equal(app_find_name(&su, "a"), &apps[2]);
	lookup_remove_app(&su.lookup, &apps[0]); /* again: nothing */
}

int main(void)
{
#define WITH_TABLE(t) cmocka_unit_test_setup_teardown(t, make_table, free_table)
	const struct CMUnitTest tests[] = {
		WITH_TABLE(it_waits_for_every_instance_of_what_it_needs),
		WITH_TABLE(one_failure_is_enough_and_comes_before_waiting),
		WITH_TABLE(what_is_not_in_the_order_is_not_waited_for),
		WITH_TABLE(waves_rise_with_what_an_app_needs),
		WITH_TABLE(a_new_spec_is_checked_against_what_it_replaces),
		WITH_TABLE(names_are_found_also_where_several_have_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
