/* turn.h - whether an app may be restarted by its agent now, where hosts take turns at that (F-27):
 * ask, wait, go, or go alone.  Pure.
 *
 * A coordinator that answers may keep it waiting for PM_BUDGET_MOST_MS, one that does not for
 * PM_BUDGET_WAIT_MS, one that is away not at all.  Who goes alone says so, and is counted.
 */
#ifndef PM_AGENT_TURN_H
#define PM_AGENT_TURN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum turn_state {
	TURN_NONE,
	TURN_ASKING,
	TURN_GRANTED,
	TURN_ALONE,
};

/* Zeroed: nothing is wanted yet. */
struct turn {
	enum turn_state state;
	bool told;         /* the coordinator knows, in its session of now */
	uint64_t asked_ms; /* since when it waits */
	uint64_t heard_ms; /* when a word came last */
	uint64_t went_ms;  /* GRANTED, ALONE: since when */
	uint32_t n_before; /* ASKING: hosts that come first; 0: not known */
};

struct turn_facts {
	bool possible;           /* in a fleet, whose coordinator gives slots as far as is known */
	bool connected;          /* to it */
	bool away;               /* it is not there, and has not been for a while */
	size_t n_waiting, n_out; /* instances: to be restarted; restarted, and not up again */
};

enum turn_act {
	TURN_ASK = 1,
	TURN_CLAIM = 2,   /* ask with `held` */
	TURN_GO = 4,      /* restart those that wait */
	TURN_RELEASE = 8, /* with END */
	TURN_END = 16,    /* nothing is left to do: forget it */
};

struct turn_step {
	uint32_t acts;    /* enum turn_act */
	uint64_t wake_ms; /* when time alone changes something; 0: never */
};

/* What follows.  now_ms is monotonic. */
struct turn_step turn_next(struct turn *t, const struct turn_facts *f, uint64_t now_ms);

/* The coordinator's words; nothing, unless that was asked. */
void turn_granted(struct turn *t, uint64_t now_ms);
void turn_waits(struct turn *t, uint32_t n_before, uint64_t now_ms);
/* Another session has begun, or this one has ended: what was said there is forgotten. */
void turn_new_session(struct turn *t);

/*
 * The local floor: may an instance that is well go down by its own agent's decision? Not as long as
 * no other is well and one is on its way up.
 *
 * n_well     others of the app that are up and well
 * n_coming   others that are to be up, and are not
 */
bool turn_leaves_one(size_t n_well, size_t n_coming);

#endif
