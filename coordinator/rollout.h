/* rollout.h - which hosts of a rollout are changed next, and when it stops: batches, holds,
 * failure policy.  Pure.
 *
 * The module knows hosts by their index. Times are calendar milliseconds, since a rollout outlives
 * the process that drives it; a clock that is set back makes it wait longer, never go on sooner.
 *
 * The engine (rollouts.c) tells what happened by rollout_on_*(), asks rollout_next() what follows,
 * commits that to the store, and only then does it. rollout_next() changes nothing: after a death
 * the engine fills the struct from the store and asks again.
 */
#ifndef PM_COORDINATOR_ROLLOUT_H
#define PM_COORDINATOR_ROLLOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rollout_params.h"

/* Values as in pm.proto's RolloutState and StepState. */
enum rollout_state {
	ROLLOUT_IS_PLANNED = 1,
	ROLLOUT_IS_WAITING_LOCK = 2,
	ROLLOUT_IS_RUNNING = 3,
	ROLLOUT_IS_PAUSED = 4,
	ROLLOUT_IS_SUCCEEDED = 5,
	ROLLOUT_IS_FAILED = 6,
	ROLLOUT_IS_UNDOING = 7,
	ROLLOUT_IS_UNDONE = 8,
	ROLLOUT_IS_ABORTED = 9,
};
bool rollout_is_over(enum rollout_state state);

enum step_state {
	STEP_IS_PENDING = 1,
	STEP_IS_SENT = 2,
	STEP_IS_ACCEPTED = 3,
	STEP_IS_HEALTHY = 4,
	STEP_IS_FAILED = 5,
	STEP_IS_SKIPPED = 6,
	STEP_IS_UNKNOWN = 7,
};

/* One host, before the rollout begins. */
struct rollout_host {
	const char *name; /* for the order by name: hostlist_compare() */
	const char *wave; /* value of the wave label; "": none, which is the last wave */
	bool down;        /* not reachable now (class A) */
	bool drained;     /* class F */
};

struct rollout_step {
	enum step_state state;
	uint32_t batch;   /* from 1 on; 0: in none (skipped from the beginning) */
	int64_t sent_ms;  /* 0: not yet */
	int64_t done_ms;  /* the agent's answer came; since then it is watched */
	int64_t ended_ms; /* when it became HEALTHY, FAILED, SKIPPED or UNKNOWN; the first of them,
	                     since holds and the monitor's time count from it */
	bool forgiven;  /* FAILED, UNKNOWN: an operator went on knowing of it; no reason to stop any
	                   more, and no part of what is out */
	bool reachable; /* now */
	bool drained;   /* now */
	bool serves;    /* FAILED: its old instances serve on; a gated reload sees to that */
	bool excused;   /* SKIPPED: drained, or not changed; not for want of reaching it */
	bool unwell;    /* ACCEPTED: min_healthy is over, and it was not seen to do well yet */
	bool unseen;    /* HEALTHY: it was not seen to do well since we were away ourselves (F-21).
	                   Nothing new begins, and nothing is said to have succeeded, before that. */
	bool lost;      /* SENT, and its session is over since: class C once the agent has been
	                   silent for ROLLOUT_LOST_MS or is back without having been asked */
	int64_t lost_ms;  /* since when */
	int64_t asked_ms; /* SENT: when it was asked in the agent's session of now: an answer that
	                     was awaited all the time is on its way; 0: not known */
	int64_t heard_ms; /* when anything was last heard of its host; 0: just now.  What is silent
	                     may have answered: it is late only when it is heard again and still
	                     says nothing, or has been gone for ROLLOUT_LOST_MS */
	int64_t gone_ms;  /* not reachable: since when, as far as is known; 0: it is reachable */
	int64_t away_ms;  /* PENDING and not reachable: since its turn came; 0: it has not */
};

/* FLEET 1.7: down after 30 s.  Who was here a moment ago, or before we ourselves were away, is not
 * skipped, failed or lost before. */
#define ROLLOUT_LOST_MS 30000

enum rollout_gate_state {
	ROLLOUT_GATE_NONE, /* nobody is asked now */
	ROLLOUT_GATE_ASKED,
	ROLLOUT_GATE_FAILED,
};

struct rollout {
	struct rollout_params params;
	enum rollout_state state;
	bool undoing;               /* the steps are those of the way back (also while PAUSED) */
	bool can_undo;              /* there is a version of the spec to go back to */
	struct rollout_step *steps; /* borrowed */
	size_t n;
	uint32_t n_batches;
	uint32_t promoted;   /* batches up to this one may begin whatever is asked for or held */
	uint32_t *wave_ends; /* borrowed: last batch of each wave, rising; NULL: one wave */
	size_t n_waves;
	int64_t running_ms;  /* since when it is looked after without a break: a pause, class E, an
	                        absence of ours.  No deadline counts the time before. */
	int64_t progress_ms; /* when a step got healthy last, it was promoted, or steps were sent
	                        after a hold: the time of a hold is no lack of progress */
	/* What the gates before the next batch say; all of it is asked again by whoever takes the
	 * rollout up: after a pause, and after a death of ours. */
	enum rollout_gate_state gate;
	uint32_t gate_passed; /* they let this batch begin */
	const char *gate_why; /* borrowed; GATE_FAILED: in words */
	size_t n_else;        /* hosts that restart it by themselves now (budget.h): held against
	                         max_down, too */
	bool frozen;          /* class E: nothing begins, nothing is counted as lost or late */
};

/*
 * Order the hosts and put them into batches (F-14, F-24).
 *
 * batch      n numbers, from 1 on; 0 for a host that takes no part (down with unreachable=skip,
 *            drained)
 * order      n indices: the order within the rollout, those that take no part last
 * wave_ends  as rollout.wave_ends; room for n
 * errors     PM_UNREACHABLE (more than max_unreachable are down, or unreachable=fail and one is),
 *            PM_NOT_FOUND (nobody is left, or none of them has the label of the waves),
 *            PM_NO_MEMORY
 */
struct rollout_batches {
	uint32_t *batch; /* borrowed, as all */
	uint32_t *order;
	uint32_t *wave_ends;
	uint32_t n_batches;
	size_t n_waves;
};
PM_MUST_CHECK int rollout_batches(const struct rollout_params *p, const struct rollout_host *hosts,
                                  size_t n, struct rollout_batches *out, struct pm_error *err);

enum rollout_move {
	ROLLOUT_STAY, /* nothing now; look again at wake_ms, or when something happens */
	ROLLOUT_SEND, /* the steps listed are sent: PENDING -> SENT, never more than max_down out */
	ROLLOUT_SKIP, /* the steps listed are skipped (`why` of each: not reachable, drained) */
	ROLLOUT_SETTLE, /* the steps listed: ACCEPTED -> HEALTHY; min_healthy is over */
	ROLLOUT_LOSE,   /* the steps listed: SENT -> UNKNOWN (class C); HEALTHY -> UNKNOWN, when it
	                   does not come back after we were away */
	ROLLOUT_EXPIRE, /* the steps listed -> FAILED: SENT or ACCEPTED, by healthy_deadline;
	                   PENDING, by unreachable=fail */
	ROLLOUT_GATE,   /* the gates are asked whether the batch that is next may begin (F-25) */
	ROLLOUT_PAUSE,
	ROLLOUT_UNDO, /* on_failure=rollback: the engine makes the steps of the way back */
	ROLLOUT_END,  /* to `state` */
};

struct rollout_verdict {
	enum rollout_move move;
	enum rollout_state state; /* END: the state it ends in */
	enum pm_code code;        /* PAUSE, END: exit status of FLEET 1.5 goes by it */
	int64_t wake_ms;          /* STAY: when time alone changes something; 0: never */
	char why[200];            /* PAUSE, END, SKIP, EXPIRE: for people */
	const char
		*hold;         /* STAY: what it waits for: "", "canary", "wait", "bake", "monitor",
	                          "promote" (an operator), "gate", "reconnect" (also: those that were done
	                          before we were away), "frozen", "budget" (hosts that restart it
	                          by themselves) */
	int64_t hold_until_ms; /* with it; 0: not by time */
	uint32_t *list;        /* borrowed from the caller: room for n; the steps that are meant */
	size_t n;
};

/*
 * What follows.  Called again after each move was carried out, until it says STAY or END.
 *
 * Failures: an UNKNOWN pauses unless lost=continue; more FAILED and UNKNOWN than max_fail are
 * on_failure's, each time that one comes that is not forgiven. Whatever on_failure and lost say, it
 * pauses when as many are down as max_down lets be out.  A rollout with no more failures than
 * max_fail has succeeded as a whole; its code says that some hosts did not.
 * Deadlines: the agent's answer is to be there healthy_deadline after the step was sent; what was
 * answered in time is watched for min_healthy in any case.
 * The way back is not held, and a failure there pauses.
 * Gates are asked before each batch but the first, when all that holds it is over; one that fails
 * is on_failure's, and pauses where that is to continue: nothing goes past it, promoted or not.
 *
 * now_ms     calendar time
 * v          v->list has room for r->n
 */
void rollout_next(const struct rollout *r, int64_t now_ms, struct rollout_verdict *v);

/* It may not serve because of us, and is held against max_down: SENT, ACCEPTED; UNKNOWN, and FAILED
 * that does not serve, but for the forgiven. */
bool rollout_step_is_out(const struct rollout_step *s);

/* How the hosts are. */
struct rollout_count {
	size_t by_state[8]; /* by enum step_state */
	size_t n_out;       /* rollout_step_is_out() */
	size_t n_failed;    /* FAILED and UNKNOWN */
};
void rollout_count(const struct rollout *r, struct rollout_count *out);
/* The batch that is under way: the lowest with a step that has not ended; 0: none. */
uint32_t rollout_batch_now(const struct rollout *r);

/*
 * The order and batches of the way back (F-17): steps that may have changed their host, the newest
 * first, by the same batch rules.
 *
 * changed    n flags: this host is to be put back
 */
PM_MUST_CHECK int rollout_batches_back(const struct rollout *r, const bool *changed,
                                       struct rollout_batches *out, struct pm_error *err);

#endif
