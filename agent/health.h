/*
 * health.h - what follows from the answers to a health check.  Pure.
 *
 * Failures count in a row. A stretch in which nobody looked, because the machine slept or we were
 * stopped, says nothing of the app: what was counted before it is forgotten, and the app has
 * its grace again.
 */
#ifndef PM_AGENT_HEALTH_H
#define PM_AGENT_HEALTH_H

#include <stdbool.h>

#include "proto/base.h"

/* A look that comes, or ends, so much later than it was due was held up together with the app. */
#define HEALTH_GAP_MS 10000

enum health_state {
	HEALTH_UNKNOWN, /* neither threshold was reached yet */
	HEALTH_OK,
	HEALTH_FAILING,
};

struct health_policy {
	uint32_t period_ms, timeout_ms;
	uint32_t fail, ok; /* >= 1: so many in a row */
	uint32_t grace_ms; /* failures do not count so long after the start, before the first
	                      success */
};

struct health {
	enum health_state state;
	uint32_t n_ok, n_fail; /* in a row */
	bool passed;           /* it was ok once in this run */
	uint64_t grace_end_ms;
	uint64_t due_ms;  /* the next look */
	uint32_t wait_ms; /* the last wait of a hurried one */
};

/* A run of the app began. state: what a former supervisor knew of it, or HEALTH_UNKNOWN. */
void health_begin(struct health *h, const struct health_policy *p, enum health_state state,
                  uint64_t now_ms);

/*
 * When to look next. hurried: somebody waits for it to pass; often at first, then every period.
 *
 * returns  ms from now; 0: at once
 */
uint64_t health_wait_ms(struct health *h, const struct health_policy *p, bool hurried,
                        uint64_t now_ms);

/* A look begins now. */
void health_look(struct health *h, const struct health_policy *p, uint64_t now_ms);

/*
 * It has ended.
 *
 * began_ms  when it began
 * returns   whether the state changed
 */
bool health_result(struct health *h, const struct health_policy *p, bool ok, uint64_t began_ms,
                   uint64_t now_ms);

/* Failing was acted upon: count anew. */
void health_again(struct health *h, const struct health_policy *p, uint64_t now_ms);

/* ---- an app that is to say that it lives ---- */

struct watchdog {
	uint64_t until_ms; /* the next word is due */
};

void watchdog_begin(struct watchdog *w, uint32_t interval_ms, uint32_t grace_ms, uint64_t now_ms);
void watchdog_heard(struct watchdog *w, uint32_t interval_ms, uint64_t now_ms);
/* After everything that it may have said was read. false: it is in time, or nobody could listen. */
bool watchdog_missed(struct watchdog *w, uint32_t interval_ms, uint64_t now_ms);

#endif
