/*
 * store.h - what a coordinator knows and must not forget: typed operations, each one transaction.
 *
 * The interface is asynchronous, so that a back end may be a file or a server: an operation is
 * submitted on the loop's thread and answered there, later, by its callback.  Callers never see
 * SQL.  Writes are done in the order in which they were submitted; a read sees every write whose
 * answer has come.  A read that must be part of a change is part of that change's operation here.
 *
 * When the disk is full or the file is damaged the store goes on reading and refuses writes with
 * STORE_UNAVAILABLE: agents live without it.
 */
#ifndef PM_COORDINATOR_STORE_H
#define PM_COORDINATOR_STORE_H

#include <uv.h>

#include "coordinator/store_types.h"
#include "proto/error.h"

struct fleet_store;

enum store_status {
	STORE_OK,
	STORE_NOT_FOUND,
	STORE_CONFLICT,    /* somebody was there before: another revision, a name or key in use */
	STORE_UNAVAILABLE, /* nothing was changed, for no fault of the request */
};

/* What an operation came to. All of it is valid during the callback only. */
struct store_result {
	enum store_status status;
	const char *why;   /* in words, unless STORE_OK */
	uint64_t revision; /* what the operation's comment says; else 0 */
	uint64_t number;   /* the same */
	size_t n;          /* rows */
	union {
		const void *rows;
		const struct store_identity *identity;
		const struct store_agent *agents;
		const struct store_operator *operators;
		const struct store_key_row *keys;
		const struct store_binding *bindings;
		const struct store_token *tokens;
		const struct store_group *groups;
		const struct store_spec *specs;
		const struct store_desired *desired;
		const struct store_command *commands;
		const struct store_outcome *outcomes;
		const struct store_rollout *rollouts;
		const struct store_step *steps;
		const struct store_lock *locks;
		const struct store_audit *audit;
		const struct store_meta *meta;
	};
};

typedef void store_fn(void *arg, const struct store_result *r);

/* How the store is; the words are valid during the call. */
enum store_mode {
	STORE_MODE_OK,
	STORE_MODE_READ_ONLY, /* the disk is full or does not write: it goes on when that ends */
	STORE_MODE_DAMAGED,   /* the file is not sound: for an operator to see to */
};
typedef void store_mode_fn(void *arg, enum store_mode mode, const char *why);

/* The operations.  What each takes is the member of struct store_request that is named behind it;
 * lists answer with rows of their kind, in the order of their name or number. */
enum store_op {
	/* Reads. */
	STORE_GET_META,       /* meta: one row */
	STORE_FIND_KEY,       /* key: whose it is, one row of identity, or STORE_NOT_FOUND */
	STORE_LIST_AGENTS,    /* all */
	STORE_LIST_OPERATORS, /* all */
	STORE_LIST_KEYS,      /* id: of an agent or operator; zeros: all */
	STORE_LIST_BINDINGS,  /* all */
	STORE_LIST_TOKENS,    /* all, without their secrets */
	STORE_LIST_GROUPS,    /* all */
	STORE_LIST_SPECS,     /* page.name: an app's, newest first; "": the newest of every app */
	STORE_LIST_DESIRED,   /* page.after: what changed behind that revision, in its order */
	STORE_LIST_COMMANDS,  /* id: that one; zeros: those that have not ended, oldest first */
	STORE_LIST_OUTCOMES,  /* id: of a command */
	STORE_LIST_ROLLOUTS,  /* id: that one; zeros: those that have not ended, oldest first */
	STORE_LIST_ENDED,     /* page.most rollouts that have ended, the newest first */
	STORE_LIST_STEPS,     /* id: of a rollout */
	STORE_LIST_LOCKS,     /* all */
	STORE_LIST_AUDIT,     /* page.after: entries behind that number */
	STORE_BACKUP,         /* page.name: a new file; a copy of one moment, while work goes on */

	/* Writes. */
	STORE_AUDIT,        /* nothing but the request's audit entry */
	STORE_ENROL,        /* enrol: takes a token and adds its owner, or neither; one identity.
	                       NOT_FOUND: no such token, spent, expired or not for that name;
	                       CONFLICT: the key or the name is in use */
	STORE_ADD_AGENT,    /* agent_key: one that waits to be accepted (state AGENT_PENDING) */
	STORE_SET_AGENT,    /* set_agent */
	STORE_DROP_AGENT,   /* id: with its keys, desired state and locks */
	STORE_SEEN,         /* seen: when agents were last heard of; unknown ones are passed over */
	STORE_SET_OPERATOR, /* set_operator: revoking one revokes its keys */
	STORE_ADD_KEY,      /* add_key: a further key of the same owner.  CONFLICT: it is in use */
	STORE_SET_KEY,      /* set_key; revoking one revokes what it has announced */
	STORE_NEXT_KEY,     /* next_key: announced by the holder of the present, active one, in the
	                       place of one that was announced before and never used; the same again
	                       changes nothing.  revision: when the present one ends.  NOT_FOUND: the
	                       present one is not active; CONFLICT: the next one is in use */
	STORE_USE_KEY,      /* key: a next one becomes active, and what its owner had is retired.
	                       NOT_FOUND: it is no next one */
	STORE_PUT_BINDING,  /* binding: id 0 makes one; revision: its id */
	STORE_DROP_BINDING, /* number: its id */
	STORE_ADD_TOKEN,    /* token */
	STORE_DROP_TOKEN,   /* token_id */
	STORE_PUT_GROUP,    /* group: replaces one of that name */
	STORE_DROP_GROUP,   /* page.name */
	STORE_PUT_SPEC,    /* spec: generation is the one it follows, 0 for a new app; CONFLICT when
	                      there is a newer one.  revision: its generation */
	STORE_PUT_DESIRED, /* desired: all or none; revision of each is the one it replaces, 0:
	                      none. revision: that of all rows written */
	STORE_OPEN_COMMAND, /* open_command: with its targets, before anything is sent.
	                       revision: its number, counted up for ever */
	STORE_PUT_OUTCOMES, /* outcomes: of some targets; and the command's state, if given */
	STORE_PUT_ROLLOUT,  /* put_rollout: compare-and-set, of its revision and of the locks that
	                       it has; revision: the new one; number: that of the commands which
	                       are sent now, 0: none is */
	STORE_COUNT,        /* count: a command is about to be sent.  number: its number, counted up
	                       for ever */
	STORE_BEGIN_SESSION, /* session: revision: its generation, counted up for ever */
	STORE_END_SESSION,   /* session: CONFLICT when a newer one has begun */
	STORE_LOCK,   /* lock: all names or none, taken or renewed; CONFLICT: one row of locks,
	                 who has it.  revision: the fencing number */
	STORE_RENEW,  /* renew: all locks of one holder.  revision: how many it has */
	STORE_UNLOCK, /* id: everything that this holder has */
	STORE_RAISE_COUNTER, /* raise: an agent has seen more of us: an old backup was put back, and
	                        an operator decided to go on from here */
	STORE_PRUNE, /* number: calendar ms; ended commands, rollouts and tokens before it go.
	                revision: how many rows */
	STORE_OPS
};

struct store_page {
	const char *name;
	uint64_t after;
	uint32_t most; /* rows; 0: PM_STORE_ROWS_MAX */
};

struct store_request {
	enum store_op op;
	int64_t now_ms; /* calendar time of the request, for what is stamped or expires */
	union {
		struct store_page page;
		struct store_id id;
		struct store_key key;
		uint64_t number;
		struct store_token_id token_id;
		struct store_enrol enrol;
		struct store_enrol agent_key; /* token unused */
		struct store_set_agent set_agent;
		struct store_seen_list seen;
		struct store_set_operator set_operator;
		struct store_key_row add_key, set_key;
		struct store_next_key next_key;
		struct store_binding binding;
		struct store_token token;
		struct store_group group;
		struct store_spec spec;
		struct store_desired_list desired;
		struct store_open_command open_command;
		struct store_count count;
		struct store_raise raise;
		struct store_outcome_list outcomes;
		struct store_put_rollout put_rollout;
		struct store_session session;
		struct store_take_lock lock;
		struct store_renew renew;
	};
	/* Appended to the audit log in the same transaction, when the operation is STORE_OK; NULL:
	 * none.  Not for reads. */
	const struct audit_entry *audit;
};

/*
 * Submit an operation; everything in the request is copied.
 *
 * fn         called once, on the loop's thread and never from within this call; not after
 *            fleet_store_close()
 * errors     PM_LIMIT (PM_STORE_QUEUE_MAX wait already), PM_NO_MEMORY; then fn is not called
 */
PM_MUST_CHECK int fleet_store_submit(struct fleet_store *s, const struct store_request *request,
                                     store_fn *fn, void *arg, struct pm_error *err);

struct store_options {
	const char *dir;        /* of the files; made, 0700, if need be */
	store_mode_fn *on_mode; /* called when the mode changes; NULL: nobody is told */
	void *arg;
};

/*
 * Open a store in files (SQLite): blocking, for before the loop runs. An older schema is brought
 * up to date, after a copy to store.db.before-N.
 *
 * loop       borrowed; outlives the store
 * ownership  *out is the caller's until fleet_store_close()
 * errors     PM_LOCKED (another coordinator has it open), PM_UNSUPPORTED (written by a newer
 *            version), PM_CORRUPT, PM_NO_MEMORY, PM_NO_SPACE, the system's
 */
PM_MUST_CHECK int fleet_store_open_sqlite(uv_loop_t *loop, const struct store_options *options,
                                          struct fleet_store **out, struct pm_error *err);

/*
 * Finish what was submitted, without calling anybody back, and close.  Waits for the disk; memory
 * goes when the loop has closed its handle.  NULL is fine.
 */
void fleet_store_close(struct fleet_store *s);

#endif
