/* reload_plan.h - when a successor takes over, and when the one before it may go.  Pure. */
#ifndef PM_AGENT_RELOAD_PLAN_H
#define PM_AGENT_RELOAD_PLAN_H

#include "agent/life.h"

/* ---- the successor ---- */

struct reload_facts {
	enum life_state old, next;
	uint64_t began_ms; /* when the successor was ordered */
	uint64_t ready_ms; /* when it was first seen ready; 0: not yet */
	uint32_t prove_ms; /* how long it must stay so before it is trusted */
	bool late;         /* its time to get ready is over */
	bool unfit;        /* it was ready, and its check fails now */
};

enum reload_verdict {
	RELOAD_WAIT, /* look again after wait_ms; 0: when something happens */
	RELOAD_SWAP, /* it takes over */
	RELOAD_FAIL, /* it does not, and has to go */
};

struct reload_step {
	enum reload_verdict verdict;
	uint64_t wait_ms;
};

/* Longest wait for room to fork (LIFE_HELD) before a successor is given up. */
#define RELOAD_HELD_MS 30000

/*
 * What to do with a successor now.
 *
 * It takes over when it has been ready for prove_ms without a break; at once when the old one no
 * longer serves. Nothing that happens to the old one makes the new one fail.
 */
struct reload_step reload_plan(const struct reload_facts *f, uint64_t now_ms);

/* ---- the one that goes ---- */

/* All zeroes but for the first two is a fresh one. */
struct retire {
	uint64_t began_ms;
	uint32_t timeout_ms; /* for all of it */
	bool told;           /* it was asked to finish */
	unsigned n_empty;    /* looks in a row that found nothing left to wait for */
	uint32_t wait_ms;    /* the last wait */
};

enum retire_verdict {
	RETIRE_WAIT, /* look again after wait_ms */
	RETIRE_TELL, /* nothing waits for it any more: tell it to finish, then as WAIT */
	RETIRE_END,  /* stop it */
};

struct retire_step {
	enum retire_verdict verdict;
	uint32_t wait_ms;
};

/* At least so long after new connections are steered away: a handshake that began before that ends
 * one round trip later. */
#define RETIRE_SETTLE_MS 60

/*
 * What to do with one that new connections are steered away from.
 *
 * waiting      connections in its queue, which it still accepts
 * connections  that it has accepted and not closed
 */
struct retire_step retire_plan(struct retire *r, unsigned waiting, unsigned connections,
                               uint64_t now_ms);

#endif
