/* cmd_kill.c - kill and ping: the agent itself, all or nothing. */
#include <stdio.h>

#include "cli/act.h"

static int kill_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct action action = {
		.verb = PM__VERB__VERB_KILL,
		.name = "kill",
		.done = "stopped",
		.pm2_rpc = "deleteProcessId",
	};
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_ACCOUNT account = { 0 };
	PM_STATUS *status = NULL;
	int rc;

	if (ctx_connect(ctx, false, err) < 0) {
		if (err->code != PM_NOT_RUNNING)
			return -1;
		if (ctx->as_pm2)
			say_warn(ctx, "No process found");
		else if (!ctx->json)
			say(ctx, "no agent runs in %s", ctx->home);
	} else {
		if (ctx->as_pm2 && ctx_status(ctx, NULL, false, &status, err) == 0 &&
		    status->n_instances == 0)
			say_warn(ctx, "No process found");
		rc = act_send(ctx, &action, &cmd, &account, err);
		/* The agent goes with its last word: a lost connection is what was asked for. */
		if (rc < 0 && err->code != PM_UNKNOWN && err->code != PM_UNREACHABLE)
			return -1;
	}
	if (ctx->as_pm2) {
		say(ctx, "[v] All Applications Stopped");
		say(ctx, "[v] PM2 Daemon Stopped");
		return 0;
	}
	if (ctx->json || account.n_failed > 0)
		return act_finish(ctx, &action, &account, err);
	if (ctx->client != NULL)
		say(ctx, "every app is stopped, and the agent is gone");
	return 0;
}

static int ping_run(struct ctx *ctx, struct pm_error *err)
{
	const Pm__Welcome *w;

	if (ctx_connect(ctx, true, err) < 0 || client_welcome(ctx->client, &w, err) < 0)
		return -1;
	if (ctx->json)
		(void)printf("{\"schema\":1,\"msg\":\"pong\",\"agent_pid\":%u}\n", w->agent_pid);
	else if (ctx->as_pm2)
		(void)puts("{ msg: 'pong' }");
	else
		say(ctx, "pong: the agent has pid %u", w->agent_pid);
	return 0;
}

const struct cmd cmd_kill = {
	.name = "kill",
	.args = "",
	.summary = "stop every app, then the agent",
	.flags = CMD_JSON,
	.run = kill_run,
};

const struct cmd cmd_ping = {
	.name = "ping",
	.args = "",
	.summary = "whether the agent answers; starts it if need be",
	.flags = CMD_JSON,
	.run = ping_run,
};
