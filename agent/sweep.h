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

/*
 * Kill what carries the tag of a process that has ended: at once if a look is due, else soon.
 *
 * later  not before what is being started in this turn of the loop had a few ms of the processors
 */
void sweep_tag(struct sweep *s, uint64_t tag, pid_t main_pid, bool later);

#endif
