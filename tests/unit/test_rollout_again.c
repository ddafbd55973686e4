/* A rollout that is taken up again after its coordinator was away (F-21), and its gates (F-25). */
#include "tests/unit/rollout_play.h"

/* The gates that were asked have answered. */
static enum rollout_move gates_say(bool passed)
{
	assert_int_equal(g.r.gate, ROLLOUT_GATE_ASKED);
	g.r.gate = passed ? ROLLOUT_GATE_NONE : ROLLOUT_GATE_FAILED;
	g.r.gate_passed = passed ? rollout_batch_now(&g.r) : 0;
	g.r.gate_why = "gate 'exec check' failed";
	return go();
}

static void f25_gates_are_asked_between_batches_behind_every_hold(void **state)
{
	(void)state;
	begin(4, "batch=1,2 max_down=2 gate=exec:check wait=30s monitor=0s");
	assert_int_equal(go(), ROLLOUT_STAY); /* not before the first */
	assert_int_equal(n_sent(), 1);
	assert_int_equal(all_well(), ROLLOUT_STAY);
	assert_hold("wait", g.now_ms + 30000);
	assert_int_equal(g.r.gate, ROLLOUT_GATE_NONE);
	assert_int_equal(go_after(30000), ROLLOUT_STAY);
	assert_hold("gate", 0);
	assert_int_equal(n_sent(), 0);
	assert_int_equal(go_after(3600000), ROLLOUT_STAY); /* no time ends it: the gates do */
	assert_int_equal(n_sent(), 0);
	assert_int_equal(gates_say(true), ROLLOUT_STAY);
	assert_int_equal(n_sent(), 2);
	(void)all_well();
	(void)go_after(30000);
	assert_hold("gate", 0); /* before the third once more */
	(void)gates_say(true);
	assert_int_equal(n_sent(), 1);
	assert_int_equal(all_well(), ROLLOUT_END); /* and nobody is asked at the end */
}

static void f25_nothing_goes_past_a_gate_that_failed(void **state)
{
	static const char *const policies[] = { "pause", "continue", "rollback" };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(policies); i++) {
		char options[100];

		(void)snprintf(options, sizeof(options), "batch=1 gate=exec:check on_failure=%s",
		               policies[i]);
		begin(3, options);
		(void)go();
		(void)all_well();
		g.r.promoted = 3; /* whoever promotes goes past holds, and not past this */
		(void)go();
		assert_hold("gate", 0);
		if (strcmp(policies[i], "rollback") == 0) {
			assert_int_equal(gates_say(false), ROLLOUT_UNDO);
			assert_string_equal(g.v.why, "gate 'exec check' failed");
			continue;
		}
		assert_int_equal(gates_say(false), ROLLOUT_PAUSE);
		assert_pause(PM_PAUSED, "gate 'exec check' failed");
		rig_resume(&g);
		assert_int_equal(go(), ROLLOUT_STAY); /* asked again */
		assert_hold("gate", 0);
		assert_int_equal(n_sent(), 0);
		(void)gates_say(true);
		assert_int_equal(n_sent(), 1);
	}
}

static void f25_the_way_back_asks_no_gate(void **state)
{
	(void)state;
	begin(2, "batch=1 gate=exec:check on_failure=rollback max_down=1 monitor=0s");
	(void)go();
	(void)all_well();
	(void)gates_say(true);
	assert_int_equal(all_fail(), ROLLOUT_UNDO);
	(void)go();
	while (g.r.state == ROLLOUT_IS_UNDOING) {
		assert_int_not_equal(g.v.move, ROLLOUT_GATE);
		assert_int_equal(g.r.gate, ROLLOUT_GATE_NONE);
		(void)all_well();
	}
	assert_int_equal(g.r.state, ROLLOUT_IS_UNDONE);
}

/* Away for so long, and with those that are done still to come back. */
static void come_back_after(int64_t ms)
{
	g.now_ms += ms;
	g.r.running_ms = g.r.progress_ms = g.now_ms;
	for (size_t i = 0; i < g.n; i++) {
		g.steps[i].unseen = g.steps[i].state == STEP_IS_HEALTHY;
		g.steps[i].reachable = false;
		g.steps[i].gone_ms = g.now_ms;
	}
}

static void is_back(size_t i)
{
	g.steps[i].reachable = true;
	g.steps[i].gone_ms = 0;
}

static void says_it_is_well(size_t i)
{
	is_back(i);
	g.steps[i].unseen = false;
}

static void f21_the_monitor_sees_all_hosts_again_after_we_were_away(void **state)
{
	(void)state;
	begin(2, "batch=100% max_down=100% monitor=10s");
	assert_int_equal(go(), ROLLOUT_STAY);
	assert_int_equal(all_well(), ROLLOUT_STAY);
	assert_hold("monitor", g.now_ms + 10000);

	come_back_after(60000); /* by the calendar it is long over */
	assert_int_equal(go(), ROLLOUT_STAY);
	assert_hold("reconnect", 0);
	assert_int_equal(g.v.wake_ms, g.now_ms + ROLLOUT_LOST_MS);
	says_it_is_well(0);
	is_back(1);
	assert_int_equal(go_after(5000), ROLLOUT_STAY);
	assert_hold("reconnect", 0);
	says_it_is_well(1);
	assert_int_equal(go(), ROLLOUT_STAY);
	assert_hold("monitor", g.r.running_ms + 10000);
	rig_step(&g, 1, STEP_IS_FAILED); /* it crashed while we were away */
	assert_int_equal(go(), ROLLOUT_PAUSE);
}

static void f21_a_done_one_that_does_not_come_back_is_unknown(void **state)
{
	(void)state;
	begin(2, "batch=100% max_down=100% monitor=0s");
	(void)go();
	answer_all(STEP_IS_ACCEPTED);
	g.now_ms += g.r.params.min_healthy_ms;
	rig_step(&g, 0, STEP_IS_HEALTHY);
	rig_step(&g, 1, STEP_IS_HEALTHY);
	come_back_after(1000);
	says_it_is_well(0);
	assert_int_equal(go_after(ROLLOUT_LOST_MS - 1), ROLLOUT_STAY);
	assert_int_equal(go_after(1), ROLLOUT_PAUSE);
	assert_int_equal(g.steps[1].state, STEP_IS_UNKNOWN);
	assert_pause(PM_PAUSED, "not known");
	rig_resume(&g); /* whoever resumes knows of it */
	assert_int_equal(go(), ROLLOUT_END);
	assert_int_equal(g.v.code, PM_FAILED);
}

static void f21_no_batch_begins_before_those_done_were_seen_again(void **state)
{
	(void)state;
	begin(3, "batch=1 max_down=1 monitor=0s");
	(void)go();
	(void)all_well();
	assert_int_equal(g.steps[1].state, STEP_IS_SENT);
	rig_step(&g, 1, STEP_IS_ACCEPTED);
	come_back_after(1000);
	says_it_is_well(1);
	is_back(2);
	assert_int_equal(go_after(g.r.params.min_healthy_ms), ROLLOUT_STAY);
	assert_int_equal(g.steps[1].state, STEP_IS_HEALTHY);
	assert_int_equal(g.steps[2].state, STEP_IS_PENDING);
	assert_hold("reconnect", 0);
	is_back(0); /* and does not say how it does */
	assert_int_equal(go(), ROLLOUT_STAY);
	assert_int_equal(g.steps[2].state, STEP_IS_PENDING);
	says_it_is_well(0);
	(void)go();
	assert_int_equal(g.steps[2].state, STEP_IS_SENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f25_gates_are_asked_between_batches_behind_every_hold),
		cmocka_unit_test(f25_nothing_goes_past_a_gate_that_failed),
		cmocka_unit_test(f25_the_way_back_asks_no_gate),
		cmocka_unit_test(f21_the_monitor_sees_all_hosts_again_after_we_were_away),
		cmocka_unit_test(f21_a_done_one_that_does_not_come_back_is_unknown),
		cmocka_unit_test(f21_no_batch_begins_before_those_done_were_seen_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
