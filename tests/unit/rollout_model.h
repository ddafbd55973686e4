/* rollout_model.h - what a rollout may do and when, by notes of its own: it shares no code with the
 * machine. For the one test that plays rollouts. */
#ifndef PM_TESTS_UNIT_ROLLOUT_MODEL_H
#define PM_TESTS_UNIT_ROLLOUT_MODEL_H

#include "tests/unit/rollout_rig.h"

#define HOSTS_MAX 14
#define NEVER     INT64_MAX

static struct rig g;

/* One host as it is; all times are true ones, since the beginning. */
struct host {
	bool up;
	int64_t flip_at;    /* it goes, or comes back */
	int64_t answer_at;  /* of the step that it has; NEVER: it hangs, or has none */
	int64_t sick_until; /* it is not seen to do well before */
	int64_t crash_at;   /* it fails while it is watched */
	int64_t says_at;    /* how it does, after the coordinator's death */
	enum step_state answer;
	bool has_step;
};

/* What the model has noted of a step; calendar times. */
struct note {
	enum step_state state;
	int64_t sent_ms, accepted_ms, ended_ms, ended_at; /* ended_at: true time */
	bool known;                                       /* an operator resumed since */
	bool unseen; /* HEALTHY: the coordinator has died since */
};

static struct {
	uint64_t run;
	struct host hosts[HOSTS_MAX];
	struct note notes[HOSTS_MAX]; /* by step */
	int64_t t, offset;            /* true time, and what makes a calendar of it */
	bool jumped;                  /* the clock was set on: what is true may be less */
	bool gated, wild;
	unsigned chaos; /* surprises that are left */
	const char *hold;
	int64_t active_ms; /* looked after, not held, and no host got done */
	int64_t resume_at, thaw_at, promote_at;
	unsigned n_undos;
	int64_t gate_at; /* the gates answer; 0: nobody asks them */
	bool gate_passes, gate_failed;
	uint32_t passed; /* they let this batch begin, and nobody was away since */
} w;

static struct {
	unsigned moves[ROLLOUT_END + 1], ends[ROLLOUT_IS_ABORTED + 1], deaths, deadlines, holds,
		unseen, gates_failed;
} seen;

#define MUST(what)                                                                      \
	do {                                                                            \
		if (!(what))                                                            \
			fail_msg("run %llu, %lld ms, move %d '%s': not so: %s",         \
			         (unsigned long long)w.run, (long long)w.t, g.v.move,   \
			         g.v.move == ROLLOUT_STAY ? g.v.hold : g.v.why, #what); \
	} while (0)

/* ---- the model: what it knows, from its own notes ---- */

static bool m_ended(size_t i)
{
	return w.notes[i].state >= STEP_IS_HEALTHY;
}

static bool m_tried(size_t i)
{
	return g.steps[i].batch > 0 && w.notes[i].state != STEP_IS_PENDING &&
	       w.notes[i].state != STEP_IS_SKIPPED;
}

static size_t m_count(enum step_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < g.n; i++)
		n += w.notes[i].state == state;
	return n;
}

static size_t m_under_way(void)
{
	return m_count(STEP_IS_SENT) + m_count(STEP_IS_ACCEPTED);
}

static size_t m_part(void)
{
	size_t n = 0;

	for (size_t i = 0; i < g.n; i++)
		n += g.steps[i].batch > 0;
	return n;
}

static size_t m_down(struct rollout_share s, size_t least)
{
	size_t n = m_part(), most = s.percent ? n * s.value / 100 : s.value;

	most = most < least ? least : most;
	return most > n ? n : most;
}

static size_t m_out(void)
{
	size_t n = m_under_way();

	for (size_t i = 0; i < g.n; i++)
		n += !w.notes[i].known &&
		     (w.notes[i].state == STEP_IS_UNKNOWN ||
		      (w.notes[i].state == STEP_IS_FAILED && !w.gated && !g.r.undoing));
	return n;
}

static uint32_t m_batch(void)
{
	uint32_t batch = 0;

	for (size_t i = 0; i < g.n; i++)
		if (g.steps[i].batch > 0 && !m_ended(i) && (batch == 0 || g.steps[i].batch < batch))
			batch = g.steps[i].batch;
	return batch;
}

static const char *m_wave(uint32_t batch)
{
	for (size_t i = 0; i < g.n; i++)
		if (g.steps[i].batch == batch)
			return g.hosts[g.host_of[i]].wave;
	return "";
}

enum {
	HOLD_CANARY,
	HOLD_BAKE,
	HOLD_WAIT,
	HOLD_COUNT
};
static const char *const hold_names[] = { "canary", "bake", "wait" };

/* Holds before a batch, and when they are over; ask: only an operator ends it. */
struct hold {
	bool any, ask;
	uint32_t ms[HOLD_COUNT]; /* 0: not this one */
	int64_t until_ms[HOLD_COUNT];
	int64_t from_at; /* true time */
};

/* No time is no hold, wherever the clock is. */
static int64_t m_until(int64_t from_ms, uint32_t ms)
{
	return ms == 0 ? 0 : from_ms + ms;
}

static struct hold m_hold(uint32_t batch)
{
	const struct rollout_params *p = &g.r.params;
	uint32_t first = 0, last = 0;
	int64_t from_ms = 0;
	struct hold h = { .from_at = 0 };
	bool canary;

	for (size_t i = 0; i < g.n; i++) {
		if (!m_tried(i) || g.steps[i].batch > batch)
			continue;
		if (g.steps[i].batch == batch)
			return (struct hold){ .any = false };
		first = first == 0 || g.steps[i].batch < first ? g.steps[i].batch : first;
		last = g.steps[i].batch > last ? g.steps[i].batch : last;
		from_ms = PM_MAX(from_ms, w.notes[i].ended_ms);
		h.from_at = PM_MAX(h.from_at, w.notes[i].ended_at);
	}
	if (first == 0 || g.r.undoing || batch <= g.r.promoted)
		return h;
	h.any = true;
	canary = first == last && g.r.promoted <= first;
	h.ask = p->wait_ask || (canary && p->canary_ask);
	h.ms[HOLD_CANARY] = canary ? p->canary_hold_ms : 0;
	h.ms[HOLD_BAKE] = strcmp(m_wave(batch), m_wave(batch - 1)) != 0 ? p->bake_ms : 0;
	h.ms[HOLD_WAIT] = p->wait_ms;
	for (unsigned k = 0; k < HOLD_COUNT; k++)
		h.until_ms[k] = m_until(from_ms, h.ms[k]);
	return h;
}

/* More than max_fail, and one of them is news. */
static bool m_fails(void)
{
	size_t n = m_count(STEP_IS_FAILED);
	bool news = false;

	for (size_t i = 0; i < g.n; i++)
		news |= w.notes[i].state == STEP_IS_FAILED && !w.notes[i].known;
	if (!g.r.params.lost_continue)
		n += m_count(STEP_IS_UNKNOWN);
	return news && n > m_down(g.r.params.max_fail, 0);
}

/* One that was done before the coordinator died, and has not come back since. */
static bool m_is_unseen(size_t i)
{
	return w.notes[i].state == STEP_IS_HEALTHY && w.notes[i].unseen;
}

static bool m_any_unseen(void)
{
	for (size_t i = 0; i < g.n; i++)
		if (m_is_unseen(i))
			return true;
	return false;
}

static bool m_is_in_doubt(void)
{
	for (size_t i = 0; i < g.n; i++)
		if (w.notes[i].state == STEP_IS_UNKNOWN && !w.notes[i].known)
			return !g.r.params.lost_continue;
	return false;
}

/* ---- the model: what the machine may say ---- */

static void may_go_on(void)
{
	MUST(!m_is_in_doubt());
	MUST(!m_fails() || g.r.params.on_failure == ROLLOUT_ON_FAILURE_CONTINUE);
}

static void is_not_held(uint32_t batch)
{
	struct hold h = m_hold(batch);

	if (!h.any)
		return;
	MUST(!h.ask);
	for (unsigned k = 0; k < HOLD_COUNT; k++) {
		MUST(g.now_ms >= h.until_ms[k]);
		MUST(w.jumped || w.t - h.from_at >= h.ms[k]);
	}
}

/* Between batches, and on the way out alone. */
static bool m_is_gated(uint32_t batch)
{
	bool before = false;

	for (size_t i = 0; i < g.n; i++) {
		if (m_tried(i) && g.steps[i].batch == batch)
			return false;
		before |= m_tried(i) && g.steps[i].batch < batch;
	}
	return before && g.r.params.gates[0] != '\0' && !g.r.undoing;
}

static void may_ask(void)
{
	may_go_on();
	MUST(m_is_gated(m_batch()) && w.passed != m_batch());
	MUST(w.gate_at == 0 && !w.gate_failed && m_under_way() == 0);
	is_not_held(m_batch());
}

static void may_be_sent(void)
{
	uint32_t batch = g.steps[g.v.list[0]].batch;
	size_t room = m_down(g.r.params.max_down, 1) - m_out(), n_ready = 0;

	may_go_on();
	MUST(g.r.undoing || !m_any_unseen());
	MUST(m_out() <= m_down(g.r.params.max_down, 1));
	MUST(batch == m_batch());
	MUST(!m_is_gated(batch) || w.passed == batch);
	is_not_held(batch);
	for (size_t i = 0; i < g.n; i++) {
		const struct rollout_step *s = &g.steps[i];

		MUST(s->batch == 0 || s->batch >= batch || m_ended(i));
		n_ready += s->batch == batch && w.notes[i].state == STEP_IS_PENDING && s->reachable;
		/* No wave begins before all of the one before has ended. */
		MUST(g.r.undoing || s->batch == 0 || m_ended(i) || s->batch > batch ||
		     strcmp(g.hosts[g.host_of[i]].wave, m_wave(batch)) == 0);
	}
	MUST(g.v.n == PM_MIN(room, n_ready));
	for (size_t k = 0; k < g.v.n; k++) {
		const struct rollout_step *s = &g.steps[g.v.list[k]];

		MUST(k == 0 || g.v.list[k] > g.v.list[k - 1]); /* each once, in their order */
		MUST(w.notes[g.v.list[k]].state == STEP_IS_PENDING && s->batch == batch);
		MUST(s->reachable && (!s->drained || g.r.params.include_drained || g.r.undoing));
	}
}

/* A host that is not there at its turn, or drained. */
static void may_be_passed_over(size_t i, bool fails)
{
	const struct rollout_params *p = &g.r.params;
	const struct rollout_step *s = &g.steps[i];
	bool wait = p->unreachable == ROLLOUT_UNREACHABLE_WAIT;

	may_go_on();
	MUST(w.notes[i].state == STEP_IS_PENDING && s->batch == m_batch());
	is_not_held(s->batch);
	if (strcmp(g.v.why, "drained") == 0) {
		MUST(!fails && s->drained && !p->include_drained && !g.r.undoing);
		return;
	}
	MUST(!s->reachable);
	MUST(fails == (p->unreachable == ROLLOUT_UNREACHABLE_FAIL));
	MUST(g.now_ms >= g.r.running_ms + (wait ? p->unreachable_wait_ms : 30000));
	MUST(!wait || g.now_ms - s->away_ms >= p->unreachable_wait_ms);
}

static void may_expire(size_t i)
{
	const struct note *n = &w.notes[i];

	if (n->state == STEP_IS_PENDING) {
		may_be_passed_over(i, true);
		return;
	}
	MUST(n->state == STEP_IS_SENT || n->state == STEP_IS_ACCEPTED);
	MUST(g.now_ms - PM_MAX(n->sent_ms, g.r.running_ms) >= g.r.params.healthy_deadline_ms);
	MUST(n->state == STEP_IS_ACCEPTED || !g.steps[i].lost);
	MUST(n->state == STEP_IS_SENT || g.steps[i].unwell);
	MUST(n->state == STEP_IS_SENT || g.now_ms - n->accepted_ms >= g.r.params.min_healthy_ms);
}

static void may_pause(void)
{
	const struct rollout_params *p = &g.r.params;
	bool wants = false;

	if (g.v.code == PM_DEADLINE) {
		MUST(p->progress_deadline_ms != 0 && w.active_ms >= p->progress_deadline_ms);
		seen.deadlines++;
		return;
	}
	MUST(g.v.code == PM_PAUSED && g.v.why[0] != '\0');
	if (m_is_in_doubt())
		return;
	if (w.gate_failed) {
		MUST(p->on_failure != ROLLOUT_ON_FAILURE_ROLLBACK || !g.r.can_undo);
		return;
	}
	if (m_fails() && p->on_failure != ROLLOUT_ON_FAILURE_CONTINUE) {
		MUST(p->on_failure == ROLLOUT_ON_FAILURE_PAUSE || g.r.undoing || !g.r.can_undo);
		return;
	}
	for (size_t i = 0; i < g.n; i++)
		wants |= w.notes[i].state == STEP_IS_PENDING && g.steps[i].batch == m_batch() &&
		         g.steps[i].reachable;
	MUST(wants && m_under_way() == 0 && m_out() >= m_down(p->max_down, 1));
}

static void may_undo(void)
{
	MUST(g.r.params.on_failure == ROLLOUT_ON_FAILURE_ROLLBACK && g.r.can_undo && !g.r.undoing);
	MUST((m_fails() || w.gate_failed) && !m_is_in_doubt());
	MUST(w.n_undos == 0);
}

static int64_t m_last_end(int64_t *at)
{
	int64_t last_ms = 0;

	*at = 0;
	for (size_t i = 0; i < g.n; i++) {
		if (!m_tried(i))
			continue;
		last_ms = PM_MAX(last_ms, w.notes[i].ended_ms);
		*at = PM_MAX(*at, w.notes[i].ended_at);
	}
	return last_ms;
}

static void may_end(void)
{
	size_t n_bad = m_count(STEP_IS_FAILED) + m_count(STEP_IS_UNKNOWN);
	size_t n_count = g.r.params.lost_continue ? m_count(STEP_IS_FAILED) : n_bad;
	int64_t at, last_ms = m_last_end(&at);
	bool missed = false;
	int status;

	may_go_on();
	MUST(m_batch() == 0 && !m_any_unseen());
	MUST(last_ms == 0 || g.now_ms >= m_until(last_ms, g.r.params.monitor_ms));
	MUST(last_ms == 0 || g.now_ms >= m_until(g.r.running_ms, g.r.params.monitor_ms));
	MUST(last_ms == 0 || w.jumped || w.t - at >= g.r.params.monitor_ms);
	for (size_t i = 0; i < g.n; i++)
		missed |= w.notes[i].state == STEP_IS_SKIPPED && !g.steps[i].excused;
	status = n_bad > 0 ? (missed ? 12 : 10) : missed ? 11 : 0;
	if (g.r.undoing) {
		MUST(g.v.state == (n_bad > 0 ? ROLLOUT_IS_FAILED : ROLLOUT_IS_UNDONE));
		MUST(pm_code_exit_status(g.v.code) == (n_bad > 0 ? status : 14));
		return;
	}
	MUST(g.v.state ==
	     (n_count > m_down(g.r.params.max_fail, 0) ? ROLLOUT_IS_FAILED : ROLLOUT_IS_SUCCEEDED));
	MUST(pm_code_exit_status(g.v.code) == status);
}

/* It is not due yet, and nobody sleeps through it. */
static void is_still_to_come(int64_t at_ms)
{
	MUST(g.now_ms < at_ms && g.v.wake_ms != 0 && g.v.wake_ms <= at_ms);
}

/* A watched one that went before its time was over is waited for a while. */
static int64_t m_late(const struct rollout_step *s, int64_t at_ms)
{
	bool silent = !s->reachable && s->heard_ms != 0 && s->heard_ms < at_ms;

	return silent ? PM_MAX(at_ms, PM_MAX(s->gone_ms, g.r.running_ms) + 30000) : at_ms;
}

/* Nothing that is due is left undone. */
static void is_prompt(void)
{
	const struct rollout_params *p = &g.r.params;
	int64_t run_ms = g.r.running_ms;

	for (size_t i = 0; i < g.n; i++) {
		const struct note *n = &w.notes[i];
		const struct rollout_step *s = &g.steps[i];
		int64_t most_ms = PM_MAX(n->sent_ms, run_ms) + p->healthy_deadline_ms + 5000;
		int64_t well_ms = n->accepted_ms + p->min_healthy_ms;

		if (n->state == STEP_IS_SENT && s->lost)
			is_still_to_come(PM_MAX(s->lost_ms, run_ms) + 30000);
		else if (n->state == STEP_IS_SENT)
			is_still_to_come(PM_MAX(most_ms, s->asked_ms + 5000));
		if (n->state == STEP_IS_ACCEPTED)
			is_still_to_come(s->unwell ? m_late(s, PM_MAX(most_ms, well_ms + 5000))
			                           : well_ms);
	}
	for (size_t i = 0; i < g.n; i++)
		if (m_is_unseen(i) && !g.steps[i].reachable)
			is_still_to_come(PM_MAX(g.steps[i].gone_ms, run_ms) + 30000);
	if (p->progress_deadline_ms != 0 && m_under_way() > 0)
		is_still_to_come(PM_MAX(g.r.progress_ms, run_ms) + p->progress_deadline_ms);
}

static void may_hold(uint32_t batch)
{
	struct hold h;
	int64_t at;

	MUST(g.v.hold_until_ms == 0 ||
	     (g.v.hold_until_ms > g.now_ms && g.v.wake_ms == g.v.hold_until_ms));
	if (strcmp(g.v.hold, "monitor") == 0) {
		MUST(batch == 0);
		MUST(!m_any_unseen());
		MUST(g.v.hold_until_ms ==
		     PM_MAX(m_last_end(&at), g.r.running_ms) + g.r.params.monitor_ms);
		return;
	}
	if (strcmp(g.v.hold, "reconnect") == 0 && m_any_unseen()) {
		MUST(m_under_way() == 0);
		return;
	}
	MUST(batch != 0);
	if (strcmp(g.v.hold, "reconnect") == 0) {
		MUST(m_under_way() == 0);
		for (size_t i = 0; i < g.n; i++)
			MUST(g.steps[i].batch != batch || m_ended(i) || !g.steps[i].reachable);
		return;
	}
	if (strcmp(g.v.hold, "gate") == 0) {
		MUST(w.gate_at != 0 && m_is_gated(batch) && m_under_way() == 0);
		return;
	}
	h = m_hold(batch);
	MUST(h.any && m_under_way() == 0);
	if (strcmp(g.v.hold, "promote") == 0) {
		MUST(h.ask);
		return;
	}
	MUST(!h.ask);
	for (unsigned k = 0; k < HOLD_COUNT; k++)
		if (strcmp(hold_names[k], g.v.hold) == 0) {
			MUST(g.v.hold_until_ms == h.until_ms[k]);
			return;
		}
	MUST(false && "a hold that exists");
}

static void may_stay(void)
{
	uint32_t batch = m_batch();

	MUST(g.v.wake_ms == 0 || g.v.wake_ms > g.now_ms);
	if (g.r.state != ROLLOUT_IS_RUNNING && g.r.state != ROLLOUT_IS_UNDOING)
		return;
	MUST(g.r.frozen == (strcmp(g.v.hold, "frozen") == 0));
	if (g.r.frozen)
		return;
	may_go_on();
	is_prompt();
	seen.holds += g.v.hold[0] != '\0';
	if (g.v.hold[0] != '\0') {
		may_hold(batch);
		return;
	}
	MUST(batch != 0 && m_under_way() > 0 && g.v.wake_ms > 0);
	if (m_any_unseen() && !g.r.undoing)
		return;
	for (size_t i = 0; i < g.n; i++)
		MUST(g.steps[i].batch != batch || w.notes[i].state != STEP_IS_PENDING ||
		     !g.steps[i].reachable || m_out() >= m_down(g.r.params.max_down, 1));
}

static void check(void)
{
	bool going = g.r.state == ROLLOUT_IS_RUNNING || g.r.state == ROLLOUT_IS_UNDOING;

	MUST(g.v.move == ROLLOUT_STAY || (going && !g.r.frozen));
	seen.moves[g.v.move]++;
	switch (g.v.move) {
	case ROLLOUT_STAY:
		may_stay();
		return;
	case ROLLOUT_SEND:
		MUST(g.v.n > 0);
		may_be_sent();
		return;
	case ROLLOUT_GATE:
		may_ask();
		return;
	case ROLLOUT_PAUSE:
		may_pause();
		return;
	case ROLLOUT_UNDO:
		may_undo();
		return;
	case ROLLOUT_END:
		may_end();
		return;
	case ROLLOUT_SKIP:
	case ROLLOUT_SETTLE:
	case ROLLOUT_LOSE:
	case ROLLOUT_EXPIRE:
		break;
	}
	MUST(g.v.n > 0);
	for (size_t k = 0; k < g.v.n; k++) {
		size_t i = g.v.list[k];
		const struct note *n = &w.notes[i];

		if (g.v.move == ROLLOUT_SKIP)
			may_be_passed_over(i, false);
		if (g.v.move == ROLLOUT_EXPIRE)
			may_expire(i);
		if (g.v.move == ROLLOUT_SETTLE)
			MUST(n->state == STEP_IS_ACCEPTED && !g.steps[i].unwell &&
			     g.now_ms - n->accepted_ms >= g.r.params.min_healthy_ms);
		if (g.v.move == ROLLOUT_LOSE && n->state == STEP_IS_HEALTHY)
			MUST(m_is_unseen(i) &&
			     g.now_ms - PM_MAX(g.steps[i].gone_ms, g.r.running_ms) >= 30000);
		else if (g.v.move == ROLLOUT_LOSE)
			MUST(n->state == STEP_IS_SENT && g.steps[i].lost &&
			     g.now_ms - PM_MAX(g.steps[i].lost_ms, g.r.running_ms) >= 30000);
	}
}

/* ---- notes ---- */

static void note_all(void)
{
	for (size_t i = 0; i < g.n; i++) {
		struct note *n = &w.notes[i];
		enum step_state was = n->state, is = g.steps[i].state;

		if (was == is)
			continue;
		if (is == STEP_IS_SENT)
			n->sent_ms = g.now_ms;
		if (is == STEP_IS_ACCEPTED)
			n->accepted_ms = g.now_ms;
		if (is == STEP_IS_HEALTHY)
			w.active_ms = 0;
		n->state = is;
		n->known = n->unseen = false;
		if (!m_ended(i)) {
			n->ended_ms = n->ended_at = 0;
		} else if (was < STEP_IS_HEALTHY) {
			n->ended_ms = g.now_ms;
			n->ended_at = w.t;
		}
	}
}

static void set_time(int64_t t, int64_t offset)
{
	int64_t was_ms = g.now_ms;
	bool going = g.r.state == ROLLOUT_IS_RUNNING || g.r.state == ROLLOUT_IS_UNDOING;

	w.t = t;
	w.offset = offset;
	g.now_ms = RIG_BEGAN_MS + t + offset;
	if (going && !g.r.frozen && *w.hold == '\0' && g.now_ms > was_ms)
		w.active_ms += g.now_ms - was_ms;
}

#endif
