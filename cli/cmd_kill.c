/* cmd_kill.c - kill and ping: the agent itself, all or nothing. */
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/act.h"
#include "cli/cmd_list.h"

#define GONE_MS 10000 /* the keeper has nothing left to do: it is gone at once */
/* Whether one is there is known at once, unless it has no supervisor just now. */
#define GONE_SLICE_MS 500

/* The command is answered before the agent has left; a command that follows must not meet it. */
static void wait_until_gone(int keeper)
{
	struct pollfd fd = { .fd = keeper, .events = POLLIN };

	if (keeper >= 0)
		(void)poll(&fd, 1, GONE_MS); /* if it stays, the next command says so */
}

static int open_keeper(struct ctx *ctx)
{
	const Pm__Welcome *w;
	struct pm_error err;

	if (client_welcome(ctx->client, &w, &err) < 0 || w->agent_pid == 0)
		return -1; /* not worth an error: it is only waited for */
	return (int)syscall(SYS_pidfd_open, (pid_t)w->agent_pid, 0);
}

static int kill_agent(struct ctx *ctx, const struct action *action, struct account *account,
                      struct pm_error *err)
{
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_CLOSE int keeper = open_keeper(ctx);
	uint64_t deadline = pm_now_ms() + 2 * GONE_MS;
	PM_STATUS *status = NULL;

	if (ctx->as_pm2 && ctx_status(ctx, NULL, CTX_LIST, &status, err) == 0 &&
	    status->n_instances == 0)
		say_warn(ctx, "No process found");
	/* The agent goes with its last word: a lost connection is what was asked for. */
	if (act_send(ctx, action, &cmd, account, err) == 0) {
		wait_until_gone(keeper);
		return 0;
	}
	if (err->code != PM_UNKNOWN && err->code != PM_UNREACHABLE)
		return -1;
	/* Or our agent has died over it, and its successor goes on with it. */
	wait_until_gone(keeper);
	while (client_reconnect(ctx->client, GONE_SLICE_MS, err) == 0) {
		pm_closep(&keeper);
		keeper = open_keeper(ctx);
		wait_until_gone(keeper);
		if (pm_now_ms() >= deadline)
			return pm_fail(err, PM_UNKNOWN, "the agent is still there");
	}
	return 0;
}

static int kill_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct action action = {
		.verb = PM__VERB__VERB_KILL,
		.name = "kill",
		.done = "stopped",
		.pm2_rpc = "deleteProcessId",
	};
	PM_ACCOUNT account = { 0 };
	bool running = true;

	if (ctx_connect(ctx, false, err) < 0) {
		if (err->code != PM_NOT_RUNNING)
			return -1;
		running = false;
	}
	if (running && kill_agent(ctx, &action, &account, err) < 0)
		return -1;
	if (ctx->as_pm2) {
		if (!running)
			say_warn(ctx, "No process found");
		say(ctx, "[v] All Applications Stopped");
		say(ctx, "[v] PM2 Daemon Stopped");
		return 0;
	}
	if (ctx->json || account.n_failed > 0)
		return act_finish(ctx, &action, &account, err);
	if (running)
		say(ctx, "every app is stopped, and the agent is gone");
	else
		say(ctx, "no agent runs in %s", ctx->home);
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
	.summary = "stop every app and forget it, then end the agent",
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
