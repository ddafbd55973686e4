/* life.h - the life cycle of one instance: what an event does to its state, and what to do. Pure.
 */
#ifndef PM_AGENT_LIFE_H
#define PM_AGENT_LIFE_H

#include <stdbool.h>

#include "proto/base.h"

/* X(constant, the word PM2 shows) */
#define LIFE_STATES(X)                                                                            \
	X(LIFE_DOWN, "stopped")            /* nothing runs, nothing is wanted */                  \
	X(LIFE_SPAWNING, "launching")      /* the keeper was asked and has not answered */        \
	X(LIFE_ABORTING, "stopping")       /* the same, but it is no longer wanted */             \
	X(LIFE_UP_WAIT, "launching")       /* runs, not ready yet */                              \
	X(LIFE_UP, "online")               /* runs; ready, or the time for that has passed */     \
	X(LIFE_ENDING, "stopping")         /* was asked to end; something of the tree is left */  \
	X(LIFE_KILLING, "stopping")        /* SIGKILL was sent; something of the tree is left */  \
	X(LIFE_BACKOFF, "waiting restart") /* exited; starts again when the delay is over */      \
	X(LIFE_HELD, "waiting restart") /* no room to fork; tries again when the delay is over */ \
	X(LIFE_FAILED, "errored")       /* could not be started, or crashed too often */

enum life_state {
#define LIFE_STATE_ENUM(c, word) c,
	LIFE_STATES(LIFE_STATE_ENUM)
#undef LIFE_STATE_ENUM
};

/* What follows when the tree is gone; only the three states between order and end look at it. */
enum life_after {
	LIFE_AFTER_NONE,
	LIFE_AFTER_DOWN,
	LIFE_AFTER_START,
	LIFE_AFTER_FORGET,
};

/* Plain data without pointers: it lives in memory that our own restart does not touch. All zeroes
 * is an instance that is down. */
struct life {
	enum life_state state;
	enum life_after after;
};

#define LIFE_EVENTS(X)                                                                            \
	/* Orders: by a person, cron, watch, a limit. */                                          \
	X(EV_START)                                                                               \
	X(EV_STOP)                                                                                \
	X(EV_RESTART)                                                                             \
	X(EV_DELETE)                                                                              \
	/* From the keeper, about ACT_SPAWN. */                                                   \
	X(EV_SPAWNED)                                                                             \
	X(EV_SPAWN_FAILED) /* exec failed, bad cwd, unknown user: trying again would not help */  \
	X(EV_SPAWN_RETRY)  /* EAGAIN, ENOMEM, EMFILE: not the app's fault, nothing is counted */  \
	/* Readiness. */                                                                          \
	X(EV_READY)                                                                               \
	X(EV_READY_TIMEOUT)                                                                       \
	/* The main process has gone. While life_is_ending(): EV_EXIT. Else ask restart_on_exit() \
	 * and say which: RESTART_WAIT, RESTART_DOWN, RESTART_GIVE_UP. */                         \
	X(EV_EXIT)                                                                                \
	X(EV_EXIT_RESTART)                                                                        \
	X(EV_EXIT_DOWN)                                                                           \
	X(EV_EXIT_GIVE_UP)                                                                        \
	X(EV_TREE_GONE) /* main process and all descendants are gone and reaped */                \
	/* Timers. */                                                                             \
	X(EV_DELAY_OVER)                                                                          \
	X(EV_KILL_TIMEOUT)

enum life_event {
#define LIFE_EVENT_ENUM(c) c,
	LIFE_EVENTS(LIFE_EVENT_ENUM)
#undef LIFE_EVENT_ENUM
};

/*
 * What to do, carried out from the lowest bit to the highest. An action may lead at once to the
 * next event (SIGNAL finds nothing left: EV_TREE_GONE; a delay of 0: EV_DELAY_OVER; SPAWN fails at
 * once): feed it from there. Only KILL and what comes after it may do so, and after KILL nothing
 * but ARM_DELAY follows in the same step, whose state ignores EV_TREE_GONE.
 *
 * An order waits for its answer: append it to the instance's waiters after ACT_SUPERSEDED and
 * ACT_REFUSE have been looked at, and before the rest. An answer goes to all waiters.
 */
enum life_action {
	ACT_SUPERSEDED = 1u << 0, /* fail the waiters so far: a later order replaced theirs */
	ACT_REFUSE = 1u << 1,     /* fail this order alone: the instance is being deleted */
	ACT_CANCEL_DELAY = 1u << 2,
	ACT_CANCEL_READY = 1u << 3,
	ACT_CANCEL_KILL = 1u << 4,
	ACT_CLEAR = 1u << 5,         /* restart_clear(): an order forgives what was before */
	ACT_COUNT_RESTART = 1u << 6, /* restart_time += 1 */
	ACT_REPLY_OK = 1u << 7,      /* the order was carried out */
	ACT_REPLY_FAIL = 1u << 8,    /* it was not; the event that came says why */
	ACT_REPORT_NOT_READY =
		1u << 9, /* it runs, but was not ready in time: fail the waiters so */
	ACT_ARM_KILL =
		1u << 10, /* kill_timeout; EV_KILL_TIMEOUT when it passes. Replaces a running one */
	ACT_KILL = 1u << 11,      /* SIGKILL to all that is left; sweep until EV_TREE_GONE */
	ACT_SIGNAL = 1u << 12,    /* begin the stop sequence; watch the tree until EV_TREE_GONE */
	ACT_ARM_READY = 1u << 13, /* listen_timeout. An instance without a gate: EV_READY at once */
	ACT_ARM_DELAY = 1u << 14, /* the step's delay, or the spawn retry's; EV_DELAY_OVER */
	ACT_SPAWN = 1u << 15,     /* ask the keeper */
	ACT_FORGET = 1u << 16,    /* remove the instance; it must not be touched afterwards */
};

/*
 * Apply one event. This is the one place that changes struct life.
 *
 * returns  actions (enum life_action) to carry out; 0 for an event that means nothing here, such as
 *          a timer that fired as it was cancelled
 *
 * Rules beyond the obvious:
 * - What is left of the tree is killed (ACT_KILL) when the main process goes by itself. An app that
 *   turned into a daemon has not gone: report its exit when its last heir goes.
 * - An order that comes while another is under way replaces it: stop, then start before it has
 *   ended, starts it again. Only a delete cannot be replaced: starts are refused, stops join it.
 * - Stop and delete while a delay runs cancel it and still wait for the tree to be empty; start and
 *   restart while a delay runs start at once (PM2 fails there).
 * - A tree that outlives SIGKILL (state D) fails the order, is shown as stopping and is killed
 *   again and again; when it goes at last, the order is carried out.
 * - A readiness time-out leaves the instance up, as in PM2, but fails the order that started it.
 * - A failed exec of an automatic restart may be put to restart_on_exit() as a run of 0 ms; its
 *   event is taken in LIFE_SPAWNING too.
 */
uint32_t life_step(struct life *l, enum life_event event);

/* True when an exit now is what was asked for: report EV_EXIT and leave the policy alone. */
bool life_is_ending(const struct life *l);

/* True when the instance has, or may have, a live main process. */
bool life_has_process(const struct life *l);

/* True when it should run after a restart of the machine: nobody stopped it. An instance that gave
 * up is not wanted either. */
bool life_is_wanted(const struct life *l);

const char *life_state_word(enum life_state state); /* PM2's: "waiting restart" */
const char *life_event_name(enum life_event event); /* for the log: "EV_EXIT_DOWN" */

#endif
