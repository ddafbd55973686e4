/* uplink.h - the dialling side of a fleet: one session with a coordinator, and again if it ends.
 *
 * About once a day the session is made anew with fresh keys, so that whoever stole those of one day
 * does not read the next: a second session is dialled, and the first is left once it is up.  That
 * waits until the session is idle, but not for ever.
 */
#ifndef PM_PROTO_UPLINK_H
#define PM_PROTO_UPLINK_H

#include "proto/address.h"
#include "proto/conn.h"
#include "proto/link.h"

struct pm_uplink;

struct pm_uplink_config {
	struct pm_link_config link;
	struct pm_address addresses[PM_ADDRESSES_MAX]; /* tried in this order */
	unsigned n_addresses;                          /* at least one */
	uint8_t coordinator[PM_KEY_BYTES];             /* its public key */
	bool enrol;        /* our key is new there; forgotten once it is known */
	uint32_t dial_ms;  /* for each address; 0: 5 s */
	uint32_t renew_ms; /* when a session is made anew, give or take a fifth; 0: 24 h */
	/* No session came about, or it ended: when it is tried again.  NULL: nobody asks. */
	void (*trouble)(void *arg, const struct pm_error *why, uint64_t wait_ms);
};

/*
 * net        borrowed; outlives the uplink
 * handlers   borrowed, with arg, until pm_uplink_close() returns; `closed` is called for each
 *            session and the uplink goes on all the same.  A renewed session comes up()
 *            before the one whose place it takes is closed(), unless the coordinator ends that
 *            one first
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int pm_uplink_create(struct pm_net *net, uv_loop_t *loop,
                                   const struct pm_uplink_config *config,
                                   const struct pm_link_handlers *handlers, void *arg,
                                   struct pm_uplink **out, struct pm_error *err);
void pm_uplink_start(struct pm_uplink *u); /* dials at once; again: does not wait any longer */
/* Close at once, without closed().  Not from a handler.  NULL is fine. */
void pm_uplink_close(struct pm_uplink *u);

struct pm_link *pm_uplink_link(const struct pm_uplink *u); /* borrowed; NULL: none at the moment */
unsigned
pm_uplink_address(const struct pm_uplink *u); /* in use or tried next: its place in the config */

#endif
