#include "coordinator/rollout.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SLACK_MS       5000 /* an agent's own deadline is told in better words: it goes first */
#define BUDGET_LOOK_MS 500  /* while all that may be out is out by itself */

bool rollout_is_over(enum rollout_state state)
{
	switch (state) {
	case ROLLOUT_IS_PLANNED:
	case ROLLOUT_IS_WAITING_LOCK:
	case ROLLOUT_IS_RUNNING:
	case ROLLOUT_IS_PAUSED:
	case ROLLOUT_IS_UNDOING:
		return false;
	case ROLLOUT_IS_SUCCEEDED:
	case ROLLOUT_IS_FAILED:
	case ROLLOUT_IS_UNDONE:
	case ROLLOUT_IS_ABORTED:
		return true;
	}
	return true;
}

static bool has_ended(const struct rollout_step *s)
{
	return s->state != STEP_IS_PENDING && s->state != STEP_IS_SENT &&
	       s->state != STEP_IS_ACCEPTED;
}

bool rollout_step_is_out(const struct rollout_step *s)
{
	return s->state == STEP_IS_SENT || s->state == STEP_IS_ACCEPTED ||
	       (!s->forgiven &&
	        (s->state == STEP_IS_UNKNOWN || (s->state == STEP_IS_FAILED && !s->serves)));
}

void rollout_count(const struct rollout *r, struct rollout_count *out)
{
	*out = (struct rollout_count){ 0 };
	for (size_t i = 0; i < r->n; i++) {
		const struct rollout_step *s = &r->steps[i];

		if ((size_t)s->state < PM_COUNT(out->by_state))
			out->by_state[s->state]++;
		out->n_out += rollout_step_is_out(s);
	}
	out->n_failed = out->by_state[STEP_IS_FAILED] + out->by_state[STEP_IS_UNKNOWN];
}

uint32_t rollout_batch_now(const struct rollout *r)
{
	uint32_t batch = 0;

	for (size_t i = 0; i < r->n; i++)
		if (r->steps[i].batch > 0 && !has_ended(&r->steps[i]) &&
		    (batch == 0 || r->steps[i].batch < batch))
			batch = r->steps[i].batch;
	return batch;
}

static size_t n_taking_part(const struct rollout *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->steps[i].batch > 0;
	return n;
}

/* ---- verdicts ---- */

static void say(struct rollout_verdict *v, const char *fmt, ...) PM_PRINTF(2, 3);
static void say(struct rollout_verdict *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(v->why, sizeof(v->why), fmt, ap); /* cut if longer */
	va_end(ap);
}

static void stay(struct rollout_verdict *v, const char *hold, int64_t until_ms)
{
	v->move = ROLLOUT_STAY;
	v->hold = hold;
	v->hold_until_ms = until_ms;
	v->wake_ms = until_ms;
}

static void pause_for(struct rollout_verdict *v, enum pm_code code)
{
	v->move = ROLLOUT_PAUSE;
	v->code = code;
}

/* Who asks, and what is the same for all steps. */
struct look {
	const struct rollout *r;
	int64_t now_ms;
	uint32_t batch; /* rollout_batch_now() */
};

typedef bool pick_fn(const struct look *l, const struct rollout_step *s);

/* List the steps that are meant; whether there are any. */
static bool pick(const struct look *l, pick_fn *fn, enum rollout_move move,
                 struct rollout_verdict *v)
{
	v->n = 0;
	for (size_t i = 0; i < l->r->n; i++)
		if (fn(l, &l->r->steps[i]))
			v->list[v->n++] = (uint32_t)i;
	v->move = move;
	return v->n > 0;
}

/* ---- when time is over ---- */

static int64_t lost_at(const struct rollout *r, const struct rollout_step *s)
{
	return PM_MAX(s->lost_ms, r->running_ms) + ROLLOUT_LOST_MS;
}

static int64_t settled_at(const struct rollout *r, const struct rollout_step *s)
{
	return s->done_ms + (int64_t)r->params.min_healthy_ms;
}

static int64_t late_at(const struct rollout *r, const struct rollout_step *s)
{
	int64_t at_ms = PM_MAX(s->sent_ms, r->running_ms) + (int64_t)r->params.healthy_deadline_ms;

	if (s->state == STEP_IS_SENT)
		return PM_MAX(at_ms, s->asked_ms) + SLACK_MS;
	return PM_MAX(at_ms, settled_at(r, s)) + SLACK_MS;
}

/* Of a host that is away at its turn; what is not known yet begins now. */
static int64_t given_up_at(const struct look *l, const struct rollout_step *s)
{
	const struct rollout_params *p = &l->r->params;
	bool wait = p->unreachable == ROLLOUT_UNREACHABLE_WAIT;
	int64_t from_ms = wait ? s->away_ms : s->gone_ms;

	if (from_ms == 0)
		from_ms = l->now_ms;
	return PM_MAX(from_ms, l->r->running_ms) +
	       (wait ? (int64_t)p->unreachable_wait_ms : ROLLOUT_LOST_MS);
}

static bool is_lost(const struct look *l, const struct rollout_step *s)
{
	return s->state == STEP_IS_SENT && s->lost && l->now_ms >= lost_at(l->r, s);
}

/* Of one that was done before we were away: it has to come back, and to say how it does. */
static int64_t unseen_at(const struct rollout *r, const struct rollout_step *s)
{
	if (s->gone_ms != 0)
		return PM_MAX(s->gone_ms, r->running_ms) + ROLLOUT_LOST_MS;
	return r->running_ms + ROLLOUT_LOST_MS + (int64_t)r->params.healthy_deadline_ms;
}

static bool is_unseen(const struct look *l, const struct rollout_step *s)
{
	(void)l;
	return s->state == STEP_IS_HEALTHY && s->unseen;
}

static bool is_unseen_for_long(const struct look *l, const struct rollout_step *s)
{
	return is_unseen(l, s) && l->now_ms >= unseen_at(l->r, s);
}

static bool is_settled(const struct look *l, const struct rollout_step *s)
{
	return s->state == STEP_IS_ACCEPTED && !s->unwell && l->now_ms >= settled_at(l->r, s);
}

/* Of a host that is gone while it was watched. */
static int64_t missed_at(const struct rollout *r, const struct rollout_step *s)
{
	return PM_MAX(s->gone_ms, r->running_ms) + ROLLOUT_LOST_MS;
}

/* Nothing was heard since its time was over: the answer may be one that we cannot hear. */
static bool is_silent(const struct look *l, const struct rollout_step *s)
{
	if (s->state == STEP_IS_ACCEPTED && s->gone_ms != 0 && l->now_ms >= missed_at(l->r, s))
		return false;
	return s->heard_ms != 0 && s->heard_ms < late_at(l->r, s);
}

static bool is_late(const struct look *l, const struct rollout_step *s)
{
	return ((s->state == STEP_IS_SENT && !s->lost) || s->state == STEP_IS_ACCEPTED) &&
	       l->now_ms >= late_at(l->r, s) && !is_silent(l, s);
}

static bool has_its_turn(const struct look *l, const struct rollout_step *s)
{
	return s->state == STEP_IS_PENDING && s->batch > 0 && s->batch == l->batch;
}

static bool is_drained(const struct look *l, const struct rollout_step *s)
{
	return s->drained && !l->r->params.include_drained && !l->r->undoing && has_its_turn(l, s);
}

static bool is_away(const struct look *l, const struct rollout_step *s)
{
	return !s->reachable && has_its_turn(l, s) && l->now_ms >= given_up_at(l, s);
}

/* ---- facts that time alone makes ---- */

/* What has done well so far is settled before anything is late: whoever looks late finds it well.
 */
static bool look_at_steps(const struct look *l, struct rollout_verdict *v)
{
	if (pick(l, is_lost, ROLLOUT_LOSE, v)) {
		say(v, "it was lost in the middle of its step");
		return true;
	}
	if (pick(l, is_unseen_for_long, ROLLOUT_LOSE, v)) {
		say(v, "it has not said how it does since the coordinator was away");
		return true;
	}
	if (pick(l, is_settled, ROLLOUT_SETTLE, v))
		return true;
	if (pick(l, is_late, ROLLOUT_EXPIRE, v)) {
		say(v, "not healthy after %u s", l->r->params.healthy_deadline_ms / 1000);
		return true;
	}
	return false;
}

/* Steps whose host is not to be had, of the batch whose turn it is. */
static bool look_at_turn(const struct look *l, struct rollout_verdict *v)
{
	if (pick(l, is_drained, ROLLOUT_SKIP, v)) {
		say(v, "drained");
		return true;
	}
	if (pick(l, is_away,
	         l->r->params.unreachable == ROLLOUT_UNREACHABLE_FAIL ? ROLLOUT_EXPIRE
	                                                              : ROLLOUT_SKIP,
	         v)) {
		say(v, "not reachable at its turn");
		return true;
	}
	return false;
}

/* ---- failures ---- */

static void give_up(const struct rollout *r, struct rollout_verdict *v)
{
	switch (r->params.on_failure) {
	case ROLLOUT_ON_FAILURE_CONTINUE: /* of hosts only, and a gate asked here */
	case ROLLOUT_ON_FAILURE_PAUSE:
		pause_for(v, PM_PAUSED);
		return;
	case ROLLOUT_ON_FAILURE_ROLLBACK:
		if (r->can_undo && !r->undoing) {
			v->move = ROLLOUT_UNDO;
			return;
		}
		pause_for(v, PM_PAUSED);
		return;
	}
}

/* FAILED ones, and UNKNOWN ones if they count. */
static size_t n_against(const struct rollout *r, const struct rollout_count *c)
{
	return c->by_state[STEP_IS_FAILED] +
	       (r->params.lost_continue ? 0 : c->by_state[STEP_IS_UNKNOWN]);
}

static bool is_too_many(const struct rollout *r, size_t n_failed)
{
	return n_failed > rollout_share_down(r->params.max_fail, n_taking_part(r), 0);
}

static size_t n_new(const struct rollout *r, enum step_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->steps[i].state == state && !r->steps[i].forgiven;
	return n;
}

static bool look_at_failures(const struct rollout *r, struct rollout_verdict *v)
{
	size_t n_unknown = n_new(r, STEP_IS_UNKNOWN), n = n_taking_part(r), n_failed;
	struct rollout_count c;

	if (n_unknown > 0 && !r->params.lost_continue) {
		pause_for(v, PM_PAUSED);
		say(v, "it is not known whether %zu of %zu hosts did it", n_unknown, n);
		return true;
	}
	rollout_count(r, &c);
	n_failed = n_against(r, &c);
	if (n_new(r, STEP_IS_FAILED) == 0 || !is_too_many(r, n_failed) ||
	    r->params.on_failure == ROLLOUT_ON_FAILURE_CONTINUE)
		return false;
	give_up(r, v);
	say(v, "%zu of %zu hosts failed%s", n_failed, n,
	    v->move == ROLLOUT_PAUSE && r->undoing ? " to go back"
	    : v->move == ROLLOUT_PAUSE && r->params.on_failure == ROLLOUT_ON_FAILURE_ROLLBACK
	            ? ", and no spec was changed that could be put back"
	            : "");
	return true;
}

/* ---- between batches ---- */

/* Whether anything was tried: what was only skipped is nothing to hold for. */
static bool has_begun(const struct rollout_step *s)
{
	return s->batch > 0 && s->state != STEP_IS_PENDING && s->state != STEP_IS_SKIPPED;
}

/* What lies before a batch. */
struct before {
	bool here;       /* it has begun itself */
	uint32_t canary; /* the first batch that has begun; 0: none */
	bool more;       /* another has, behind that one */
	int64_t done_ms; /* when the last step of all of them ended */
};

static struct before look_before(const struct rollout *r, uint32_t batch)
{
	struct before b = { .canary = 0 };

	for (size_t i = 0; i < r->n; i++) {
		const struct rollout_step *s = &r->steps[i];

		if (!has_begun(s))
			continue;
		b.here |= s->batch == batch;
		if (s->batch >= batch)
			continue;
		b.more |= b.canary != 0 && s->batch != b.canary;
		b.canary = b.canary == 0 ? s->batch : PM_MIN(b.canary, s->batch);
		b.done_ms = PM_MAX(b.done_ms, s->ended_ms);
	}
	return b;
}

static bool begins_wave(const struct rollout *r, uint32_t batch)
{
	for (size_t i = 0; i < r->n_waves; i++)
		if (r->wave_ends[i] + 1 == batch)
			return true;
	return false;
}

static bool hold_for(struct rollout_verdict *v, const char *hold, int64_t from_ms, uint32_t ms,
                     int64_t now_ms)
{
	if (ms == 0 || now_ms >= from_ms + (int64_t)ms)
		return false;
	stay(v, hold, from_ms + (int64_t)ms);
	return true;
}

/* Whether the batch is held back. The way back is not: the sooner the better. */
static bool is_held(const struct look *l, struct rollout_verdict *v)
{
	const struct rollout_params *p = &l->r->params;
	struct before b;
	bool canary;

	if (l->r->undoing || l->batch <= l->r->promoted)
		return false;
	b = look_before(l->r, l->batch);
	if (b.here || b.canary == 0)
		return false;
	canary = !b.more && l->r->promoted <= b.canary; /* it was let through once */
	if (p->wait_ask || (canary && p->canary_ask)) {
		stay(v, "promote", 0);
		return true;
	}
	return (canary && hold_for(v, "canary", b.done_ms, p->canary_hold_ms, l->now_ms)) ||
	       (begins_wave(l->r, l->batch) &&
	        hold_for(v, "bake", b.done_ms, p->bake_ms, l->now_ms)) ||
	       hold_for(v, "wait", b.done_ms, p->wait_ms, l->now_ms);
}

/* Whether the gates hold the batch that is next: neither promotion nor on_failure=continue goes
 * past one. */
static bool is_gated(const struct look *l, struct rollout_verdict *v)
{
	const struct rollout *r = l->r;
	struct before b;

	if (r->params.gates[0] == '\0' || r->undoing || r->gate_passed == l->batch)
		return false;
	b = look_before(r, l->batch);
	if (b.here || b.canary == 0)
		return false;
	switch (r->gate) {
	case ROLLOUT_GATE_NONE:
		v->move = ROLLOUT_GATE;
		return true;
	case ROLLOUT_GATE_ASKED:
		stay(v, "gate", 0);
		return true;
	case ROLLOUT_GATE_FAILED:
		give_up(r, v);
		say(v, "%s", r->gate_why != NULL ? r->gate_why : "a gate failed");
		return true;
	}
	return false;
}

/* ---- what is sent ---- */

static int64_t stuck_at(const struct rollout *r)
{
	return PM_MAX(r->progress_ms, r->running_ms) + (int64_t)r->params.progress_deadline_ms;
}

static size_t n_under_way(const struct rollout_count *c)
{
	return c->by_state[STEP_IS_SENT] + c->by_state[STEP_IS_ACCEPTED];
}

/* While nothing is under way, it is not a lack of progress: a hold is over, or a host is away. */
static bool has_no_progress(const struct look *l, const struct rollout_count *c,
                            struct rollout_verdict *v)
{
	if (l->r->params.progress_deadline_ms == 0 || n_under_way(c) == 0 ||
	    l->now_ms < stuck_at(l->r))
		return false;
	pause_for(v, PM_DEADLINE);
	say(v, "no host got done for %u s", l->r->params.progress_deadline_ms / 1000);
	return true;
}

static void wake_at(struct rollout_verdict *v, const struct look *l, int64_t at_ms)
{
	if (at_ms > l->now_ms && (v->wake_ms == 0 || at_ms < v->wake_ms))
		v->wake_ms = at_ms;
}

/* The next time that anything of the above comes true by itself. */
static void find_wake(const struct look *l, const struct rollout_count *c,
                      struct rollout_verdict *v)
{
	const struct rollout *r = l->r;

	if (r->params.progress_deadline_ms != 0 && n_under_way(c) > 0)
		wake_at(v, l, stuck_at(r));
	for (size_t i = 0; i < r->n; i++) {
		const struct rollout_step *s = &r->steps[i];

		if (s->state == STEP_IS_SENT)
			wake_at(v, l, s->lost ? lost_at(r, s) : late_at(r, s));
		if (s->state == STEP_IS_ACCEPTED) {
			wake_at(v, l, settled_at(r, s));
			wake_at(v, l, late_at(r, s));
			if (s->gone_ms != 0)
				wake_at(v, l, missed_at(r, s));
		}
		if (has_its_turn(l, s) && !s->reachable)
			wake_at(v, l, given_up_at(l, s));
		if (is_unseen(l, s))
			wake_at(v, l, unseen_at(r, s));
	}
}

/* Whether those that are done are to be seen first. The way back is not held. */
static bool waits_to_see(const struct look *l, const struct rollout_count *c,
                         struct rollout_verdict *v)
{
	bool any = (!l->r->undoing || l->batch == 0) && pick(l, is_unseen, ROLLOUT_STAY, v);

	v->n = 0;
	if (!any)
		return false;
	if (has_no_progress(l, c, v))
		return true;
	stay(v, n_under_way(c) == 0 ? "reconnect" : "", 0);
	find_wake(l, c, v);
	return true;
}

static void send_some(const struct look *l, const struct rollout_count *c,
                      struct rollout_verdict *v)
{
	const struct rollout *r = l->r;
	size_t most = rollout_share_down(r->params.max_down, n_taking_part(r), 1);
	size_t n_out = c->n_out + r->n_else;
	size_t room = most > n_out ? most - n_out : 0;
	bool waits = false, wants = false;

	v->n = 0;
	for (size_t i = 0; i < r->n; i++) {
		if (!has_its_turn(l, &r->steps[i]))
			continue;
		waits |= !r->steps[i].reachable;
		wants |= r->steps[i].reachable;
		if (r->steps[i].reachable && v->n < room)
			v->list[v->n++] = (uint32_t)i;
	}
	if (v->n > 0) {
		v->move = ROLLOUT_SEND;
		return;
	}
	if (wants && c->n_out < most) { /* they will be up again, or their slots will end */
		stay(v, "budget", 0);
		wake_at(v, l, l->now_ms + BUDGET_LOOK_MS);
		find_wake(l, c, v);
		return;
	}
	if (wants && n_under_way(c) == 0) {
		pause_for(v, PM_PAUSED);
		say(v, "%zu hosts are down, and max_down is %zu", c->n_out, most);
		return;
	}
	stay(v, waits && n_under_way(c) == 0 ? "reconnect" : "", 0);
	find_wake(l, c, v);
}

/* ---- the end ---- */

static enum pm_code end_code(bool failed, bool skipped)
{
	if (failed)
		return skipped ? PM_PARTLY : PM_FAILED;
	return skipped ? PM_SKIPPED : PM_OK;
}

static void end(const struct look *l, struct rollout_verdict *v)
{
	const struct rollout *r = l->r;
	struct before all = look_before(r, UINT32_MAX);
	struct rollout_count c;
	bool skipped = false;

	rollout_count(r, &c);
	if (waits_to_see(l, &c, v))
		return;
	/* Nobody saw a failure in the time that nobody looked. */
	if (all.canary != 0 && hold_for(v, "monitor", PM_MAX(all.done_ms, r->running_ms),
	                                r->params.monitor_ms, l->now_ms))
		return;
	for (size_t i = 0; i < r->n; i++)
		skipped |= r->steps[i].state == STEP_IS_SKIPPED && !r->steps[i].excused;
	v->move = ROLLOUT_END;
	v->code = end_code(c.n_failed > 0, skipped);
	v->state = is_too_many(r, n_against(r, &c)) ? ROLLOUT_IS_FAILED : ROLLOUT_IS_SUCCEEDED;
	if (r->undoing) { /* not even one may have stayed as it was */
		v->state = c.n_failed > 0 ? ROLLOUT_IS_FAILED : ROLLOUT_IS_UNDONE;
		v->code = c.n_failed > 0 ? v->code : PM_UNDONE;
	}
	if (c.n_failed > 0)
		say(v, "%zu of %zu hosts failed%s", c.n_failed, n_taking_part(r),
		    r->undoing ? " to go back" : "");
	else if (skipped)
		say(v, "some hosts were not reached");
}

void rollout_next(const struct rollout *r, int64_t now_ms, struct rollout_verdict *v)
{
	struct look l = { .r = r, .now_ms = now_ms, .batch = rollout_batch_now(r) };
	struct rollout_count c;

	v->n = 0;
	v->code = PM_OK;
	v->why[0] = '\0';
	stay(v, "", 0);
	if (r->state != ROLLOUT_IS_RUNNING && r->state != ROLLOUT_IS_UNDOING)
		return;
	if (r->frozen) {
		stay(v, "frozen", 0);
		return;
	}
	if (look_at_steps(&l, v) || look_at_failures(r, v))
		return;
	if (l.batch == 0) {
		end(&l, v);
		return;
	}
	rollout_count(r, &c);
	if (waits_to_see(&l, &c, v) || is_held(&l, v) || is_gated(&l, v) || look_at_turn(&l, v) ||
	    has_no_progress(&l, &c, v))
		return;
	send_some(&l, &c, v);
}
