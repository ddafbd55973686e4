#include "agent/turn.h"

#include "proto/base.h"
#include "proto/limits.h"

static void go_alone(struct turn *t, uint64_t now_ms)
{
	t->state = TURN_ALONE;
	t->told = false; /* that it does */
	t->went_ms = now_ms;
}

static void begin(struct turn *t, const struct turn_facts *f, uint64_t now_ms)
{
	t->asked_ms = t->heard_ms = now_ms;
	t->n_before = 0;
	t->told = false;
	t->state = TURN_ASKING;
	if (!f->possible || f->away)
		go_alone(t, now_ms);
}

static uint64_t patience_ends_ms(const struct turn *t)
{
	return PM_MIN(t->heard_ms + PM_BUDGET_WAIT_MS, t->asked_ms + PM_BUDGET_MOST_MS);
}

struct turn_step turn_next(struct turn *t, const struct turn_facts *f, uint64_t now_ms)
{
	struct turn_step step = { 0 };

	if (f->n_waiting == 0 && (f->n_out == 0 || t->state == TURN_ASKING)) {
		step.acts = TURN_END | (t->told && f->connected ? TURN_RELEASE : 0);
		return step;
	}
	/* One slot is for what comes together, and not for all that follows. */
	if (t->state == TURN_NONE || (t->state != TURN_ASKING && f->n_waiting > 0 &&
	                              now_ms - t->went_ms >= PM_BUDGET_LEASE_MS))
		begin(t, f, now_ms);
	if (t->state == TURN_ASKING && (!f->possible || now_ms >= patience_ends_ms(t)))
		go_alone(t, now_ms);
	if (!t->told && f->connected) {
		step.acts |= t->state == TURN_ASKING ? TURN_ASK : TURN_CLAIM;
		t->told = true;
	}
	if (t->state == TURN_ASKING) {
		step.wake_ms = patience_ends_ms(t);
		return step;
	}
	if (f->n_waiting > 0) {
		step.acts |= TURN_GO;
		step.wake_ms = t->went_ms + PM_BUDGET_LEASE_MS;
	}
	return step;
}

void turn_granted(struct turn *t, uint64_t now_ms)
{
	if (t->state != TURN_ASKING)
		return;
	t->state = TURN_GRANTED;
	t->went_ms = now_ms;
}

void turn_waits(struct turn *t, uint32_t n_before, uint64_t now_ms)
{
	if (t->state != TURN_ASKING)
		return;
	t->heard_ms = now_ms;
	t->n_before = n_before;
}

void turn_new_session(struct turn *t)
{
	t->told = false;
}

bool turn_leaves_one(size_t n_well, size_t n_coming)
{
	return n_well > 0 || n_coming == 0;
}
