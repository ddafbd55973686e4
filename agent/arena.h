/*
 * arena.h - what a supervisor knows of its instances, in memory that outlives it.
 *
 * One memfd, mapped by the supervisor and held by the keeper. A record per instance: its core is
 * kept twice and committed by one store, so that a supervisor killed at any instruction leaves the
 * state before or after a step, never half of one. What belongs to one process (log capture) lies
 * in the record of its keeper slot. The layout is this version's: fields are only added at the end,
 * into space that older versions left zero.
 */
#ifndef PM_AGENT_ARENA_H
#define PM_AGENT_ARENA_H

#include <stdatomic.h>
#include <stdbool.h>

#include "agent/life.h"
#include "agent/logs.h"
#include "agent/restart.h"
#include "agent/spec_hash.h"
#include "proto/limits.h"

#define ARENA_VERSION 1u
#define SLOT_NONE     UINT32_MAX

/* Why a process was ended or started; its word is in exit records and `why`. */
#define CAUSES(X)                       \
	X(CAUSE_NONE, "")               \
	X(CAUSE_CRASH, "exit")          \
	X(CAUSE_START, "start")         \
	X(CAUSE_STOP, "stop")           \
	X(CAUSE_RESTART, "restart")     \
	X(CAUSE_RELOAD, "reload")       \
	X(CAUSE_DELETE, "delete")       \
	X(CAUSE_SCALE, "scale")         \
	X(CAUSE_MEMORY, "memory limit") \
	X(CAUSE_CRON, "cron")           \
	X(CAUSE_WATCH, "watch")         \
	X(CAUSE_RESURRECT, "resurrect") \
	X(CAUSE_SHUTDOWN, "agent stop") \
	X(CAUSE_LIVE, "liveness check") \
	X(CAUSE_WATCHDOG, "watchdog")

enum cause {
#define CAUSE_ENUM(c, word) c,
	CAUSES(CAUSE_ENUM)
#undef CAUSE_ENUM
};
const char *cause_word(enum cause cause);

/* What an instance is to its app. The hidden ones are beside the one that has their pm_id. */
enum inst_role {
	ROLE_NORMAL,
	ROLE_SUCCESSOR, /* hidden: starts, and takes the place of the other when it has proved
	                   itself */
	ROLE_RETIREE,   /* hidden: finishes what it has, and goes */
};

/* What a run has said of itself. */
#define SAID_LISTENING 1u
#define SAID_READY     2u
#define SAID_STOPPING  4u
#define SAID_GIVEN     16u /* it runs with the sockets of `listen`, and says nothing of them */
/* What its readiness check says of it, while it is online. */
#define SAID_UNFIT 8u

struct inst_exit {
	int64_t wall_ms;
	uint64_t run_ms;
	int32_t pid;
	int32_t code, signal;
	uint8_t known, core;
	uint8_t cause; /* enum cause */
	uint8_t pad;
};

/* Everything that one step changes together. Plain data without pointers. */
struct inst_core {
	uint32_t pm_id;
	uint32_t app_serial;
	uint32_t instance; /* NODE_APP_INSTANCE */
	uint32_t slot;     /* of the live process; SLOT_NONE */
	struct life life;
	struct restart restart;
	uint32_t restarts;
	uint32_t n_exits; /* ever; the last PM_EXIT_HISTORY are in the record */
	int64_t created_wall_ms;
	int64_t started_wall_ms;
	uint64_t started_ms;  /* pm_now_ms() of the spawn */
	uint64_t deadline_ms; /* pm_now_ms() when the running delay, readiness or kill time-out ends
	                       */
	uint64_t start_ticks;
	uint64_t tag;
	int32_t pid; /* 0: none */
	uint32_t spawns;
	uint32_t cause;     /* enum cause of the stop or start under way */
	uint32_t watching;  /* bool */
	uint32_t heirs;     /* bool: the main process has gone, its descendants serve on */
	uint32_t order_uid; /* who ordered last */
	char order[32];     /* "restart (pmctl)" */
	char unique_id[40];
	uint32_t role;       /* enum inst_role */
	uint32_t generation; /* which of its seat's two sockets its process has (cluster.h) */
	uint32_t said;       /* SAID_* of this run */
	uint32_t told;       /* bool: a retiree that was asked to finish */
	uint64_t retired_ms; /* pm_now_ms() when it became one; 0: it has not */
	uint32_t spec_no;    /* which of the app's specs it runs with (app.h) */
	struct spec_hash spec_hash; /* of the one that its last process was started with */
	uint32_t awaits; /* enum cause: its turn to be restarted because of that (turns.h) */
	uint8_t reserved[16];
};

struct inst_record {
	atomic_uint used;   /* 0: free */
	atomic_uint active; /* which of the two is the state */
	struct inst_core core[2];
	struct inst_exit exits[PM_EXIT_HISTORY];
	uint8_t reserved[64];
};

struct slot_record {
	struct capture_state out, err;
};

struct arena;

/* Make a new one; *fd is the memfd to have held, borrowed. */
PM_MUST_CHECK int arena_create(struct arena **out, struct pm_error *err);
/* Map a former supervisor's (fd is taken). errors PM_UNSUPPORTED: another version's layout */
PM_MUST_CHECK int arena_open(int fd, struct arena **out, struct pm_error *err);
void arena_close(struct arena *a);
int arena_fd(const struct arena *a);

struct inst_record *arena_inst(struct arena *a, uint32_t index); /* index < PM_SLOTS_MAX */
struct slot_record *arena_slot(struct arena *a, uint32_t slot);
/* A free record, marked used with a zero core, or NULL at the limit. *index is its number. */
struct inst_record *arena_inst_take(struct arena *a, uint32_t *index);
void arena_inst_free(struct arena *a, uint32_t index);

const struct inst_core *inst_core_get(const struct inst_record *r);
void inst_core_commit(struct inst_record *r, const struct inst_core *core);

#endif
