/* coord.h - the coordinator's parts and what they share; not for outsiders: coordinator.h is. */
#ifndef PM_COORDINATOR_COORD_H
#define PM_COORDINATOR_COORD_H

#include "coordinator/gates.h"
#include "coordinator/members.h"
#include "proto/hub.h"
#include "proto/limits.h"

struct coord {
	uv_loop_t *loop;
	char home[PM_PATH_MAX];
	struct pm_key *key; /* owned, as all below */
	struct store_id cluster;
	char cluster_text[MEMBER_ID_TEXT];
	struct fleet_store *store;
	struct pm_net *net;
	struct pm_hub *hub;
	struct forwards *forwards;
	struct rollouts *rollouts;
	struct budgets *budgets;
	struct rotation *rotation;
	struct members members;
	struct gates_config gates;                     /* what its administrator lets them do */
	struct pm_address addresses[PM_ADDRESSES_MAX]; /* for tokens: where agents find us */
	unsigned n_addresses;
	uint32_t heartbeat_ms; /* 0: the default */
	uint64_t n_loading;    /* lists that are still awaited at the start */
	bool load_failed;
	uv_timer_t minute;  /* writes when agents were last heard of, and prunes the store */
	uint64_t pruned_ms; /* when it was pruned, on the monotonic clock */
	bool degraded;      /* the store refuses writes */
};

/* Who an operator's link is: himself, or whoever has the coordinator's own key (local root). */
struct peer {
	struct coord *c; /* borrowed */
	bool is_agent;
	bool local;    /* the machine's own: every right */
	bool offering; /* a next key of its is on the way to the store */
	struct store_id id;
	struct node *node; /* an agent's, from its Hello on; borrowed */
	struct pm_link *link;
};

/* ---- peers.c: sessions ---- */
extern const struct pm_link_handlers peer_handlers; /* arg: struct coord */
/* It is about to be forgotten. */
void peers_forget_node(struct coord *c, struct node *node);
/* Close the sessions of a member, whose key was revoked just now. */
void peers_cut(struct coord *c, const struct store_id *id, const char *why);

/* ---- requests*.c: what operators ask ---- */
void request_fleet(struct coord *c, struct peer *p, uint64_t id, const Pm__FleetRequest *req);
void request_forward(struct coord *c, struct peer *p, uint64_t id, const Pm__Forward *what);
int request_stream(struct coord *c, struct peer *p, struct pm_link_stream *st,
                   const Pm__StreamOpen *open, struct pm_error *err);

void requests_link_gone(struct coord *c, const struct pm_link *l);
/* Forget what is being planned: at the end. */
void rollout_start_close(void);
/* Labels as a message's, which borrow from them; at most `most`. Returns how many. */
size_t coord_labels(const struct pm_labels *labels, Pm__Label *out, Pm__Label **list, size_t most);

/* ---- coordinator.c ---- */
/* Read members anew from the store; fn is called when what was there at this moment is known. */
void coord_when_fresh(struct coord *c, void (*fn)(void *arg), void *arg);
/* What STORE_LIST_GROUPS gave; a failure is logged, and all is as it was. */
void coord_take_groups(struct coord *c, const struct store_result *r);
/* Where a backup of that name goes (""; named by the time); its directory is made. */
PM_MUST_CHECK int coord_backup_path(const char *home, const char *name, char *out, size_t size,
                                    struct pm_error *err);

/* Fill in an actor from a peer; its texts are borrowed from both. */
void peer_actor(const struct peer *p, const char *role, Pm__Actor *out);
const char *peer_name(const struct peer *p);
/* The operator's rights now; for the local one all of them. */
PM_MUST_CHECK int peer_access(const struct peer *p, const struct fleet_view *v, struct access **out,
                              struct pm_error *err);

/* ---- audit ---- */
/* An entry of what a peer did, for a store request's `audit`; texts are borrowed. */
struct audit_entry coord_entry(const char *actor, const char *action, const char *target,
                               const char *detail, const char *outcome);
/* Write one that goes with no change. */
void coord_audit(struct coord *c, const char *actor, const char *action, const char *target,
                 const char *detail, const char *outcome);

#endif
