/* Hosts that are not there, or do not answer, while a rollout is under way (FLEET 1.7's classes).
 */
#include "tests/unit/rollout_play.h"

static void class_b_at_its_turn(void **state)
{
	(void)state;
	begin(3, "batch=1 unreachable=skip");
	take_away(1);
	(void)go_after(ROLLOUT_LOST_MS);
	assert_int_equal(g.steps[1].state, STEP_IS_PENDING); /* not before its turn */
	(void)all_well();
	assert_int_equal(g.steps[1].state, STEP_IS_SKIPPED);
	assert_int_equal(g.steps[2].state, STEP_IS_SENT);

	begin(3, "batch=1 unreachable=fail");
	take_away(1);
	(void)go_after(ROLLOUT_LOST_MS);
	(void)all_well();
	assert_int_equal(g.steps[1].state, STEP_IS_FAILED);
	assert_pause(PM_PAUSED, "1 of 3 hosts failed");

	begin(3, "batch=1 unreachable=wait=10m");
	g.steps[1].reachable = false;
	(void)go();
	(void)all_well();
	g.steps[1].away_ms = g.now_ms;
	(void)go();
	assert_hold("reconnect", 0);
	assert_true(g.v.wake_ms == g.now_ms + 600000);
	(void)go_after(599999);
	assert_hold("reconnect", 0);
	(void)go_after(1);
	assert_int_equal(g.steps[1].state, STEP_IS_SKIPPED);
	assert_int_equal(g.steps[2].state, STEP_IS_SENT);
}

static void f21_who_was_here_a_moment_ago_is_not_skipped(void **state)
{
	static const char *const options[] = {
		"batch=1 unreachable=skip",
		"batch=1 unreachable=fail on_failure=continue max_down=2"
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(options); i++) {
		begin(3, options[i]);
		(void)go();
		(void)all_well();
		rig_step(&g, 1, STEP_IS_PENDING);
		for (size_t k = 1; k < 3; k++) { /* we are back, and they are not yet */
			g.steps[k].reachable = false;
			g.steps[k].gone_ms = g.now_ms;
		}
		g.r.running_ms = g.now_ms;
		(void)go_after(ROLLOUT_LOST_MS - 1);
		assert_hold("reconnect", 0);
		assert_true(g.v.wake_ms == g.now_ms + 1);
		assert_int_equal(n_in(STEP_IS_PENDING), 2);
		g.steps[2].reachable = true;
		g.steps[2].gone_ms = 0;
		(void)go_after(1);
		assert_int_equal(g.steps[1].state, i == 0 ? STEP_IS_SKIPPED : STEP_IS_FAILED);
		assert_int_equal(g.steps[2].state, STEP_IS_SENT);
	}
}

static void a_host_that_is_waited_for_and_comes_is_changed(void **state)
{
	(void)state;
	begin(3, "batch=1 unreachable=wait=10m progress_deadline=5m");
	g.steps[1].reachable = false;
	(void)go();
	(void)all_well();
	g.steps[1].away_ms = g.now_ms;
	(void)go();
	(void)go_after(590000); /* no lack of progress */
	assert_hold("reconnect", 0);
	g.steps[1].reachable = true;
	(void)go();
	assert_int_equal(g.steps[1].state, STEP_IS_SENT);
}

static void class_c_is_unknown_after_half_a_minute_and_pauses(void **state)
{
	for (unsigned on = 0; on < 2; on++) {
		begin(8, on ? "batch=1 lost=continue max_down=2"
		            : "batch=1 max_fail=5 on_failure=continue");
		(void)go_after(0);
		g.now_ms += 1000;
		g.steps[0].lost = true;
		g.steps[0].lost_ms = g.now_ms;
		(void)go_after(29999);
		assert_int_equal(g.steps[0].state, STEP_IS_SENT);
		(void)go_after(1);
		assert_int_equal(g.steps[0].state, STEP_IS_UNKNOWN);
		if (on)
			break;
		assert_pause(PM_PAUSED, "not known");
	}
	assert_int_equal(n_sent(), 1);
	answer_all(STEP_IS_UNKNOWN); /* and it is down, too */
	(void)go();
	assert_pause(PM_PAUSED, "2 hosts are down");
	(void)state;
}

static void class_d_who_does_not_answer_in_time_has_failed(void **state)
{
	(void)state;
	begin(2, "batch=1");
	(void)go();
	assert_true(g.v.wake_ms > g.now_ms && g.v.wake_ms <= g.now_ms + 66000);
	(void)go_after(60000); /* the agent's own words go first */
	assert_int_equal(g.steps[0].state, STEP_IS_SENT);
	(void)go_after(5000);
	assert_int_equal(g.steps[0].state, STEP_IS_FAILED);
	assert_int_equal(g.v.move, ROLLOUT_PAUSE);
}

static void class_d_what_was_answered_in_time_is_watched_to_the_end(void **state)
{
	(void)state;
	begin(2, "batch=1");
	(void)go();
	g.now_ms += 59000;
	answer_all(STEP_IS_ACCEPTED);
	(void)go_after(9999);
	assert_int_equal(g.steps[0].state, STEP_IS_ACCEPTED);
	g.steps[0].unwell = true; /* it is being asked */
	(void)go_after(2);
	assert_int_equal(g.steps[0].state, STEP_IS_ACCEPTED);
	(void)go_after(5000);
	assert_int_equal(g.steps[0].state, STEP_IS_FAILED);
}

static void f21_nothing_is_late_or_lost_for_the_time_that_nobody_looked(void **state)
{
	(void)state;
	begin(6, "batch=3 max_down=3 unreachable=wait=1m");
	(void)go();
	rig_step(&g, 0, STEP_IS_ACCEPTED);
	g.steps[1].lost = true;
	g.steps[1].lost_ms = g.now_ms;
	rig_pause(&g);
	assert_int_equal(go_after(3600000), ROLLOUT_STAY);
	rig_resume(&g);
	(void)go();
	assert_int_equal(g.steps[0].state, STEP_IS_HEALTHY);
	assert_int_equal(g.steps[1].state, STEP_IS_SENT);
	assert_int_equal(g.steps[2].state, STEP_IS_SENT);
	g.steps[1].lost = false; /* it is back, and is asked again */
	g.steps[1].asked_ms = g.now_ms + 64000;
	(void)go_after(65000);
	assert_int_equal(g.steps[1].state, STEP_IS_SENT);
	assert_int_equal(g.steps[2].state, STEP_IS_FAILED);
}

static void class_e_what_is_silent_is_not_late_before_it_is_heard_again(void **state)
{
	(void)state;
	begin(6, "batch=3 max_down=3");
	(void)go();
	rig_step(&g, 0, STEP_IS_ACCEPTED);
	for (size_t i = 0; i < 3; i++)
		g.steps[i].heard_ms = g.now_ms;
	g.steps[0].unwell = true; /* it cannot be asked */
	(void)go_after(65000);
	assert_int_equal(g.steps[0].state, STEP_IS_ACCEPTED);
	assert_int_equal(g.steps[1].state, STEP_IS_SENT);
	assert_int_equal(g.steps[2].state, STEP_IS_SENT);
	g.steps[0].gone_ms = g.now_ms;
	g.steps[1].heard_ms = g.now_ms;
	(void)go_after(29999);
	assert_int_equal(g.steps[0].state, STEP_IS_ACCEPTED);
	assert_int_equal(g.steps[1].state, STEP_IS_FAILED);
	assert_int_equal(g.steps[2].state, STEP_IS_SENT); /* until its session is over */
	rig_resume(&g);
	(void)go_after(29999);
	assert_int_equal(g.steps[0].state, STEP_IS_ACCEPTED);
	(void)go_after(70000);
	assert_int_equal(g.steps[0].state, STEP_IS_FAILED);
}

static void class_e_frozen_nothing_begins_and_nothing_is_lost(void **state)
{
	(void)state;
	begin(6, "batch=50% max_down=2");
	(void)go();
	rig_step(&g, 0, STEP_IS_ACCEPTED);
	g.steps[1].lost = true;
	g.steps[1].lost_ms = g.now_ms;
	g.r.frozen = true;
	(void)go_after(3600000);
	assert_hold("frozen", 0);
	assert_int_equal(g.steps[0].state, STEP_IS_ACCEPTED);
	assert_int_equal(g.steps[1].state, STEP_IS_SENT);
	assert_int_equal(g.steps[2].state, STEP_IS_PENDING);
	g.r.frozen = false;
	g.r.running_ms = g.now_ms;
	(void)go();
	assert_int_equal(g.steps[0].state, STEP_IS_HEALTHY);
	assert_int_equal(g.steps[1].state, STEP_IS_SENT);
}

static void class_f_a_host_that_is_drained_meanwhile_is_passed_over(void **state)
{
	(void)state;
	begin(3, "batch=1");
	g.steps[1].drained = true;
	(void)go();
	(void)all_well();
	assert_int_equal(g.steps[1].state, STEP_IS_SKIPPED);
	(void)all_well();
	(void)go_after(10000);
	assert_end(ROLLOUT_IS_SUCCEEDED, PM_OK); /* silently */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(class_b_at_its_turn),
		cmocka_unit_test(f21_who_was_here_a_moment_ago_is_not_skipped),
		cmocka_unit_test(a_host_that_is_waited_for_and_comes_is_changed),
		cmocka_unit_test(class_c_is_unknown_after_half_a_minute_and_pauses),
		cmocka_unit_test(class_d_who_does_not_answer_in_time_has_failed),
		cmocka_unit_test(class_d_what_was_answered_in_time_is_watched_to_the_end),
		cmocka_unit_test(f21_nothing_is_late_or_lost_for_the_time_that_nobody_looked),
		cmocka_unit_test(class_e_what_is_silent_is_not_late_before_it_is_heard_again),
		cmocka_unit_test(class_e_frozen_nothing_begins_and_nothing_is_lost),
		cmocka_unit_test(class_f_a_host_that_is_drained_meanwhile_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
