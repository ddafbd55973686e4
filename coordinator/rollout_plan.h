/* rollout_plan.h - a rollout that is being planned: what each host has said it would do, and what
 * comes of that. */
#ifndef PM_COORDINATOR_ROLLOUT_PLAN_H
#define PM_COORDINATOR_ROLLOUT_PLAN_H

#include "coordinator/requests_priv.h"
#include "coordinator/rollouts.h"

#define PLAN_APPS_MAX 64 /* of one rollout */

struct plan;

/* One host that was selected. */
struct plan_host {
	struct plan *plan; /* borrowed */
	struct store_id agent;
	char *name, *wave, *role, *apps;    /* owned */
	struct ask *ask;                    /* NULL: answered, or not asked */
	bool down, drained, answered, none; /* none: it has no such app */
	enum pm_code code;
	char text[240];
	Pm__StepApp **step_apps; /* owned */
	size_t n_apps;
};

struct plan {
	struct plan *next;
	struct rollouts *r; /* borrowed, as c */
	struct coord *c;
	struct pm_link *link; /* borrowed; NULL: the operator has gone */
	uint64_t re;
	Pm__RolloutStart *req; /* owned */
	struct run *run;       /* owned until it is handed on */
	struct rollout_params params;
	bool params_known; /* with what the app's own spec says of them */
	struct plan_host *hosts;
	size_t n, n_awaited;
	uv_timer_t *timer;   /* owned */
	bool sending;        /* the end is looked for when all were asked */
	struct run *applied; /* --apply: the plan that is checked once more; borrowed */
	char applied_id[RUN_ID_TEXT];
};

/*
 * All hosts have said what they would do, or are taken as not reachable: fill in p->run.
 *
 * errors     the refusal of a host; PM_NOT_FOUND: no host has such an app; those of
 *            rollout_batches() and rollout_params_check(); PM_LIMIT, PM_NO_MEMORY
 */
PM_MUST_CHECK int plan_finish(struct plan *p, struct pm_error *err);

#endif
