#include "proto/ops.h"

#include <string.h>

#include "proto/base.h"

static const struct pm_op_info infos[PM_OP_COUNT] = {
	[PM_OP_STATUS] = { "status", PM_RANK_VIEWER, true, false, false },
	[PM_OP_LOGS] = { "logs", PM_RANK_LOGS, true, false, false },
	[PM_OP_START] = { "start", PM_RANK_OPERATOR, true, true, false },
	[PM_OP_STOP] = { "stop", PM_RANK_OPERATOR, true, true, false },
	[PM_OP_RESTART] = { "restart", PM_RANK_OPERATOR, true, true, false },
	[PM_OP_RELOAD] = { "reload", PM_RANK_OPERATOR, true, true, false },
	[PM_OP_SCALE] = { "scale", PM_RANK_OPERATOR, true, true, false },
	[PM_OP_RESET] = { "reset", PM_RANK_OPERATOR, false, true, false },
	[PM_OP_SIGNAL] = { "signal", PM_RANK_OPERATOR, false, true, false },
	[PM_OP_REOPEN_LOGS] = { "reopen-logs", PM_RANK_OPERATOR, false, true, false },
	[PM_OP_SEND] = { "send", PM_RANK_DEPLOYER, false, true, false },
	[PM_OP_FLUSH] = { "flush", PM_RANK_DEPLOYER, false, true, false },
	[PM_OP_DELETE] = { "delete", PM_RANK_DEPLOYER, false, true, false },
	[PM_OP_DEFINE] = { "define", PM_RANK_DEPLOYER, false, true, false },
	[PM_OP_ENV] = { "env", PM_RANK_DEPLOYER, false, true, false },
	[PM_OP_ENV_REVEAL] = { "env-reveal", PM_RANK_ADMIN, false, true, false },
	[PM_OP_SAVE] = { "save", PM_RANK_DEPLOYER, false, true, true },
	[PM_OP_RESURRECT] = { "resurrect", PM_RANK_DEPLOYER, false, true, true },
	[PM_OP_KILL] = { "kill", PM_RANK_ADMIN, false, true, true },
	[PM_OP_UPGRADE] = { "upgrade", PM_RANK_ADMIN, false, true, true },
	[PM_OP_LOCAL] = { "local", PM_RANK_COUNT, false, true, false },
	[PM_OP_NODE_VIEW] = { "node-view", PM_RANK_VIEWER, false, false, false },
	[PM_OP_NODE_DRAIN] = { "node-drain", PM_RANK_OPERATOR, false, true, false },
	[PM_OP_NODE_CHANGE] = { "node-change", PM_RANK_ADMIN, false, true, false },
	[PM_OP_TOKENS] = { "tokens", PM_RANK_ADMIN, false, true, false },
	[PM_OP_OPERATORS] = { "operators", PM_RANK_ADMIN, false, true, false },
	[PM_OP_GROUP_VIEW] = { "group-view", PM_RANK_VIEWER, false, false, false },
	[PM_OP_GROUP_CHANGE] = { "group-change", PM_RANK_ADMIN, false, true, false },
	[PM_OP_AUDIT] = { "audit", PM_RANK_ADMIN, false, false, false },
	[PM_OP_ROLLOUT_VIEW] = { "rollout-view", PM_RANK_VIEWER, false, false, false },
	[PM_OP_ROLLOUT] = { "rollout", PM_RANK_OPERATOR, false, true, false },
	[PM_OP_ROLLOUT_STEAL] = { "rollout-steal", PM_RANK_ADMIN, false, true, false },
	[PM_OP_WHO] = { "who", PM_RANK_VIEWER, false, false, false },
};

static const char *const rank_names[PM_RANK_COUNT] = {
	[PM_RANK_NONE] = "none",         [PM_RANK_VIEWER] = "viewer",     [PM_RANK_LOGS] = "logs",
	[PM_RANK_OPERATOR] = "operator", [PM_RANK_DEPLOYER] = "deployer", [PM_RANK_ADMIN] = "admin",
};

const struct pm_op_info *pm_op_info(enum pm_op op)
{
	return &infos[op];
}

bool pm_op_by_name(const char *name, size_t len, enum pm_op *out)
{
	for (unsigned i = 0; i < PM_OP_COUNT; i++)
		if (strlen(infos[i].name) == len && memcmp(infos[i].name, name, len) == 0) {
			*out = (enum pm_op)i;
			return true;
		}
	return false;
}

const char *pm_rank_name(enum pm_rank rank)
{
	return rank_names[rank];
}

enum pm_rank pm_rank_by_name(const char *name)
{
	for (unsigned i = PM_RANK_VIEWER; i < PM_RANK_COUNT; i++)
		if (strcmp(rank_names[i], name) == 0)
			return (enum pm_rank)i;
	return PM_RANK_NONE;
}

bool pm_rank_may(enum pm_rank rank, pm_ops ops)
{
	for (unsigned i = 0; i < PM_OP_COUNT; i++)
		if ((ops & PM_OP_BIT(i)) != 0 && rank < infos[i].least)
			return false;
	return true;
}

bool pm_ops_change(pm_ops ops)
{
	for (unsigned i = 0; i < PM_OP_COUNT; i++)
		if ((ops & PM_OP_BIT(i)) != 0 && infos[i].changes)
			return true;
	return false;
}

/* ---- messages ---- */

const char *pm_verb_name(Pm__Verb verb)
{
	switch (verb) {
	case PM__VERB__VERB_START:
	case PM__VERB__VERB_START_OR_RESTART:
	case PM__VERB__VERB_START_OR_RELOAD:
		return "start";
	case PM__VERB__VERB_STOP:
		return "stop";
	case PM__VERB__VERB_RESTART:
		return "restart";
	case PM__VERB__VERB_RELOAD:
		return "reload";
	case PM__VERB__VERB_DELETE:
		return "delete";
	case PM__VERB__VERB_SCALE:
		return "scale";
	case PM__VERB__VERB_SIGNAL:
		return "signal";
	case PM__VERB__VERB_SEND:
		return "send";
	case PM__VERB__VERB_RESET:
		return "reset";
	case PM__VERB__VERB_FLUSH:
		return "flush";
	case PM__VERB__VERB_REOPEN_LOGS:
		return "reopen-logs";
	case PM__VERB__VERB_SAVE:
		return "save";
	case PM__VERB__VERB_RESURRECT:
		return "resurrect";
	case PM__VERB__VERB_CLEARDUMP:
		return "cleardump";
	case PM__VERB__VERB_KILL:
		return "kill";
	case PM__VERB__VERB_UPGRADE:
		return "upgrade";
	case PM__VERB__VERB_PING:
		return "ping";
	case PM__VERB__VERB_AGENT_STATUS:
		return "agent-status";
	case PM__VERB__VERB_FAIL_POINT:
		return "fail-point";
	case PM__VERB__VERB_REVERT:
		return "revert";
	case PM__VERB__VERB_HISTORY:
		return "history";
	case PM__VERB__VERB_FLEET:
		return "fleet";
	case PM__VERB__VERB_UNSPECIFIED:
	case _PM__VERB_IS_INT_SIZE:
		break;
	}
	return "?";
}

const char *pm_body_name(const Pm__Envelope *env)
{
	const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(
		&pm__envelope__descriptor, (unsigned)env->body_case);

	return field == NULL ? "?" : field->name;
}

static pm_ops ops_of_verb(Pm__Verb verb)
{
	switch (verb) {
	case PM__VERB__VERB_PING:
	case PM__VERB__VERB_AGENT_STATUS:
	case PM__VERB__VERB_HISTORY: /* no values are in it */
		return PM_OP_BIT(PM_OP_STATUS);
	case PM__VERB__VERB_START:
		return PM_OP_BIT(PM_OP_START);
	case PM__VERB__VERB_STOP:
		return PM_OP_BIT(PM_OP_STOP);
	case PM__VERB__VERB_RESTART:
		return PM_OP_BIT(PM_OP_RESTART);
	case PM__VERB__VERB_RELOAD:
	case PM__VERB__VERB_REVERT: /* to what was allowed there before */
		return PM_OP_BIT(PM_OP_RELOAD);
	case PM__VERB__VERB_START_OR_RESTART:
		return PM_OP_BIT(PM_OP_START) | PM_OP_BIT(PM_OP_RESTART);
	case PM__VERB__VERB_START_OR_RELOAD:
		return PM_OP_BIT(PM_OP_START) | PM_OP_BIT(PM_OP_RELOAD);
	case PM__VERB__VERB_DELETE:
		return PM_OP_BIT(PM_OP_DELETE);
	case PM__VERB__VERB_SCALE:
		return PM_OP_BIT(PM_OP_SCALE);
	case PM__VERB__VERB_SIGNAL:
		return PM_OP_BIT(PM_OP_SIGNAL);
	case PM__VERB__VERB_SEND:
		return PM_OP_BIT(PM_OP_SEND);
	case PM__VERB__VERB_RESET:
		return PM_OP_BIT(PM_OP_RESET);
	case PM__VERB__VERB_FLUSH:
		return PM_OP_BIT(PM_OP_FLUSH);
	case PM__VERB__VERB_REOPEN_LOGS:
		return PM_OP_BIT(PM_OP_REOPEN_LOGS);
	case PM__VERB__VERB_SAVE:
	case PM__VERB__VERB_CLEARDUMP:
		return PM_OP_BIT(PM_OP_SAVE);
	case PM__VERB__VERB_RESURRECT:
		return PM_OP_BIT(PM_OP_RESURRECT);
	case PM__VERB__VERB_KILL:
		return PM_OP_BIT(PM_OP_KILL);
	case PM__VERB__VERB_UPGRADE:
		return PM_OP_BIT(PM_OP_UPGRADE);
	case PM__VERB__VERB_FAIL_POINT:
	case PM__VERB__VERB_FLEET:
	case PM__VERB__VERB_UNSPECIFIED:
	case _PM__VERB_IS_INT_SIZE:
		break;
	}
	return PM_OP_BIT(PM_OP_LOCAL);
}

/* An option changes what a command is, whatever its verb. */
pm_ops pm_ops_of_command(const Pm__Command *cmd)
{
	pm_ops ops = ops_of_verb(cmd->verb);

	if (cmd->use_staged || cmd->patch != NULL)
		ops |= PM_OP_BIT(PM_OP_DEFINE);
	if (cmd->update_env || cmd->n_shell_env != 0)
		ops |= PM_OP_BIT(PM_OP_ENV);
	for (size_t i = 0; cmd->verb == PM__VERB__VERB_REVERT && i < cmd->n_specs; i++)
		if (cmd->specs[i]->hash.len == 0) /* to what was not there */
			ops |= PM_OP_BIT(PM_OP_DELETE);
	return ops;
}

pm_ops pm_ops_of_status(const Pm__StatusRequest *req)
{
	/* The values of an environment are left out where they may not be seen; asking for the
	 * whole of it is another matter. */
	return PM_OP_BIT(PM_OP_STATUS) | (req->environment ? PM_OP_BIT(PM_OP_ENV_REVEAL) : 0);
}

pm_ops pm_ops_of_stream(const Pm__StreamOpen *open)
{
	switch (open->what_case) {
	case PM__STREAM_OPEN__WHAT_LOGS:
		return PM_OP_BIT(PM_OP_LOGS);
	case PM__STREAM_OPEN__WHAT_EVENTS:
		return PM_OP_BIT(PM_OP_STATUS);
	case PM__STREAM_OPEN__WHAT__NOT_SET:
	case _PM__STREAM_OPEN__WHAT__CASE_IS_INT_SIZE:
		break;
	}
	return PM_OP_BIT(PM_OP_LOCAL);
}

static pm_ops ops_of_node_verb(Pm__NodeVerb verb)
{
	switch (verb) {
	case PM__NODE_VERB__NODE_DRAIN:
	case PM__NODE_VERB__NODE_UNDRAIN:
		return PM_OP_BIT(PM_OP_NODE_DRAIN);
	case PM__NODE_VERB__NODE_LABEL:
	case PM__NODE_VERB__NODE_REVOKE:
	case PM__NODE_VERB__NODE_REKEY:
	case PM__NODE_VERB__NODE_ACCEPT:
	case PM__NODE_VERB__NODE_REJECT:
	case PM__NODE_VERB__NODE_RENAME:
	case PM__NODE_VERB__NODE_FORGET:
	case PM__NODE_VERB__NODE_ROTATE:
		return PM_OP_BIT(PM_OP_NODE_CHANGE);
	case PM__NODE_VERB__NODE_VERB_UNSPECIFIED:
	case _PM__NODE_VERB_IS_INT_SIZE:
		break;
	}
	return PM_OP_BIT(PM_OP_LOCAL);
}

static pm_ops ops_of_rollout_verb(Pm__RolloutVerb verb)
{
	switch (verb) {
	case PM__ROLLOUT_VERB__ROLLOUT_PAUSE:
	case PM__ROLLOUT_VERB__ROLLOUT_RESUME:
	case PM__ROLLOUT_VERB__ROLLOUT_PROMOTE:
	case PM__ROLLOUT_VERB__ROLLOUT_ABORT:
	case PM__ROLLOUT_VERB__ROLLOUT_UNDO:
		return PM_OP_BIT(PM_OP_ROLLOUT);
	case PM__ROLLOUT_VERB__ROLLOUT_STEAL:
		return PM_OP_BIT(PM_OP_ROLLOUT_STEAL);
	case PM__ROLLOUT_VERB__ROLLOUT_VERB_UNSPECIFIED:
	case _PM__ROLLOUT_VERB_IS_INT_SIZE:
		break;
	}
	return PM_OP_BIT(PM_OP_LOCAL);
}

pm_ops pm_ops_of_fleet(const Pm__FleetRequest *req)
{
	switch (req->what_case) {
	case PM__FLEET_REQUEST__WHAT_NODE_QUERY:
		return PM_OP_BIT(PM_OP_NODE_VIEW);
	case PM__FLEET_REQUEST__WHAT_NODE_CHANGE:
		return ops_of_node_verb(req->node_change->verb);
	case PM__FLEET_REQUEST__WHAT_TOKEN_CREATE:
	case PM__FLEET_REQUEST__WHAT_TOKEN_QUERY:
	case PM__FLEET_REQUEST__WHAT_TOKEN_REVOKE:
		return PM_OP_BIT(PM_OP_TOKENS);
	case PM__FLEET_REQUEST__WHAT_OPERATOR_QUERY:
	case PM__FLEET_REQUEST__WHAT_OPERATOR_CHANGE:
	case PM__FLEET_REQUEST__WHAT_BACKUP: /* it holds all that they may do */
	case PM__FLEET_REQUEST__WHAT_KEYS_RELOAD:
		return PM_OP_BIT(PM_OP_OPERATORS);
	case PM__FLEET_REQUEST__WHAT_GROUP_QUERY:
		return PM_OP_BIT(PM_OP_GROUP_VIEW);
	case PM__FLEET_REQUEST__WHAT_GROUP_CHANGE:
		return PM_OP_BIT(PM_OP_GROUP_CHANGE);
	case PM__FLEET_REQUEST__WHAT_AUDIT_QUERY:
		return PM_OP_BIT(PM_OP_AUDIT);
	case PM__FLEET_REQUEST__WHAT_ROLLOUT_QUERY:
		return PM_OP_BIT(PM_OP_ROLLOUT_VIEW);
	case PM__FLEET_REQUEST__WHAT_ROLLOUT_START:
		return PM_OP_BIT(PM_OP_ROLLOUT);
	case PM__FLEET_REQUEST__WHAT_ROLLOUT_CHANGE:
		return ops_of_rollout_verb(req->rollout_change->verb);
	case PM__FLEET_REQUEST__WHAT_WHO_AM_I:
		return PM_OP_BIT(PM_OP_WHO);
	case PM__FLEET_REQUEST__WHAT__NOT_SET:
	case _PM__FLEET_REQUEST__WHAT__CASE_IS_INT_SIZE:
		break;
	}
	return PM_OP_BIT(PM_OP_LOCAL);
}

static pm_ops ops_of_forward(const Pm__Forward *forward)
{
	pm_ops ops = forward->n_specs != 0 ? PM_OP_BIT(PM_OP_DEFINE) : 0;

	switch (forward->what_case) {
	case PM__FORWARD__WHAT_COMMAND:
		return ops | pm_ops_of_command(forward->command);
	case PM__FORWARD__WHAT_STATUS_REQUEST:
		return ops | pm_ops_of_status(forward->status_request);
	case PM__FORWARD__WHAT__NOT_SET:
	case _PM__FORWARD__WHAT__CASE_IS_INT_SIZE:
		break;
	}
	return PM_OP_BIT(PM_OP_LOCAL);
}

pm_ops pm_ops_of(const Pm__Envelope *env)
{
	switch (env->body_case) {
	case PM__ENVELOPE__BODY_COMMAND:
		return pm_ops_of_command(env->command);
	case PM__ENVELOPE__BODY_SPEC_PUSH:
		return PM_OP_BIT(PM_OP_DEFINE);
	case PM__ENVELOPE__BODY_STATUS_REQUEST:
		return pm_ops_of_status(env->status_request);
	case PM__ENVELOPE__BODY_STREAM_OPEN:
		return pm_ops_of_stream(env->stream_open);
	case PM__ENVELOPE__BODY_FORWARD:
		return ops_of_forward(env->forward);
	case PM__ENVELOPE__BODY_FLEET_REQUEST:
		return pm_ops_of_fleet(env->fleet_request);
	case PM__ENVELOPE__BODY_HELLO:
	case PM__ENVELOPE__BODY_WELCOME:
	case PM__ENVELOPE__BODY_GOODBYE:
	case PM__ENVELOPE__BODY_HEARTBEAT:
	case PM__ENVELOPE__BODY_ERROR:
	case PM__ENVELOPE__BODY_RESULT:
	case PM__ENVELOPE__BODY_PROGRESS:
	case PM__ENVELOPE__BODY_STATUS_LIST:
	case PM__ENVELOPE__BODY_UPLINK_STATE:
	case PM__ENVELOPE__BODY_STREAM_DATA:
	case PM__ENVELOPE__BODY_STREAM_CREDIT:
	case PM__ENVELOPE__BODY_STREAM_CLOSE:
	case PM__ENVELOPE__BODY_ENROL:
	case PM__ENVELOPE__BODY_ENROLLED:
	case PM__ENVELOPE__BODY_FORWARDED:
	case PM__ENVELOPE__BODY_FLEET_REPLY:
	case PM__ENVELOPE__BODY_SLOT_REQUEST:
	case PM__ENVELOPE__BODY_SLOT:
	case PM__ENVELOPE__BODY_SLOT_RELEASE:
	case PM__ENVELOPE__BODY_KEY_OFFER: /* of the sender's own key */
	case PM__ENVELOPE__BODY_KEY_TAKEN:
	case PM__ENVELOPE__BODY_KEY_WANTED:
	case PM__ENVELOPE__BODY_COORDINATOR_KEYS:
		return 0;
	case PM__ENVELOPE__BODY__NOT_SET:
	case _PM__ENVELOPE__BODY__CASE_IS_INT_SIZE:
		break;
	}
	return PM_OP_BIT(PM_OP_LOCAL);
}
