/* rollout_rig.h - a rollout as its engine keeps it, without hosts, a store or a clock. */
#ifndef PM_TESTS_UNIT_ROLLOUT_RIG_H
#define PM_TESTS_UNIT_ROLLOUT_RIG_H

#include "tests/unit/unit.h"

#include <stdio.h>

#include "coordinator/rollout.h"

#define RIG_HOSTS_MAX 1000
#define RIG_BEGAN_MS  1700000000000

struct rig {
	struct rollout r;
	size_t n;
	struct rollout_host hosts[RIG_HOSTS_MAX];
	char names[RIG_HOSTS_MAX][16];
	struct rollout_step steps[RIG_HOSTS_MAX]; /* in the order of the rollout */
	uint32_t host_of[RIG_HOSTS_MAX];          /* of each step */
	uint32_t batch[RIG_HOSTS_MAX];            /* of each host */
	uint32_t wave_ends[RIG_HOSTS_MAX], list[RIG_HOSTS_MAX];
	struct rollout_verdict v;
	int64_t now_ms;
};

/* "max_fail=1 wait=30s" */
static inline void rig_options(struct rollout_params *p, const char *sets)
{
	char text[400], *rest;
	struct pm_error err;

	(void)snprintf(text, sizeof(text), "%s", sets);
	for (char *one = strtok_r(text, " ", &rest); one != NULL;
	     one = strtok_r(NULL, " ", &rest)) {
		char *value = strchr(one, '=');

		*value = '\0';
		if (strcmp(one, "gate") == 0) /* blanks are between options here */
			*strchr(value + 1, ':') = ' ';
		if (rollout_params_set(p, one, value + 1, &err) < 0)
			fail_msg("%s", err.what);
	}
}

/* n hosts that are well: h001, h002, ... */
static inline void rig_init(struct rig *g, size_t n, const char *options)
{
	memset(g, 0, sizeof(*g));
	rollout_params_default(&g->r.params);
	rig_options(&g->r.params, options);
	g->n = n;
	g->now_ms = RIG_BEGAN_MS;
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(g->names[i], sizeof(g->names[i]), "h%03u",
		               (unsigned)(i + 1) % 10000);
		g->hosts[i] = (struct rollout_host){ .name = g->names[i], .wave = "" };
	}
}

static inline int rig_batches(struct rig *g, struct rollout_batches *b, struct pm_error *err)
{
	*b = (struct rollout_batches){ .batch = g->batch,
		                       .order = g->host_of,
		                       .wave_ends = g->wave_ends };
	return rollout_batches(&g->r.params, g->hosts, g->n, b, err);
}

/* What the engine writes down with each change of a step. */
static inline void rig_step(struct rig *g, size_t i, enum step_state state)
{
	struct rollout_step *s = &g->steps[i];

	s->state = state;
	s->forgiven = false;
	switch (state) {
	case STEP_IS_SENT:
		s->sent_ms = s->asked_ms = g->now_ms;
		s->done_ms = s->ended_ms = 0;
		break;
	case STEP_IS_ACCEPTED:
		s->done_ms = g->now_ms;
		s->ended_ms = 0;
		break;
	case STEP_IS_PENDING:
		s->sent_ms = s->done_ms = s->ended_ms = 0;
		break;
	case STEP_IS_HEALTHY:
	case STEP_IS_FAILED:
	case STEP_IS_SKIPPED:
	case STEP_IS_UNKNOWN:
		s->done_ms = s->done_ms == 0 ? g->now_ms : s->done_ms;
		s->ended_ms = s->ended_ms == 0 ? g->now_ms : s->ended_ms;
		break;
	}
}

/* Make the batches, and begin. */
static inline void rig_begin(struct rig *g)
{
	struct rollout_batches b;
	struct pm_error err;

	if (rollout_params_check(&g->r.params, g->n, &err) < 0 || rig_batches(g, &b, &err) < 0)
		fail_msg("%s", err.what);
	g->r.steps = g->steps;
	g->r.n = g->n;
	g->r.n_batches = b.n_batches;
	g->r.wave_ends = g->wave_ends;
	g->r.n_waves = b.n_waves;
	g->r.state = ROLLOUT_IS_RUNNING;
	g->r.can_undo = true;
	g->r.running_ms = g->r.progress_ms = g->now_ms;
	for (size_t i = 0; i < g->n; i++) {
		const struct rollout_host *h = &g->hosts[g->host_of[i]];

		g->steps[i] = (struct rollout_step){ .batch = g->batch[g->host_of[i]],
			                             .reachable = !h->down,
			                             .drained = h->drained };
		rig_step(g, i, g->steps[i].batch > 0 ? STEP_IS_PENDING : STEP_IS_SKIPPED);
		g->steps[i].excused = g->steps[i].batch == 0 && h->drained;
	}
}

static inline enum rollout_move rig_next(struct rig *g)
{
	g->v = (struct rollout_verdict){ .list = g->list };
	rollout_next(&g->r, g->now_ms, &g->v);
	return g->v.move;
}

static inline void rig_pause(struct rig *g)
{
	g->r.state = ROLLOUT_IS_PAUSED;
	g->r.gate = ROLLOUT_GATE_NONE; /* asked again by whoever goes on */
	g->r.gate_passed = 0;
}

static inline void rig_resume(struct rig *g)
{
	for (size_t i = 0; i < g->n; i++)
		g->steps[i].forgiven =
			g->steps[i].state == STEP_IS_FAILED || g->steps[i].state == STEP_IS_UNKNOWN;
	g->r.state = g->r.undoing ? ROLLOUT_IS_UNDOING : ROLLOUT_IS_RUNNING;
	g->r.running_ms = g->r.progress_ms = g->now_ms;
}

/* The steps that may have changed something become those of the way back; false: there are none. */
static inline bool rig_turn(struct rig *g)
{
	static struct rollout_step steps[RIG_HOSTS_MAX];
	static uint32_t batch[RIG_HOSTS_MAX], order[RIG_HOSTS_MAX], host_of[RIG_HOSTS_MAX];
	static bool changed[RIG_HOSTS_MAX];
	struct rollout_batches b = { .batch = batch, .order = order, .wave_ends = g->wave_ends };
	struct pm_error err;

	for (size_t i = 0; i < g->n; i++)
		changed[i] = g->steps[i].batch > 0 && g->steps[i].state != STEP_IS_PENDING &&
		             g->steps[i].state != STEP_IS_SKIPPED;
	if (rollout_batches_back(&g->r, changed, &b, &err) < 0)
		return false;
	memcpy(steps, g->steps, sizeof(steps));
	memcpy(host_of, g->host_of, sizeof(host_of));
	for (size_t i = 0; i < g->n; i++) {
		const struct rollout_step *was = &steps[order[i]];

		g->host_of[i] = host_of[order[i]];
		g->steps[i] = (struct rollout_step){ .batch = batch[order[i]],
			                             .reachable = was->reachable,
			                             .drained = was->drained,
			                             .serves = true,
			                             .excused = batch[order[i]] == 0 };
		rig_step(g, i, batch[order[i]] > 0 ? STEP_IS_PENDING : STEP_IS_SKIPPED);
	}
	g->r.n_batches = b.n_batches;
	g->r.n_waves = 0;
	g->r.promoted = 0;
	g->r.undoing = true;
	g->r.can_undo = false;
	g->r.state = ROLLOUT_IS_UNDOING;
	g->r.running_ms = g->r.progress_ms = g->now_ms;
	return true;
}

/* Carry out what rig_next() said, as the engine does; `held`: it stayed for a hold before. */
static inline void rig_do(struct rig *g, bool held)
{
	static const enum step_state to[] = {
		[ROLLOUT_SEND] = STEP_IS_SENT,      [ROLLOUT_SKIP] = STEP_IS_SKIPPED,
		[ROLLOUT_SETTLE] = STEP_IS_HEALTHY, [ROLLOUT_LOSE] = STEP_IS_UNKNOWN,
		[ROLLOUT_EXPIRE] = STEP_IS_FAILED,
	};

	switch (g->v.move) {
	case ROLLOUT_STAY:
		return;
	case ROLLOUT_SEND:
	case ROLLOUT_SKIP:
	case ROLLOUT_SETTLE:
	case ROLLOUT_LOSE:
	case ROLLOUT_EXPIRE:
		for (size_t i = 0; i < g->v.n; i++) {
			struct rollout_step *s = &g->steps[g->v.list[i]];

			rig_step(g, g->v.list[i], to[g->v.move]);
			s->excused = g->v.move == ROLLOUT_SKIP && strcmp(g->v.why, "drained") == 0;
		}
		if (g->v.move == ROLLOUT_SETTLE || (g->v.move == ROLLOUT_SEND && held))
			g->r.progress_ms = g->now_ms;
		return;
	case ROLLOUT_GATE:
		g->r.gate = ROLLOUT_GATE_ASKED;
		return;
	case ROLLOUT_PAUSE:
		rig_pause(g);
		return;
	case ROLLOUT_UNDO:
		if (!rig_turn(g))
			rig_pause(g);
		return;
	case ROLLOUT_END:
		g->r.state = g->v.state;
		return;
	}
}

#endif
