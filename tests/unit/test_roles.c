/* Who may do what: the table of roles, and bindings worked out on hosts (S-07, F-01). */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "proto/roles.h"

#define N_HOSTS 30

static struct targets_host hosts[N_HOSTS];
static char names[N_HOSTS][16];
static const char *const label_sets[] = { "role=web,env=prod", "role=web,env=test", "role=db", "" };

static int make_fleet(void **state)
{
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < N_HOSTS; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%s%02zu", i % 3 == 0 ? "db" : "web", i);
		hosts[i].name = names[i];
		if (pm_labels_parse(label_sets[i % PM_COUNT(label_sets)], &hosts[i].labels, &err) <
		            0 ||
		    pm_labels_parse("role=db,env=prod", &hosts[i].claimed, &err) < 0)
			return -1;
	}
	qsort(hosts, N_HOSTS, sizeof(hosts[0]), targets_host_compare);
	return 0;
}

static int free_fleet(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_HOSTS; i++) {
		pm_labels_finish(&hosts[i].labels);
		pm_labels_finish(&hosts[i].claimed);
	}
	return 0;
}

static const char *fact(void *arg, size_t host, const struct where_path *path)
{
	(void)arg;
	(void)host;
	(void)path;
	return "1";
}

static bool group(void *arg, const char *name, struct targets_query *out)
{
	(void)arg;
	(void)name;
	out->all = true;
	return true;
}

static const struct targets_fleet fleet = {
	.hosts = hosts, .n = N_HOSTS, .fact = fact, .group = group
};

/* Table 3.4 of the goals, a column a role: viewer, logs, operator, deployer, admin. */
static void the_table_of_roles_is_the_one_that_was_promised(void **state)
{
	static const struct {
		enum fleet_op op;
		const char *may;
	} rows[] = {
		{ FLEET_STATUS, "vloda" },
		{ FLEET_METRICS, "vloda" },
		{ FLEET_ROLLOUT_SHOW, "vloda" },
		{ FLEET_LOGS, "loda" },
		{ FLEET_START, "oda" },
		{ FLEET_RESTART, "oda" },
		{ FLEET_RELOAD, "oda" },
		{ FLEET_SCALE, "oda" },
		{ FLEET_DRAIN, "oda" },
		{ FLEET_STOP, "oda" },
		{ FLEET_ROLLOUT_PAUSE, "oda" },
		{ FLEET_ROLLOUT, "da" },
		{ FLEET_DEFINE, "da" },
		{ FLEET_DELETE, "da" },
		{ FLEET_REVEAL, "a" },
		{ FLEET_NODES, "a" },
		{ FLEET_UPGRADE, "a" },
		{ FLEET_MEMBERS, "a" },
		{ FLEET_STEAL, "a" },
		{ FLEET_AUDIT, "a" },
		{ FLEET_EXEC, "" },
	};

	(void)state;
	assert_int_equal(PM_COUNT(rows), FLEET_OPS);
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		const char *name = fleet_op_name(rows[i].op);

		assert_int_equal(fleet_op_find(name, strlen(name)), rows[i].op);
		assert_false(pm_role_may(PM_ROLE_NONE, rows[i].op));
		for (int role = PM_ROLE_VIEWER; role <= PM_ROLE_ADMIN; role++)
			assert_int_equal(pm_role_may((enum pm_role)role, rows[i].op),
			                 strchr(rows[i].may, "-vloda"[role]) != NULL);
	}
	for (int role = PM_ROLE_VIEWER; role <= PM_ROLE_ADMIN; role++) {
		const char *name = pm_role_name((enum pm_role)role);

		assert_int_equal(pm_role_find(name, strlen(name)), role);
	}
	assert_int_equal(pm_role_find("root", 4), PM_ROLE_NONE);
	assert_int_equal(pm_role_find("none", 4), PM_ROLE_NONE);
	assert_int_equal(pm_role_find("adminx", 5), PM_ROLE_ADMIN); /* by length */
	assert_int_equal(fleet_op_find("stopp", 5), FLEET_OPS);
	assert_false(pm_role_may(PM_ROLE_ADMIN, FLEET_OPS));
}

static struct authority *authority_of(const struct pm_binding *bindings, size_t n)
{
	struct authority *a = NULL;
	struct pm_error err = { 0 };

	if (authority_create(bindings, n, &fleet, &a, &err) < 0)
		fail_msg("%s", err.what);
	return a;
}

static uint32_t host_of(const char *name)
{
	for (uint32_t i = 0; i < N_HOSTS; i++)
		if (strcmp(hosts[i].name, name) == 0)
			return i;
	fail_msg("no %s", name);
	return 0;
}

static void a_binding_is_of_its_hosts_and_apps_only(void **state)
{
	static const struct pm_binding bindings[] = {
		{ PM_ROLE_OPERATOR, "hosts:web*,!web01", "api,worker-*" },
		{ PM_ROLE_VIEWER, "", "" },
		{ PM_ROLE_ADMIN, "label:role=nothing", "" },
	};
	struct authority *a = authority_of(bindings, PM_COUNT(bindings));

	(void)state;
	assert_true(authority_may(a, FLEET_RELOAD, "api", host_of("web02")));
	assert_true(authority_may(a, FLEET_RELOAD, "worker-7", host_of("web02")));
	assert_false(authority_may(a, FLEET_RELOAD, "db", host_of("web02")));
	assert_false(authority_may(a, FLEET_RELOAD, NULL, host_of("web02")));
	assert_false(authority_may(a, FLEET_RELOAD, "api", host_of("web01")));
	assert_false(authority_may(a, FLEET_RELOAD, "api", host_of("db00")));
	assert_true(authority_may(a, FLEET_STATUS, "db", host_of("db00")));
	assert_false(authority_may(a, FLEET_LOGS, "db", host_of("db00")));
	/* Draining a host stops all of its apps, not only those of the binding. */
	assert_false(authority_may(a, FLEET_DRAIN, NULL, host_of("web02")));
	assert_true(authority_may(a, FLEET_METRICS, NULL, host_of("web02")));
	assert_false(authority_may(a, FLEET_MEMBERS, NULL, host_of("web02")));
	assert_false(authority_may(a, FLEET_STATUS, "db", N_HOSTS));
	assert_true(authority_may_all(a, FLEET_STATUS));
	assert_false(authority_may_all(a, FLEET_RELOAD));
	assert_false(authority_may_all(a, FLEET_MEMBERS));
	authority_destroy(a);
}

static void what_a_host_says_of_itself_gives_nobody_a_right(void **state)
{
	static const struct pm_binding bindings[] = {
		{ PM_ROLE_ADMIN, "label:role=db,env=prod", "" }, /* every host claims to be one */
		{ PM_ROLE_ADMIN, "where:host.cpus > 0", "" },
		{ PM_ROLE_ADMIN, "hosts:@all", "" },
		{ PM_ROLE_ADMIN, "hosts:web[3-1]", "" },
	};
	struct authority *a = authority_of(bindings, PM_COUNT(bindings));

	(void)state;
	for (uint32_t i = 0; i < N_HOSTS; i++)
		assert_false(authority_may(a, FLEET_STATUS, "api", i));
	assert_false(authority_may_all(a, FLEET_STATUS));
	authority_destroy(a);
}

static void a_bindings_text_is_checked_when_it_is_made(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "", true },
		{ "hosts:web[01-99],!db*,~^x", true }, /* nobody there yet: fine */
		{ "label:role in (web,db)", true },
		{ "web*", false },
		{ "hosts:", false },
		{ "hosts:@front", false },
		{ "hosts:web[3-1]", false },
		{ "label:role in", false },
		{ "where:host.cpus > 1", false },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct pm_error err = { 0 };

		assert_int_equal(pm_binding_check(rows[i].text, &err), rows[i].good ? 0 : -1);
		if (!rows[i].good)
			assert_int_equal(err.code, PM_USAGE);
	}
}

static void an_admin_of_an_empty_fleet_is_one(void **state)
{
	static const struct pm_binding all = { PM_ROLE_ADMIN, "", "" };
	struct targets_fleet nobody = { 0 };
	struct authority *a;
	struct pm_error err;

	(void)state;
	assert_int_equal(authority_create(&all, 1, &nobody, &a, &err), 0);
	assert_true(authority_may_all(a, FLEET_MEMBERS));
	assert_false(authority_may(a, FLEET_MEMBERS, NULL, 0));
	authority_destroy(a);
}

/* ---- F-01 ---- */

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

static const char *const sets[] = { "web*",        "db*,!db03", "~[05]$",     "!web*",
	                            "web[01-20]*", "*",         "web01,db00", "*,!*1" };
static const char *const selectors[] = { "role=web", "env!=prod", "!role", "role in (db,web),env" };

static struct targets_query a_query(unsigned *seed)
{
	struct targets_query q = { .lenient = true };

	switch (next(seed) % 3) {
	case 0:
		q.all = true;
		break;
	case 1:
		q.hosts = sets[next(seed) % PM_COUNT(sets)];
		break;
	default:
		q.label = selectors[next(seed) % PM_COUNT(selectors)];
		break;
	}
	return q;
}

/* Hosts of a query as bytes; nobody is fine. */
static void expand(const struct targets_query *q, const struct targets_fleet *of, uint8_t *out)
{
	struct targets t = { 0 };
	struct pm_error err;

	memset(out, 0, N_HOSTS);
	if (targets_expand(q, of, &t, &err) < 0) {
		assert_int_equal(err.code, PM_NOT_FOUND);
		return;
	}
	for (size_t i = 0; i < t.n; i++)
		out[t.hosts[i]] = 1;
	targets_finish(&t);
}

static void authorising_and_expanding_may_be_exchanged(void **state)
{
	unsigned seed = 11;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		char text[64];
		struct pm_binding b = { .role = PM_ROLE_OPERATOR, .targets = text, .apps = "" };
		struct targets_query asked = a_query(&seed), given = a_query(&seed);
		uint8_t wanted[N_HOSTS], granted[N_HOSTS], both[N_HOSTS] = { 0 };
		struct targets_host allowed[N_HOSTS];
		struct targets_fleet part = { .hosts = allowed };
		struct targets t = { 0 };
		struct authority *a;
		struct pm_error err;

		(void)snprintf(text, sizeof(text), "%s%s",
		               given.all             ? ""
		               : given.hosts != NULL ? "hosts:"
		                                     : "label:",
		               given.all             ? ""
		               : given.hosts != NULL ? given.hosts
		                                     : given.label);
		a = authority_of(&b, 1);
		/* expand, then authorise */
		expand(&asked, &fleet, wanted);
		if (targets_expand(&asked, &fleet, &t, &err) == 0) {
			size_t before = t.n, out = authority_filter(a, FLEET_RELOAD, "api", &t);

			assert_int_equal(before, t.n + out);
			for (size_t i = 0; i < t.n; i++)
				both[t.hosts[i]] = 1;
		}
		/* authorise, then expand in what is left */
		expand(&given, &fleet, granted);
		for (size_t i = 0; i < N_HOSTS; i++)
			if (granted[i])
				allowed[part.n++] = hosts[i];
		for (size_t i = 0; i < N_HOSTS; i++)
			assert_int_equal(both[i], wanted[i] && granted[i]);
		expand(&asked, &part, wanted);
		for (size_t i = 0, at = 0; i < N_HOSTS; i++)
			if (granted[i])
				assert_int_equal(wanted[at++], both[i]);
		targets_finish(&t);
		authority_destroy(a);
	}
}

static void memory_may_run_out_anywhere(void **state)
{
	static const struct pm_binding bindings[] = { { PM_ROLE_ADMIN, "label:role=db", "" },
		                                      { PM_ROLE_ADMIN, "hosts:web*", "api" } };
	int rc = -1;

	(void)state;
	for (unsigned nth = 1; rc < 0; nth++) {
		struct authority *a = NULL;
		struct pm_error err = { 0 };

		assert_true(nth < 40);
		pm_alloc_fail_at(nth);
		rc = authority_create(bindings, 2, &fleet, &a, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
		else
			assert_true(authority_may(a, FLEET_STOP, "api", host_of("web01")));
		authority_destroy(a);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_of_roles_is_the_one_that_was_promised),
		cmocka_unit_test(a_binding_is_of_its_hosts_and_apps_only),
		cmocka_unit_test(what_a_host_says_of_itself_gives_nobody_a_right),
		cmocka_unit_test(a_bindings_text_is_checked_when_it_is_made),
		cmocka_unit_test(an_admin_of_an_empty_fleet_is_one),
		cmocka_unit_test(authorising_and_expanding_may_be_exchanged),
		cmocka_unit_test(memory_may_run_out_anywhere),
	};

	return cmocka_run_group_tests(tests, make_fleet, free_fleet);
}
