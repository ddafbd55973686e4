/* ops.h - what can be asked of pmd, who may ask it, and which message asks it.  Pure.
 *
 * The one place that knows: a coordinator's roles, an agent's policy and both audits go by it, and
 * a test walks the descriptors and fails when a message or a verb is not in here (S-03).
 */
#ifndef PM_PROTO_OPS_H
#define PM_PROTO_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/pm.pb-c.h"

/* Each includes those before it. */
enum pm_rank {
	PM_RANK_NONE, /* nobody: an agent's own, a key without a role */
	PM_RANK_VIEWER,
	PM_RANK_LOGS,
	PM_RANK_OPERATOR,
	PM_RANK_DEPLOYER,
	PM_RANK_ADMIN,
	PM_RANK_COUNT
};

enum pm_op {
	/* on an agent, and through a coordinator */
	PM_OP_STATUS,
	PM_OP_LOGS,
	PM_OP_START,
	PM_OP_STOP,
	PM_OP_RESTART,
	PM_OP_RELOAD,
	PM_OP_SCALE,
	PM_OP_RESET,
	PM_OP_SIGNAL,
	PM_OP_REOPEN_LOGS,
	PM_OP_SEND,
	PM_OP_FLUSH,
	PM_OP_DELETE,
	PM_OP_DEFINE,     /* what an app is: its command, user, settings */
	PM_OP_ENV,        /* change the environment of one */
	PM_OP_ENV_REVEAL, /* see the values in it */
	PM_OP_SAVE,
	PM_OP_RESURRECT,
	PM_OP_KILL,
	PM_OP_UPGRADE,
	PM_OP_LOCAL, /* never from afar: fail points, the uplink itself, what nobody has defined */
	/* on a coordinator */
	PM_OP_NODE_VIEW,
	PM_OP_NODE_DRAIN,
	PM_OP_NODE_CHANGE,
	PM_OP_TOKENS,
	PM_OP_OPERATORS,
	PM_OP_GROUP_VIEW,
	PM_OP_GROUP_CHANGE,
	PM_OP_AUDIT,
	PM_OP_ROLLOUT_VIEW,
	PM_OP_ROLLOUT, /* begin one, if each host's step may be done there; stop it, undo it */
	PM_OP_ROLLOUT_STEAL, /* take its locks away from one that has them */
	PM_OP_WHO,           /* who am I: anybody who is somebody */
	PM_OP_COUNT
};

struct pm_op_info {
	const char *name;   /* as in policy files and audits */
	enum pm_rank least; /* SECURITY 3.4 */
	bool by_default;    /* an agent without a policy file lets its coordinator do it (S-09) */
	bool changes;       /* something: audited whatever comes of it */
	bool of_machine;    /* and of no app: a right to some apps is not enough */
};

/* Several of them, as bits. */
typedef uint64_t pm_ops;
#define PM_OP_BIT(op) (UINT64_C(1) << (op))

const struct pm_op_info *pm_op_info(enum pm_op op);
/* returns    false: there is none of that name */
bool pm_op_by_name(const char *name, size_t len, enum pm_op *out);

bool pm_ops_change(pm_ops ops);                    /* any of them */
const char *pm_rank_name(enum pm_rank rank);       /* "viewer"; "none" */
enum pm_rank pm_rank_by_name(const char *name);    /* PM_RANK_NONE: no such role */
bool pm_rank_may(enum pm_rank rank, pm_ops ops);   /* do all of them */
const char *pm_verb_name(Pm__Verb verb);           /* "restart"; "?" */
const char *pm_body_name(const Pm__Envelope *env); /* "command", as in pm.proto; "?" */

/* What a command asks for; all of it must be allowed. */
pm_ops pm_ops_of_command(const Pm__Command *cmd);
pm_ops pm_ops_of_status(const Pm__StatusRequest *req);
pm_ops pm_ops_of_stream(const Pm__StreamOpen *open);
pm_ops pm_ops_of_fleet(const Pm__FleetRequest *req);
/*
 * The same for a whole message.
 *
 * returns    0: it asks nothing (greetings, answers, credit)
 */
pm_ops pm_ops_of(const Pm__Envelope *env);

#endif
