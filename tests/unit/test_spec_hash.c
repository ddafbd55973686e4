/* F-22, F-26: a version of an app's declaration has the same name wherever it means the same. */
#include "tests/unit/unit.h"

#include "agent/spec_hash.h"
#include "proto/spec.h"

static Pm__AppSpec *make(void)
{
	Pm__AppSpec *spec;
	struct pm_error err;

	assert_int_equal(spec_create(&spec, &err), 0);
	assert_int_equal(spec_put_str(&spec->name, "api", &err), 0);
	assert_int_equal(spec_put_str(&spec->script, "/srv/api.js", &err), 0);
	assert_int_equal(spec_add_str(&spec->args, &spec->n_args, "--fast", &err), 0);
	assert_int_equal(spec_put_env(&spec->env, &spec->n_env, "PORT", "80",
	                              PM__ENV_ORIGIN__ENV_CONFIG, &err),
	                 0);
	assert_int_equal(spec_put_env(&spec->env, &spec->n_env, "LEVEL", "info",
	                              PM__ENV_ORIGIN__ENV_CONFIG, &err),
	                 0);
	return spec;
}

static struct spec_hash name_of(const Pm__AppSpec *spec)
{
	struct spec_hash hash = { 0 };
	struct pm_error err;

	assert_int_equal(spec_hash_make(spec, &hash, &err), 0);
	assert_true(spec_hash_is_known(&hash));
	return hash;
}

/* The bytes themselves: a digest that another version of pmd made must go on to mean the same. */
static void a_digest_stays_what_it_was(void **state)
{
	static const uint8_t want[SPEC_HASH_BYTES] = {
		0xa5, 0x96, 0x15, 0xbc, 0xfe, 0x74, 0x3d, 0xa9,
		0xa5, 0x57, 0x97, 0xca, 0x8b, 0x90, 0x54, 0x2d,
	};
	PM_SPEC *spec = make();
	struct spec_hash hash = name_of(spec);

	(void)state;
	assert_memory_equal(hash.bytes, want, sizeof(want));
}

static void what_the_owner_did_not_say_does_not_count(void **state)
{
	PM_SPEC *spec = make();
	struct spec_hash before = name_of(spec), after;
	struct pm_error err;

	(void)state;
	assert_int_equal(spec_put_str(&spec->username, "fleet:anna", &err), 0);
	assert_int_equal(spec_put_str(&spec->version, "1.2.3", &err), 0);
	assert_int_equal(spec_put_str(&spec->node_version, "18.1.0", &err), 0);
	assert_int_equal(spec_put_env(&spec->env, &spec->n_env, "PATH", "/bin",
	                              PM__ENV_ORIGIN__ENV_SHELL, &err),
	                 0);
	after = name_of(spec);
	assert_true(spec_hash_equal(&before, &after));
	assert_string_equal(spec->version, "1.2.3"); /* it was only looked at */
	assert_int_equal(spec->n_env, 3);
}

static void swap(void *list, size_t a, size_t b)
{
	void **at = list, *first = at[a];

	at[a] = at[b];
	at[b] = first;
}

static void add_extra(Pm__AppSpec *spec, Pm__AppSpec__ExtraEntry *entries[2])
{
	spec->extra = entries;
	spec->n_extra = 2;
}

static void what_has_no_order_has_none_here(void **state)
{
	static char a[] = "a", b[] = "b";
	PM_SPEC *spec = make();
	Pm__AppSpec__ExtraEntry one = PM__APP_SPEC__EXTRA_ENTRY__INIT, two = one;
	Pm__AppSpec__ExtraEntry *entries[] = { &one, &two };
	Pm__Limit soft = PM__LIMIT__INIT, hard = PM__LIMIT__INIT, *limits[] = { &soft, &hard };
	Pm__EnvProfile p = PM__ENV_PROFILE__INIT, q = PM__ENV_PROFILE__INIT;
	Pm__EnvProfile *profiles[] = { &p, &q };
	Pm__EnvVar *vars[2];
	struct spec_hash before, after;

	(void)state;
	one.key = soft.name = p.name = a;
	two.key = hard.name = q.name = b;
	add_extra(spec, entries);
	spec->limits = limits;
	spec->env_profiles = profiles;
	spec->n_limits = spec->n_env_profiles = 2;
	memcpy(vars, spec->env, sizeof(vars));
	p.vars = vars;
	p.n_vars = 2;
	before = name_of(spec);
	swap(spec->env, 0, 1);
	swap(entries, 0, 1);
	swap(limits, 0, 1);
	swap(profiles, 0, 1);
	swap(vars, 0, 1);
	after = name_of(spec);
	assert_true(spec_hash_equal(&before, &after));
	two.value = a;
	after = name_of(spec);
	assert_false(spec_hash_equal(&before, &after));
	spec->extra = NULL; /* not on the heap: not spec_free()'s */
	spec->limits = NULL;
	spec->env_profiles = NULL;
	spec->n_extra = spec->n_limits = spec->n_env_profiles = 0;
}

static void set_args(Pm__AppSpec *spec, struct pm_error *err)
{
	assert_int_equal(spec_add_str(&spec->args, &spec->n_args, "--slow", err), 0);
}

static void set_value(Pm__AppSpec *spec, struct pm_error *err)
{
	assert_int_equal(spec_put_env(&spec->env, &spec->n_env, "PORT", "81",
	                              PM__ENV_ORIGIN__ENV_CONFIG, err),
	                 0);
}

static void set_instances(Pm__AppSpec *spec, struct pm_error *err)
{
	(void)err;
	spec->instances = 2;
}

static void set_name(Pm__AppSpec *spec, struct pm_error *err)
{
	assert_int_equal(spec_put_str(&spec->name, "web", err), 0);
}

/* A variable of the shell that the owner then writes down himself is his from there on. */
static void set_origin(Pm__AppSpec *spec, struct pm_error *err)
{
	assert_int_equal(spec_put_env(&spec->env, &spec->n_env, "PATH", "/bin",
	                              PM__ENV_ORIGIN__ENV_CONFIG, err),
	                 0);
}

static void what_the_owner_says_counts(void **state)
{
	static void (*const changes[])(Pm__AppSpec *, struct pm_error *) = {
		set_args, set_value, set_instances, set_name, set_origin,
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(changes); i++) {
		PM_SPEC *spec = make();
		struct spec_hash before = name_of(spec), after;
		struct pm_error err;

		changes[i](spec, &err);
		after = name_of(spec);
		assert_false(spec_hash_equal(&before, &after));
	}
}

static void without_memory_nothing_is_said(void **state)
{
	PM_SPEC *spec = make();
	struct spec_hash hash = { { 7 } };
	struct pm_error err;

	(void)state;
	pm_alloc_fail_at(1);
	assert_int_equal(spec_hash_make(spec, &hash, &err), -1);
	pm_alloc_fail_at(0);
	assert_int_equal(err.code, PM_NO_MEMORY);
	assert_int_equal(hash.bytes[0], 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_digest_stays_what_it_was),
		cmocka_unit_test(what_the_owner_did_not_say_does_not_count),
		cmocka_unit_test(what_has_no_order_has_none_here),
		cmocka_unit_test(what_the_owner_says_counts),
		cmocka_unit_test(without_memory_nothing_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
