/* How many hosts restart an app by themselves at a time, and whose turn it is (F-27). */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "coordinator/budget.h"
#include "proto/limits.h"

#define HOSTS 100

static char hosts[HOSTS]; /* their addresses name them */
static const struct rollout_share quarter = { 25, true };

static struct budget_app *ask_for(struct budget *b, const char *name, size_t host, bool held,
                                  uint64_t now)
{
	const struct budget_claim claim = { name, &hosts[host], quarter, held };
	struct budget_app *app = NULL;
	struct pm_error err;

	assert_int_equal(budget_ask(b, &claim, now, &app, &err), 0);
	return app;
}

static struct budget_app *ask(struct budget *b, size_t host, uint64_t now)
{
	return ask_for(b, "api", host, false, now);
}

static size_t index_of(const struct budget_verdict *v)
{
	return (size_t)((const char *)v->host - hosts);
}

static void know(struct budget_app *app, size_t n)
{
	struct pm_error err;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(budget_set_runs(app, &hosts[i], true, &err), 0);
}

/* Everything that follows now; the hosts that got a slot, in order. */
static size_t step(struct budget_app *app, size_t n_else, uint64_t now, size_t granted[HOSTS])
{
	struct budget_verdict v;
	size_t n = 0, turns = 0;

	for (;;) {
		budget_next(app, n_else, now, &v);
		assert_true(turns++ < 1000); /* it comes to an end */
		if (v.move == BUDGET_STAY)
			return n;
		if (v.move != BUDGET_GRANT)
			continue;
		assert_true(v.n_out <= v.n_most);
		granted[n++] = index_of(&v);
	}
}

static void a_quarter_of_a_hundred_goes_at_once_in_the_order_of_asking(void **state)
{
	struct budget b = { 0 };
	struct budget_app *app = NULL;
	size_t got[HOSTS], round = 0;

	(void)state;
	for (size_t i = 0; i < HOSTS; i++) /* backwards: the order is that of asking */
		app = ask(&b, HOSTS - 1 - i, 1000 + i);
	for (uint64_t now = 2000; round < 4; round++, now += 5000) {
		assert_int_equal(step(app, 0, now, got), 25);
		for (size_t i = 0; i < 25; i++)
			assert_int_equal(got[i], HOSTS - 1 - (round * 25 + i));
		assert_int_equal(step(app, 0, now + 1, got), 0);
		for (size_t i = 0; i < 25; i++)
			budget_release(&b, "api", &hosts[HOSTS - 1 - (round * 25 + i)]);
	}
	assert_true(budget_is_idle(app));
	budget_finish(&b);
}

static void of_few_hosts_one_goes_at_a_time(void **state)
{
	struct budget b = { 0 };
	struct budget_app *app = ask(&b, 0, 1);
	size_t got[HOSTS];

	(void)state;
	assert_int_equal(step(app, 0, 1, got), 1); /* the only one that is known */
	(void)ask(&b, 1, 2);
	(void)ask(&b, 2, 3);
	assert_int_equal(step(app, 0, 3, got), 0);
	know(app, 8); /* and more run it: a quarter of eight */
	assert_int_equal(step(app, 0, 4, got), 1);
	assert_int_equal(got[0], 1);
	budget_finish(&b);
}

static void a_rollout_uses_the_same_budget(void **state)
{
	struct budget b = { 0 };
	struct budget_app *app = ask(&b, 0, 1);
	size_t got[HOSTS];

	(void)state;
	know(app, 8);
	assert_int_equal(step(app, 2, 1, got), 0);
	assert_int_equal(step(app, 1, 2, got), 1);
	budget_finish(&b);
}

static void a_lease_ends_by_itself_and_the_next_one_goes(void **state)
{
	struct budget b = { 0 };
	struct budget_app *app = ask(&b, 0, 1);
	struct budget_verdict v;
	size_t got[HOSTS];

	(void)state;
	(void)ask(&b, 1, 2);
	assert_int_equal(step(app, 0, 10, got), 1);
	budget_next(app, 0, 10, &v);
	assert_int_equal(v.move, BUDGET_STAY);
	assert_int_equal(v.wake_ms, 10 + PM_BUDGET_TELL_MS); /* of the one that waits */
	assert_int_equal(step(app, 0, 9 + PM_BUDGET_LEASE_MS, got), 0);
	budget_next(app, 0, 10 + PM_BUDGET_LEASE_MS, &v);
	assert_int_equal(v.move, BUDGET_EXPIRE);
	assert_int_equal(index_of(&v), 0);
	assert_int_equal(step(app, 0, 10 + PM_BUDGET_LEASE_MS, got), 1);
	assert_int_equal(got[0], 1);
	budget_finish(&b);
}

static void whoever_waits_is_told_how_many_come_first(void **state)
{
	struct budget b = { 0 };
	struct budget_app *app = ask(&b, 0, 1);
	struct budget_verdict v;

	(void)state;
	(void)ask(&b, 1, 1);
	(void)ask(&b, 2, 1);
	budget_next(app, 0, 1, &v);
	assert_int_equal(v.move, BUDGET_GRANT);
	for (size_t i = 1; i <= 2; i++) {
		budget_next(app, 0, 1, &v);
		assert_int_equal(v.move, BUDGET_TELL);
		assert_int_equal(index_of(&v), i);
		assert_int_equal(v.n_before, i - 1);
	}
	budget_next(app, 0, PM_BUDGET_TELL_MS, &v);
	assert_int_equal(v.move, BUDGET_STAY);
	budget_next(app, 0, 1 + PM_BUDGET_TELL_MS, &v); /* again */
	assert_int_equal(v.move, BUDGET_TELL);
	budget_finish(&b);
}

static void a_session_that_ends_takes_its_slots_along(void **state)
{
	struct budget b = { 0 };
	struct budget_app *api = ask(&b, 0, 1), *web = ask_for(&b, "web", 0, false, 1);
	size_t got[HOSTS];

	(void)state;
	(void)ask(&b, 1, 2);
	assert_int_equal(step(api, 0, 2, got), 1);
	assert_int_equal(step(web, 0, 2, got), 1);
	budget_gone(&b, &hosts[0]);
	assert_int_equal(budget_n_held(web), 0);
	assert_int_equal(step(api, 0, 3, got), 1);
	assert_int_equal(got[0], 1);
	budget_finish(&b);
}

static void asking_again_keeps_the_place_and_what_is_held(void **state)
{
	struct budget b = { 0 };
	struct budget_app *app = ask(&b, 0, 1);
	size_t got[HOSTS];

	(void)state;
	assert_int_equal(step(app, 0, 1, got), 1);
	(void)ask(&b, 1, 2);
	(void)ask(&b, 2, 3);
	(void)ask(&b, 1, 4); /* in a new session: still before the other */
	(void)ask(&b, 0, 5); /* it did not hear of its slot */
	assert_int_equal(step(app, 0, 5, got), 1);
	assert_int_equal(got[0], 0);
	(void)ask_for(&b, "api", 0, true, 6); /* it has heard */
	assert_int_equal(step(app, 0, 6, got), 0);
	budget_release(&b, "api", &hosts[0]);
	assert_int_equal(step(app, 0, 7, got), 1);
	assert_int_equal(got[0], 1);
	budget_finish(&b);
}

static void who_goes_alone_is_counted(void **state)
{
	struct budget b = { 0 };
	struct budget_app *app = ask_for(&b, "api", 0, true, 1);
	size_t got[HOSTS];

	(void)state;
	(void)ask(&b, 1, 2);
	assert_int_equal(budget_n_held(app), 1);
	assert_int_equal(step(app, 0, 2, got), 0);
	budget_release(&b, "api", &hosts[0]);
	assert_int_equal(step(app, 0, 3, got), 1);
	budget_finish(&b);
}

static void what_a_peer_can_make_grow_has_a_limit(void **state)
{
	struct budget b = { 0 };
	struct budget_app *app;
	struct pm_error err;
	char name[32];

	(void)state;
	for (size_t i = 0; i < PM_BUDGET_PER_HOST_MAX; i++) {
		(void)snprintf(name, sizeof(name), "app%zu", i);
		(void)ask_for(&b, name, 0, false, 1);
	}
	assert_int_equal(budget_ask(&b, &(struct budget_claim){ "more", &hosts[0], quarter, false },
	                            1, &app, &err),
	                 -1);
	assert_int_equal(err.code, PM_LIMIT);
	for (size_t i = PM_BUDGET_PER_HOST_MAX; i < PM_BUDGET_APPS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "app%zu", i);
		(void)ask_for(&b, name, i / PM_BUDGET_PER_HOST_MAX, false, 1);
	}
	assert_int_equal(budget_ask(&b,
	                            &(struct budget_claim){ "more", &hosts[99], quarter, false }, 1,
	                            &app, &err),
	                 -1);
	assert_int_equal(err.code, PM_LIMIT);
	for (size_t i = 0; i < HOSTS; i++)
		budget_gone(&b, &hosts[i]);
	budget_prune(&b, 1000, 1000);
	assert_int_equal(b.n_apps, PM_BUDGET_APPS_MAX); /* not so long ago */
	budget_prune(&b, 1001, 1000);
	assert_int_equal(b.n_apps, 0);
	budget_finish(&b);
}

/* ---- property: whatever happens, in whatever order ---- */

struct world {
	struct budget b;
	struct budget_app *app;
	uint64_t asked_ms[HOSTS]; /* it waits since; 0: it does not */
	uint64_t held_ms[HOSTS];  /* it has a slot since; 0: it has none */
	uint64_t order[HOSTS], next_order;
	uint32_t seed;
};

static uint32_t draw(struct world *w, uint32_t n)
{
	w->seed = w->seed * 1664525u + 1013904223u;
	return (w->seed >> 8) % n;
}

static size_t n_held(const struct world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < HOSTS; i++)
		n += w->held_ms[i] != 0;
	return n;
}

static void grant(struct world *w, const struct budget_verdict *v, size_t n_else, uint64_t now)
{
	size_t at = index_of(v);

	assert_true(w->asked_ms[at] != 0);
	for (size_t i = 0; i < HOSTS; i++) /* the first that asked, of those that wait */
		if (w->asked_ms[i] != 0)
			assert_true(w->order[at] <= w->order[i]);
	w->asked_ms[at] = 0;
	w->held_ms[at] = now;
	assert_true(n_held(w) + n_else <= HOSTS / 4);
}

static void settle(struct world *w, size_t n_else, uint64_t now)
{
	struct budget_verdict v;

	do {
		budget_next(w->app, n_else, now, &v);
		if (v.move == BUDGET_GRANT) {
			grant(w, &v, n_else, now);
		} else if (v.move == BUDGET_EXPIRE) {
			assert_true(w->held_ms[index_of(&v)] != 0);
			assert_true(now - w->held_ms[index_of(&v)] >= PM_BUDGET_LEASE_MS);
			w->held_ms[index_of(&v)] = 0;
		}
	} while (v.move != BUDGET_STAY);
	assert_int_equal(budget_n_held(w->app), n_held(w));
	for (size_t i = 0; i < HOSTS; i++) { /* no one waits while there is room, or for ever */
		if (w->asked_ms[i] == 0)
			continue;
		assert_true(n_held(w) + n_else >= HOSTS / 4);
		assert_true(now - w->asked_ms[i] < 5 * (uint64_t)PM_BUDGET_LEASE_MS);
	}
}

static void happen(struct world *w, uint64_t now)
{
	size_t at = draw(w, HOSTS);
	struct pm_error err;

	if (draw(w, 40) == 0) { /* its session ends, and it is back at once */
		budget_gone(&w->b, &hosts[at]);
		assert_int_equal(budget_set_runs(w->app, &hosts[at], true, &err), 0);
		w->asked_ms[at] = w->held_ms[at] = 0;
	} else if (w->held_ms[at] != 0 && draw(w, 3) > 0) { /* some never give it back */
		budget_release(&w->b, "api", &hosts[at]);
		w->held_ms[at] = 0;
	} else if (w->held_ms[at] == 0) {
		if (w->asked_ms[at] == 0) {
			w->asked_ms[at] = now;
			w->order[at] = w->next_order++;
		}
		(void)ask(&w->b, at, now);
	}
}

static void never_more_than_max_down_hold_slots_and_nobody_starves(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 50; seed++) {
		struct world w = { .seed = seed };
		uint64_t now = 1000;

		w.app = ask_for(&w.b, "api", 0, false, now);
		budget_release(&w.b, "api", &hosts[0]);
		know(w.app, HOSTS);
		for (size_t i = 0; i < 2000; i++) {
			now += draw(&w, 400);
			happen(&w, now);
			settle(&w, 0, now);
		}
		budget_finish(&w.b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quarter_of_a_hundred_goes_at_once_in_the_order_of_asking),
		cmocka_unit_test(of_few_hosts_one_goes_at_a_time),
		cmocka_unit_test(a_rollout_uses_the_same_budget),
		cmocka_unit_test(a_lease_ends_by_itself_and_the_next_one_goes),
		cmocka_unit_test(whoever_waits_is_told_how_many_come_first),
		cmocka_unit_test(a_session_that_ends_takes_its_slots_along),
		cmocka_unit_test(asking_again_keeps_the_place_and_what_is_held),
		cmocka_unit_test(who_goes_alone_is_counted),
		cmocka_unit_test(what_a_peer_can_make_grow_has_a_limit),
		cmocka_unit_test(never_more_than_max_down_hold_slots_and_nobody_starves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
