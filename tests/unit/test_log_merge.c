/* Lines of many sources: in order, none lost, none twice, none later than the window. */
#include "unit.h"

#include <stdio.h>

#include "cli/log_merge.h"

#define WINDOW 500

static uint32_t state32 = 1;

static uint32_t random_below(uint32_t n)
{
	state32 = state32 * 1664525 + 1013904223;
	return (state32 >> 8) % n;
}

#define PM_MERGE PM_CLEANUP(log_merge_destroyp) struct log_merge

static void put(struct log_merge *m, unsigned source, int64_t at_ms, const char *text, uint64_t now)
{
	struct log_merge_line line = {
		.source = source, .at_ms = at_ms, .text = text, .len = strlen(text)
	};
	struct pm_error err;

	assert_int_equal(log_merge_put(m, &line, now, &err), 0);
}

static struct log_merge *create(uint32_t window, size_t max)
{
	struct log_merge *m;
	struct pm_error err;

	assert_int_equal(log_merge_create(window, max, &m, &err), 0);
	return m;
}

static void next_is(struct log_merge *m, uint64_t now, const char *text, bool late)
{
	struct log_merge_line line;

	assert_true(log_merge_next(m, now, false, &line));
	assert_int_equal(line.len, strlen(text));
	assert_memory_equal(line.text, text, line.len);
	assert_int_equal(line.late, late);
}

static void nothing_is(struct log_merge *m, uint64_t now)
{
	struct log_merge_line line;

	assert_false(log_merge_next(m, now, false, &line));
}

static void lines_wait_for_the_window_and_come_in_order(void **state)
{
	PM_MERGE *m = create(WINDOW, 1 << 20);

	(void)state;
	assert_true(log_merge_due_ms(m) == UINT64_MAX);
	put(m, 0, 2000, "b", 100);
	put(m, 1, 1000, "a", 200);
	put(m, 2, 3000, "c", 300);
	assert_int_equal(log_merge_due_ms(m), 600);
	nothing_is(m, 599);
	next_is(m, 600, "a", false); /* before b, which is due, whenever it came */
	next_is(m, 600, "b", false);
	nothing_is(m, 600);
	next_is(m, 800, "c", false);
	nothing_is(m, 9999);
}

static void a_late_line_goes_at_once_and_is_marked(void **state)
{
	PM_MERGE *m = create(WINDOW, 1 << 20);

	(void)state;
	put(m, 0, 2000, "b", 0);
	next_is(m, 500, "b", false);
	put(m, 1, 1500, "a", 501);
	assert_int_equal(log_merge_due_ms(m), 0);
	next_is(m, 501, "a", true);
	put(m, 1, 2000, "equal", 502); /* no later than what went on */
	nothing_is(m, 502);
	next_is(m, 1002, "equal", false);
}

/* */
static void a_source_keeps_its_order_whatever_its_clock(void **state)
{
	PM_MERGE *m = create(WINDOW, 1 << 20);

	(void)state;
	put(m, 0, 5000, "1", 0);
	put(m, 0, 1000, "2", 0); /* the clock went back */
	put(m, 0, 0, "3", 0);    /* nobody knows when */
	put(m, 1, 4000, "0", 0);
	next_is(m, 500, "0", false);
	next_is(m, 500, "1", false);
	next_is(m, 500, "2", false);
	next_is(m, 500, "3", false);
}

static void without_a_window_they_come_as_they_came(void **state)
{
	PM_MERGE *m = create(0, 1 << 20);

	(void)state;
	put(m, 0, 5000, "1", 7);
	put(m, 1, 1000, "2", 7);
	next_is(m, 7, "1", false);
	next_is(m, 7, "2", false);
}

static void over_the_limit_the_first_go_early(void **state)
{
	PM_MERGE *m = create(WINDOW, 1);
	struct log_merge_line line;

	(void)state;
	put(m, 0, 2000, "b", 0);
	put(m, 1, 1000, "a", 0);
	next_is(m, 0, "a", false);
	next_is(m, 0, "b", false);
	put(m, 0, 3000, "", 0);
	assert_true(log_merge_next(m, 0, true, &line));
	assert_int_equal(line.len, 0);
}

#define SOURCES 50
#define LINES   200

/* F-32: clocks that are up to 2 s off, known to 20 ms; some lines take longer than the window. */
static void nothing_is_lost_or_doubled_and_few_are_late(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		PM_MERGE *m = create(WINDOW, 64u << 20);
		unsigned next[SOURCES] = { 0 }, got[SOURCES] = { 0 };
		uint64_t arrives[SOURCES] = { 0 }, written[SOURCES] = { 0 };
		int64_t last = INT64_MIN, error[SOURCES];
		unsigned n = 0, n_late = 0, n_slow = 0, out_of_order = 0;
		struct log_merge_line line;
		char text[32];

		for (unsigned i = 0; i < SOURCES; i++)
			error[i] = (int64_t)random_below(41) - 20;
		for (uint64_t now = 1000; n < SOURCES * LINES; now += 10) {
			for (unsigned i = 0; i < SOURCES; i++) {
				while (next[i] < LINES && arrives[i] <= now) {
					if (arrives[i] > 0) {
						(void)snprintf(text, sizeof(text), "%u", next[i]);
						put(m, i, (int64_t)written[i] + error[i], text,
						    now);
						next[i]++;
					}
					written[i] =
						PM_MAX(written[i] + random_below(60), now - 200);
					arrives[i] =
						PM_MAX(arrives[i], written[i] + random_below(300));
					if (random_below(500) == 0) {
						arrives[i] += 800;
						n_slow++;
					}
				}
			}
			while (log_merge_next(m, now, false, &line)) {
				/* Each of a source once, in its order. */
				assert_int_equal(strtoul(line.text, NULL, 10), got[line.source]);
				got[line.source]++;
				n++;
				n_late += line.late;
				if (!line.late) {
					out_of_order += line.at_ms < last;
					last = line.at_ms;
				}
			}
			assert_true(now < 1000000);
		}
		assert_int_equal(out_of_order, 0);
		assert_true(n_late <= n_slow * 40); /* what a slow link held up */
		for (unsigned i = 0; i < SOURCES; i++)
			assert_int_equal(got[i], LINES);
	}
}

static void memory_may_end_at_any_point(void **state)
{
	struct log_merge_line line = { .source = 3, .at_ms = 1, .text = "x", .len = 1 };
	struct pm_error err;

	(void)state;
	for (unsigned i = 1; i < 10; i++) {
		struct log_merge *m = NULL;
		int rc;

		pm_alloc_fail_at(i);
		rc = log_merge_create(1, 1, &m, &err);
		if (rc == 0)
			rc = log_merge_put(m, &line, 0, &err);
		pm_alloc_fail_at(0);
		log_merge_destroy(m);
		if (rc == 0)
			return;
		assert_int_equal(err.code, PM_NO_MEMORY);
	}
	fail();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_wait_for_the_window_and_come_in_order),
		cmocka_unit_test(a_late_line_goes_at_once_and_is_marked),
		cmocka_unit_test(a_source_keeps_its_order_whatever_its_clock),
		cmocka_unit_test(without_a_window_they_come_as_they_came),
		cmocka_unit_test(over_the_limit_the_first_go_early),
		cmocka_unit_test(nothing_is_lost_or_doubled_and_few_are_late),
		cmocka_unit_test(memory_may_end_at_any_point),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
