/* uplink.h - the dialling side of a fleet: one session with a coordinator, and again if it ends.
 *
 * About once a day the session is made anew with fresh keys, so that whoever stole those of one day
 * does not read the next: a second session is dialled, and the first is left once it is up.  That
 * waits until the session is idle, but not for ever.
 *
 * While a key is replaced (S-06) there are two of it, our own or the coordinator's, and either may
 * be the one that is good: where a handshake comes to nothing with one pair the others are tried.
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
	/* Borrowed while the uplink lives, and tried after the others; NULL: none. */
	const struct pm_key *other_key;
	const uint8_t *other_coordinator; /* copied */
	bool enrol;                       /* our key is new there; forgotten once it is known */
	uint32_t dial_ms;                 /* for each address; 0: 5 s */
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

/*
 * The keys of sessions that are dialled from now on, the first of each before the other;
 * our own are borrowed while the uplink lives.  An `other` NULL: there is none.
 */
void pm_uplink_set_own(struct pm_uplink *u, const struct pm_key *key, const struct pm_key *other);
void pm_uplink_set_coordinator(struct pm_uplink *u, const uint8_t *key, const uint8_t *other);
/* Make the session anew as soon as that loses nothing. */
void pm_uplink_renew(struct pm_uplink *u);

struct pm_link *pm_uplink_link(const struct pm_uplink *u); /* borrowed; NULL: none at the moment */
unsigned
pm_uplink_address(const struct pm_uplink *u); /* in use or tried next: its place in the config */

#endif
