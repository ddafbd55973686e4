/* admit.h - whether an authenticated agent is the one we know: clones, old stores, replacement.
 * Pure.
 *
 * An agent is its key.  When two machines use one key (a cloned image, X-33), each takes the
 * other's session away, for ever.  Three signs are certain: a process of the agent is back that
 * another one has followed; two machines are there at once; or the agent does not know of a session
 * that this key has confirmed - it stores a session's generation before it confirms it.  Machine
 * ids and boot ids alone say little: clones share the first, and a memory snapshot both.
 */
#ifndef PM_COORDINATOR_ADMIT_H
#define PM_COORDINATOR_ADMIT_H

#include <stdbool.h>

#include "coordinator/store_types.h"

#define ADMIT_RUNS        8
#define ADMIT_ADDRESS_MAX 64

struct admit_hello {
	uint8_t machine[16];
	uint8_t run[16]; /* of the agent's process: see admit_run() */
	uint64_t epoch;  /* generation of the last session that it has stored; 0: it has had none */
	uint64_t counter; /* of the last command that it has seen */
	char address[ADMIT_ADDRESS_MAX];
};

/*
 * Which life of which agent it is: its kernel's boot id, and its starts as it counts them on its
 * disk.  Two copies of an agent may share the kernel, where they are containers, but not what each
 * of them counts.
 */
void admit_run(const uint8_t boot[16], uint64_t starts, uint8_t out[16]);

/* What is remembered of an agent's sessions; zeroed: nothing yet. */
struct admit_history {
	struct admit_hello last;
	uint8_t runs[ADMIT_RUNS][16]; /* the newest first */
	unsigned n_runs;
	uint64_t confirmed;            /* generation of the last session that it has confirmed */
	char clone[ADMIT_ADDRESS_MAX]; /* of the other one, once found */
};

enum admit {
	ADMIT,             /* a session; one that it had before ends */
	ADMIT_QUARANTINED, /* a session in which nothing is commanded: quarantined before */
	ADMIT_CLONE,       /* as quarantined, and it was found just now: raise the alarm */
	ADMIT_STORE_OLD,   /* a session without commands: it knows more of us than we do */
	ADMIT_REFUSED,     /* no session */
};

struct admit_verdict {
	enum admit admit;
	char why[200]; /* with both addresses; "" for ADMIT */
};

/*
 * Decide on a session and remember it.
 *
 * state      of the agent, as stored
 * epoch      generation of its last session, as stored
 * counter    commands ever opened, as stored
 * live       the agent has a session that was heard of lately
 */
void admit_decide(struct admit_history *h, enum agent_state state, uint64_t epoch, uint64_t counter,
                  bool live, const struct admit_hello *hello, struct admit_verdict *out);

/* The agent has said that it has stored the generation of its session. */
void admit_confirm(struct admit_history *h, uint64_t generation);

/* An operator has seen to it: the clone was given a key of its own. */
void admit_release(struct admit_history *h);

#endif
