#include "tests/unit/unit.h"

#include <stdio.h>

#include "agent/deps.h"

enum {
	APPS = 8
};

/* Apps from text such as "web:api,cache api:db db", and their order as "db:0 api:1 web:2". */
static int order_of(const char *given, char *text, size_t size, struct pm_error *err)
{
	static const char *const present[] = { "zz", "db-there", "web" };
	const char *needs[APPS][APPS];
	struct deps_app apps[APPS];
	uint32_t waves[APPS];
	size_t order[APPS], n = 0, len = 0;
	char copy[256], *rest = copy, *word;
	int rc;

	(void)snprintf(copy, sizeof(copy), "%s", given);
	while ((word = strtok_r(rest, " ", &rest)) != NULL) {
		char *list = strchr(word, ':'), *need;

		apps[n] = (struct deps_app){ .name = word, .needs = needs[n] };
		if (list != NULL)
			*list++ = '\0';
		while (list != NULL && (need = strtok_r(list, ",", &list)) != NULL)
			needs[n][apps[n].n_needs++] = need;
		n++;
	}
	rc = deps_order(apps, n, present, PM_COUNT(present), order, waves, err);
	text[0] = '\0';
	for (size_t i = 0; rc == 0 && i < n; i++)
		len += (size_t)snprintf(text + len, size - len, "%s%s:%u", i > 0 ? " " : "",
		                        apps[order[i]].name, waves[order[i]]);
	return rc;
}

static void apps_come_after_what_they_need(void **state)
{
	static const struct {
		const char *given, *want;
	} rows[] = {
		{ "c a b", "c:0 a:0 b:0" },
		{ "c:b b:a a", "a:0 b:1 c:2" },
		{ "web:api,cache api:db mail cache:db db", "mail:0 db:0 api:1 cache:1 web:2" },
		{ "a:d b:a c d b2:d,b", "c:0 d:0 a:1 b:2 b2:3" },
		{ "api:db-there,zz", "api:0" },
		{ "api:db,db db", "db:0 api:1" },
		{ "api:web web", "web:0 api:1" }, /* present too, but about to be started */
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct pm_error err;
		char text[256];

		if (order_of(rows[i].given, text, sizeof(text), &err) < 0)
			fail_msg("%s: %s", rows[i].given, err.what);
		assert_string_equal(text, rows[i].want);
	}
}

static void a_cycle_is_named_and_only_the_cycle(void **state)
{
	static const struct {
		const char *given, *want;
	} rows[] = {
		{ "a:a", "a needs a" },
		{ "x a:b b:x,a", "a needs b, b needs a" },
		{ "tail:a a:b b:c c:a root", "a needs b, b needs c, c needs a" },
		{ "x:y y:x,z z", "x needs y, y needs x" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct pm_error err;
		char text[256];

		assert_int_equal(order_of(rows[i].given, text, sizeof(text), &err), -1);
		assert_int_equal(err.code, PM_CONFIG);
		(void)snprintf(text, sizeof(text), "apps that depend on each other: %s",
		               rows[i].want);
		assert_string_equal(err.what, text);
	}
}

static void a_missing_app_is_named_with_who_needs_it(void **state)
{
	struct pm_error err;
	char text[64];

	(void)state;
	assert_int_equal(order_of("api:db", text, sizeof(text), &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
	assert_string_equal(err.what, "api needs db: there is no such app");
}

static void a_chain_and_a_cycle_of_ten_thousand(void **state)
{
	enum {
		N = 10000
	};
	static struct deps_app apps[N];
	static char names[N][8];
	static const char *needs[N][1];
	static uint32_t waves[N];
	static size_t order[N];
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < N; i++)
		(void)snprintf(names[i], sizeof(names[i]), "%zu", i);
	for (size_t i = 0; i < N; i++) {
		needs[i][0] = names[(i + 1) % N];
		apps[i] = (struct deps_app){ names[i], needs[i], i + 1 < N };
	}
	assert_int_equal(deps_order(apps, N, NULL, 0, order, waves, &err), 0);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(order[i], N - 1 - i);
		assert_int_equal(waves[i], N - 1 - i);
	}
	apps[N - 1].n_needs = 1;
	assert_int_equal(deps_order(apps, N, NULL, 0, order, waves, &err), -1);
	assert_int_equal(err.code, PM_CONFIG);
	assert_true(strlen(err.what) < sizeof(err.what));
	assert_non_null(strstr(err.what, "..."));
}

static void without_memory_or_with_too_much_it_says_so(void **state)
{
	struct pm_error err;
	char text[64];

	(void)state;
	for (unsigned nth = 1; nth <= 4; nth++) {
		pm_alloc_fail_at(nth);
		assert_int_equal(order_of("c:b b:a a", text, sizeof(text), &err), -1);
		pm_alloc_fail_at(0);
		assert_int_equal(err.code, PM_NO_MEMORY);
	}
	assert_int_equal(deps_order(NULL, 0, NULL, DEPS_MAX + 1u, NULL, NULL, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(apps_come_after_what_they_need),
		cmocka_unit_test(a_cycle_is_named_and_only_the_cycle),
		cmocka_unit_test(a_missing_app_is_named_with_who_needs_it),
		cmocka_unit_test(a_chain_and_a_cycle_of_ten_thousand),
		cmocka_unit_test(without_memory_or_with_too_much_it_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
