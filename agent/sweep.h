/*
 * sweep.h - kills what main processes that ended by themselves have left, until nothing is left.
 *
 * Nobody waits for it: the app may be running again. In a storm of crashes the looks are spread, so
 * that they take a fifth of the time at most.
 */
#ifndef PM_AGENT_SWEEP_H
#define PM_AGENT_SWEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/error.h"

struct super;
struct sweep;

PM_MUST_CHECK int sweep_create(struct super *su, struct sweep **out, struct pm_error *err);
void sweep_close(struct sweep *s); /* NULL is fine */

enum sweep_when {
	SWEEP_NOW,   /* if a look is due, else soon */
	SWEEP_LATER, /* not before this turn of the loop is over, at its end if a look is due then
	              */
	SWEEP_AFTER_START, /* what is being started in this turn has the processors for a few ms */
};

/* Kill what carries the tag of a process that has ended. */
void sweep_tag(struct sweep *s, uint64_t tag, pid_t main_pid, enum sweep_when when);

#endif
