/*
 * cluster.h - an app whose instances share its listening sockets: who gets which socket, and which
 * of them new connections go to.
 *
 * An instance sits on the seat of its number, in one of two generations (sockets.h): a successor is
 * started in the other one, beside the worker that it replaces. The sockets are made when the first
 * worker asks, and closed when no instance of the app runs or is to run.
 */
#ifndef PM_AGENT_CLUSTER_H
#define PM_AGENT_CLUSTER_H

#include "agent/instance.h"
#include "agent/listen_fds.h"
#include "agent/node_primary.h"
#include "agent/sockets.h"

struct cluster;

/* How a worker comes to sockets that it did not declare. */
enum cluster_way {
	CLUSTER_NOT,  /* it shares none, or only those of its `listen` key */
	CLUSTER_NODE, /* node's own cluster protocol, over its message channel */
	CLUSTER_SHIM, /* a preloaded library */
};

enum cluster_way cluster_way(const Pm__AppSpec *spec);
/* Does it come to node by way of something else (npm start)? Node's channel ends there, and it is
 * told to drain by a signal. */
bool cluster_launches_node(const Pm__AppSpec *spec);
/* Whether two generations of an instance can serve side by side. */
bool cluster_can_share(const Pm__AppSpec *spec);

/* What one process is to get. */
struct cluster_seat {
	struct sockets *sockets; /* borrowed from the app */
	struct node_shared *shared;
	uint32_t number;
	unsigned generation;
	enum cluster_way way;
	struct listen_fds listen;
	int listen_fds[PM_LISTEN_MAX]; /* borrowed from the sockets */
};

/*
 * Make the seat of an instance ready for its next process, with the sockets that were declared.
 *
 * errors  PM_CONFIG, PM_LIMIT, PM_NO_MEMORY, PM_FAILED (an address is taken), PM_DENIED
 */
PM_MUST_CHECK int cluster_take_seat(struct instance *inst, struct cluster_seat *out,
                                    struct pm_error *err);
/* The seat of a process that is there already. errors: PM_LIMIT, PM_NO_MEMORY */
PM_MUST_CHECK int cluster_find_seat(const struct instance *inst, unsigned generation,
                                    struct cluster_seat *out, struct pm_error *err);

/* Steer to the instance, or away, as its state wants it now. Those that fail their checks get no
 * new connections as long as another one passes. */
void cluster_refresh(const struct instance *inst);
/*
 * Has a program been given an address, so that it, or what it has started, may be listening there
 * unheard? A child that inherits a bound socket, but neither memory nor descriptors of ours, cannot
 * say so (uvicorn --workers).
 */
bool cluster_has_asked(const struct instance *inst);
/* Do its connections go to others, because it is not fit? */
bool cluster_is_spared(const struct instance *inst);
/* Connections that wait for it; established ones that it still answers. */
unsigned cluster_waiting(const struct instance *inst);
PM_MUST_CHECK int cluster_connections(const struct instance *inst, unsigned *n,
                                      struct pm_error *err);

/* Let a connection that is about to be made be this instance's (sockets_aim()). */
enum sockets_aimed cluster_aim(const struct instance *inst, const struct sockaddr *to,
                               const struct sockaddr *from);
void cluster_unaim(const struct instance *inst, const struct sockaddr *from);

/*
 * Hand what waits for a seat and generation that nobody serves to workers that live. Only node's
 * can be handed a connection; what waits for others is left to the next process of that seat and
 * generation.
 */
void cluster_sweep(struct app *app, uint32_t seat, unsigned generation);
/* The same now and a while later: a handshake that had begun may end after the worker has. Either
 * sees to common sockets that nobody takes from, too. */
void cluster_sweep_late(struct app *app, uint32_t seat, unsigned generation);
/* A connection (taken) that a worker was handed, and died before it took it: another one gets it,
 * or the next that is ready. */
void cluster_return(struct app *app, const struct socket_key *key, int fd);

/* A worker may have been the last one that listened on some address. Once all that run have had
 * their listen_timeout to ask for it, and none did, it is given back. */
void cluster_prune_later(struct app *app);

/* Nothing of the app runs or is to run: give its addresses back. Fewer seats, if the highest are
 * free. */
void cluster_rest(struct app *app);

/* ---- a former supervisor's ---- */

/* Keep what the keeper holds until cluster_restored(); false: the name is not ours (fd is the
 * caller's then). */
bool cluster_restore_held(const char *name, int fd);
/* All apps are there: give each its sockets back, and close those of apps that are gone. */
void cluster_restored(struct super *su);
/* Everything that a keeper would have to hold for us, for one that we become. */
typedef void cluster_held_fn(void *arg, const char *name, int fd);
void cluster_each_held(const struct super *su, cluster_held_fn *fn, void *arg);

/* close: nobody listens any more. Else the sockets stay with the keeper. NULL is fine. */
void cluster_destroy(struct cluster *c, bool close);

#endif
