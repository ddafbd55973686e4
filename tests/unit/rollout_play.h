/* rollout_play.h - a rollout that is played step by step, for tests of what follows what. */
#ifndef PM_TESTS_UNIT_ROLLOUT_PLAY_H
#define PM_TESTS_UNIT_ROLLOUT_PLAY_H

#include "tests/unit/rollout_rig.h"

static struct rig g;
static const char *hold = ""; /* that it stayed for last */

/* ---- what happens ---- */

/* Go on as far as it goes by itself; a hold before is over then. */
static inline enum rollout_move go(void)
{
	for (size_t i = 0; i < 4 * RIG_HOSTS_MAX; i++) {
		enum rollout_move move = rig_next(&g);

		rig_do(&g, *hold != '\0');
		hold = move == ROLLOUT_STAY ? g.v.hold : "";
		if (move == ROLLOUT_STAY || move == ROLLOUT_PAUSE || move == ROLLOUT_UNDO ||
		    move == ROLLOUT_END)
			return move;
	}
	fail_msg("it never stays");
	return ROLLOUT_STAY;
}

static inline enum rollout_move go_after(int64_t ms)
{
	g.now_ms += ms;
	return go();
}

static inline void begin(size_t n, const char *options)
{
	rig_init(&g, n, options);
	rig_begin(&g);
	hold = "";
}

/* A host has been away for long. */
static inline void take_away(size_t i)
{
	g.steps[i].reachable = false;
	g.steps[i].gone_ms = g.now_ms - 3600000;
}

/* All that were sent are answered, with that. */
static inline void answer_all(enum step_state state)
{
	for (size_t i = 0; i < g.n; i++)
		if (g.steps[i].state == STEP_IS_SENT)
			rig_step(&g, i, state);
}

/* All that were sent do it. */
static inline enum rollout_move all_well(void)
{
	answer_all(STEP_IS_ACCEPTED);
	return go_after(g.r.params.min_healthy_ms);
}

static inline enum rollout_move all_fail(void)
{
	answer_all(STEP_IS_FAILED);
	return go();
}

static inline size_t n_in(enum step_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < g.n; i++)
		n += g.steps[i].state == state;
	return n;
}

static inline size_t n_sent(void)
{
	return n_in(STEP_IS_SENT);
}

static inline void assert_hold(const char *what, int64_t until_ms)
{
	assert_int_equal(g.v.move, ROLLOUT_STAY);
	assert_string_equal(g.v.hold, what);
	assert_true(g.v.hold_until_ms == until_ms);
}

static inline void assert_end(enum rollout_state state, enum pm_code code)
{
	assert_int_equal(g.v.move, ROLLOUT_END);
	assert_int_equal(g.v.state, state);
	assert_string_equal(pm_code_name(g.v.code), pm_code_name(code));
}

static inline void assert_pause(enum pm_code code, const char *words)
{
	assert_int_equal(g.v.move, ROLLOUT_PAUSE);
	assert_int_equal(g.v.code, code);
	if (strstr(g.v.why, words) == NULL)
		fail_msg("'%s' is not in '%s'", words, g.v.why);
}

#endif
