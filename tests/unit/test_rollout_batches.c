/* Which host of a rollout is in which batch (F-14, F-17, F-24; classes A and F of FLEET 1.7). */
#include "tests/unit/rollout_rig.h"

static struct rig g;

static void begin(size_t n, const char *options)
{
	rig_init(&g, n, options);
	rig_begin(&g);
}

static void f14_a_ramp_covers_all_and_its_last_holds_for_the_rest(void **state)
{
	static const struct {
		size_t n;
		const char *options;
		size_t sizes[8];
	} rows[] = {
		{ 1000, "", { 1, 100, 250, 250, 250, 149 } },
		{ 1000, "batch=1,5%,25%", { 1, 50, 250, 250, 250, 199 } },
		{ 1, "", { 1 } },
		{ 3, "", { 1, 1, 1 } },
		{ 9, "", { 1, 1, 3, 3, 1 } },
		{ 5, "batch=2", { 2, 2, 1 } },
		{ 5, "batch=100%", { 5 } },
		{ 7, "batch=50% max_down=1", { 4, 3 } },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		size_t sizes[8] = { 0 };

		begin(rows[i].n, rows[i].options);
		for (size_t k = 0; k < g.n; k++) {
			assert_in_range(g.steps[k].batch, 1, 8);
			sizes[g.steps[k].batch - 1]++;
			assert_true(k == 0 || g.steps[k].batch >= g.steps[k - 1].batch);
		}
		assert_memory_equal(sizes, rows[i].sizes, sizeof(sizes));
		assert_true(sizes[g.r.n_batches - 1] > 0);
	}
}

static void hosts_are_in_the_order_in_which_people_count(void **state)
{
	static const char *const names[] = { "web10", "db1", "web2", "web01", "web1" };
	static const char *const want[] = { "db1", "web1", "web01", "web2", "web10" };

	(void)state;
	rig_init(&g, PM_COUNT(names), "");
	for (size_t i = 0; i < g.n; i++)
		g.hosts[i].name = names[i];
	rig_begin(&g);
	for (size_t i = 0; i < g.n; i++)
		assert_string_equal(g.hosts[g.host_of[i]].name, want[i]);
}

static void a_seed_always_gives_the_same_order_and_another_gives_another(void **state)
{
	uint32_t order[40], other[40];
	bool seen[40] = { false };

	(void)state;
	begin(40, "order=shuffle seed=7");
	memcpy(order, g.host_of, sizeof(order));
	begin(40, "order=shuffle seed=8");
	memcpy(other, g.host_of, sizeof(other));
	assert_memory_not_equal(order, other, sizeof(order));
	rig_init(&g, 40, "order=shuffle seed=7");
	for (size_t i = 0; i < 20; i++) { /* however they are given */
		struct rollout_host one = g.hosts[i];

		g.hosts[i] = g.hosts[39 - i];
		g.hosts[39 - i] = one;
	}
	rig_begin(&g);
	for (size_t i = 0; i < 40; i++) {
		assert_string_equal(g.hosts[g.host_of[i]].name, g.names[order[i]]);
		assert_false(seen[order[i]]);
		seen[order[i]] = true;
	}
}

static void f24_no_batch_is_of_two_waves_and_hosts_without_the_label_are_last(void **state)
{
	static const char *const waves[] = { "b", "", "a", "b", "a", "b", "" };
	static const char *const want[] = { "a", "a", "b", "b", "b", "", "" };
	static const uint32_t batch[] = { 1, 2, 3, 3, 4, 5, 5 }, ends[] = { 2, 4, 5 };

	(void)state;
	for (unsigned shuffled = 0; shuffled < 2; shuffled++) {
		rig_init(&g, PM_COUNT(waves),
		         shuffled ? "wave=az batch=1,2 order=shuffle seed=3" : "wave=az batch=1,2");
		for (size_t i = 0; i < g.n; i++)
			g.hosts[i].wave = waves[i];
		rig_begin(&g);
		for (size_t i = 0; i < g.n; i++) {
			assert_string_equal(g.hosts[g.host_of[i]].wave, want[i]);
			assert_int_equal(g.steps[i].batch, batch[i]);
		}
		assert_int_equal(g.r.n_waves, 3);
		assert_memory_equal(g.wave_ends, ends, sizeof(ends));
	}
}

static void f24_a_label_that_nobody_has_is_refused(void **state)
{
	struct rollout_batches b;
	struct pm_error err;

	(void)state;
	rig_init(&g, 3, "wave=zoen");
	assert_int_equal(rig_batches(&g, &b, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
	assert_non_null(strstr(err.what, "zoen"));
}

static void class_a_and_f_who_takes_part(void **state)
{
	static const struct {
		const char *options;
		size_t n_down, n_drained; /* of ten; the first ones, the last ones */
		enum pm_code code;
		size_t n_part;
	} rows[] = {
		{ "", 0, 0, PM_OK, 10 },
		{ "", 1, 0, PM_OK, 9 },
		{ "", 2, 0, PM_UNREACHABLE, 0 },
		{ "max_unreachable=20%", 2, 0, PM_OK, 8 },
		{ "max_unreachable=0", 1, 0, PM_UNREACHABLE, 0 },
		{ "unreachable=fail", 1, 0, PM_UNREACHABLE, 0 },
		{ "unreachable=fail max_unreachable=100%", 1, 0, PM_UNREACHABLE, 0 },
		{ "unreachable=wait=1m", 1, 0, PM_OK, 10 },
		{ "unreachable=wait=1m", 2, 0, PM_UNREACHABLE, 0 },
		{ "", 0, 3, PM_OK, 7 },
		{ "", 1, 1, PM_UNREACHABLE, 0 }, /* 10% of nine are none */
		{ "include_drained=true", 0, 3, PM_OK, 10 },
		{ "", 0, 10, PM_NOT_FOUND, 0 },
		{ "max_unreachable=100%", 10, 0, PM_NOT_FOUND, 0 },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct rollout_batches b;
		struct pm_error err;
		size_t n_part = 0;
		int rc;

		rig_init(&g, 10, rows[i].options);
		for (size_t k = 0; k < 10; k++) {
			g.hosts[k].down = k < rows[i].n_down;
			g.hosts[k].drained = k >= 10 - rows[i].n_drained;
		}
		rc = rig_batches(&g, &b, &err);
		assert_int_equal(rc, rows[i].code == PM_OK ? 0 : -1);
		if (rc < 0) {
			assert_int_equal(err.code, rows[i].code);
			continue;
		}
		for (size_t k = 0; k < 10; k++) {
			uint32_t batch = g.batch[g.host_of[k]];

			n_part += batch > 0;
			assert_true(k == 0 || batch == 0 || g.batch[g.host_of[k - 1]] > 0);
		}
		assert_int_equal(n_part, rows[i].n_part);
	}
}

static void without_memory_nothing_is_ordered(void **state)
{
	struct rollout_batches b;
	struct pm_error err;
	bool changed[3] = { true, true, true };
	int rc, back;

	(void)state;
	begin(3, "");
	pm_alloc_fail_at(1);
	rc = rig_batches(&g, &b, &err);
	back = rollout_batches_back(&g.r, changed, &b, &err);
	pm_alloc_fail_at(0);
	assert_int_equal(rc, -1);
	assert_int_equal(back, -1);
	assert_int_equal(err.code, PM_NO_MEMORY);
}

static void f17_the_way_back_is_newest_first_by_the_same_batches(void **state)
{
	static const uint32_t want[] = { 3, 2, 4, 0, 1 };
	static const bool changed[] = { true, false, true, true, true };
	uint32_t batch[5], order[5], ends[5];
	struct rollout_batches b = { .batch = batch, .order = order, .wave_ends = ends };
	struct pm_error err;
	static const bool none[5];

	(void)state;
	begin(5, "batch=1,2");
	g.steps[0].done_ms = 10;
	g.steps[1].done_ms = 90;
	g.steps[2].done_ms = 30;
	g.steps[3].done_ms = 40;
	g.steps[4].done_ms = 20;
	assert_int_equal(rollout_batches_back(&g.r, changed, &b, &err), 0);
	assert_memory_equal(order, want, sizeof(order));
	assert_int_equal(b.n_batches, 3);
	assert_true(batch[3] == 1 && batch[2] == 2 && batch[4] == 2 && batch[0] == 3);
	assert_int_equal(batch[1], 0);
	assert_int_equal(rollout_batches_back(&g.r, none, &b, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f14_a_ramp_covers_all_and_its_last_holds_for_the_rest),
		cmocka_unit_test(hosts_are_in_the_order_in_which_people_count),
		cmocka_unit_test(a_seed_always_gives_the_same_order_and_another_gives_another),
		cmocka_unit_test(f24_no_batch_is_of_two_waves_and_hosts_without_the_label_are_last),
		cmocka_unit_test(f24_a_label_that_nobody_has_is_refused),
		cmocka_unit_test(class_a_and_f_who_takes_part),
		cmocka_unit_test(without_memory_nothing_is_ordered),
		cmocka_unit_test(f17_the_way_back_is_newest_first_by_the_same_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
