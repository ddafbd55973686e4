/* Host names: ranges spelled out and folded back, and their order. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "proto/buf.h"
#include "proto/hostlist.h"
#include "proto/limits.h"

static int add_name(void *arg, const char *name, struct pm_error *err)
{
	struct pm_buf *b = arg;

	(void)err;
	if (b->len > 0)
		pm_buf_char(b, ' ');
	pm_buf_str(b, name);
	return 0;
}

static void ranges_are_spelled_out(void **state)
{
	static const struct {
		const char *item, *want;
	} cases[] = {
		{ "web1", "web1" },
		{ "web[1-3]", "web1 web2 web3" },
		{ "web[01-03]", "web01 web02 web03" },
		{ "web[08-11,25]", "web08 web09 web10 web11 web25" },
		{ "web[8-11]", "web8 web9 web10 web11" },
		{ "web[098-101]", "web098 web099 web100 web101" },
		{ "r[1-2]n[1-2]", "r1n1 r1n2 r2n1 r2n2" },
		{ "[1-2].dc[7]", "1.dc7 2.dc7" },
		{ "web[0]", "web0" },
		{ "web[00]", "web00" },
		{ "web[a-c]", "web[a-c]" }, /* a glob's bracket */
		{ "web[!1]", "web[!1]" },
		{ "web[", "web[" },
		{ "web[1-2]*", "web1* web2*" },
		{ "web]", "web]" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct pm_error err = { 0 };
		PM_BUF b = { 0 };

		assert_int_equal(
			hostlist_expand(cases[i].item, strlen(cases[i].item), add_name, &b, &err),
			0);
		assert_string_equal(b.bytes, cases[i].want);
	}
}

static void what_is_no_range_is_refused(void **state)
{
	static const struct {
		const char *item;
		enum pm_code code;
	} cases[] = {
		{ "web[3-1]", PM_USAGE },
		{ "web[1-]", PM_USAGE },
		{ "web[1,,2]", PM_USAGE },
		{ "web[1-2-3]", PM_USAGE },
		{ "web[1,]", PM_USAGE },
		{ "web[1234567890123456789]", PM_USAGE },
		{ "web[1-65537]", PM_LIMIT },
		{ "w[1-1000]e[1-1000]", PM_LIMIT },
		{ "a[1]b[1]c[1]d[1]e[1]", PM_LIMIT },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct pm_error err = { 0 };
		PM_BUF b = { 0 };

		assert_int_equal(
			hostlist_expand(cases[i].item, strlen(cases[i].item), add_name, &b, &err),
			-1);
		assert_int_equal(err.code, cases[i].code);
	}
}

static void a_name_has_a_longest_form(void **state)
{
	char item[PM_NAME_MAX + 8];
	struct pm_error err;
	PM_BUF b = { 0 };

	(void)state;
	memset(item, 'a', sizeof(item));
	assert_int_equal(hostlist_expand(item, PM_NAME_MAX, add_name, &b, &err), 0);
	assert_int_equal(hostlist_expand(item, PM_NAME_MAX + 1, add_name, &b, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	memcpy(item + PM_NAME_MAX - 1, "[10]", 4);
	assert_int_equal(hostlist_expand(item, PM_NAME_MAX + 3, add_name, &b, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
}

static void names_are_letters_digits_and_few_marks(void **state)
{
	char longest[PM_NAME_MAX + 2];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[PM_NAME_MAX + 1] = '\0';
	assert_false(hostlist_is_name(longest));
	longest[PM_NAME_MAX] = '\0';
	assert_true(hostlist_is_name(longest));
	assert_true(hostlist_is_name("web01.dc-1_a"));
	assert_false(hostlist_is_name(""));
	assert_false(hostlist_is_name("-web"));
	assert_false(hostlist_is_name("web 1"));
	assert_false(hostlist_is_name("web[1]"));
	assert_false(hostlist_is_name("w\xc3\xa9"));
}

static void digits_are_ordered_by_their_number(void **state)
{
	/* ascending */
	static const char *const names[] = { "",      "1",    "01",   "2",     "10",   "a",
		                             "a.1.2", "a1",   "a1b",  "a2",    "a10",  "a10b",
		                             "ab",    "v1.4", "v1.9", "v1.10", "v2.0", "v02.0" };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(names); i++)
		for (size_t j = 0; j < PM_COUNT(names); j++) {
			int rc = hostlist_compare(names[i], names[j]);

			assert_int_equal((rc > 0) - (rc < 0), (i > j) - (i < j));
		}
}

static void names_fold_to_ranges(void **state)
{
	static const struct {
		const char *names[12];
		const char *want;
	} cases[] = {
		{ { NULL }, "" },
		{ { "web1" }, "web1" },
		{ { "web3", "web1", "web2", "web1" }, "web[1-3]" },
		{ { "web1", "web2" }, "web[1,2]" },
		{ { "web01", "web02", "web03", "web25" }, "web[01-03,25]" },
		{ { "web09", "web10", "web11", "web8" }, "web[8,09-11]" },
		{ { "web9", "web10", "web11" }, "web[9-11]" },
		{ { "web1", "db1", "web2" }, "db1,web[1,2]" },
		{ { "r1n1", "r1n2", "r2n1", "r2n2" }, "r[1,2]n[1,2]" },
		{ { "r1n1", "r1n2", "r2n1" }, "r1n[1,2],r2n1" },
		{ { "web1.dc2", "web2.dc2", "web3.dc2" }, "web[1-3].dc2" },
		{ { "a1", "a01", "a2" }, "a[1,01,2]" },
		{ { "localhost" }, "localhost" },
		{ { "x1234567890123456789012", "x1" }, "x1,x1234567890123456789012" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct pm_error err;
		PM_BUF b = { 0 };
		size_t n = 0;

		while (n < PM_COUNT(cases[i].names) && cases[i].names[n] != NULL)
			n++;
		assert_int_equal(hostlist_fold(cases[i].names, n, &b, &err), 0);
		assert_string_equal(b.bytes == NULL ? "" : b.bytes, cases[i].want);
	}
}

/* ---- what was folded is what was given ---- */

struct list {
	char names[400][40];
	size_t n;
};

static int collect(void *arg, const char *name, struct pm_error *err)
{
	struct list *l = arg;

	(void)err;
	assert_true(l->n < PM_COUNT(l->names));
	(void)snprintf(l->names[l->n++], sizeof(l->names[0]), "%s", name);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return hostlist_compare(a, b);
}

static void sort_unique(struct list *l)
{
	size_t kept = 0;

	qsort(l->names, l->n, sizeof(l->names[0]), by_name);
	for (size_t i = 0; i < l->n; i++)
		if (kept == 0 || strcmp(l->names[kept - 1], l->names[i]) != 0)
			memmove(l->names[kept++], l->names[i], sizeof(l->names[0]));
	l->n = kept;
}

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

static void a_random_name(unsigned *seed, char *out, size_t size)
{
	unsigned a = next(seed) % 12, b = next(seed) % 4, c = next(seed) % 3;

	switch (next(seed) % 5) {
	case 0:
		(void)snprintf(out, size, "web%u", a);
		break;
	case 1:
		(void)snprintf(out, size, "web%02u", a);
		break;
	case 2:
		(void)snprintf(out, size, "r%un%u", b, a);
		break;
	case 3:
		(void)snprintf(out, size, "r%02u-n%u.dc%u", b, a, c);
		break;
	default:
		(void)snprintf(out, size, "%u", a + 95);
		break;
	}
}

static void expanding_what_was_folded_gives_the_same_set(void **state)
{
	static struct list given, back;
	const char *names[PM_COUNT(given.names)];
	unsigned seed = 7;

	(void)state;
	for (unsigned round = 0; round < 500; round++) {
		struct pm_error err = { 0 };
		PM_BUF b = { 0 };

		given.n = next(&seed) % 200;
		for (size_t i = 0; i < given.n; i++) {
			a_random_name(&seed, given.names[i], sizeof(given.names[i]));
			names[i] = given.names[i];
		}
		assert_int_equal(hostlist_fold(names, given.n, &b, &err), 0);
		back.n = 0;
		for (const char *s = b.bytes == NULL ? "" : b.bytes; *s != '\0';) {
			size_t len = 0;
			bool inside = false;

			while (s[len] != '\0' && (inside || s[len] != ',')) {
				inside = s[len] == '[' || (inside && s[len] != ']');
				len++;
			}
			assert_int_equal(hostlist_expand(s, len, collect, &back, &err), 0);
			s += len + (s[len] == ',');
		}
		for (size_t i = 1; i < back.n; i++) /* none twice */
			for (size_t j = 0; j < i; j++)
				assert_string_not_equal(back.names[i], back.names[j]);
		sort_unique(&given);
		sort_unique(&back);
		assert_int_equal(given.n, back.n);
		for (size_t i = 0; i < given.n; i++)
			assert_string_equal(given.names[i], back.names[i]);
	}
}

static void memory_may_run_out_while_folding(void **state)
{
	static const char *const names[] = { "r1n1", "r1n2", "r2n1", "r2n2", "x1", "x2" };
	int rc = -1;

	(void)state;
	for (unsigned nth = 1; rc < 0; nth++) {
		struct pm_error err = { 0 };
		PM_BUF b = { 0 };

		assert_true(nth < 50);
		pm_alloc_fail_at(nth);
		rc = hostlist_fold(names, PM_COUNT(names), &b, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
		else
			assert_string_equal(b.bytes, "r[1,2]n[1,2],x[1,2]");
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_spelled_out),
		cmocka_unit_test(what_is_no_range_is_refused),
		cmocka_unit_test(a_name_has_a_longest_form),
		cmocka_unit_test(names_are_letters_digits_and_few_marks),
		cmocka_unit_test(digits_are_ordered_by_their_number),
		cmocka_unit_test(names_fold_to_ranges),
		cmocka_unit_test(expanding_what_was_folded_gives_the_same_set),
		cmocka_unit_test(memory_may_run_out_while_folding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
