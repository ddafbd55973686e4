/* wire.h - a link on its connection: what a hub and an uplink have in common. */
#ifndef PM_PROTO_WIRE_H
#define PM_PROTO_WIRE_H

#include "proto/conn.h"
#include "proto/link.h"

struct pm_wire;

struct pm_wire_owner {
	/* Something came or went. */
	void (*moved)(void *arg, struct pm_wire *w);
	/* The link is over; the owner finishes the wire, now or later. */
	void (*gone)(void *arg, struct pm_wire *w);
	/* The link's owner left work: pm_wire_go_on() is to be called soon, from the loop. */
	void (*poked)(void *arg, struct pm_wire *w);
};

/* Public because its owner embeds it; only wire.c touches it. */
struct pm_wire {
	struct pm_conn *conn;              /* owned */
	struct pm_link *link;              /* owned */
	const struct pm_wire_owner *owner; /* borrowed, with arg */
	void *arg;
	uv_loop_t *loop; /* borrowed */
	bool gone;       /* the owner was told */
};

/* Takes both; reading begins. */
void pm_wire_start(struct pm_wire *w, uv_loop_t *loop, struct pm_conn *conn, struct pm_link *link,
                   const struct pm_wire_owner *owner, void *arg);
/* Not from a handler of its link, but from gone().  A zeroed one is fine. */
void pm_wire_finish(struct pm_wire *w);

void pm_wire_go_on(struct pm_wire *w);     /* timers, and what is to be written */
void pm_wire_take_turn(struct pm_wire *w); /* answer the first frame */
void pm_wire_end(struct pm_wire *w, const struct pm_error *why); /* at once; gone() follows */

#endif
