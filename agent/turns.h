/*
 * turns.h - restarts that nobody ordered: by memory limit, cron, watch, a failed check (F-27).
 *
 * An agent that is in no fleet restarts at once. One that is asks its coordinator for a slot first,
 * once for all instances of an app, and restarts them when it has one or has waited long enough
 * (turn.h); never the last that is well while another is on its way up, if only because that one is
 * waited for.  A crash asks nobody.  That an instance waits is in its record, so that the next
 * supervisor goes on with it.
 */
#ifndef PM_AGENT_TURNS_H
#define PM_AGENT_TURNS_H

#include "agent/instance.h"

struct turns;

/* Restart an instance: now, or when it is its turn. */
void turns_restart(struct instance *inst, enum cause cause);
/* One that a former supervisor left waiting. */
void turns_resume(struct instance *inst);
/* The reason is gone: if it still waits for that, it does no more. */
void turns_forgive(struct instance *inst, enum cause cause);

/* Something about one of its instances has changed.  Cheap, and free where nothing waits. */
void turns_touch(struct app *app);
void turns_close(struct app *app);

/* From the liaison. */
void turns_on_slot(struct super *su, const Pm__Slot *slot);
void turns_on_session(struct super *su); /* it has begun, or ended */

#endif
