/*
 * liaison.h - keeps the agent's link to its coordinator running, in a process of its own.
 *
 * nng, its threads and every byte from the network stay out of the process that supervises: a crash
 * there costs a new connection, an agent that is in no fleet pays nothing for it, and what the link
 * asks for is judged here (remote.h) whoever speaks through it.
 */
#ifndef PM_AGENT_LIAISON_H
#define PM_AGENT_LIAISON_H

#include "agent/super.h"

struct liaison;

/* The supervisor is up: start the link if this home is in a fleet, or is to join one (the file that
 * PMD_JOIN_TOKEN_FILE names).  Otherwise nothing is made. */
void liaison_begin(struct super *su);
/* The supervisor leaves. */
void liaison_close(struct super *su);

/* errors PM_NOT_FOUND (in no fleet), PM_CORRUPT, and what remote_create() says */
PM_MUST_CHECK int liaison_start(struct super *su, struct pm_error *err); /* anew, if it runs */
void liaison_stop(struct super *su);

/* Something about an instance has changed.  Cheap, and free without a fleet. */
void liaison_touch(struct super *su);

/*
 * Whether there may be slots for restarts that nobody ordered (turns.h): false: in no fleet, or its
 * coordinator knows of none.
 *
 * connected  whether it can be asked now
 * down_ms    for how long it could not
 */
bool liaison_gives_slots(struct super *su, bool *connected, uint64_t *down_ms);
/* Say something to the coordinator that asks nothing; it goes nowhere if that is not there. */
void liaison_send(struct super *su, const Pm__Envelope *env);

/* How it is, borrowed until the next turn of the loop; NULL: in no fleet. */
Pm__UplinkState *liaison_state(struct super *su);

#endif
