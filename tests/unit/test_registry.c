/* The agents at hand: who is live, who is a clone, whom one may command (X-33, X-37, X-50, F-42).
 */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "coordinator/registry.h"
#include "proto/buf.h"

/* ---- detector ---- */

#define N_PEERS 10

static struct liveness peers[N_PEERS];
static unsigned changes[N_PEERS];

static struct liveness *peer_at(void *arg, size_t i)
{
	(void)arg;
	return &peers[i];
}

static void on_class(void *arg, size_t i, enum peer_class before, enum peer_class now)
{
	(void)arg;
	assert_int_not_equal(before, now);
	changes[i]++;
}

static struct detector_sum sweep(struct detector *d, uint64_t now_ms)
{
	return detector_sweep(d, peer_at, N_PEERS, now_ms, on_class, NULL);
}

static void all_up(struct detector *d, uint64_t now_ms)
{
	memset(peers, 0, sizeof(peers));
	memset(changes, 0, sizeof(changes));
	*d = (struct detector){ 0 };
	for (size_t i = 0; i < N_PEERS; i++)
		assert_true(detector_heard(&peers[i], now_ms));
	(void)sweep(d, now_ms);
}

static void silence_makes_suspect_then_down(void **state)
{
	struct detector d;
	uint64_t now = 100000;

	(void)state;
	all_up(&d, now);
	for (; now < 130000; now += 1000) {
		struct detector_sum sum;

		for (size_t i = 1; i < N_PEERS; i++)
			assert_false(detector_heard(&peers[i], now));
		sum = sweep(&d, now);
		assert_int_equal(sum.up + sum.suspect, N_PEERS);
		assert_int_equal(peers[0].class, now < 115000 ? PEER_UP : PEER_SUSPECT);
		assert_false(sum.isolated);
	}
	for (size_t i = 1; i < N_PEERS; i++)
		(void)detector_heard(&peers[i], now);
	assert_int_equal(sweep(&d, now).down, 1);
	assert_int_equal(peers[0].since_ms, now);
	assert_int_equal(changes[0], 2);
	assert_int_equal(changes[1], 0);
	assert_false(detector_ended(&peers[0], now)); /* nothing changes for one that is down */
	assert_int_equal(sweep(&d, now + 1000).down, 1);
	assert_true(detector_heard(&peers[0], now + 1000));
	assert_int_equal(sweep(&d, now + 2000).up, N_PEERS);
}

static void an_ended_session_is_suspect_at_once(void **state)
{
	struct detector d;

	(void)state;
	all_up(&d, 1000);
	assert_true(detector_ended(&peers[3], 2000));
	assert_int_equal(peers[3].class, PEER_SUSPECT);
	assert_int_equal(sweep(&d, 3000).suspect, 1);
	assert_true(detector_heard(&peers[3], 4000));
	assert_int_equal(sweep(&d, 5000).up, N_PEERS);
}

static void when_most_go_at_once_it_is_us(void **state)
{
	struct detector d;
	struct detector_sum sum;

	(void)state;
	all_up(&d, 1000);
	for (size_t i = 0; i < 5; i++)
		(void)detector_ended(&peers[i], 2000);
	assert_false(sweep(&d, 2500).isolated); /* half is not more than half */
	(void)detector_ended(&peers[5], 2600);
	sum = sweep(&d, 3000);
	assert_true(sum.isolated);
	for (uint64_t now = 4000; now < 20000; now += 1000)
		assert_true(sweep(&d, now).isolated);
	for (size_t i = 0; i < 5; i++)
		(void)detector_heard(&peers[i], 20000);
	assert_true(sweep(&d, 20000).isolated); /* half of them are back: not yet most */
	for (size_t i = 0; i < N_PEERS; i++)
		(void)detector_heard(&peers[i], 21000);
	assert_false(sweep(&d, 21000).isolated);
}

static void one_after_another_is_them(void **state)
{
	struct detector d;
	uint64_t now = 1000;

	(void)state;
	all_up(&d, now);
	for (size_t i = 0; i < N_PEERS - 1; i++) {
		now += 6000;
		(void)detector_ended(&peers[i], now);
		for (size_t j = i + 1; j < N_PEERS; j++)
			(void)detector_heard(&peers[j], now);
		assert_false(sweep(&d, now + 1).isolated);
	}
}

static void a_pause_of_ours_is_nobodys_fault(void **state)
{
	struct detector d;

	(void)state;
	all_up(&d, 1000);
	/* An hour stopped: the records of that time were not read yet. */
	assert_int_equal(sweep(&d, 3601000).up, N_PEERS);
	assert_int_equal(sweep(&d, 3602000).up, N_PEERS);
	assert_int_equal(sweep(&d, 3610000).up, N_PEERS);
	assert_int_equal(sweep(&d, 3619000).suspect, N_PEERS);
}

static void the_heartbeat_slows_down_for_many(void **state)
{
	(void)state;
	assert_int_equal(detector_interval_ms(0), 5000);
	assert_int_equal(detector_interval_ms(2000), 5000);
	assert_int_equal(detector_interval_ms(5000), 12500);
	assert_int_equal(detector_interval_ms(SIZE_MAX / 2000), 600000);
}

/* ---- admission ---- */

static struct admit_hello hello(uint8_t machine, uint8_t run, uint64_t epoch)
{
	struct admit_hello h = { .machine = { machine }, .run = { run }, .epoch = epoch };

	(void)snprintf(h.address, sizeof(h.address), "10.0.0.%u", run);
	return h;
}

static struct admit_history history;
static uint64_t epoch;

/* A hello, and if it is let in, its session, which the agent confirms. */
static enum admit comes(struct admit_hello h, bool live)
{
	struct admit_verdict v;

	admit_decide(&history, AGENT_ACCEPTED, epoch, 100, live, &h, &v);
	assert_int_equal(v.admit == ADMIT, v.why[0] == '\0');
	if (v.admit == ADMIT)
		admit_confirm(&history, ++epoch);
	return v.admit;
}

static void begin_anew(void)
{
	history = (struct admit_history){ 0 };
	epoch = 0;
}

static void one_agent_may_come_as_often_as_it_likes(void **state)
{
	(void)state;
	begin_anew();
	assert_int_equal(comes(hello(1, 1, 0), false), ADMIT);
	assert_int_equal(comes(hello(1, 1, 1), true), ADMIT); /* half-open session replaced */
	assert_int_equal(comes(hello(1, 1, 2), false), ADMIT);
	assert_int_equal(comes(hello(1, 2, 3), false), ADMIT); /* restarted */
	assert_int_equal(comes(hello(1, 3, 4), true), ADMIT);
	assert_int_equal(comes(hello(2, 4, 5), false), ADMIT); /* moved to another machine */
	for (uint8_t run = 5; run < 60; run++) /* restarted more often than is remembered */
		assert_int_equal(comes(hello(2, run, epoch), true), ADMIT);
}

static void a_welcome_that_never_arrived_is_no_clone(void **state)
{
	struct admit_verdict v;
	struct admit_hello h = hello(1, 1, 0);

	(void)state;
	begin_anew();
	for (unsigned i = 0; i < 5; i++) { /* the link is cut before the agent can confirm */
		admit_decide(&history, AGENT_ACCEPTED, epoch++, 100, true, &h, &v);
		assert_int_equal(v.admit, ADMIT);
	}
}

static void copies_of_an_agent_are_found(void **state)
{
	(void)state;
	begin_anew(); /* two machines, each in turn: found when the first is back */
	assert_int_equal(comes(hello(1, 1, 0), false), ADMIT);
	assert_int_equal(comes(hello(2, 2, 1), false), ADMIT);
	assert_int_equal(comes(hello(1, 1, 2), false), ADMIT_CLONE);
	assert_string_equal(history.clone, "10.0.0.2");
	begin_anew(); /* two machines at once */
	assert_int_equal(comes(hello(1, 1, 0), false), ADMIT);
	assert_int_equal(comes(hello(2, 2, 1), true), ADMIT_CLONE);
	begin_anew(); /* the state copied on one machine, or a memory snapshot: all ids are equal */
	assert_int_equal(comes(hello(1, 1, 0), false), ADMIT);
	assert_int_equal(comes(hello(1, 1, 1), true), ADMIT);
	assert_int_equal(comes(hello(1, 1, 1), true), ADMIT_CLONE);
	begin_anew(); /* an old copy of the state on the same machine */
	assert_int_equal(comes(hello(1, 1, 0), false), ADMIT);
	assert_int_equal(comes(hello(1, 2, 1), false), ADMIT);
	assert_int_equal(comes(hello(1, 3, 0), false), ADMIT_CLONE);
}

static void each_start_on_each_kernel_is_a_life_of_its_own(void **state)
{
	static const uint8_t boots[2][16] = { { 1, [15] = 3 }, { 2, [15] = 3 } };
	uint8_t runs[2 * 300][16];

	(void)state;
	for (size_t i = 0; i < PM_COUNT(runs); i++) {
		admit_run(boots[i % 2], i / 2 + 200, runs[i]);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(runs[i], runs[j], sizeof(runs[i]));
	}
}

static void after_a_restart_of_ours_clones_show_again(void **state)
{
	(void)state;
	begin_anew();
	epoch = 7; /* as stored; the history is empty */
	assert_int_equal(comes(hello(1, 1, 6), false), ADMIT);
	assert_int_equal(comes(hello(1, 2, 7), true), ADMIT_CLONE); /* knows not of 8 */
}

static void an_old_store_is_noticed_not_believed(void **state)
{
	struct admit_verdict v;
	struct admit_hello h = hello(1, 1, 9);

	(void)state;
	begin_anew();
	admit_decide(&history, AGENT_ACCEPTED, 8, 100, false, &h, &v);
	assert_int_equal(v.admit, ADMIT_STORE_OLD);
	h.epoch = 8;
	h.counter = 101;
	admit_decide(&history, AGENT_ACCEPTED, 8, 100, false, &h, &v);
	assert_int_equal(v.admit, ADMIT_STORE_OLD);
	assert_string_equal(v.why,
	                    "it has seen session 8 and command 101, the store knows 8 and 100");
	admit_decide(&history, AGENT_ACCEPTED, 8, 101, false, &h, &v); /* the operator raised it */
	assert_int_equal(v.admit, ADMIT);
}

static void the_state_of_an_agent_decides_first(void **state)
{
	static const struct {
		enum agent_state state;
		enum admit want;
	} rows[] = {
		{ AGENT_PENDING, ADMIT_REFUSED },         { AGENT_REJECTED, ADMIT_REFUSED },
		{ AGENT_DENIED, ADMIT_REFUSED },          { AGENT_ACCEPTED, ADMIT },
		{ AGENT_QUARANTINED, ADMIT_QUARANTINED },
	};
	struct admit_hello h = hello(1, 1, 0);
	struct admit_verdict v;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		begin_anew();
		admit_decide(&history, rows[i].state, 0, 0, false, &h, &v);
		assert_int_equal(v.admit, rows[i].want);
	}
}

/* ---- registry ---- */

static struct store_id id_of(uint8_t n)
{
	return (struct store_id){ { n } };
}

static struct store_agent row(uint8_t n, const char *name)
{
	return (struct store_agent){ .id = id_of(n),
		                     .name = name,
		                     .state = AGENT_ACCEPTED,
		                     .labels = "role=web",
		                     .claimed = "role=db",
		                     .facts = "os=linux,cpus=4",
		                     .note = "" };
}

static struct registry *a_registry(void)
{
	static const char *const names[] = { "web10", "web2", "db1" };
	struct registry *r;
	struct pm_error err;

	assert_int_equal(registry_create(&r, &err), 0);
	for (uint8_t i = 0; i < 3; i++) {
		struct store_agent a = row((uint8_t)(9 - i), names[i]);

		assert_int_equal(registry_put(r, &a, &err), 0);
	}
	return r;
}

static void members_are_found_by_name_and_id(void **state)
{
	struct registry *r = a_registry();
	struct store_agent a = row(8, "web30");
	struct store_id id = id_of(8);
	struct pm_error err;

	(void)state;
	assert_int_equal(registry_count(r), 3);
	assert_string_equal(registry_at(r, 0)->name, "db1");
	assert_string_equal(registry_at(r, 1)->name, "web2");
	assert_string_equal(registry_at(r, 2)->name, "web10");
	assert_null(registry_at(r, 3));
	assert_ptr_equal(registry_find(r, &id), registry_named(r, "web2"));
	assert_int_equal(registry_put(r, &a, &err), 0); /* renamed */
	assert_null(registry_named(r, "web2"));
	assert_ptr_equal(registry_find(r, &id), registry_at(r, 2));
	assert_int_equal(registry_count(r), 3);
	registry_drop(r, &id);
	registry_drop(r, &id);
	assert_null(registry_find(r, &id));
	assert_int_equal(registry_count(r), 2);
	a.labels = "not a label";
	assert_int_equal(registry_put(r, &a, &err), -1);
	assert_int_equal(err.code, PM_CORRUPT);
	registry_destroy(r);
}

static void a_newer_session_replaces_an_older_one(void **state)
{
	struct registry *r = a_registry();
	struct member *m = registry_named(r, "web2");
	int first, second;
	const char *why;

	(void)state;
	assert_false(registry_may_command(m, &why));
	assert_string_equal(why, "unreachable");
	assert_null(registry_begin(m, &first, 1, 1000));
	assert_true(registry_may_command(m, &why));
	assert_ptr_equal(registry_begin(m, &second, 2, 2000), &first);
	assert_false(registry_heard(m, 1, 9000, 5)); /* late, of the first */
	assert_int_equal(m->peer.heard_ms, 2000);
	assert_false(registry_heard(m, 2, 9000, 5));
	assert_int_equal(m->peer.heard_ms, 9000);
	registry_ended(m, &first, 9500);
	assert_ptr_equal(m->session, &second);
	registry_ended(m, &second, 9500);
	assert_null(m->session);
	assert_int_equal(m->peer.class, PEER_SUSPECT);
	assert_false(registry_heard(m, 2, 9600, 5));
	registry_destroy(r);
}

static void a_clone_is_seen_and_not_commanded_until_an_operator_releases_it(void **state)
{
	struct registry *r = a_registry();
	struct member *m = registry_named(r, "web2");
	struct admit_hello one = hello(1, 1, 0), two = hello(2, 2, 1);
	struct store_agent a = row(8, "web2");
	struct admit_verdict v;
	struct pm_error err;
	int first, second;
	const char *why;

	(void)state;
	registry_admit(r, m, 0, 1000, &one, &v);
	assert_int_equal(v.admit, ADMIT);
	(void)registry_begin(m, &first, 1, 1000);
	(void)registry_heard(m, 1, 2000, 5);
	registry_admit(r, m, 0, 3000, &two, &v);
	assert_int_equal(v.admit, ADMIT_CLONE);
	assert_non_null(strstr(v.why, "10.0.0.1"));
	assert_non_null(strstr(v.why, "10.0.0.2"));
	(void)registry_begin(m, &second, 2, 3000);
	assert_false(registry_may_command(m, &why));
	assert_non_null(strstr(why, "quarantine"));
	registry_admit(r, m, 0, 4000, &one, &v);
	assert_int_equal(v.admit, ADMIT_QUARANTINED);
	assert_int_equal(registry_put(r, &a, &err), 0); /* accepted again, in the store */
	assert_true(registry_may_command(m, &why));
	two.epoch = 2;
	registry_admit(r, m, 0, 50000, &two, &v);
	assert_int_equal(v.admit, ADMIT);
	registry_destroy(r);
}

static unsigned n_changed;

static void count_change(void *arg, struct member *m, enum peer_class before)
{
	(void)arg;
	assert_int_not_equal(m->peer.class, before);
	n_changed++;
}

static void the_silent_are_found_and_the_seen_are_flushed_once(void **state)
{
	struct registry *r = a_registry();
	struct store_seen seen[4];
	int session;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		(void)registry_begin(registry_at(r, i), &session, 1, 1000);
		(void)registry_heard(registry_at(r, i), 1, 1000, 777);
	}
	assert_int_equal(registry_take_seen(r, seen, 1), 1);
	assert_int_equal(registry_take_seen(r, seen, 4), 1);
	assert_int_equal(seen[0].last_seen_ms, 777);
	assert_int_equal(registry_take_seen(r, seen, 4), 0);
	n_changed = 0;
	assert_int_equal(registry_sweep(r, 1000, count_change, NULL).up, 2);
	for (uint64_t now = 2000; now <= 31000; now += 1000)
		(void)registry_sweep(r, now, count_change, NULL);
	assert_int_equal(n_changed, 4);
	assert_int_equal(registry_sweep(r, 32000, count_change, NULL).down, 3);
	registry_destroy(r);
}

static void targets_are_the_accepted_with_their_confirmed_labels(void **state)
{
	struct registry *r = a_registry();
	struct targets_query q = {
		.where = "host.os == linux and host.cpus > 3 and host.state == up"
	};
	struct store_agent a = row(20, "new1");
	struct targets_fleet fleet;
	struct targets t;
	struct pm_error err;
	int session;

	(void)state;
	a.state = AGENT_PENDING;
	assert_int_equal(registry_put(r, &a, &err), 0);
	(void)registry_begin(registry_named(r, "web10"), &session, 1, 1000);
	assert_int_equal(registry_fleet(r, &fleet, &err), 0);
	assert_int_equal(fleet.n, 3);
	assert_int_equal(targets_expand(&q, &fleet, &t, &err), 0);
	assert_int_equal(t.n, 1);
	assert_string_equal(registry_target(r, t.hosts[0])->name, "web10");
	targets_finish(&t);
	q = (struct targets_query){ .label = "role=db" }; /* only claimed */
	assert_int_equal(targets_expand(&q, &fleet, &t, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
	registry_drop(r, &a.id);
	assert_null(registry_target(r, 0)); /* an index of before says nothing any more */
	registry_destroy(r);
}

static void memory_may_run_out_anywhere(void **state)
{
	int rc = -1;

	(void)state;
	for (unsigned nth = 1; rc < 0; nth++) {
		struct store_agent a = row(1, "web1");
		struct registry *r = NULL;
		struct targets_fleet fleet;
		struct pm_error err = { 0 };

		assert_true(nth < 60);
		pm_alloc_fail_at(nth);
		rc = registry_create(&r, &err);
		if (rc == 0)
			rc = registry_put(r, &a, &err);
		if (rc == 0)
			rc = registry_put(r, &a, &err);
		if (rc == 0)
			rc = registry_fleet(r, &fleet, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
		registry_destroy(r);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(silence_makes_suspect_then_down),
		cmocka_unit_test(an_ended_session_is_suspect_at_once),
		cmocka_unit_test(when_most_go_at_once_it_is_us),
		cmocka_unit_test(one_after_another_is_them),
		cmocka_unit_test(a_pause_of_ours_is_nobodys_fault),
		cmocka_unit_test(the_heartbeat_slows_down_for_many),
		cmocka_unit_test(one_agent_may_come_as_often_as_it_likes),
		cmocka_unit_test(a_welcome_that_never_arrived_is_no_clone),
		cmocka_unit_test(copies_of_an_agent_are_found),
		cmocka_unit_test(each_start_on_each_kernel_is_a_life_of_its_own),
		cmocka_unit_test(after_a_restart_of_ours_clones_show_again),
		cmocka_unit_test(an_old_store_is_noticed_not_believed),
		cmocka_unit_test(the_state_of_an_agent_decides_first),
		cmocka_unit_test(members_are_found_by_name_and_id),
		cmocka_unit_test(a_newer_session_replaces_an_older_one),
		cmocka_unit_test(a_clone_is_seen_and_not_commanded_until_an_operator_releases_it),
		cmocka_unit_test(the_silent_are_found_and_the_seen_are_flushed_once),
		cmocka_unit_test(targets_are_the_accepted_with_their_confirmed_labels),
		cmocka_unit_test(memory_may_run_out_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
