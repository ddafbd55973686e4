/* rollouts_priv.h - what the files of the rollouts' engine share; nobody else includes it. */
#ifndef PM_COORDINATOR_ROLLOUTS_PRIV_H
#define PM_COORDINATOR_ROLLOUTS_PRIV_H

#include "coordinator/cut_off.h"
#include "coordinator/rollouts.h"

#define ROLLOUTS_LEASE_MS 30000 /* F-19 */

struct watcher {
	struct watcher *next;
	struct run *run;      /* borrowed */
	struct pm_link *link; /* borrowed */
	uint64_t re, after;
	int64_t deadline_ms; /* 0: when all is on the disk */
	bool steps;
};

/* Who had a lock, and when it was last renewed. */
struct lease {
	struct store_id holder;
	int64_t renewed_ms;
};

struct rollouts {
	struct coord *c;  /* borrowed */
	struct run *runs; /* owned */
	struct watcher *watchers;
	uv_timer_t tick;
	struct cut_off cut_off;
	struct lease *leases; /* owned; while they are being read */
	size_t n_leases;
	bool closing, hurried;
	bool loaded;      /* those of the store are here, and their leases renewed */
	size_t n_awaited; /* of them, whose steps are being read */
};

void rollouts_enlist(struct rollouts *r, struct run *run);
/* -1: no memory. */
PM_MUST_CHECK int rollouts_add_watcher(struct rollouts *r, struct run *run, struct pm_link *link,
                                       uint64_t re, struct watcher **out);
void rollouts_pause_with(struct run *run, const char *who, const char *why, enum pm_code code);
void rollouts_set_running(struct run *run, int64_t now_ms);
/* It did not begin: whoever waits hears why, and it is gone. */
void rollouts_drop_with(struct run *run, const struct pm_error *why);
void rollouts_wake(struct rollouts *r);
/* Renew them when it is time, or try again to get them. */
void rollouts_keep_locks(struct run *run, int64_t now_ms);
/* Only what it has: leases that another took meanwhile, or that are free, are not taken. */
void rollouts_renew_locks(struct run *run, int64_t now_ms);
void rollouts_take_locks(struct run *run, int64_t now_ms);
void rollouts_release_locks(struct run *run);
/* It has ended just now: whether hosts may catch up is written down with that. */
void rollouts_plan_catch_up(struct run *run, int64_t now_ms);
/* Those that are back do it, each in a rollout of its own. */
void rollouts_catch_up(struct run *run, int64_t now_ms);
/* None does it any more; false: none would have. */
bool rollouts_stop_catch_up(struct run *run, const char *who, const char *why);
/* Ask the gates before the batch that is next; the machine is told when they have answered. */
void rollouts_ask_gates(struct run *run);
/* What they said does not count any more: they are asked again before the next batch. */
void rollouts_drop_gates(struct run *run);

#endif
