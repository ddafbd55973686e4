#include "tests/unit/unit.h"

#include "agent/life.h"

#define COUNT_ONE(...) +1
enum {
	N_STATES = 0 LIFE_STATES(COUNT_ONE),
	N_EVENTS = 0 LIFE_EVENTS(COUNT_ONE),
	N_AFTERS = LIFE_AFTER_FORGET + 1,
};

#define END_OF_STORY           \
	{                      \
		N_EVENTS, 0, 0 \
	}

/* One step of a story: the event, the state it must lead to, the actions it must ask for. */
struct scene {
	int event;
	enum life_state state;
	uint32_t actions;
};

static void play(const struct scene *scenes)
{
	struct life l = { 0 };

	for (; scenes->event != N_EVENTS; scenes++) {
		uint32_t actions = life_step(&l, (enum life_event)scenes->event);

		assert_string_equal(life_state_word(l.state), life_state_word(scenes->state));
		assert_int_equal(l.state, scenes->state);
		assert_int_equal(actions, scenes->actions);
	}
}

#define STARTED                                                    \
	{ EV_START, LIFE_SPAWNING, ACT_CLEAR | ACT_SPAWN },        \
		{ EV_SPAWNED, LIFE_UP_WAIT, ACT_ARM_READY },       \
	{                                                          \
		EV_READY, LIFE_UP, ACT_CANCEL_READY | ACT_REPLY_OK \
	}

static void start_then_stop(void **state)
{
	static const struct scene story[] = {
		STARTED,
		{ EV_STOP, LIFE_ENDING, ACT_SUPERSEDED | ACT_ARM_KILL | ACT_SIGNAL },
		{ EV_EXIT, LIFE_ENDING, 0 },
		{ EV_TREE_GONE, LIFE_DOWN, ACT_CANCEL_KILL | ACT_REPLY_OK },
		{ EV_KILL_TIMEOUT, LIFE_DOWN, 0 },
		{ EV_STOP, LIFE_DOWN, ACT_REPLY_OK },
		END_OF_STORY,
	};

	(void)state;
	play(story);
}

static void what_ignores_the_signal_is_killed_and_a_stuck_tree_is_told(void **state)
{
	static const struct scene story[] = {
		STARTED,
		{ EV_STOP, LIFE_ENDING, ACT_SUPERSEDED | ACT_ARM_KILL | ACT_SIGNAL },
		{ EV_KILL_TIMEOUT, LIFE_KILLING, ACT_ARM_KILL | ACT_KILL },
		{ EV_KILL_TIMEOUT, LIFE_KILLING, ACT_REPLY_FAIL | ACT_ARM_KILL | ACT_KILL },
		{ EV_EXIT, LIFE_KILLING, 0 },
		{ EV_TREE_GONE, LIFE_DOWN, ACT_CANCEL_KILL | ACT_REPLY_OK },
		END_OF_STORY,
	};

	(void)state;
	play(story);
}

static void restart_counts_when_the_successor_is_spawned(void **state)
{
	static const struct scene story[] = {
		STARTED,
		{ EV_RESTART, LIFE_ENDING, ACT_SUPERSEDED | ACT_ARM_KILL | ACT_SIGNAL },
		{ EV_EXIT, LIFE_ENDING, 0 },
		{ EV_TREE_GONE, LIFE_SPAWNING,
		  ACT_CANCEL_KILL | ACT_CLEAR | ACT_COUNT_RESTART | ACT_SPAWN },
		{ EV_SPAWNED, LIFE_UP_WAIT, ACT_ARM_READY },
		{ EV_READY, LIFE_UP, ACT_CANCEL_READY | ACT_REPLY_OK },
		END_OF_STORY,
	};

	(void)state;
	play(story);
}

static void a_crash_waits_and_counts_when_the_delay_is_over(void **state)
{
	static const struct scene story[] = {
		STARTED,
		{ EV_EXIT_RESTART, LIFE_BACKOFF, ACT_KILL | ACT_ARM_DELAY },
		{ EV_TREE_GONE, LIFE_BACKOFF, 0 },
		{ EV_DELAY_OVER, LIFE_SPAWNING, ACT_COUNT_RESTART | ACT_SPAWN },
		{ EV_SPAWNED, LIFE_UP_WAIT, ACT_ARM_READY },
		{ EV_READY, LIFE_UP, ACT_CANCEL_READY | ACT_REPLY_OK },
		{ EV_EXIT_GIVE_UP, LIFE_FAILED, ACT_KILL },
		{ EV_START, LIFE_SPAWNING, ACT_CLEAR | ACT_SPAWN },
		{ EV_SPAWNED, LIFE_UP_WAIT, ACT_ARM_READY },
		{ EV_READY, LIFE_UP, ACT_CANCEL_READY | ACT_REPLY_OK },
		{ EV_EXIT_DOWN, LIFE_DOWN, ACT_KILL },
		END_OF_STORY,
	};

	(void)state;
	play(story);
}

static void orders_while_a_delay_runs(void **state)
{
	static const struct scene stop[] = {
		STARTED,
		{ EV_EXIT_RESTART, LIFE_BACKOFF, ACT_KILL | ACT_ARM_DELAY },
		{ EV_STOP, LIFE_KILLING,
		  ACT_SUPERSEDED | ACT_CANCEL_DELAY | ACT_ARM_KILL | ACT_KILL },
		{ EV_DELAY_OVER, LIFE_KILLING, 0 },
		{ EV_TREE_GONE, LIFE_DOWN, ACT_CANCEL_KILL | ACT_REPLY_OK },
		END_OF_STORY,
	};
	static const struct scene restart[] = {
		STARTED,
		{ EV_EXIT_RESTART, LIFE_BACKOFF, ACT_KILL | ACT_ARM_DELAY },
		{ EV_RESTART, LIFE_SPAWNING,
		  ACT_CANCEL_DELAY | ACT_CLEAR | ACT_COUNT_RESTART | ACT_SPAWN },
		{ EV_DELAY_OVER, LIFE_SPAWNING, 0 },
		END_OF_STORY,
	};

	(void)state;
	play(stop);
	play(restart);
}

static void readiness_that_does_not_come_is_told_and_it_stays_up(void **state)
{
	static const struct scene late[] = {
		{ EV_START, LIFE_SPAWNING, ACT_CLEAR | ACT_SPAWN },
		{ EV_SPAWNED, LIFE_UP_WAIT, ACT_ARM_READY },
		{ EV_READY_TIMEOUT, LIFE_UP, ACT_REPORT_NOT_READY },
		{ EV_READY, LIFE_UP, 0 },
		END_OF_STORY,
	};
	static const struct scene early_exit[] = {
		{ EV_START, LIFE_SPAWNING, ACT_CLEAR | ACT_SPAWN },
		{ EV_SPAWNED, LIFE_UP_WAIT, ACT_ARM_READY },
		{ EV_EXIT_RESTART, LIFE_BACKOFF,
		  ACT_CANCEL_READY | ACT_REPLY_FAIL | ACT_KILL | ACT_ARM_DELAY },
		{ EV_READY_TIMEOUT, LIFE_BACKOFF, 0 },
		END_OF_STORY,
	};

	(void)state;
	play(late);
	play(early_exit);
}

static void x20_a_fork_without_room_is_tried_again_and_not_counted(void **state)
{
	static const struct scene story[] = {
		{ EV_START, LIFE_SPAWNING, ACT_CLEAR | ACT_SPAWN },
		{ EV_SPAWN_RETRY, LIFE_HELD, ACT_ARM_DELAY },
		{ EV_DELAY_OVER, LIFE_SPAWNING, ACT_SPAWN },
		{ EV_SPAWN_RETRY, LIFE_HELD, ACT_ARM_DELAY },
		{ EV_DELETE, LIFE_KILLING,
		  ACT_SUPERSEDED | ACT_CANCEL_DELAY | ACT_ARM_KILL | ACT_KILL },
		{ EV_TREE_GONE, LIFE_DOWN, ACT_CANCEL_KILL | ACT_REPLY_OK | ACT_FORGET },
		END_OF_STORY,
	};

	(void)state;
	play(story);
}

static void x21_an_exec_that_fails_fails_the_order(void **state)
{
	static const struct scene story[] = {
		{ EV_START, LIFE_SPAWNING, ACT_CLEAR | ACT_SPAWN },
		{ EV_SPAWN_FAILED, LIFE_FAILED, ACT_REPLY_FAIL },
		END_OF_STORY,
	};

	(void)state;
	play(story);
}

static void an_order_while_the_keeper_spawns_waits_for_its_answer(void **state)
{
	static const struct scene story[] = {
		{ EV_START, LIFE_SPAWNING, ACT_CLEAR | ACT_SPAWN },
		{ EV_STOP, LIFE_ABORTING, ACT_SUPERSEDED },
		{ EV_STOP, LIFE_ABORTING, 0 },
		{ EV_SPAWNED, LIFE_ENDING, ACT_ARM_KILL | ACT_SIGNAL },
		{ EV_TREE_GONE, LIFE_DOWN, ACT_CANCEL_KILL | ACT_REPLY_OK },
		{ EV_START, LIFE_SPAWNING, ACT_CLEAR | ACT_SPAWN },
		{ EV_RESTART, LIFE_ABORTING, ACT_SUPERSEDED },
		{ EV_SPAWN_FAILED, LIFE_SPAWNING, ACT_CLEAR | ACT_COUNT_RESTART | ACT_SPAWN },
		END_OF_STORY,
	};

	(void)state;
	play(story);
}

static void the_last_order_wins_but_a_delete_stays(void **state)
{
	static const struct scene story[] = {
		STARTED,
		{ EV_STOP, LIFE_ENDING, ACT_SUPERSEDED | ACT_ARM_KILL | ACT_SIGNAL },
		{ EV_START, LIFE_ENDING, ACT_SUPERSEDED },
		{ EV_RESTART, LIFE_ENDING, 0 },
		{ EV_STOP, LIFE_ENDING, ACT_SUPERSEDED },
		{ EV_DELETE, LIFE_ENDING, ACT_SUPERSEDED },
		{ EV_START, LIFE_ENDING, ACT_REFUSE },
		{ EV_RESTART, LIFE_ENDING, ACT_REFUSE },
		{ EV_STOP, LIFE_ENDING, 0 },
		{ EV_DELETE, LIFE_ENDING, 0 },
		{ EV_KILL_TIMEOUT, LIFE_KILLING, ACT_ARM_KILL | ACT_KILL },
		{ EV_TREE_GONE, LIFE_DOWN, ACT_CANCEL_KILL | ACT_REPLY_OK | ACT_FORGET },
		END_OF_STORY,
	};

	(void)state;
	play(story);
}

/* Every pair, with every intention: the table's own invariants. */
static void check_pair(struct life before, enum life_event event)
{
	const uint32_t replies = ACT_REPLY_OK | ACT_REPLY_FAIL | ACT_REPORT_NOT_READY;
	const uint32_t last =
		ACT_KILL | ACT_SIGNAL | ACT_ARM_READY | ACT_ARM_DELAY | ACT_SPAWN | ACT_FORGET;
	struct life l = before;
	uint32_t a = life_step(&l, event);

	assert_true((int)l.state < N_STATES);
	assert_true((a & replies & ((a & replies) - 1)) == 0); /* one kind of answer at most */
	assert_true(((a & ACT_SPAWN) != 0) ==
	            (l.state == LIFE_SPAWNING && before.state != LIFE_SPAWNING));
	assert_true(((a & ACT_ARM_DELAY) != 0) ==
	            ((l.state == LIFE_BACKOFF || l.state == LIFE_HELD) && l.state != before.state));
	assert_true(((a & ACT_ARM_READY) != 0) ==
	            (l.state == LIFE_UP_WAIT && l.state != before.state));
	/* What may lead to the next event comes last and alone, but for the killed rest of a crash.
	 */
	if ((a & last) != (ACT_KILL | ACT_ARM_DELAY))
		assert_true((a & last & ((a & last) - 1)) == 0);
	/* Timers do not outlive the states they belong to. */
	if ((before.state == LIFE_BACKOFF || before.state == LIFE_HELD) && l.state != before.state)
		assert_true((a & ACT_CANCEL_DELAY) != 0 || event == EV_DELAY_OVER);
	if (before.state == LIFE_UP_WAIT && l.state != before.state)
		assert_true((a & ACT_CANCEL_READY) != 0 || event == EV_READY_TIMEOUT);
	if ((before.state == LIFE_ENDING || before.state == LIFE_KILLING) && !life_is_ending(&l))
		assert_true((a & ACT_CANCEL_KILL) != 0);
	if (life_is_ending(&l) && l.state != LIFE_ABORTING && l.state != before.state)
		assert_true((a & ACT_ARM_KILL) != 0);
	/* P1: a second process only when the first is known to be gone. */
	if ((a & ACT_SPAWN) != 0)
		assert_true(!life_has_process(&before) || event == EV_TREE_GONE ||
		            event == EV_SPAWN_FAILED || event == EV_SPAWN_RETRY);
	/* An intention exists exactly while something ends. */
	assert_true((l.after != LIFE_AFTER_NONE) == life_is_ending(&l));
	if ((a & ACT_FORGET) != 0)
		assert_true(before.after == LIFE_AFTER_FORGET && l.state == LIFE_DOWN);
}

static void every_pair_keeps_the_invariants(void **state)
{
	int n = 0;

	(void)state;
	for (int s = 0; s < N_STATES; s++)
		for (int after = 0; after < N_AFTERS; after++)
			for (int event = 0; event < N_EVENTS; event++) {
				struct life l = { (enum life_state)s, (enum life_after)after };

				if (life_is_ending(&l) != (after != LIFE_AFTER_NONE))
					continue; /* no sequence of events leads there */
				check_pair(l, (enum life_event)event);
				n++;
			}
	assert_int_equal(n, (N_STATES - 3 + 3 * 3) * N_EVENTS);
}

static void every_state_is_left_by_a_delete_in_the_end(void **state)
{
	(void)state;
	for (int s = 0; s < N_STATES; s++) {
		struct life l = { (enum life_state)s, LIFE_AFTER_NONE };
		uint32_t a = 0;

		if (life_is_ending(&l))
			l.after = LIFE_AFTER_START;
		(void)life_step(&l, EV_DELETE);
		assert_true(life_is_ending(&l));
		assert_false(life_is_wanted(&l));
		if (l.state == LIFE_ABORTING)
			(void)life_step(&l, EV_SPAWNED);
		a = life_step(&l, EV_TREE_GONE);
		assert_true((a & ACT_FORGET) != 0);
	}
}

static void what_is_shown_and_what_is_wanted(void **state)
{
	static const struct {
		struct life life;
		const char *word;
		bool wanted, process;
	} rows[] = {
		{ { LIFE_DOWN, LIFE_AFTER_NONE }, "stopped", false, false },
		{ { LIFE_SPAWNING, LIFE_AFTER_NONE }, "launching", true, true },
		{ { LIFE_ABORTING, LIFE_AFTER_DOWN }, "stopping", false, true },
		{ { LIFE_UP_WAIT, LIFE_AFTER_NONE }, "launching", true, true },
		{ { LIFE_UP, LIFE_AFTER_NONE }, "online", true, true },
		{ { LIFE_ENDING, LIFE_AFTER_START }, "stopping", true, true },
		{ { LIFE_ENDING, LIFE_AFTER_FORGET }, "stopping", false, true },
		{ { LIFE_KILLING, LIFE_AFTER_DOWN }, "stopping", false, true },
		{ { LIFE_BACKOFF, LIFE_AFTER_NONE }, "waiting restart", true, false },
		{ { LIFE_HELD, LIFE_AFTER_NONE }, "waiting restart", true, false },
		{ { LIFE_FAILED, LIFE_AFTER_NONE }, "errored", false, false },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		assert_string_equal(life_state_word(rows[i].life.state), rows[i].word);
		assert_int_equal(life_is_wanted(&rows[i].life), rows[i].wanted);
		assert_int_equal(life_has_process(&rows[i].life), rows[i].process);
	}
	assert_string_equal(life_event_name(EV_EXIT_DOWN), "EV_EXIT_DOWN");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_then_stop),
		cmocka_unit_test(what_ignores_the_signal_is_killed_and_a_stuck_tree_is_told),
		cmocka_unit_test(restart_counts_when_the_successor_is_spawned),
		cmocka_unit_test(a_crash_waits_and_counts_when_the_delay_is_over),
		cmocka_unit_test(orders_while_a_delay_runs),
		cmocka_unit_test(readiness_that_does_not_come_is_told_and_it_stays_up),
		cmocka_unit_test(x20_a_fork_without_room_is_tried_again_and_not_counted),
		cmocka_unit_test(x21_an_exec_that_fails_fails_the_order),
		cmocka_unit_test(an_order_while_the_keeper_spawns_waits_for_its_answer),
		cmocka_unit_test(the_last_order_wins_but_a_delete_stays),
		cmocka_unit_test(every_pair_keeps_the_invariants),
		cmocka_unit_test(every_state_is_left_by_a_delete_in_the_end),
		cmocka_unit_test(what_is_shown_and_what_is_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
