/* Which hosts a rollout changes next, and when it stops (FLEET 1.1, 1.6, 1.7), case by case. */
#include "tests/unit/rollout_play.h"

/* ---- batches and holds ---- */

static void a_batch_begins_when_all_before_it_is_done(void **state)
{
	(void)state;
	begin(20, ""); /* 1, 2, 5, 5, 5, 2 */
	(void)go();
	assert_int_equal(n_sent(), 1);
	answer_all(STEP_IS_ACCEPTED);
	(void)go_after(9999);
	assert_int_equal(n_sent(), 0);
	(void)go_after(1);
	assert_int_equal(n_sent(), 2);
	rig_step(&g, 1, STEP_IS_ACCEPTED);
	(void)go_after(10000);
	assert_int_equal(g.steps[1].state, STEP_IS_HEALTHY);
	assert_int_equal(n_sent(), 1); /* its neighbour is not yet done */
	(void)all_well();
	assert_int_equal(n_sent(), 5);
}

static void max_down_bounds_what_is_out_within_a_batch(void **state)
{
	static const struct {
		const char *options;
		size_t n, most;
	} rows[] = {
		{ "batch=100% max_down=3", 10, 3 },   { "batch=100%", 10, 2 },
		{ "batch=100% max_down=1%", 10, 1 },  { "batch=100% max_down=100%", 10, 10 },
		{ "batch=100% max_down=50", 10, 10 },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		begin(rows[i].n, rows[i].options);
		(void)go();
		assert_int_equal(n_sent(), rows[i].most);
		rig_step(&g, 0, STEP_IS_ACCEPTED);
		(void)go_after(9999);
		assert_int_equal(n_sent(), rows[i].most - 1); /* it is out while it is watched */
		(void)go_after(1);
		assert_int_equal(n_sent(), rows[i].most - (rows[i].most == rows[i].n));
	}
}

static void f27_what_restarts_by_itself_is_held_against_max_down(void **state)
{
	(void)state;
	begin(10, "batch=100% max_down=3");
	g.r.n_else = 2;
	(void)go();
	assert_int_equal(n_sent(), 1);
	g.r.n_else = 5;
	rig_step(&g, 0, STEP_IS_PENDING);
	assert_int_equal(go(), ROLLOUT_STAY); /* and is no reason to pause */
	assert_string_equal(g.v.hold, "budget");
	assert_true(g.v.wake_ms > g.now_ms);
	g.r.n_else = 0;
	(void)go();
	assert_int_equal(n_sent(), 3);
}

static void the_canary_holds_from_when_it_was_healthy(void **state)
{
	(void)state;
	begin(4, "batch=1 canary_hold=5m healthy_deadline=2m");
	(void)go();
	answer_all(STEP_IS_ACCEPTED);
	g.steps[0].unwell = true; /* for a minute */
	(void)go_after(60000);
	assert_int_equal(g.steps[0].state, STEP_IS_ACCEPTED);
	g.steps[0].unwell = false;
	(void)go();
	assert_hold("canary", g.now_ms + 300000);
	assert_true(g.v.wake_ms == g.now_ms + 300000);
	(void)go_after(299999);
	assert_int_equal(n_sent(), 0);
	(void)go_after(1);
	assert_int_equal(n_sent(), 1);
	(void)all_well(); /* only behind the first batch */
	assert_int_equal(n_sent(), 1);
}

static void a_canary_waits_for_an_operator_once(void **state)
{
	(void)state;
	begin(4, "batch=1 canary_hold=ask");
	(void)go();
	(void)all_well();
	assert_hold("promote", 0);
	assert_true(g.v.wake_ms == 0);
	(void)go_after(86400000);
	assert_hold("promote", 0);
	g.r.promoted = 2;
	take_away(1); /* the whole of batch 2 */
	(void)go();
	assert_int_equal(g.steps[1].state, STEP_IS_SKIPPED);
	assert_int_equal(g.steps[2].state, STEP_IS_SENT);
}

static void every_batch_waits_for_an_operator(void **state)
{
	(void)state;
	begin(4, "batch=1 wait=ask canary_hold=5m");
	(void)go();
	assert_int_equal(n_sent(), 1);
	for (uint32_t batch = 2; batch <= 4; batch++) {
		(void)all_well();
		assert_hold("promote", 0);
		g.r.promoted = batch;
		(void)go();
		assert_int_equal(g.steps[batch - 1].state, STEP_IS_SENT);
	}
}

static void a_wait_is_between_batches_and_a_promotion_ends_it(void **state)
{
	(void)state;
	begin(4, "batch=1 wait=30s");
	(void)go();
	(void)all_well();
	assert_hold("wait", g.now_ms + 30000);
	(void)go_after(30000);
	assert_int_equal(n_sent(), 1);
	(void)all_well();
	assert_hold("wait", g.now_ms + 30000);
	g.r.promoted = 3;
	(void)go();
	assert_int_equal(n_sent(), 1);
	(void)all_well();
	assert_hold("wait", g.now_ms + 30000);
}

static void f24_bake_is_between_waves(void **state)
{
	(void)state;
	rig_init(&g, 4, "batch=1 wave=az bake=10m");
	for (size_t i = 0; i < 4; i++)
		g.hosts[i].wave = i < 2 ? "a" : "b";
	rig_begin(&g);
	(void)go();
	(void)all_well();
	assert_int_equal(n_sent(), 1);
	(void)all_well();
	assert_hold("bake", g.now_ms + 600000);
	(void)go_after(600000);
	assert_int_equal(g.steps[2].state, STEP_IS_SENT);
	(void)all_well();
	assert_int_equal(g.steps[3].state, STEP_IS_SENT);
}

static void what_was_only_skipped_is_nothing_to_hold_for(void **state)
{
	(void)state;
	begin(3, "batch=1 canary_hold=5m");
	take_away(0);
	(void)go_after(ROLLOUT_LOST_MS);
	assert_int_equal(g.steps[0].state, STEP_IS_SKIPPED);
	assert_int_equal(g.steps[1].state, STEP_IS_SENT); /* the canary, now */
	(void)all_well();
	assert_hold("canary", g.now_ms + 300000);
}

/* ---- failures ---- */

static void more_than_max_fail_over_the_whole_rollout_pauses(void **state)
{
	(void)state;
	begin(10, "batch=1 max_fail=2 max_down=5");
	(void)go();
	(void)all_fail();
	assert_int_equal(g.v.move, ROLLOUT_STAY);
	(void)all_well();
	(void)all_fail();
	assert_int_equal(g.v.move, ROLLOUT_STAY);
	assert_int_equal(n_sent(), 1);
	(void)all_fail();
	assert_pause(PM_PAUSED, "3 of 10 hosts failed");
	assert_int_equal(n_sent(), 0);
	assert_int_equal(rig_next(&g), ROLLOUT_STAY); /* it is paused */
}

static void max_fail_in_percent_rounds_down(void **state)
{
	(void)state;
	begin(19, "batch=1 max_fail=10%");
	(void)go();
	assert_int_equal(all_fail(), ROLLOUT_STAY);
	assert_int_equal(all_fail(), ROLLOUT_PAUSE);
}

static void f17_rollback_goes_back_once_and_a_failing_rollback_pauses(void **state)
{
	(void)state;
	begin(4, "batch=2,50% max_down=2 on_failure=rollback");
	(void)go();
	(void)all_well();
	answer_all(STEP_IS_FAILED);
	assert_int_equal(go(), ROLLOUT_UNDO);
	assert_non_null(strstr(g.v.why, "2 of 4 hosts failed"));
	assert_true(g.r.undoing);
	g.r.can_undo = true; /* even then */
	(void)go();
	assert_int_equal(n_sent(), 2);
	assert_int_equal(all_fail(), ROLLOUT_PAUSE);
	assert_pause(PM_PAUSED, "to go back");
	rig_resume(&g);
	(void)go();
	assert_int_equal(n_sent(), 2);
	(void)all_well();
	(void)go_after(10000);
	assert_end(ROLLOUT_IS_FAILED, PM_FAILED); /* two stayed as they were */
}

static void f17_what_is_all_back_is_undone(void **state)
{
	(void)state;
	begin(4, "batch=1 on_failure=rollback canary_hold=ask wait=5m");
	(void)go();
	(void)all_well();
	g.r.promoted = 2;
	(void)go();
	answer_all(STEP_IS_FAILED);
	assert_int_equal(go(), ROLLOUT_UNDO);
	(void)go();
	for (unsigned i = 0; i < 2; i++) { /* the way back is not held */
		assert_int_equal(n_sent(), 1);
		assert_int_equal(all_well(), ROLLOUT_STAY);
	}
	(void)go_after(10000);
	assert_end(ROLLOUT_IS_UNDONE, PM_UNDONE);
}

static void f17_what_cannot_be_put_back_pauses_and_says_so(void **state)
{
	(void)state;
	begin(4, "batch=1 on_failure=rollback");
	g.r.can_undo = false;
	(void)go();
	(void)all_fail();
	assert_pause(PM_PAUSED, "put back");
}

static void continue_goes_on_to_the_end(void **state)
{
	(void)state;
	begin(4, "batch=1 on_failure=continue");
	for (size_t i = 0; i < 4; i++)
		g.steps[i].serves = true;
	(void)go();
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(all_fail(), ROLLOUT_STAY);
	(void)all_well();
	(void)go_after(10000);
	assert_end(ROLLOUT_IS_FAILED, PM_FAILED);
	assert_non_null(strstr(g.v.why, "3 of 4"));
}

static void those_that_are_down_use_up_max_down_even_if_it_continues(void **state)
{
	(void)state;
	begin(8, "batch=1 max_down=2 on_failure=continue");
	(void)go();
	assert_int_equal(all_fail(), ROLLOUT_STAY);
	assert_int_equal(n_sent(), 1);
	(void)all_fail();
	assert_pause(PM_PAUSED, "2 hosts are down, and max_down is 2");
	rig_resume(&g); /* he knows */
	(void)go();
	assert_int_equal(n_sent(), 1);
}

static void whoever_resumed_knew_of_it(void **state)
{
	(void)state;
	begin(10, "batch=1");
	(void)go();
	(void)all_fail();
	assert_int_equal(g.v.move, ROLLOUT_PAUSE);
	rig_resume(&g);
	assert_int_equal(go(), ROLLOUT_STAY);
	(void)all_well();
	assert_int_equal(n_sent(), 1);
	(void)all_fail();
	assert_pause(PM_PAUSED, "2 of 10"); /* another one */
}

static void an_unknown_one_that_was_forgiven_is_no_reason_later(void **state)
{
	(void)state;
	begin(10, "batch=1 max_fail=2 max_down=5");
	(void)go();
	answer_all(STEP_IS_UNKNOWN);
	assert_int_equal(go(), ROLLOUT_PAUSE);
	rig_resume(&g);
	(void)go();
	assert_int_equal(all_fail(), ROLLOUT_STAY); /* two, with the unknown one */
	(void)all_fail();
	assert_pause(PM_PAUSED, "3 of 10");
}

static void what_was_forgiven_and_came_right_forgives_no_other(void **state)
{
	(void)state;
	begin(10, "batch=1 max_down=5");
	(void)go();
	answer_all(STEP_IS_UNKNOWN);
	assert_int_equal(go(), ROLLOUT_PAUSE);
	rig_resume(&g);
	(void)go();
	rig_step(&g, 0, STEP_IS_ACCEPTED); /* its answer came after all */
	(void)go_after(10000);
	(void)all_fail();
	assert_pause(PM_PAUSED, "1 of 10");
}

/* ---- time ---- */

static void a_hold_that_is_longer_than_the_progress_deadline_is_none_of_its_business(void **state)
{
	(void)state;
	begin(3, "batch=1 canary_hold=1h progress_deadline=5m");
	(void)go();
	(void)all_well();
	assert_hold("canary", g.now_ms + 3600000);
	(void)go_after(3600000);
	assert_int_equal(n_sent(), 1);
	(void)all_well();
	assert_int_equal(n_sent(), 1);
}

static void hosts_that_only_fail_are_no_progress(void **state)
{
	size_t n_failed = 0;

	(void)state;
	begin(40, "batch=1 on_failure=continue progress_deadline=10m");
	for (size_t i = 0; i < 40; i++)
		g.steps[i].serves = true;
	(void)go();
	do {
		g.now_ms += 59000;
		n_failed++;
	} while (all_fail() == ROLLOUT_STAY);
	assert_pause(PM_DEADLINE, "600 s");
	assert_int_equal(pm_code_exit_status(g.v.code), 15);
	assert_int_equal(n_failed, 11);
	rig_resume(&g);
	assert_int_equal(go_after(59000), ROLLOUT_STAY); /* it counts anew */
	begin(40, "batch=1 on_failure=continue progress_deadline=0");
	for (size_t i = 0; i < 40; i++)
		g.steps[i].serves = true;
	(void)go();
	for (unsigned i = 0; i < 30; i++) {
		g.now_ms += 59000;
		assert_int_equal(all_fail(), ROLLOUT_STAY);
	}
}

static void f18_failures_count_for_a_while_after_the_last_host(void **state)
{
	(void)state;
	begin(2, "batch=1");
	(void)go();
	(void)all_well();
	answer_all(STEP_IS_ACCEPTED);
	g.steps[1].unwell = true;
	(void)go_after(30000);
	g.steps[1].unwell = false;
	(void)go();
	assert_hold("monitor", g.now_ms + 10000); /* since it was healthy */
	(void)go_after(9999);
	assert_int_equal(g.v.move, ROLLOUT_STAY);
	rig_step(&g, 0, STEP_IS_FAILED); /* of the first batch */
	(void)go();
	assert_pause(PM_PAUSED, "1 of 2 hosts failed");
	rig_resume(&g);
	(void)go_after(1);
	assert_hold("monitor",
	            g.r.running_ms + 10000); /* they are looked at for as long once more */
	(void)go_after(9999);
	assert_end(ROLLOUT_IS_FAILED, PM_FAILED);
}

static void a_clock_that_is_set_back_makes_it_wait(void **state)
{
	(void)state;
	begin(3, "batch=1 wait=30s");
	(void)go();
	answer_all(STEP_IS_ACCEPTED);
	g.now_ms -= 3600000;
	(void)go_after(10000);
	assert_int_equal(g.steps[0].state, STEP_IS_ACCEPTED);
	(void)go_after(3600000);
	assert_int_equal(g.steps[0].state, STEP_IS_HEALTHY);
	g.now_ms -= 3600000;
	(void)go_after(30000);
	assert_int_equal(n_sent(), 0);
	(void)go_after(3600000);
	assert_int_equal(n_sent(), 1);
}

static void exit_statuses_say_what_became_of_the_hosts(void **state)
{
	static const struct {
		const char *options, *ends; /* of five hosts: Healthy, Failed, Skipped, Unknown */
		enum rollout_state state;
		int status;
	} rows[] = {
		{ "", "HHHHH", ROLLOUT_IS_SUCCEEDED, 0 },
		{ "", "HHHHS", ROLLOUT_IS_SUCCEEDED, 11 },
		{ "", "SSSSS", ROLLOUT_IS_SUCCEEDED, 11 },
		{ "max_fail=1", "HHHHF", ROLLOUT_IS_SUCCEEDED, 10 }, /* as a whole */
		{ "max_fail=1", "HHHSF", ROLLOUT_IS_SUCCEEDED, 12 },
		{ "max_fail=1 on_failure=continue", "HHHFF", ROLLOUT_IS_FAILED, 10 },
		{ "max_fail=1 on_failure=continue", "SHHFF", ROLLOUT_IS_FAILED, 12 },
		{ "lost=continue", "HHHHU", ROLLOUT_IS_SUCCEEDED, 10 },
		{ "lost=continue on_failure=continue", "HHHFU", ROLLOUT_IS_FAILED, 10 },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		begin(5, rows[i].options);
		for (size_t k = 0; k < 5; k++) {
			char c = rows[i].ends[k];

			rig_step(&g, k,
			         c == 'H'   ? STEP_IS_HEALTHY
			         : c == 'F' ? STEP_IS_FAILED
			         : c == 'S' ? STEP_IS_SKIPPED
			                    : STEP_IS_UNKNOWN);
		}
		assert_int_equal(go_after(10000), ROLLOUT_END);
		assert_int_equal(g.v.state, rows[i].state);
		assert_int_equal(pm_code_exit_status(g.v.code), rows[i].status);
		assert_true(rollout_is_over(g.v.state));
	}
	assert_int_equal(pm_code_exit_status(PM_PAUSED), 13);
	assert_int_equal(pm_code_exit_status(PM_UNDONE), 14);
}

static void where_nothing_is_to_be_done_nothing_is_monitored(void **state)
{
	(void)state;
	begin(2, "");
	take_away(0);
	take_away(1);
	assert_int_equal(go_after(ROLLOUT_LOST_MS), ROLLOUT_END);
	assert_end(ROLLOUT_IS_SUCCEEDED, PM_SKIPPED);
}

static void only_one_that_runs_moves(void **state)
{
	static const enum rollout_state states[] = {
		ROLLOUT_IS_PLANNED,   ROLLOUT_IS_WAITING_LOCK, ROLLOUT_IS_PAUSED,
		ROLLOUT_IS_SUCCEEDED, ROLLOUT_IS_FAILED,       ROLLOUT_IS_UNDONE,
		ROLLOUT_IS_ABORTED,
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(states); i++) {
		begin(3, "");
		g.r.state = states[i];
		assert_int_equal(rig_next(&g), ROLLOUT_STAY);
		assert_hold("", 0);
		assert_int_equal(rollout_is_over(states[i]), i >= 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_begins_when_all_before_it_is_done),
		cmocka_unit_test(max_down_bounds_what_is_out_within_a_batch),
		cmocka_unit_test(f27_what_restarts_by_itself_is_held_against_max_down),
		cmocka_unit_test(the_canary_holds_from_when_it_was_healthy),
		cmocka_unit_test(a_canary_waits_for_an_operator_once),
		cmocka_unit_test(every_batch_waits_for_an_operator),
		cmocka_unit_test(a_wait_is_between_batches_and_a_promotion_ends_it),
		cmocka_unit_test(f24_bake_is_between_waves),
		cmocka_unit_test(what_was_only_skipped_is_nothing_to_hold_for),
		cmocka_unit_test(more_than_max_fail_over_the_whole_rollout_pauses),
		cmocka_unit_test(max_fail_in_percent_rounds_down),
		cmocka_unit_test(f17_rollback_goes_back_once_and_a_failing_rollback_pauses),
		cmocka_unit_test(f17_what_is_all_back_is_undone),
		cmocka_unit_test(f17_what_cannot_be_put_back_pauses_and_says_so),
		cmocka_unit_test(continue_goes_on_to_the_end),
		cmocka_unit_test(those_that_are_down_use_up_max_down_even_if_it_continues),
		cmocka_unit_test(whoever_resumed_knew_of_it),
		cmocka_unit_test(an_unknown_one_that_was_forgiven_is_no_reason_later),
		cmocka_unit_test(what_was_forgiven_and_came_right_forgives_no_other),
		cmocka_unit_test(
			a_hold_that_is_longer_than_the_progress_deadline_is_none_of_its_business),
		cmocka_unit_test(hosts_that_only_fail_are_no_progress),
		cmocka_unit_test(f18_failures_count_for_a_while_after_the_last_host),
		cmocka_unit_test(a_clock_that_is_set_back_makes_it_wait),
		cmocka_unit_test(exit_statuses_say_what_became_of_the_hosts),
		cmocka_unit_test(where_nothing_is_to_be_done_nothing_is_monitored),
		cmocka_unit_test(only_one_that_runs_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
