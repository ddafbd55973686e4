/* store_types.h - the rows and requests of store.h.  Texts are never NULL in rows. */
#ifndef PM_COORDINATOR_STORE_TYPES_H
#define PM_COORDINATOR_STORE_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/audit.h"
#include "proto/base.h"

struct store_id { /* of an agent, operator, command, rollout */
	uint8_t bytes[16];
};

struct store_key { /* a public key */
	uint8_t bytes[32];
};

struct store_token_id {
	uint8_t bytes[8];
};

struct store_hash {
	uint8_t bytes[32];
};

/* Numbers are written to the store: never changed, only added. */
enum agent_state {
	AGENT_UNCHANGED = 0, /* in requests only: as it is */
	AGENT_PENDING = 1,   /* asked to join without a token; an operator decides */
	AGENT_ACCEPTED = 2,
	AGENT_REJECTED = 3,
	AGENT_DENIED = 4,      /* its key is already another's */
	AGENT_QUARANTINED = 5, /* its key is used by two machines: visible, not commanded */
};

enum operator_state {
	OPERATOR_ACTIVE = 1,
	OPERATOR_REVOKED = 2,
};

enum key_state {
	KEY_ACTIVE = 1,
	KEY_NEXT = 2,    /* announced, becomes active with its first handshake */
	KEY_RETIRED = 3, /* replaced: refused */
	KEY_REVOKED = 4, /* taken away: refused */
};

enum member_kind {
	MEMBER_AGENT = 1,
	MEMBER_OPERATOR = 2,
};

struct store_identity {
	enum member_kind kind;
	struct store_id id;
	const char *name;
	enum key_state key_state;
	uint32_t state; /* enum agent_state or operator_state */
};

struct store_agent {
	struct store_id id;
	const char *name;
	enum agent_state state;
	const char *labels;  /* confirmed: "k=v,k2=v2" */
	const char *claimed; /* what the agent says of itself */
	const char *facts;   /* the same form: os=linux,cpus=4 */
	const char *note;    /* why it is drained, rejected, quarantined */
	bool drained;
	uint64_t epoch;   /* generation of its last session */
	uint64_t command; /* number of the last command that it was sent */
	int64_t enrolled_ms, last_seen_ms;
	const char *enrolled_by;
};

struct store_operator {
	struct store_id id;
	const char *name;
	enum operator_state state;
	int64_t enrolled_ms;
	const char *enrolled_by;
};

struct store_key_row {
	struct store_key key;
	enum member_kind kind;
	struct store_id owner;
	enum key_state state;
	int64_t added_ms,
		ended_ms; /* ended_ms of an active key: when its overlap ends; 0: it stays */
};

/* A member replaces its key (S-06): both are good until then, or until the next one is used. */
struct store_next_key {
	struct store_key present, next;
	int64_t until_ms;
};

struct store_binding {
	uint64_t id;
	struct store_id operator_id;
	const char *role;
	const char *targets; /* access_check_binding(); "": every host */
	const char *apps;    /* globs separated by commas; "": every app */
	const char *created_by;
	int64_t created_ms;
};

struct store_token {
	struct store_token_id id;
	struct store_hash secret_hash; /* zeros in lists */
	enum member_kind kind;
	const char *name_pattern; /* a glob; "": any name; an operator gets it as the name */
	const char *labels;       /* an agent's, confirmed by the token */
	const char *role;         /* an operator's, for every host and app */
	uint32_t uses_left;
	int64_t expires_ms; /* 0: never */
	const char *created_by;
	int64_t created_ms, used_ms; /* used_ms 0: not yet */
	const char *used_by;         /* the last; "": nobody yet; not read when one is added */
};

struct store_enrol {
	struct store_token_id token;
	struct store_hash secret_hash;
	enum member_kind kind; /* what it wants to be: a token is for one kind */
	struct store_id id;    /* of the new member */
	struct store_key key;
	const char *name;
	const char *claimed, *facts;
};

struct store_set_agent {
	struct store_id id;
	enum agent_state state;
	/* NULL: as it is. */
	const char *name, *labels, *claimed, *facts, *note;
	int drained; /* -1: as it is */
};

struct store_seen {
	struct store_id agent;
	int64_t last_seen_ms;
};

struct store_seen_list {
	const struct store_seen *list;
	size_t n;
};

struct store_set_operator {
	struct store_id id;
	enum operator_state state;
};

struct store_group {
	const char *name;
	const char *form; /* "hosts", "label" or "where" */
	const char *text;
};

struct store_spec {
	const char *app;
	uint64_t generation;
	const uint8_t *content; /* borrowed */
	size_t content_len;
	struct store_hash hash;
	const char *author;
	int64_t created_ms;
};

struct store_desired {
	struct store_id agent;
	const char *app;
	uint64_t generation;
	const char *wanted; /* "running", "stopped", "absent" */
	uint64_t revision;
};

struct store_desired_list {
	const struct store_desired *list;
	size_t n;
};

struct store_command {
	struct store_id id;
	uint64_t number;
	struct store_id operator_id;
	const char *kind;     /* "app.reload" */
	const char *args;     /* packed by the caller as text */
	const char *selector; /* as it was typed */
	const char *state;    /* "open", "done" */
	int64_t created_ms, deadline_ms;
};

struct store_outcome {
	struct store_id agent;
	const char *state; /* ops.h */
	uint32_t code;
	const char *text;
	int64_t at_ms;
};

struct store_open_command {
	struct store_command command; /* number and state are set by the store */
	const struct store_id *targets;
	size_t n_targets;
};

/* A command is about to be sent to these. */
struct store_count {
	const struct store_id *agents;
	size_t n;
};

/* What an agent has seen of us. */
struct store_raise {
	struct store_id agent;
	uint64_t epoch, command;
};

struct store_outcome_list {
	struct store_id command;
	const struct store_outcome *list;
	size_t n;
	const char *state; /* of the command; NULL: as it is */
};

struct store_rollout {
	struct store_id id;
	const char *app;
	const char *state;
	bool ended;
	const uint8_t *plan; /* borrowed; what the rollout module made */
	size_t plan_len;     /* 0 in a change: as it is */
	uint64_t revision;
	int64_t created_ms, changed_ms;
};

struct store_step {
	struct store_id agent;
	struct store_id token; /* what the agent knows the step by */
	uint32_t batch;
	const char *state;
	bool sent;           /* its command is, when this is on the disk: it is counted */
	const uint8_t *info; /* borrowed; what the rollout module made */
	size_t info_len;
};

struct store_put_rollout {
	struct store_rollout rollout;   /* revision: the one it replaces; 0: a new one */
	const struct store_step *steps; /* those that change */
	size_t n_steps;
	uint64_t n_locks; /* so many locks it must have, else CONFLICT */
};

/* A lease goes on. */
struct store_renew {
	struct store_id holder;
	uint32_t ttl_ms;
};

struct store_session {
	struct store_id agent;
	const char *coordinator; /* which of several has the session */
	uint64_t generation;     /* STORE_END_SESSION */
};

struct store_lock {
	const char *name; /* "HOST/APP" */
	struct store_id holder;
	const char *who, *what;
	int64_t since_ms, expires_ms;
	uint64_t number;
};

struct store_take_lock {
	const char *const *names;
	size_t n_names;
	struct store_id holder;
	const char *who, *what;
	uint32_t ttl_ms;
	bool steal; /* from whoever has it: an audited act */
};

struct store_audit {
	struct audit_entry entry;
	struct audit_head head; /* behind it */
};

struct store_meta {
	uint32_t schema;
	struct store_id cluster;
	uint64_t revision;    /* of the desired state */
	uint64_t counter;     /* commands ever opened */
	uint64_t audit_first; /* oldest entry that is kept; 0: none */
	struct audit_head audit;
};

#endif
