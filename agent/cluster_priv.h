/* cluster_priv.h - what the files of cluster.h share. */
#ifndef PM_AGENT_CLUSTER_PRIV_H
#define PM_AGENT_CLUSTER_PRIV_H

#include "agent/cluster.h"

/* A queue that is looked at again. */
struct late {
	uv_timer_t timer; /* owned */
	struct late *next;
	struct cluster *cluster; /* borrowed; NULL when that has gone */
	uint32_t seat;
	unsigned generation, n;
};

struct cluster {
	struct app *app;           /* borrowed */
	uv_timer_t prune;          /* owned */
	struct sockets *sockets;   /* owned; NULL: nothing is listened on */
	struct node_shared shared; /* owned */
	struct late *late;
	size_t next_worker;    /* whose turn it is to be handed a connection */
	struct parked *parked; /* owned; oldest first */
	size_t n_parked;
};

/* A connection that was accepted, and that nobody is there to take. */
struct parked {
	struct parked *next;
	struct socket_key key;
	int fd; /* owned */
};

/* cluster.c: one more than the highest seat in use. */
uint32_t cluster_seats(const struct app *app);

/* cluster_queues.c */
void cluster_give_parked(struct cluster *c); /* to whoever can take them now */
void cluster_close_parked(struct cluster *c);
void cluster_close_late(struct cluster *c);

#endif
