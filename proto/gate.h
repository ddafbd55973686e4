/* gate.h - who may wait at the door: bounds on connections that have not shown who they are.  Pure.
 *
 * Whoever comes is let in; at a limit the oldest silent one goes, since a peer that means well
 * speaks within milliseconds and one that does not can wait for ever.  Who has spoken, and knows
 * our key, stays until its turn: when all have, the newcomer goes, and comes again.
 */
#ifndef PM_PROTO_GATE_H
#define PM_PROTO_GATE_H

#include <stdbool.h>

#include "proto/error.h"

#define PM_GATE_ADDRESS 16 /* bytes: IPv6, or IPv4 mapped into it */

struct pm_gate_limits {
	unsigned max, per_address; /* connections */
	unsigned per_second;       /* handshakes; as many may come at once */
	unsigned enrolling;        /* sessions of unknown keys */
};

struct pm_gate;

/* errors     PM_NO_MEMORY */
PM_MUST_CHECK int pm_gate_create(const struct pm_gate_limits *limits, struct pm_gate **out,
                                 struct pm_error *err);
void pm_gate_destroy(struct pm_gate *g); /* NULL is fine */

/*
 * Let somebody in.
 *
 * who        never NULL, and not in yet
 * returns    who has to go for that, and is out already: perhaps `who` itself; NULL: nobody
 */
void *pm_gate_enter(struct pm_gate *g, const uint8_t address[PM_GATE_ADDRESS], void *who);
void pm_gate_leave(struct pm_gate *g, const void *who); /* is known or gone; may be out already */
void pm_gate_spoke(struct pm_gate *g, const void *who); /* has sent what only a peer of ours can */
unsigned pm_gate_count(const struct pm_gate *g);

/* A handshake is to be worked on.  false: not in this moment, ask again. */
bool pm_gate_take_turn(struct pm_gate *g, uint64_t now_ms);

/* A place for a session of an unknown key, given back with pm_gate_enrolled(). */
bool pm_gate_take_enrolment(struct pm_gate *g);
void pm_gate_enrolled(struct pm_gate *g);

#endif
