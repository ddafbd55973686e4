/* hub.h - the listening side of a fleet: everybody who dials in, from the door to the session.
 *
 * What a peer may cost before it has shown who it is: one connection of PM_PREAUTH_MAX, one read
 * buffer, its deadline, and one handshake of PM_HANDSHAKES_PER_S.  At a limit the oldest goes.
 */
#ifndef PM_PROTO_HUB_H
#define PM_PROTO_HUB_H

#include "proto/address.h"
#include "proto/conn.h"
#include "proto/gate.h"
#include "proto/link.h"

struct pm_hub;

struct pm_hub_config {
	struct pm_link_config link;
	struct pm_gate_limits gate; /* zero stands for the limits of proto/limits.h */
};

/*
 * net        borrowed; outlives the hub
 * handlers   borrowed, with arg, until pm_hub_close() returns
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int pm_hub_create(struct pm_net *net, uv_loop_t *loop,
                                const struct pm_hub_config *config,
                                const struct pm_link_handlers *handlers, void *arg,
                                struct pm_hub **out, struct pm_error *err);

/*
 * Listen at one more numeric address; port 0: any.
 *
 * port       where it listens; may be NULL
 * errors     PM_LIMIT (PM_ADDRESSES_MAX), those of pm_listener_create()
 */
PM_MUST_CHECK int pm_hub_listen(struct pm_hub *h, const struct sockaddr *at, uint16_t *port,
                                struct pm_error *err);

/* Say Goodbye to all and take no more; what is queued is sent while the loop runs. */
void pm_hub_goodbye(struct pm_hub *h, const char *reason, uint32_t retry_after_ms);
/* Close all at once, without closed().  Not from a handler.  NULL is fine. */
void pm_hub_close(struct pm_hub *h);

/* Every link there is; fn may close it (pm_link_close()). */
void pm_hub_each(struct pm_hub *h, void (*fn)(void *arg, struct pm_link *l), void *arg);

/* Where a link's peer is.  false: not known any more. */
bool pm_hub_peer(const struct pm_link *l, struct sockaddr_storage *out);

struct pm_hub_stats {
	unsigned n_links, n_at_door; /* now; all, and those that have proved nothing */
	uint64_t n_accepted, n_evicted, n_refused; /* refused: no room at all */
	uint64_t n_handshakes, n_delayed;          /* delayed: had to wait for its turn */
};
void pm_hub_stats(const struct pm_hub *h, struct pm_hub_stats *out);

/* See pm_link_host_set_keys(). */
void pm_hub_set_keys(struct pm_hub *h, const struct pm_key *key, const struct pm_key *other);

#endif
