/*
 * rollouts.h - rollouts are carried out here, as the store has them: each intent is on the disk
 * before it is sent, each result before anything follows from it (F-20).
 *
 * A step is a command whose op_id is the step's token; an agent that has seen it answers from its
 * journal.  After a death the steps that were sent are asked for again by the same tokens (F-21).
 */
#ifndef PM_COORDINATOR_ROLLOUTS_H
#define PM_COORDINATOR_ROLLOUTS_H

#include "coordinator/rollout_run.h"

struct rollouts;

/* errors: PM_NO_MEMORY */
PM_MUST_CHECK int rollouts_create(struct coord *c, struct rollouts **out, struct pm_error *err);
/* Read from the store those that have not ended, and go on with them. */
void rollouts_load(struct rollouts *r);
void rollouts_close(struct rollouts *r); /* NULL is fine */

/*
 * One that has not ended, by its id or the beginning of it (with or without "r-").
 *
 * errors     PM_NOT_FOUND, PM_USAGE (several begin so)
 */
PM_MUST_CHECK int rollouts_find(struct rollouts *r, const char *id, struct run **out,
                                struct pm_error *err);
/* Those of the store are known: before that none may begin. */
bool rollouts_is_loaded(const struct rollouts *r);
struct run *rollouts_first(const struct rollouts *r); /* then by run->next */
/* The one that holds an app on a host, and is not paused: nothing else is to be done to it there;
 * NULL: none. */
struct run *rollouts_holder(const struct rollouts *r, const struct store_id *agent,
                            char *const *apps, size_t n_apps);

/*
 * Begin one that was planned: its locks are taken, and then it is written down.  It belongs to the
 * engine from here on.
 *
 * link, re   who is told how it went, by a RolloutList or an Error; it may go meanwhile
 */
void rollouts_begin(struct rollouts *r, struct run *run, struct pm_link *link, uint64_t re);
/* Keep one that is only planned. */
void rollouts_keep_plan(struct rollouts *r, struct run *run, struct pm_link *link, uint64_t re);
/* One that was over, and read from the store, is looked after again. */
void rollouts_adopt(struct rollouts *r, struct run *run);
/* Plans and others that hold nothing go at once. */
void rollouts_drop(struct rollouts *r, struct run *run);

/*
 * What operators order; answered as rollouts_begin() is, when it is on the disk.
 *
 * errors     PM_USAGE: not in this state
 */
PM_MUST_CHECK int rollouts_change(struct rollouts *r, struct run *run,
                                  const Pm__RolloutChange *what, const char *who,
                                  struct pm_link *link, uint64_t re, struct pm_error *err);
/* Answer when something has changed behind `after`, at the latest after wait_ms. */
PM_MUST_CHECK int rollouts_watch(struct rollouts *r, struct run *run, const Pm__RolloutQuery *q,
                                 struct pm_link *link, uint64_t re, struct pm_error *err);
void rollouts_link_gone(struct rollouts *r, const struct pm_link *link);

/* What the sessions of agents tell. */
void rollouts_agent_up(struct rollouts *r, struct node *node);
void rollouts_agent_gone(struct rollouts *r, struct node *node);

/* It is over but for hosts that may yet come back and do it (F-28). */
bool rollouts_is_catching_up(const struct run *run);

/* ---- between rollouts.c and rollout_steps.c ---- */

/* Something has changed: see what follows. */
void rollouts_poke(struct run *run);
struct coord *rollouts_coord(const struct rollouts *r);

/* Whether its leases hold at this moment, as far as is known. */
bool rollouts_has_locks(const struct run *run, int64_t now_ms);

/* Send what is written down as sent and not asked in the agent's session of now. */
void rollout_steps_send(struct run *run, int64_t now_ms);
/* Look after those that are watched: ask how they are when something has changed there. */
void rollout_steps_watch(struct run *run, int64_t now_ms);
/* Whether it was seen to be well since its min_healthy was over; asks if not. */
bool rollout_steps_is_well(struct run_step *s, int64_t now_ms);
/* What the machine is to know of the hosts. */
void rollout_steps_look(struct run *run, int64_t now_ms);
struct node *rollout_steps_node(const struct run_step *s); /* NULL: it is no member any more */

/*
 * The steps of the way back take the places of those that changed something (F-17).
 *
 * errors     PM_NO_MEMORY, those of rollout_batches_back()
 */
PM_MUST_CHECK int rollout_steps_turn(struct run *run, struct pm_error *err);

#endif
