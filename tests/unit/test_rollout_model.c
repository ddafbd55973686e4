/*
 * Thousands of rollouts with hosts that fail, hang, go away and come back, operators who pause and
 * promote, a coordinator that dies, and a clock that is set. The engine is played here; what the
 * machine says is held against a model.
 */
#include "tests/unit/rollout_model.h"

#define RUNS      20000
#define TURNS_MAX 4000

/* ---- chance ---- */

static uint64_t chance_state;

static uint32_t below(uint32_t n) /* xorshift64 */
{
	chance_state ^= chance_state << 13;
	chance_state ^= chance_state >> 7;
	chance_state ^= chance_state << 17;
	return (uint32_t)((chance_state >> 20) % n);
}

static bool percent(unsigned n)
{
	return below(100) < n;
}

static const char *one_of(const char *const *list, size_t n)
{
	return list[below((uint32_t)n)];
}

#define ONE_OF(...)                                  \
	one_of((const char *const[]){ __VA_ARGS__ }, \
	       sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

/* ---- the hosts ---- */

static struct host *host(size_t i)
{
	return &w.hosts[g.host_of[i]];
}

static int64_t later(uint32_t most_ms)
{
	return w.t + 1 + below(most_ms + 1);
}

/* The agent hears of a step, for the first time or again. */
static void hear(size_t i)
{
	struct host *h = host(i);
	uint32_t most_ms = g.r.params.healthy_deadline_ms;
	unsigned bad = w.wild ? 45 : 6;

	if (h->has_step) { /* it knows the token */
		if (h->answer_at != NEVER)
			h->answer_at = PM_MAX(h->answer_at, later(500));
		return;
	}
	h->has_step = true;
	h->answer = STEP_IS_ACCEPTED;
	h->answer_at = later(percent(80) ? most_ms / 4 : most_ms);
	h->sick_until = h->crash_at = 0;
	if (percent(bad) && percent(70))
		h->answer = percent(85) ? STEP_IS_FAILED : STEP_IS_UNKNOWN;
	else if (percent(bad) && percent(20))
		h->answer_at = NEVER;
	else if (percent(bad))
		h->crash_at = h->answer_at + below(g.r.params.min_healthy_ms * 2 + 20000);
	else if (percent(bad))
		h->sick_until = h->answer_at + below(most_ms * 2);
}

static void happen_to(size_t i)
{
	struct host *h = host(i);
	enum step_state state = g.steps[i].state;

	if (h->flip_at != 0 && w.t >= h->flip_at) {
		h->up = !h->up;
		h->flip_at = !h->up && percent(80) ? later(percent(60) ? 20000 : 900000) : 0;
		if (h->up && state == STEP_IS_SENT) {
			hear(i);
			g.steps[i].asked_ms = g.now_ms;
		}
	}
	if (h->up && state == STEP_IS_SENT && h->has_step && w.t >= h->answer_at) {
		rig_step(&g, i, h->answer);
		h->answer_at = NEVER;
	} else if (h->up && (state == STEP_IS_ACCEPTED || state == STEP_IS_HEALTHY) &&
	           h->crash_at != 0 && w.t >= h->crash_at) {
		rig_step(&g, i, STEP_IS_FAILED);
		h->crash_at = 0;
	}
}

/* What the engine tells the machine of them. */
static void look(void)
{
	for (size_t i = 0; i < g.n; i++) {
		struct rollout_step *s = &g.steps[i];

		s->unwell = false;
		s->serves = w.gated || g.r.undoing;
		s->reachable = host(i)->up;
		if (s->state != STEP_IS_HEALTHY || (s->reachable && w.t >= host(i)->says_at))
			s->unseen = w.notes[i].unseen = false;
		s->heard_ms = s->reachable ? g.now_ms : s->heard_ms;
		s->gone_ms = s->reachable ? 0 : s->gone_ms != 0 ? s->gone_ms : g.now_ms;
		s->lost = s->state == STEP_IS_SENT && !s->reachable;
		s->lost_ms = !s->lost ? 0 : s->lost_ms != 0 ? s->lost_ms : g.now_ms;
		if (s->state != STEP_IS_PENDING || s->reachable)
			s->away_ms = 0;
		else if (s->away_ms == 0 && s->batch == rollout_batch_now(&g.r))
			s->away_ms = g.now_ms;
	}
}

/* ---- the engine ---- */

/* The struct as it is filled again after a death says the same (F-20, F-21). */
static void check_again(void)
{
	struct rollout r = { .params = g.r.params,
		             .state = g.r.state,
		             .undoing = g.r.undoing,
		             .can_undo = g.r.can_undo,
		             .n = g.r.n,
		             .n_batches = g.r.n_batches,
		             .promoted = g.r.promoted,
		             .wave_ends = g.r.wave_ends,
		             .n_waves = g.r.n_waves,
		             .running_ms = g.r.running_ms,
		             .progress_ms = g.r.progress_ms,
		             .gate = g.r.gate,
		             .gate_passed = g.r.gate_passed,
		             .frozen = g.r.frozen };
	struct rollout_step steps[HOSTS_MAX];
	uint32_t list[HOSTS_MAX];
	struct rollout_verdict v;

	memset(&v, 0xa5, sizeof(v));
	v.list = list;
	r.steps = steps;
	for (size_t i = 0; i < g.n; i++) {
		const struct rollout_step *s = &g.steps[i];

		steps[i] = (struct rollout_step){
			.state = s->state,
			.batch = s->batch,
			.sent_ms = s->sent_ms,
			.done_ms = s->done_ms,
			.ended_ms = s->ended_ms,
			.forgiven = s->forgiven,
			.reachable = s->reachable,
			.drained = s->drained,
			.serves = s->serves,
			.excused = s->excused,
			.unwell = s->unwell,
			.unseen = s->unseen,
			.lost = s->lost,
			.lost_ms = s->lost_ms,
			.asked_ms = s->asked_ms,
			.heard_ms = s->heard_ms,
			.gone_ms = s->gone_ms,
			.away_ms = s->away_ms,
		};
	}
	rollout_next(&r, g.now_ms, &v);
	MUST(v.move == g.v.move && v.code == g.v.code && v.n == g.v.n && v.wake_ms == g.v.wake_ms);
	MUST(v.move != ROLLOUT_STAY ||
	     (strcmp(v.hold, g.v.hold) == 0 && v.hold_until_ms == g.v.hold_until_ms));
	MUST(v.move != ROLLOUT_END || v.state == g.v.state);
	MUST(strcmp(v.why, g.v.why) == 0);
	MUST(memcmp(list, g.list, v.n * sizeof(*list)) == 0);
}

/* Whether any was well. */
static bool settle(void)
{
	bool any = false;

	for (size_t k = 0; k < g.v.n; k++) {
		size_t i = g.v.list[k];

		if (w.t < host(i)->sick_until || !host(i)->up) {
			g.steps[i].unwell = true;
			continue;
		}
		rig_step(&g, i, STEP_IS_HEALTHY);
		g.r.progress_ms = g.now_ms;
		any = true;
	}
	return any;
}

/* Whoever goes on asks them again. */
static void forget_gates(void)
{
	g.r.gate = ROLLOUT_GATE_NONE;
	g.r.gate_passed = w.passed = 0;
	w.gate_at = 0;
	w.gate_failed = false;
}

static void undo(void)
{
	bool turned = rig_turn(&g);

	w.n_undos++;
	forget_gates();
	if (!turned) {
		rig_pause(&g);
		w.resume_at = later(60000);
		return;
	}
	memset(w.notes, 0, sizeof(w.notes));
	for (size_t i = 0; i < g.n; i++) {
		host(i)->has_step = false;
		host(i)->answer_at = NEVER;
		host(i)->sick_until = host(i)->crash_at = 0;
		MUST(i == 0 || g.steps[i].batch == 0 || g.steps[i].batch >= g.steps[i - 1].batch);
	}
	note_all();
	w.active_ms = 0;
	w.hold = "";
}

/* As far as it goes now. */
static void drive(void)
{
	bool moved = false;

	for (size_t most = 8 * g.n + 32; most > 0; most--) {
		look();
		for (;;) { /* those that are not well are passed over for now */
			(void)rig_next(&g);
			check();
			check_again();
			if (g.v.move != ROLLOUT_SETTLE)
				break;
			moved |= settle();
			note_all();
		}
		if (g.v.move == ROLLOUT_UNDO) {
			undo();
			continue;
		}
		rig_do(&g, *w.hold != '\0');
		if (g.v.move == ROLLOUT_GATE) {
			w.gate_at = later(60000);
			w.gate_passes = percent(70);
		}
		if (g.v.move == ROLLOUT_PAUSE)
			forget_gates();
		note_all();
		if (g.v.move == ROLLOUT_STAY)
			w.hold = g.v.hold;
		else if (g.v.move == ROLLOUT_SEND || g.v.move == ROLLOUT_PAUSE)
			w.hold = "";
		for (size_t k = 0; g.v.move == ROLLOUT_SEND && k < g.v.n; k++)
			hear(g.v.list[k]);
		if (g.v.move == ROLLOUT_PAUSE)
			w.resume_at = later(3600000);
		if (g.v.move == ROLLOUT_PAUSE || g.v.move == ROLLOUT_END ||
		    (g.v.move == ROLLOUT_STAY && !moved))
			return;
		moved = g.v.move != ROLLOUT_STAY; /* the next tick sees what has come of it */
	}
	MUST(false && "an end of the moves");
}

/* ---- operators, and what else comes over a coordinator ---- */

static void resume(void)
{
	for (size_t i = 0; i < g.n; i++)
		if (g.steps[i].state == STEP_IS_UNKNOWN && host(i)->up) { /* asked again */
			rig_step(&g, i, STEP_IS_SENT);
			hear(i);
		}
	note_all();
	rig_resume(&g);
	for (size_t i = 0; i < g.n; i++)
		w.notes[i].known =
			w.notes[i].state == STEP_IS_FAILED || w.notes[i].state == STEP_IS_UNKNOWN;
	w.active_ms = 0;
}

static void thaw(void)
{
	g.r.frozen = false;
	w.thaw_at = 0;
	w.active_ms = 0;
	if (strcmp(w.hold, "frozen") == 0)
		w.hold = "";
}

static void die(void)
{
	bool going = g.r.state == ROLLOUT_IS_RUNNING || g.r.state == ROLLOUT_IS_UNDOING;

	seen.deaths++;
	forget_gates();
	set_time(w.t + below(600000), w.offset);
	if (going)
		g.r.running_ms = g.r.progress_ms = g.now_ms;
	for (size_t i = 0; i < g.n; i++) {
		struct rollout_step *s = &g.steps[i];

		if (host(i)->up) { /* they need a while to come back to us */
			host(i)->up = false;
			host(i)->flip_at = later(25000);
		}
		s->unseen = w.notes[i].unseen = s->state == STEP_IS_HEALTHY;
		seen.unseen += s->unseen;
		host(i)->says_at = host(i)->flip_at + below(2000); /* it is asked how it does */
		s->gone_ms = s->away_ms = s->asked_ms = 0;
		s->lost_ms = s->state == STEP_IS_SENT ? g.now_ms + 30000 : 0;
	}
	thaw();
}

static void happen(void)
{
	bool going = g.r.state == ROLLOUT_IS_RUNNING || g.r.state == ROLLOUT_IS_UNDOING;

	for (size_t i = 0; i < g.n; i++)
		happen_to(i);
	note_all();
	if (w.thaw_at != 0 && w.t >= w.thaw_at) {
		g.r.running_ms = g.now_ms;
		thaw();
	}
	if (w.resume_at != 0 && w.t >= w.resume_at) {
		w.resume_at = 0;
		MUST(g.r.state == ROLLOUT_IS_PAUSED);
		resume();
	}
	if (w.gate_at != 0 && w.t >= w.gate_at) {
		w.gate_at = 0;
		w.gate_failed = !w.gate_passes;
		seen.gates_failed += w.gate_failed;
		w.passed = w.gate_passes ? m_batch() : 0;
		g.r.gate = w.gate_passes ? ROLLOUT_GATE_NONE : ROLLOUT_GATE_FAILED;
		g.r.gate_passed = w.passed;
	}
	if (w.promote_at != 0 && w.t >= w.promote_at) {
		w.promote_at = 0;
		if (going && *w.hold != '\0' && m_batch() > g.r.promoted) {
			g.r.promoted = m_batch();
			g.r.progress_ms = g.now_ms;
		}
	}
}

/* Whoever is asked answers one day; and some let a batch through that is only held. */
static void ask_operators(void)
{
	if (w.promote_at == 0 &&
	    (strcmp(w.hold, "promote") == 0 || (*w.hold != '\0' && percent(5))))
		w.promote_at = later(7200000);
}

/* Whether there was one. */
static bool surprise(void)
{
	struct host *h = &w.hosts[below((uint32_t)g.n)];

	if (w.chaos == 0 || rollout_is_over(g.r.state) || !percent(w.wild ? 40 : 15))
		return false;
	w.chaos--;
	switch (below(9)) {
	case 0:
	case 1:
	case 2:
		if (h->up)
			h->flip_at = later(60000);
		return true;
	case 3:
		g.steps[below((uint32_t)g.n)].drained ^= true;
		return true;
	case 4:
		if (g.r.state == ROLLOUT_IS_RUNNING || g.r.state == ROLLOUT_IS_UNDOING) {
			rig_pause(&g);
			forget_gates();
			w.hold = "";
			w.resume_at = later(7200000);
		}
		return true;
	case 5:
		g.r.frozen = true;
		w.thaw_at = later(600000);
		return true;
	case 6:
		die();
		return true;
	case 7: /* the clock is set back */
		set_time(w.t, w.offset - (int64_t)below(600000));
		return true;
	case 8:
		w.jumped = true;
		set_time(w.t, w.offset + (int64_t)below(600000));
		return true;
	}
	return true;
}

/* To the next thing that happens, or a moment before it. */
static void advance(void)
{
	int64_t next = NEVER, wake = g.v.wake_ms;
	const int64_t others[] = { w.resume_at, w.thaw_at, w.promote_at, w.gate_at };

	if (wake != 0)
		next = wake - RIG_BEGAN_MS - w.offset;
	for (size_t k = 0; k < PM_COUNT(others); k++)
		if (others[k] != 0)
			next = PM_MIN(next, others[k]);
	for (size_t i = 0; i < g.n; i++) {
		const struct host *h = host(i);
		const int64_t times[] = { h->answer_at, h->sick_until, h->crash_at, h->says_at };

		if (h->flip_at != 0)
			next = PM_MIN(next, h->flip_at);
		for (size_t k = 0; k < PM_COUNT(times); k++)
			if (times[k] > w.t && times[k] < next)
				next = times[k];
	}
	MUST(next != NEVER); /* else it hangs: nobody will ever wake it */
	if (next <= w.t)
		next = w.t + 1;
	if (next - w.t > 1 && percent(10))
		next = w.t + 1 + below((uint32_t)PM_MIN(next - w.t - 1, 1000000));
	set_time(next, w.offset);
}

/* ---- a run ---- */

static void choose_options(void)
{
	struct pm_error err;
	char text[400];

	do {
		(void)snprintf(
			text, sizeof(text),
			"batch=%s max_down=%s max_fail=%s wait=%s canary_hold=%s min_healthy=%s "
			"healthy_deadline=%s progress_deadline=%s monitor=%s on_failure=%s "
			"unreachable=%s lost=%s include_drained=%s order=%s wave=%s bake=%s",
			ONE_OF("1", "2", "1,2", "1,50%", "100%", "25%", "1,10%,25%", "3,1"),
			ONE_OF("1", "2", "3", "25%", "50%", "100%", "1%"),
			ONE_OF("0", "0", "1", "2", "10%", "50%", "100%"),
			ONE_OF("0s", "0s", "30s", "20m", "ask"),
			ONE_OF("0s", "0s", "5m", "1h", "ask"), ONE_OF("0s", "5s", "10s", "30s"),
			ONE_OF("35s", "60s", "2m"), ONE_OF("0s", "70s", "10m", "3m"),
			ONE_OF("0s", "10s", "1m"), ONE_OF("pause", "rollback", "continue"),
			ONE_OF("skip", "fail", "wait=1m", "wait=20m"), ONE_OF("pause", "continue"),
			ONE_OF("true", "false"), ONE_OF("sorted", "shuffle"), ONE_OF("", "az"),
			ONE_OF("0s", "10m"));
		rollout_params_default(&g.r.params);
		rig_options(&g.r.params, text);
	} while (rollout_params_check(&g.r.params, g.n, &err) < 0);
	if (percent(40) && rollout_params_set(&g.r.params, "gate", "exec check", &err) < 0)
		fail_msg("%s", err.what);
}

static bool begin(uint64_t run)
{
	struct rollout_batches b;
	struct pm_error err;

	memset(&w, 0, sizeof(w));
	w.run = run;
	w.hold = "";
	chance_state = run * 0x9e3779b97f4a7c15u + 1;
	rig_init(&g, 1 + below(HOSTS_MAX), "");
	choose_options();
	w.gated = percent(50);
	w.wild = percent(50);
	w.chaos = below(25);
	for (size_t i = 0; i < g.n; i++) {
		g.hosts[i].wave = g.r.params.wave[0] != '\0' ? ONE_OF("a", "b", "") : "";
		g.hosts[i].down = percent(4);
		g.hosts[i].drained = percent(4);
		w.hosts[i] = (struct host){ .up = !g.hosts[i].down,
			                    .answer_at = NEVER,
			                    .flip_at = g.hosts[i].down ? later(900000) : 0 };
	}
	if (rig_batches(&g, &b, &err) < 0)
		return false;
	rig_begin(&g);
	g.r.can_undo = percent(70);
	note_all();
	return true;
}

static void play(uint64_t run)
{
	if (!begin(run))
		return;
	for (unsigned turn = 0; turn < TURNS_MAX; turn++) {
		happen();
		drive();
		if (rollout_is_over(g.r.state)) {
			seen.ends[g.r.state]++;
			return;
		}
		ask_operators();
		if (!surprise() && percent(80))
			advance();
	}
	MUST(false && "an end");
}

static void f14_to_f21_every_rollout_keeps_the_rules_and_ends(void **state)
{
	(void)state;
	for (uint64_t run = 1; run <= RUNS; run++)
		play(run);
	/* What is not seen was not tested. */
	for (size_t i = 0; i <= ROLLOUT_END; i++)
		assert_true(seen.moves[i] > 50);
	assert_true(seen.ends[ROLLOUT_IS_SUCCEEDED] > 50 && seen.ends[ROLLOUT_IS_FAILED] > 50 &&
	            seen.ends[ROLLOUT_IS_UNDONE] > 50);
	assert_true(seen.unseen > 50 && seen.gates_failed > 50 && seen.deaths > 50 &&
	            seen.deadlines > 5 && seen.holds > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f14_to_f21_every_rollout_keeps_the_rules_and_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
