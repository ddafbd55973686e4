/* Coordinators by name: as text and back, changed one at a time, and texts that are none. */
#include "unit.h"

#include <stdio.h>

#include "cli/context.h"

#define KEY "pmd-key:BO-nY3RaRmUnOMS62Qgpbfs6T5ITxQlOHXGc5llRMXttO8mL"
#define ONE(name) \
	"context " name "\n  address coord:7443\n  coordinator " KEY "\n  key keys/" name ".key\n"

static int parse(const char *text, struct contexts *out, struct pm_error *err)
{
	return contexts_parse(text, strlen(text), out, err);
}

static void what_is_written_is_read_back(void **state)
{
	static const char text[] = "# Coordinators that pmctl knows; written by pmctl.\n"
				   "current prod\n"
				   "context lab\n"
				   "  address [::1]:7443\n"
				   "  coordinator " KEY "\n"
				   "  key /home/me/lab.key\n"
				   "context prod\n"
				   "  address coord-a.example:7443\n"
				   "  address 192.0.2.1:17443\n"
				   "  coordinator " KEY "\n"
				   "  key keys/prod.key\n"
				   "  operator alice\n";
	PM_CONTEXTS c = { 0 };
	PM_BUF out = { 0 };
	struct pm_error err;

	(void)state;
	assert_int_equal(parse(text, &c, &err), 0);
	assert_int_equal(c.n, 2);
	assert_string_equal(c.current, "prod");
	assert_int_equal(contexts_find(&c, "prod")->n_addresses, 2);
	assert_int_equal(contexts_find(&c, "prod")->addresses[1].port, 17443);
	assert_string_equal(contexts_find(&c, "prod")->operator, "alice");
	assert_null(contexts_find(&c, "pro"));
	assert_string_equal(contexts_nearest(&c, "prdo"), "prod");
	assert_null(contexts_nearest(&c, "something else"));
	assert_int_equal(contexts_format(&c, &out, &err), 0);
	assert_string_equal(out.bytes, text);
}

static void blanks_comments_and_order_do_not_matter(void **state)
{
	PM_CONTEXTS c = { 0 };
	struct pm_error err;

	(void)state;
	assert_int_equal(
		parse("\n# a\n" ONE("b") "\t\n" ONE("a") "current\ta  # the first\r\n", &c, &err),
		0);
	assert_int_equal(c.n, 2);
	assert_string_equal(c.list[0].name, "a");
	assert_string_equal(c.current, "a");
}

static void one_is_added_replaced_and_removed(void **state)
{
	PM_CONTEXTS c = { 0 };
	struct context one;
	struct pm_error err;

	(void)state;
	assert_int_equal(parse(ONE("a") ONE("c") "current a\n", &c, &err), 0);
	one = c.list[0];
	(void)snprintf(one.name, sizeof(one.name), "b");
	assert_int_equal(contexts_put(&c, &one, &err), 0);
	assert_int_equal(c.n, 3);
	assert_string_equal(c.list[1].name, "b");
	(void)snprintf(one.key, sizeof(one.key), "other");
	assert_int_equal(contexts_put(&c, &one, &err), 0);
	assert_int_equal(c.n, 3);
	assert_string_equal(contexts_find(&c, "b")->key, "other");
	assert_true(contexts_remove(&c, "a"));
	assert_string_equal(c.current, ""); /* nothing is chosen by chance */
	assert_false(contexts_remove(&c, "a"));
	assert_int_equal(c.n, 2);
}

static void mistakes_are_told_with_their_line(void **state)
{
	static const struct {
		const char *text, *what;
	} cases[] = {
		{ "address x\n", "line 1: 'address' outside of a context" },
		{ ONE("a") "  port 1\n", "line 5: 'port' means nothing here" },
		{ "context a\n  key k\n", "context a has no coordinator" },
		{ "context a\n  coordinator " KEY "\n  key k\n", "context a has no address" },
		{ "context a\n  coordinator " KEY "\n  address x\n", "context a has no key" },
		{ "context a/b\n", "line 1: 'a/b' is no name of a context" },
		{ "current\n", "line 1: 'current' without a value" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_CONTEXTS c = { 0 };
		struct pm_error err = { 0 };

		assert_int_equal(parse(cases[i].text, &c, &err), -1);
		assert_string_equal(err.what, cases[i].what);
		assert_int_equal(err.code, PM_CONFIG);
		assert_int_equal(c.n, 0);
	}
}

static void limits_are_kept_and_memory_may_end(void **state)
{
	PM_BUF text = { 0 };
	PM_CONTEXTS c = { 0 };
	struct pm_error err;

	(void)state;
	for (unsigned i = 0; i <= PM_CONTEXTS_MAX; i++)
		pm_buf_printf(&text, "context c%03u\n address a\n coordinator " KEY "\n key k\n",
		              i);
	assert_int_equal(parse(text.bytes, &c, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	assert_int_equal(contexts_parse("a\0b", 3, &c, &err), -1);
	for (unsigned i = 1;; i++) {
		int rc;

		pm_alloc_fail_at(i);
		rc = parse(ONE("a") ONE("b"), &c, &err);
		pm_alloc_fail_at(0);
		if (rc == 0)
			break;
		assert_int_equal(err.code, PM_NO_MEMORY);
		assert_int_equal(c.n, 0);
		assert_true(i < 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(blanks_comments_and_order_do_not_matter),
		cmocka_unit_test(one_is_added_replaced_and_removed),
		cmocka_unit_test(mistakes_are_told_with_their_line),
		cmocka_unit_test(limits_are_kept_and_memory_may_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
