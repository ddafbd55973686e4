/* Who may do what where: bindings worked out on hosts, never on patterns (S-07, F-01, F-07). */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "coordinator/members.h"
#include "proto/ops.h"

#define N_HOSTS 30

static struct members members;
static struct fleet_view view;
static const char *const label_sets[] = { "role=web,env=prod", "role=web,env=test", "role=db", "" };

static struct store_id id_of(size_t n)
{
	struct store_id id = { { 0 } };

	id.bytes[15] = (uint8_t)(n + 1);
	return id;
}

static int make_fleet(void **state)
{
	/* Every host says of itself that it is a database, and has facts. */
	static const struct store_group groups[] = { { "all", "where", "host.cpus > 0" },
		                                     { "mine", "where", "claimed.role == db" } };
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < N_HOSTS; i++) {
		char name[16];
		struct node *node;
		struct store_agent row = { .id = id_of(i),
			                   .name = name,
			                   .state = AGENT_ACCEPTED,
			                   .labels = label_sets[i % PM_COUNT(label_sets)],
			                   .claimed = "role=db,env=prod",
			                   .facts = "cpus=4",
			                   .note = "",
			                   .enrolled_by = "" };

		(void)snprintf(name, sizeof(name), "%s%02zu", i % 3 == 0 ? "db" : "web", i);
		if (members_put_node(&members, &row, &node, &err) < 0)
			return -1;
	}
	if (members_set_groups(&members, groups, PM_COUNT(groups), &err) < 0)
		return -1;
	return fleet_view_make(&members, &view, &err);
}

static int free_fleet(void **state)
{
	(void)state;
	fleet_view_finish(&view);
	members_finish(&members);
	return 0;
}

static size_t node_of(const char *name)
{
	for (size_t i = 0; i < members.n_nodes; i++)
		if (strcmp(members.nodes[i]->name, name) == 0)
			return i;
	fail_msg("no %s", name);
	return 0;
}

/* What somebody with these bindings may; role, targets, apps of each. */
static struct access *access_of(struct binding *bindings, size_t n)
{
	struct oper oper = { .state = OPERATOR_ACTIVE, .bindings = bindings, .n_bindings = n };
	struct access *a = NULL;
	struct pm_error err = { 0 };

	if (access_make(&view, &oper, &a, &err) < 0)
		fail_msg("%s", err.what);
	return a;
}

static struct binding binding_of(const char *role, const char *targets, const char *apps)
{
	static char texts[12][64];
	static unsigned at;
	struct binding b = { .id = 1 };
	const char *const from[] = { role, targets, apps };
	char **const to[] = { &b.role, &b.targets, &b.apps };

	for (size_t i = 0; i < 3; i++) {
		*to[i] = texts[at++ % PM_COUNT(texts)];
		(void)snprintf(*to[i], sizeof(texts[0]), "%s", from[i]);
	}
	return b;
}

static bool may(const struct access *a, enum pm_op op, const char *node, const char *app)
{
	char name[32], *apps[] = { name };

	(void)snprintf(name, sizeof(name), "%s", app == NULL ? "" : app);
	return access_allows(a, PM_OP_BIT(op), node_of(node), apps, app == NULL ? 0 : 1);
}

static void a_binding_is_of_its_hosts_and_apps_only(void **state)
{
	struct binding list[] = { binding_of("operator", "web*,!web01,nobody7", "api,worker-*"),
		                  binding_of("viewer", "", "") };
	struct access *a = access_of(list, 2);

	(void)state;
	assert_true(may(a, PM_OP_RELOAD, "web02", "api"));
	assert_true(may(a, PM_OP_RELOAD, "web02", "worker-7"));
	assert_false(may(a, PM_OP_RELOAD, "web02", "db"));
	assert_false(may(a, PM_OP_RELOAD, "web02", "all"));
	assert_false(may(a, PM_OP_RELOAD, "web02", NULL));
	assert_false(may(a, PM_OP_RELOAD, "web01", "api"));
	assert_false(may(a, PM_OP_RELOAD, "db00", "api"));
	assert_true(may(a, PM_OP_STATUS, "db00", "db"));
	assert_false(may(a, PM_OP_LOGS, "db00", "db"));
	assert_string_equal(access_role(a, node_of("web02")), "operator");
	assert_string_equal(access_role(a, node_of("web01")), "viewer");
	access_destroy(a);
}

static void what_a_host_says_of_itself_gives_nobody_a_right(void **state)
{
	struct binding list[] = { binding_of("admin", "role=db,env=prod", ""),
		                  binding_of("admin", "@all", ""),
		                  binding_of("admin", "@mine", "") };

	(void)state;
	for (size_t n = 0; n < PM_COUNT(list); n++) {
		struct access *a = access_of(&list[n], 1);

		for (size_t i = 0; i < N_HOSTS; i++)
			assert_false(access_allows(a, PM_OP_BIT(PM_OP_STATUS), i, NULL, 0));
		access_destroy(a);
	}
}

static void a_right_to_some_apps_or_hosts_is_none_to_the_fleet(void **state)
{
	static const struct {
		const char *role, *targets, *apps;
		bool want;
	} rows[] = {
		{ "admin", "", "", true },     { "admin", "", "api", false },
		{ "admin", "*", "", false },   { "admin", "web*", "", false },
		{ "deployer", "", "", false },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct binding b = binding_of(rows[i].role, rows[i].targets, rows[i].apps);
		struct access *a = access_of(&b, 1);

		assert_int_equal(access_allows_fleet(a, PM_OP_BIT(PM_OP_TOKENS)), rows[i].want);
		access_destroy(a);
	}
}

static void the_agent_is_told_the_apps_that_a_right_is_for(void **state)
{
	struct binding list[] = { binding_of("operator", "web*", "api,worker-*"),
		                  binding_of("operator", "web01", "cron"),
		                  binding_of("viewer", "", "") };
	struct access *a = access_of(list, 3);
	static const struct {
		enum pm_op op;
		const char *node, *want;
	} rows[] = {
		{ PM_OP_RELOAD, "web02", "api,worker-*" },
		{ PM_OP_RELOAD, "web01", "api,worker-*,cron" },
		{ PM_OP_STATUS, "web01", "" }, /* a viewer of all */
		{ PM_OP_RELOAD, "db00", "" },  /* of none: access_allows() has refused it */
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		PM_FREE char *apps = access_apps(a, PM_OP_BIT(rows[i].op), node_of(rows[i].node));

		assert_string_equal(apps, rows[i].want);
	}
	access_destroy(a);
}

static void a_bindings_text_is_checked_when_it_is_made(void **state)
{
	static const struct {
		const char *targets, *apps;
		bool good;
	} rows[] = {
		{ "", "", true },
		{ "web[01-99],!db*,~^x", "api,web-*", true }, /* nobody there yet: fine */
		{ "role in (web,db)", "", true },
		{ "role=web", "", true },
		{ "@front", "", false },
		{ "web*,@front", "", false },
		{ "web[3-1]", "", false },
		{ "role in ", "", false },
		{ "host.cpus >= 1", "", false },
		{ "", ",api", false },
		{ "", "api,", false },
		{ "", "api,,web", false },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct pm_error err = { 0 };
		int rc = access_check_binding(rows[i].targets, rows[i].apps, &err);

		if (rc != (rows[i].good ? 0 : -1))
			fail_msg("%s / %s: %s", rows[i].targets, rows[i].apps, err.what);
		if (!rows[i].good)
			assert_int_equal(err.code, PM_USAGE);
	}
}

static void an_admin_of_an_empty_fleet_is_one(void **state)
{
	struct binding b = binding_of("admin", "", "");
	struct oper oper = { .state = OPERATOR_ACTIVE, .bindings = &b, .n_bindings = 1 };
	struct fleet_view nobody = { 0 };
	struct access *a;
	struct pm_error err;

	(void)state;
	assert_int_equal(access_make(&nobody, &oper, &a, &err), 0);
	assert_true(access_allows_fleet(a, PM_OP_BIT(PM_OP_TOKENS)));
	access_destroy(a);
}

static void a_revoked_operator_may_nothing(void **state)
{
	struct binding b = binding_of("admin", "", "");
	struct oper oper = { .state = OPERATOR_REVOKED, .bindings = &b, .n_bindings = 1 };
	struct access *a;
	struct pm_error err;

	(void)state;
	assert_int_equal(access_make(&view, &oper, &a, &err), 0);
	assert_false(access_allows_fleet(a, PM_OP_BIT(PM_OP_TOKENS)));
	assert_false(may(a, PM_OP_STATUS, "web01", NULL));
	access_destroy(a);
}

/* ---- F-01: authorising and expanding may be exchanged ---- */

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

static const char *const texts[] = { "",
	                             "*",
	                             "web*",
	                             "db*,!db03",
	                             "~[05]$",
	                             "!web*",
	                             "web[01-20]*",
	                             "web01,db00",
	                             "role=web",
	                             "env!=prod",
	                             "role in (db,web),env=test",
	                             "web02,web99" };

static void expand(const char *text, const struct targets_fleet *of, uint8_t *out)
{
	struct targets_query q = { .lenient = true };
	struct targets t = { 0 };
	struct pm_error err;

	memset(out, 0, N_HOSTS);
	if (*text == '\0')
		q.all = true;
	else if (strpbrk(text, "=") != NULL)
		q.label = text;
	else
		q.hosts = text;
	if (targets_expand(&q, of, &t, &err) < 0) {
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
	for (unsigned round = 0; round < 1000; round++) {
		const char *asked = texts[next(&seed) % PM_COUNT(texts)];
		const char *given = texts[next(&seed) % PM_COUNT(texts)];
		struct binding b = binding_of("operator", given, "");
		struct access *a = access_of(&b, 1);
		uint8_t wanted[N_HOSTS], left[N_HOSTS];
		struct targets_host allowed[N_HOSTS];
		struct targets_fleet part = { .hosts = allowed };

		/* first expand, then authorise each host; and the other way round */
		expand(asked, &view.fleet, wanted);
		for (size_t i = 0; i < N_HOSTS; i++)
			if (access_allows(a, PM_OP_BIT(PM_OP_RELOAD), i, NULL, 0))
				allowed[part.n++] = view.hosts[i];
		expand(asked, &part, left);
		for (size_t i = 0, at = 0; i < N_HOSTS; i++) {
			bool allows = access_allows(a, PM_OP_BIT(PM_OP_RELOAD), i, NULL, 0);

			if (allows)
				assert_int_equal(left[at++], wanted[i]);
		}
		access_destroy(a);
	}
}

static void memory_may_run_out_anywhere(void **state)
{
	struct binding list[] = { binding_of("admin", "role=db", ""),
		                  binding_of("admin", "web*", "api") };
	struct oper oper = { .state = OPERATOR_ACTIVE, .bindings = list, .n_bindings = 2 };
	int rc = -1;

	(void)state;
	for (unsigned nth = 1; rc < 0; nth++) {
		struct access *a = NULL;
		struct pm_error err = { 0 };

		assert_true(nth < 40);
		pm_alloc_fail_at(nth);
		rc = access_make(&view, &oper, &a, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
		access_destroy(a);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_binding_is_of_its_hosts_and_apps_only),
		cmocka_unit_test(what_a_host_says_of_itself_gives_nobody_a_right),
		cmocka_unit_test(a_right_to_some_apps_or_hosts_is_none_to_the_fleet),
		cmocka_unit_test(the_agent_is_told_the_apps_that_a_right_is_for),
		cmocka_unit_test(a_bindings_text_is_checked_when_it_is_made),
		cmocka_unit_test(an_admin_of_an_empty_fleet_is_one),
		cmocka_unit_test(a_revoked_operator_may_nothing),
		cmocka_unit_test(authorising_and_expanding_may_be_exchanged),
		cmocka_unit_test(memory_may_run_out_anywhere),
	};

	return cmocka_run_group_tests(tests, make_fleet, free_fleet);
}
