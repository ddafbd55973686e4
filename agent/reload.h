/*
 * reload.h - replaces a running instance without a moment in which nobody serves.
 *
 * A successor is started beside the old one, hidden, on the same seat in the other generation
 * (cluster.h). When it is ready and has stayed so for min_uptime it takes the other's place, and
 * new connections go to it; the old one, now hidden, answers what waits for it and what it has, is
 * told to finish, and is stopped. A successor that does not get there is ended, and nothing has
 * changed. Both have records of their own, so a supervisor that dies in between leaves a reload
 * that the next one goes on with.
 */
#ifndef PM_AGENT_RELOAD_H
#define PM_AGENT_RELOAD_H

#include "agent/instance.h"

struct reload;

/* Whether there can be a successor beside it now: it shares its sockets, and runs. */
bool reload_is_possible(const struct instance *inst);

/*
 * Begin. The order waits on the instance, and is answered when the old one has gone, or when the
 * successor has failed.
 *
 * errors  PM_LIMIT, PM_NO_MEMORY; nothing has changed then
 */
PM_MUST_CHECK int reload_begin(struct instance *inst, const struct instance_order *o,
                               struct pm_error *err);
/* One is under way: do this when it is done, a reload or a deletion. Only the last asked for
 * counts.
 */
void reload_again(struct instance *inst, const struct instance_order *o);
/*
 * The order waits no longer: a successor that is not ready by now is ended, and nothing has
 * changed; one that has taken over is what was asked for, and the old one finishes in its own time.
 *
 * returns  whether it is answered now, or when that one has gone; else no reload of its is under
 * way
 */
bool reload_time_is_up(struct instance *inst, const struct order *order);
/* The order waits no more. */
void reload_drop_order(struct instance *inst, const struct order *order);

/* It goes for good: commands see it no more, it finishes what it has, then it is deleted. errors:
 * PM_NO_MEMORY */
PM_MUST_CHECK int reload_retire(struct instance *inst, const struct instance_order *o,
                                struct pm_error *err);

/* Another order comes for an instance that commands see: what was begun is given up, or cut short,
 * and what was to follow it as well. */
void reload_interrupt(struct instance *inst);
/* The same for what was begun alone: what follows comes sooner. give_up: but one that has been
 * replaced finishes what it has. */
void reload_hurry(struct instance *inst);
void reload_give_up(struct instance *inst);

/* A stop was ordered: when no instance of the app is to run any more, those that it let go earlier
 * need not finish either. */
void reload_end_retirees(struct app *app);
/* One has ended: another process that commands do not see, whose end belongs to the same stop;
 * NULL: none. */
struct instance *reload_left(const struct instance *inst);

/* Of a successor: does the one that it is to replace listen? */
bool reload_listened(const struct instance *inst);
/* Or may it be listening unheard (cluster_has_asked())? */
bool reload_had_asked(const struct instance *inst);
/* How many times the other one was spawned, so that no run of the two has the name of another. */
uint32_t reload_spawns(const struct instance *inst);

/* Something happened to one of the two. */
void reload_poke(struct instance *inst);
/* A successor did not get ready in time. */
void reload_not_ready(struct instance *inst);
/* One of the two is about to go. */
void reload_forget(struct instance *inst);
/* Nobody looks any more: the supervisor leaves. */
void reload_close(struct instance *inst);

/* A former supervisor's successors and retirees of an app, all of which are there. */
void reload_resume(struct app *app);

#endif
