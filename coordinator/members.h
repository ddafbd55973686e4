/*
 * members.h - who belongs to the fleet, as the store has it, in memory: for what cannot wait for a
 * disk, and beside it what is known only while a session lasts.
 */
#ifndef PM_COORDINATOR_MEMBERS_H
#define PM_COORDINATOR_MEMBERS_H

#include "coordinator/admit.h"
#include "coordinator/ask.h"
#include "coordinator/forward.h"
#include "coordinator/store.h"
#include "proto/targets.h"

#define MEMBER_ID_TEXT 33 /* an id in hexadecimal, and NUL */

struct coord;

/* An agent, and its session if it has one. */
struct node {
	struct store_id id;
	char id_text[MEMBER_ID_TEXT];
	char *name; /* owned, as all texts here */
	enum agent_state state;
	char *labels_text, *claimed_text, *facts_text, *note, *enrolled_by;
	struct pm_labels labels, claimed, facts;
	bool drained;
	uint64_t epoch, command; /* of its last session, and the last command that it was sent */
	int64_t enrolled_ms, last_seen_ms;
	bool seen_dirty; /* last_seen_ms is to be written */

	/* of its session */
	struct pm_link *link; /* borrowed; NULL: not connected */
	struct forward_agent forwards;
	struct ask_list asks;
	char address[64];
	bool suspect;
	uint32_t running, failed, load_permille;
	uint64_t revision;
	int64_t clock_offset_ms;
	uint64_t beat_ms, beat_at_ms;  /* what its own clock said, and ours when that came; 0: it
	                                  does not say */
	int64_t connected_ms, gone_ms; /* gone_ms: when its last session ended; 0: it had none */
	struct admit_history history;  /* of its sessions: shows a clone */
	/* It knows more of us than we do: an old store was put back.  Nothing is commanded.
	 */
	bool store_old;
	char store_why[320];
};

struct oper {
	struct store_id id;
	char id_text[MEMBER_ID_TEXT];
	char *name, *enrolled_by;
	enum operator_state state;
	int64_t enrolled_ms, last_seen_ms;
	struct binding *bindings; /* owned */
	size_t n_bindings;
};

struct binding {
	uint64_t id;
	char *role, *targets, *apps;
};

struct fleet_group {
	char *name, *form, *text, *by;
};

struct member_key {
	struct store_key key;
	enum member_kind kind;
	struct store_id owner;
	enum key_state state;
	int64_t ended_ms; /* of an active one: when it ends, as its next one takes over; 0: it stays
	                   */
};

struct members {
	struct node **nodes; /* owned, by targets_host_compare() of their names */
	struct node **by_id; /* the same, borrowed, by their id */
	size_t n_nodes, cap_nodes, cap_by_id;
	struct oper **opers;
	size_t n_opers, cap_opers;
	struct member_key *keys; /* by their bytes */
	size_t n_keys, cap_keys;
	struct fleet_group *groups;
	size_t n_groups;
};

void members_finish(struct members *m);
void member_id_text(const struct store_id *id, char out[MEMBER_ID_TEXT]);

/* From rows of the store; what is there already is replaced. errors: PM_NO_MEMORY */
PM_MUST_CHECK int members_put_node(struct members *m, const struct store_agent *row,
                                   struct node **out, struct pm_error *err);
PM_MUST_CHECK int members_put_oper(struct members *m, const struct store_operator *row,
                                   struct oper **out, struct pm_error *err);
PM_MUST_CHECK int members_put_key(struct members *m, const struct store_key_row *row,
                                  struct pm_error *err);
PM_MUST_CHECK int members_put_binding(struct members *m, const struct store_binding *row,
                                      struct pm_error *err);
PM_MUST_CHECK int members_set_groups(struct members *m, const struct store_group *rows, size_t n,
                                     struct pm_error *err);
void members_drop_node(struct members *m, struct node *node);
void members_drop_binding(struct members *m, uint64_t id);

/* NULL: none. */
const struct member_key *members_key(const struct members *m, const uint8_t *key);
struct node *members_node(const struct members *m, const struct store_id *id);
struct node *members_node_named(const struct members *m, const char *id_or_name);
struct oper *members_oper(const struct members *m, const struct store_id *id);
struct oper *members_oper_named(const struct members *m, const char *id_or_name);
/* Every key of a member, in any state. */
typedef void member_key_fn(void *arg, const struct member_key *key);
/* The same that STORE_NEXT_KEY and STORE_USE_KEY do, where they have been done. */
PM_MUST_CHECK int members_next_key(struct members *m, const struct store_next_key *k,
                                   struct pm_error *err);
void members_use_key(struct members *m, const struct store_key *next);
/* Whether it lets its owner in, at that calendar time. */
bool member_key_is_good(const struct member_key *k, int64_t now_ms);
void members_each_key(const struct members *m, const struct store_id *owner, member_key_fn *fn,
                      void *arg);

/* Whether it may be commanded, connected or not. */
bool node_takes_commands(const struct node *node);
/* What its own clock says now; 0: it does not say. */
void node_take_clock(struct node *node, uint64_t monotonic_ms);
/* What a node is to people now. */
Pm__NodeState node_state(const struct node *node);

/*
 * The nodes that are meant, by their index in m->nodes, and fleet filled in for it (borrowed from m
 * until the next change; fleet_finish() frees what it holds).
 *
 * errors     those of targets_expand()
 */
struct fleet_view {
	struct targets_fleet fleet;
	struct targets_host *hosts; /* owned */
	const struct members *members;
};
PM_MUST_CHECK int fleet_view_make(const struct members *m, struct fleet_view *out,
                                  struct pm_error *err);
void fleet_view_finish(struct fleet_view *v);
PM_MUST_CHECK int members_select(const struct fleet_view *v, const Pm__Selector *selector,
                                 struct targets *out, struct pm_error *err);

/*
 * May he do that on this node and these apps? Evaluated on the expanded list of hosts (F-01).
 *
 * apps       names, ids or namespaces as the command has them; n_apps 0: every app
 */
struct access; /* an operator's bindings, expanded over the fleet as it is now */
PM_MUST_CHECK int access_make(const struct fleet_view *v, const struct oper *oper,
                              struct access **out, struct pm_error *err);
void access_destroy(struct access *a); /* NULL is fine */
bool access_allows(const struct access *a, uint64_t ops, size_t node, char *const *apps,
                   size_t n_apps);
/* The same for some app at least. */
bool access_allows_some(const struct access *a, uint64_t ops, size_t node);
/*
 * The globs of the apps on which he may do it there, for the agent, who knows what a target means
 * where the apps are; "": all of them, or nothing at all.  The caller's; NULL: no memory.
 */
char *access_apps(const struct access *a, uint64_t ops, size_t node);
/*
 * Whether a binding's texts are ones: a SET or labels, and globs.  That nobody is meant yet is
 * fine.
 *
 * errors     PM_USAGE, PM_LIMIT, PM_NO_MEMORY
 */
PM_MUST_CHECK int access_check_binding(const char *targets, const char *apps, struct pm_error *err);
/* The same for what concerns no node. */
bool access_allows_fleet(const struct access *a, uint64_t ops);
/* The name of his highest role on a node, for the agent's policy; "none". */
const char *access_role(const struct access *a, size_t node);

#endif
