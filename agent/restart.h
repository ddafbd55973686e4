/* restart.h - what follows the exit of an instance: policy, backoff, giving up. Pure. */
#ifndef PM_AGENT_RESTART_H
#define PM_AGENT_RESTART_H

#include <stdbool.h>

#include "proto/base.h"

/* PM2's max_restarts when none, or 0, is given (7.0.4 does not tell the two apart). */
#define RESTART_MAX_DEFAULT 16u
/* PM2's ceiling of the exponential backoff, and the uptime after which it starts anew. */
#define RESTART_BACKOFF_MAX_MS   15000u
#define RESTART_BACKOFF_RESET_MS 30000u

struct restart_policy {
	bool autorestart;
	uint32_t restart_delay_ms; /* before each automatic restart; 0: at once */
	uint32_t exp_backoff_ms;   /* first delay of the exponential backoff; 0: none */
	uint32_t min_uptime_ms;    /* a run at least this long is a good one */
	uint32_t max_restarts; /* short runs in a row at which to give up; 0: at the first exit */
	const int32_t *stop_exit_codes; /* borrowed */
	size_t n_stop_exit_codes;
};

/* Plain data without pointers: it lives in memory that our own restart does not touch. */
struct restart {
	uint32_t short_runs;    /* in a row; PM2's unstable_restarts */
	uint32_t prev_delay_ms; /* last delay of the backoff; PM2's prev_restart_delay; 0: none yet
	                         */
};

struct restart_exit {
	bool known;      /* false: nobody saw the status; code and signal say nothing */
	int32_t code;    /* when signal is 0 */
	int32_t signal;  /* 0: it exited by itself */
	uint64_t run_ms; /* monotonic, from the spawn to the exit */
};

enum restart_verdict {
	RESTART_DOWN,    /* stopped: nobody wants it to run again */
	RESTART_GIVE_UP, /* errored: too many short runs in a row */
	RESTART_WAIT,    /* start again after delay_ms; 0: at once */
};

struct restart_step {
	enum restart_verdict verdict;
	uint32_t delay_ms;   /* with RESTART_WAIT */
	uint32_t short_runs; /* in a row, this one included; for the words of RESTART_GIVE_UP */
};

/*
 * Decide what follows an exit that nobody ordered. In this order:
 *
 * 1. No autorestart, or an exit code in stop_exit_codes: RESTART_DOWN, whatever the delays say. A
 *    death by signal has no exit code and an unknown exit has none either, so neither matches.
 * 2. A run shorter than min_uptime_ms adds to short_runs, a longer one clears them. At max_restarts
 *    the verdict is RESTART_GIVE_UP and the count starts anew, as PM2 shows it.
 * 3. RESTART_WAIT with the backoff's delay if exp_backoff_ms is set, else restart_delay_ms. With
 *    both, the backoff decides, as PM2 does. Its delays are D, then floor(previous * 1.5), at most
 *    RESTART_BACKOFF_MAX_MS; a run longer than RESTART_BACKOFF_RESET_MS starts it anew.
 *
 * Unlike PM2, short runs need not lie within min_uptime_ms * max_restarts: with a delay or a
 * backoff that window passes before the count is reached, and the crash loop never ends.
 */
struct restart_step restart_on_exit(struct restart *r, const struct restart_policy *p,
                                    const struct restart_exit *e);

/* The instance has been up longer than RESTART_BACKOFF_RESET_MS: the backoff starts anew. Optional;
 * restart_on_exit() finds out by itself, this one is for what is shown meanwhile. */
void restart_on_stable(struct restart *r);

/* A person ordered a start, restart or reset: what was before counts no more. */
void restart_clear(struct restart *r);

#endif
