/* registry.h - the agents of the fleet as the coordinator has them at hand: known, live, targeted.
 * Pure.
 *
 * It holds what the store has, plus what only the sessions tell.  Nothing here asks the store or
 * the network: its owner feeds it with their answers and carries out what it says.
 */
#ifndef PM_COORDINATOR_REGISTRY_H
#define PM_COORDINATOR_REGISTRY_H

#include "coordinator/admit.h"
#include "coordinator/detector.h"
#include "coordinator/store_types.h"
#include "proto/targets.h"

struct registry;

/* One agent; only the registry writes it. */
struct member {
	struct store_id id;
	char *name, *note; /* owned */
	enum agent_state state;
	bool drained;
	struct pm_labels labels, claimed, facts;
	uint64_t epoch;
	struct liveness peer;
	struct admit_history history;
	int64_t last_seen_ms; /* calendar */
	bool unflushed;       /* last_seen_ms is newer than the store's */
	void *session;        /* the owner's; NULL: none */
};

PM_MUST_CHECK int registry_create(struct registry **out, struct pm_error *err);
void registry_destroy(struct registry *r); /* NULL is fine */

/*
 * Take a row of the store: a new agent, or a known one that has changed.
 *
 * errors     PM_LIMIT (PM_HOSTS_MAX), PM_NO_MEMORY, PM_CORRUPT (labels that are none): the agent is
 *            as it was
 */
PM_MUST_CHECK int registry_put(struct registry *r, const struct store_agent *row,
                               struct pm_error *err);
void registry_drop(struct registry *r, const struct store_id *id);

size_t registry_count(const struct registry *r);
/* Sorted by name; valid until the next put or drop. */
struct member *registry_at(const struct registry *r, size_t i);
struct member *registry_find(const struct registry *r, const struct store_id *id);
struct member *registry_named(const struct registry *r, const char *name);

/* Whether an agent may be commanded now; otherwise why not, for the account. */
bool registry_may_command(const struct member *m, const char **why);

/*
 * An agent wants a session: decide, and for ADMIT_CLONE put both into quarantine here (the owner
 * stores it).  The session itself begins with registry_begin(), when the store has its generation.
 */
void registry_admit(struct registry *r, struct member *m, uint64_t counter, uint64_t now_ms,
                    const struct admit_hello *hello, struct admit_verdict *out);

/* The session has begun; returns the one that it replaces, for the owner to end; NULL: none. */
void *registry_begin(struct member *m, void *session, uint64_t generation, uint64_t now_ms);
/* A record came in the session of that generation; true: its class has changed.  A late one of an
 * earlier session changes nothing. */
bool registry_heard(struct member *m, uint64_t generation, uint64_t now_ms, int64_t wall_ms);
/* The session has ended; one that was replaced before changes nothing. */
void registry_ended(struct member *m, const void *session, uint64_t now_ms);

/* Look for the silent: see detector.h. */
struct detector_sum registry_sweep(struct registry *r, uint64_t now_ms,
                                   void (*fn)(void *arg, struct member *m, enum peer_class before),
                                   void *arg);

/*
 * Collect at most `max` last-seen times that the store does not have yet; once a minute is often
 * enough (TRANSPORT 5.2).  returns how many; they count as stored.
 */
size_t registry_take_seen(struct registry *r, struct store_seen *out, size_t max);

/*
 * The accepted agents to choose targets from; their index in it is that of the fleet's hosts, and
 * registry_target() gives the member of one.  Facts are host.*; what is of apps is the owner's to
 * add.
 *
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int registry_fleet(struct registry *r, struct targets_fleet *out,
                                 struct pm_error *err);
struct member *registry_target(const struct registry *r, size_t i);

#endif
