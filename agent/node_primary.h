/*
 * node_primary.h - the primary's side of node's cluster protocol, for one worker.
 *
 * An unmodified program that runs under `cluster` asks its primary for each socket it wants to
 * listen on; it gets ours and accepts on it itself, so no connection passes through here. One
 * descriptor is under way at a time: node takes the next only after it has acknowledged the last.
 */
#ifndef PM_AGENT_NODE_PRIMARY_H
#define PM_AGENT_NODE_PRIMARY_H

#include <stdbool.h>

#include "agent/ipc.h"
#include "agent/sockets.h"
#include "proto/error.h"

/* What all workers of an app share beside its sockets: the data that the first one sent with each
 * address (TLS ticket keys). Zero is empty. */
struct node_shared {
	struct node_shared_data *list; /* owned */
	size_t n;
};
void node_shared_finish(struct node_shared *shared);

struct node_primary;

struct node_primary_hooks {
	void *arg;
	void (*online)(void *arg);
	/* It listens: "127.0.0.1:8080", a path, or "*:8080". */
	void (*listening)(void *arg, const char *address);
	/* It has closed one of them. */
	void (*closed)(void *arg);
	/* It takes no connections from a common socket any more, by our wish or its own. */
	void (*left)(void *arg);
	/* It wants to listen and cannot: what was said to it. */
	void (*refused)(void *arg, const char *address, const char *why);
	/* A message that is the app's own. */
	void (*message)(void *arg, const char *line, size_t len);
};

/*
 * ipc, sockets, shared  borrowed until node_primary_destroy()
 * errors                PM_NO_MEMORY
 */
PM_MUST_CHECK int node_primary_create(struct ipc *ipc, struct sockets *sockets,
                                      struct node_shared *shared, uint32_t seat,
                                      unsigned generation, const struct node_primary_hooks *hooks,
                                      struct node_primary **out, struct pm_error *err);
void node_primary_destroy(struct node_primary *p); /* NULL is fine */

/* A message from the worker; hostile input. Hooks are called from here. */
void node_primary_on_line(struct node_primary *p, const char *line, size_t len);

/* May more connections be handed to it? What is not waits where it is for somebody else. */
bool node_primary_has_room(const struct node_primary *p);
/* Hand it a connection (duplicated here) that was accepted on the socket of a key, as node's own
 * primary does when it deals them out. false: it cannot be told. */
bool node_primary_give(struct node_primary *p, const struct socket_key *key, int fd);
/* Of these, how many it has not acknowledged; 0 when it cannot any more. */
unsigned node_primary_n_given(const struct node_primary *p);
/* It has died: one of these, which it cannot have begun to answer (node acknowledges first). fd is
 * the caller's. false: none is left. */
bool node_primary_take_back(struct node_primary *p, struct socket_key *key, int *fd);

/*
 * It is to take connections from the common sockets (sockets.h) as well, on all addresses that it
 * listens on; or no longer. What we have preloaded into it (preload.h) does so, where it can;
 * without it nothing happens. To be repeated when it listens on more; costs nothing when all was
 * said.
 */
void node_primary_join(struct node_primary *p);
void node_primary_leave(struct node_primary *p);

/* Tell what we have preloaded into it that no connection is to be kept for further
 * requests; without it nothing happens. false: it cannot be told. */
bool node_primary_drain(struct node_primary *p);

/*
 * Node's graceful way out: it closes its servers, waits for their connections, leaves.
 *
 * No descriptor follows, and what it still asks for is not answered, as node's own primary does
 * (queryServer() of lib/internal/cluster/primary.js): one that comes when the worker has closed its
 * channel ends it with ERR_INTERNAL_ASSERTION. What is queued is dropped: wait for
 * node_primary_n_given() to be 0 first.
 *
 * returns  false when it cannot be told
 */
bool node_primary_disconnect(struct node_primary *p);
/* A former supervisor has told it so. */
void node_primary_is_leaving(struct node_primary *p);

/* Addresses it listens on now. */
unsigned node_primary_n_listening(const struct node_primary *p);

#endif
