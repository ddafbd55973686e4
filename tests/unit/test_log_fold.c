/* F-37: the same line of many hosts as one; the counts sum up to the lines. */
#include "unit.h"

#include <stdio.h>

#include "cli/log_fold.h"
#include "proto/buf.h"

#define HOSTS 40

static void put(struct log_fold *f, unsigned host, const char *app, const char *text, int64_t at_ms,
                uint64_t now_ms)
{
	struct log_fold_line l = {
		.host = host,
		.app = app,
		.line = { .source = host, .at_ms = at_ms, .text = text, .len = strlen(text) },
	};
	struct pm_error err;

	assert_int_equal(log_fold_put(f, &l, now_ms, &err), 0);
}

/* Groups that have come to their end: "count/hosts:text ". */
static void taken(struct log_fold *f, uint64_t now_ms, bool flush, const char *want)
{
	PM_BUF out = { 0 };
	struct log_fold_group g;

	while (log_fold_next(f, now_ms, flush, &g))
		pm_buf_printf(&out, "%llu/%zu:%.*s ", (unsigned long long)g.n_lines, g.n_hosts,
		              (int)g.first.line.len, g.first.line.text);
	assert_string_equal(out.bytes == NULL ? "" : out.bytes, want);
}

static struct log_fold *fold(uint32_t window_ms, bool clocked, size_t max_bytes)
{
	struct log_fold *f;
	struct pm_error err;

	assert_int_equal(log_fold_create(window_ms, clocked, max_bytes, HOSTS, &f, &err), 0);
	return f;
}

#define FOLD PM_CLEANUP(log_fold_destroyp) struct log_fold

static void f37_equal_lines_of_hosts_are_one_with_their_number(void **state)
{
	FOLD *f = fold(500, true, 1 << 20);
	struct log_fold_group g;

	(void)state;
	for (unsigned i = 1; i < 38; i++)
		put(f, i, "api", "ECONNREFUSED db1", 1000 + i, 0);
	put(f, 3, "api", "ECONNREFUSED db1", 1040, 0); /* one of them twice */
	put(f, 0, "api", "another", 1041, 0);
	taken(f, 499, false, "");
	assert_int_equal(log_fold_due_ms(f), 500);
	assert_true(log_fold_next(f, 500, false, &g));
	assert_int_equal(g.n_lines, 38);
	assert_int_equal(g.n_hosts, 37);
	assert_int_equal(g.hosts[0], 0);
	for (unsigned i = 1; i < 38; i++)
		assert_int_equal(g.hosts[i], 1);
	assert_int_equal(g.hosts[38], 0);
	assert_string_equal(g.first.app, "api");
	taken(f, 500, false, "1/1:another ");
	assert_int_equal(log_fold_due_ms(f), UINT64_MAX);
}

static void f37_lines_that_differ_in_anything_are_not_one(void **state)
{
	FOLD *f = fold(500, true, 1 << 20);
	struct log_fold_line l = { .app = "api", .line = { .text = "a", .len = 1, .at_ms = 1 } };
	struct pm_error err;

	(void)state;
	put(f, 0, "api", "a", 1, 0);
	put(f, 1, "web", "a", 1, 0);
	put(f, 2, "api", "a ", 1, 0);
	put(f, 3, "api", "", 1, 0);
	l.err = true;
	assert_int_equal(log_fold_put(f, &l, 0, &err), 0);
	l.err = false;
	l.line.partial = true;
	assert_int_equal(log_fold_put(f, &l, 0, &err), 0);
	taken(f, 0, true, "1/1:a 1/1:a 1/1:a  1/1: 1/1:a 1/1:a ");
}

static void f37_the_window_ends_by_the_clock_or_by_a_later_line(void **state)
{
	FOLD *live = fold(500, true, 1 << 20);
	FOLD *past = fold(500, false, 1 << 20);

	(void)state;
	put(live, 0, "api", "a", 1000, 100);
	put(live, 1, "api", "a", 1500, 200);
	put(live, 2, "api", "a", 1501, 201); /* too late for the first group */
	taken(live, 201, false, "2/2:a ");
	taken(live, 700, false, "");
	taken(live, 701, false, "1/1:a ");
	/* The past waits for no clock. */
	put(past, 0, "api", "a", 1000, 100);
	put(past, 1, "api", "a", 1400, 900000);
	assert_int_equal(log_fold_due_ms(past), UINT64_MAX);
	taken(past, 900000, false, "");
	put(past, 2, "api", "b", 1501, 900000);
	assert_int_equal(log_fold_due_ms(past), 0);
	taken(past, 900000, false, "2/2:a ");
	/* What has no time is near everything. */
	put(past, 3, "api", "c", 0, 900000);
	put(past, 4, "api", "c", 0, 999999);
	put(past, 5, "api", "c", 1600, 999999);
	taken(past, 999999, false, "");
	taken(past, 999999, true, "1/1:b 3/3:c ");
}

static void f37_memory_is_bounded_and_no_line_is_lost(void **state)
{
	FOLD *f = fold(500, false, 8192);
	struct log_fold_group g;
	uint64_t n = 0, held = 0, most = 0;
	uint32_t rng = 7;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		char text[32];

		rng = rng * 1664525u + 1013904223u;
		(void)snprintf(text, sizeof(text), "line %u", (rng >> 8) % 300);
		put(f, (rng >> 20) % HOSTS, "api", text, 1000 + i / 100, i);
		held++;
		while (log_fold_next(f, i, false, &g)) {
			n += g.n_lines;
			held -= g.n_lines;
		}
		most = PM_MAX(most, held);
	}
	assert_true(most < 20000);
	while (log_fold_next(f, 0, true, &g)) {
		assert_true(g.n_hosts <= g.n_lines);
		n += g.n_lines;
	}
	assert_int_equal(n, 20000);
}

static void running_out_of_memory_is_an_error(void **state)
{
	struct log_fold *f = NULL;
	struct log_fold_line l = { .app = "api", .line = { .text = "a", .len = 1 } };
	struct pm_error err;

	(void)state;
	pm_alloc_fail_at(1);
	assert_int_equal(log_fold_create(500, true, 100, HOSTS, &f, &err), -1);
	pm_alloc_fail_at(0);
	f = fold(500, true, 1000);
	pm_alloc_fail_at(1);
	assert_int_equal(log_fold_put(f, &l, 0, &err), -1);
	pm_alloc_fail_at(0);
	assert_int_equal(err.code, PM_NO_MEMORY);
	taken(f, 0, true, "");
	log_fold_destroy(f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(f37_equal_lines_of_hosts_are_one_with_their_number),
		cmocka_unit_test(f37_lines_that_differ_in_anything_are_not_one),
		cmocka_unit_test(f37_the_window_ends_by_the_clock_or_by_a_later_line),
		cmocka_unit_test(f37_memory_is_bounded_and_no_line_is_lost),
		cmocka_unit_test(running_out_of_memory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
