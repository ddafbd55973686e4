#include "agent/health.h"

/* Hurried looks: the first waits, and the longest. */
#define HURRY_MIN_MS 50
#define HURRY_MAX_MS 1000

static void forget(struct health *h, const struct health_policy *p, uint64_t now_ms)
{
	h->n_ok = h->n_fail = 0;
	h->grace_end_ms = now_ms + p->grace_ms;
}

void health_begin(struct health *h, const struct health_policy *p, enum health_state state,
                  uint64_t now_ms)
{
	*h = (struct health){ .state = state, .passed = state == HEALTH_OK };
	forget(h, p, now_ms);
	h->due_ms = now_ms;
}

uint64_t health_wait_ms(struct health *h, const struct health_policy *p, bool hurried,
                        uint64_t now_ms)
{
	uint64_t wait = p->period_ms;

	if (hurried) {
		h->wait_ms = h->wait_ms == 0 ? HURRY_MIN_MS : h->wait_ms * 3 / 2;
		h->wait_ms = PM_MIN(h->wait_ms, PM_MIN(p->period_ms, HURRY_MAX_MS));
		wait = h->wait_ms;
	}
	h->due_ms = now_ms + wait;
	return wait;
}

void health_look(struct health *h, const struct health_policy *p, uint64_t now_ms)
{
	if (now_ms > h->due_ms + HEALTH_GAP_MS) {
		forget(h, p, now_ms);
		h->passed = false;
	}
}

static bool go(struct health *h, enum health_state state)
{
	bool changed = h->state != state;

	h->state = state;
	return changed;
}

bool health_result(struct health *h, const struct health_policy *p, bool ok, uint64_t began_ms,
                   uint64_t now_ms)
{
	if (now_ms > began_ms + p->timeout_ms + HEALTH_GAP_MS) {
		forget(h, p, now_ms);
		h->passed = false;
		return false;
	}
	if (ok) {
		h->n_fail = 0;
		h->passed = true;
		h->n_ok = h->n_ok < p->ok ? h->n_ok + 1 : h->n_ok;
		return h->n_ok >= p->ok && go(h, HEALTH_OK);
	}
	h->n_ok = 0;
	if (!h->passed && now_ms < h->grace_end_ms)
		return false;
	h->n_fail = h->n_fail < UINT32_MAX ? h->n_fail + 1 : h->n_fail;
	return h->n_fail >= p->fail && go(h, HEALTH_FAILING);
}

void health_again(struct health *h, const struct health_policy *p, uint64_t now_ms)
{
	(void)go(h, HEALTH_UNKNOWN);
	forget(h, p, now_ms);
}

void watchdog_begin(struct watchdog *w, uint32_t interval_ms, uint32_t grace_ms, uint64_t now_ms)
{
	w->until_ms = now_ms + PM_MAX(interval_ms, grace_ms);
}

void watchdog_heard(struct watchdog *w, uint32_t interval_ms, uint64_t now_ms)
{
	w->until_ms = now_ms + interval_ms;
}

bool watchdog_missed(struct watchdog *w, uint32_t interval_ms, uint64_t now_ms)
{
	if (now_ms < w->until_ms)
		return false;
	if (now_ms <= w->until_ms + HEALTH_GAP_MS)
		return true;
	watchdog_heard(w, interval_ms, now_ms);
	return false;
}
