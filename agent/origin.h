/*
 * origin.h - what the agent was started with and changed for itself, and apps get back: resource
 * limits and oom_score_adj.
 */
#ifndef PM_AGENT_ORIGIN_H
#define PM_AGENT_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"

#define ORIGIN_LIMITS 16 /* RLIM_NLIMITS, as a saved state has it */

struct origin_limit {
	uint64_t soft, hard;
};

struct origin {
	struct origin_limit limits[ORIGIN_LIMITS];
	int32_t oom_score_adj;
	int32_t own_oom_score_adj; /* what we run with */
};

/*
 * Read them, then make ours: descriptors up to the hard limit, no core dumps (they would hold other
 * people's environment), oom_score_adj -900 where permitted.
 */
void origin_take(struct origin *o);
/* The second half alone, after a restore. */
void origin_apply_own(struct origin *o);

/* To and from a memfd that the supervisor inherits, for the case that it must become the keeper. */
PM_MUST_CHECK int origin_write(const struct origin *o, int *fd, struct pm_error *err);
PM_MUST_CHECK int origin_read(int fd, struct origin *o, struct pm_error *err);

/* Write oom_score_adj of this process. Returns whether it was permitted. */
bool origin_set_oom(int value);

#endif
