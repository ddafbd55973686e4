/* cmd_agent.c - `agent status`, `agent upgrade`, `update`: the agent's own life. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "cli/act.h"
#include "cli/cmd_list.h"
#include "cli/fmt.h"
#include "cli/json_out.h"
#include "proto/units.h"

#define UPGRADE_WAIT_MS 60000 /* self-check, exec, and the way back if that fails: 5 s each */
#define UPGRADE_LOOK_MS 20

/* How the link to the coordinator is; nothing is printed by an agent that is in no fleet. */
static void uplink_json(struct json_out *j, const Pm__UplinkState *u)
{
	json_key(j, "uplink");
	json_begin_object(j);
	json_kbool(j, "connected", u->connected);
	json_kstr(j, "address", u->address);
	json_kint(j, "since_ms", u->since_wall_ms);
	json_kstr(j, "why", u->why);
	if (u->next_wall_ms != 0)
		json_kint(j, "next_try_ms", u->next_wall_ms);
	json_kstr(j, "id", u->agent_id);
	json_kstr(j, "name", u->name);
	json_kstr(j, "cluster", u->cluster_id);
	json_kuint(j, "pid", u->pid);
	json_end_object(j);
}

static void say_uplink(const struct ctx *ctx, const Pm__UplinkState *u)
{
	int64_t now = pm_wall_ms(), since_ms = PM_MAX(now - u->since_wall_ms, 0);
	char since[FMT_MAX], next[FMT_MAX];

	fmt_duration((uint64_t)since_ms, since);
	if (u->connected) {
		say(ctx, "fleet       connected to %s for %s, as %s", u->address, since,
		    u->agent_id);
		return;
	}
	say(ctx, "fleet       not connected for %s: %s", since,
	    *u->why == '\0' ? "connecting" : u->why);
	if (u->next_wall_ms > now) {
		fmt_duration((uint64_t)(u->next_wall_ms - now), next);
		say(ctx, "            %s is tried again in %s", u->address, next);
	}
}

static int status_json(const struct ctx *ctx, const Pm__AgentStatus *a, struct pm_error *err)
{
	PM_BUF out = { 0 };
	struct json_out j;

	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kstr(&j, "home", ctx->home);
	json_kstr(&j, "version", a->version);
	json_kuint(&j, "keeper_pid", a->keeper_pid);
	json_kuint(&j, "supervisor_pid", a->supervisor_pid);
	json_kint(&j, "started_ms", a->started_wall_ms);
	json_kuint(&j, "supervisor_restarts", a->supervisor_restarts);
	json_kuint(&j, "memory", a->memory);
	json_kstr(&j, "last_upgrade", a->upgrade);
	json_key(&j, "degraded");
	json_begin_array(&j);
	for (size_t i = 0; i < a->n_degraded; i++)
		json_str(&j, a->degraded[i]);
	json_end_array(&j);
	if (a->uplink != NULL)
		uplink_json(&j, a->uplink);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

static int agent_status(struct ctx *ctx, struct pm_error *err)
{
	PM_STATUS *status = NULL;
	const Pm__AgentStatus *a;
	char since[FMT_MAX], memory[PM_BYTES_TEXT];
	int64_t up_ms;

	if (ctx_connect(ctx, false, err) < 0 ||
	    client_agent_status(ctx->client, ctx->timeout_ms, &status, err) < 0)
		return -1;
	a = status->agent;
	if (a == NULL)
		return pm_fail(err, PM_PROTOCOL, "agent status: the agent did not say");
	if (ctx->json)
		return status_json(ctx, a, err);
	up_ms = pm_wall_ms() - a->started_wall_ms;
	fmt_duration(up_ms < 0 ? 0 : (uint64_t)up_ms, since);
	pm_bytes_text(a->memory, memory);
	say(ctx, "agent       %s, up %s", a->version, since);
	say(ctx, "home        %s", ctx->home);
	say(ctx, "keeper      pid %u", a->keeper_pid);
	say(ctx, "supervisor  pid %u, restarted %u times", a->supervisor_pid,
	    a->supervisor_restarts);
	if (a->memory != 0)
		say(ctx, "memory      %s", memory);
	say(ctx, "upgrade     %s", a->upgrade[0] == '\0' ? "none yet" : a->upgrade);
	if (a->n_degraded == 0)
		say(ctx, "degraded    nothing");
	for (size_t i = 0; i < a->n_degraded; i++)
		say(ctx, "degraded    %s", a->degraded[i]);
	if (a->uplink != NULL)
		say_uplink(ctx, a->uplink);
	if (strcmp(a->version, PM_VERSION) != 0)
		say_warn(ctx, "pmctl is %s and the agent is %s; 'pmctl agent upgrade' brings it up",
		         PM_VERSION, a->version);
	return 0;
}

/* What is known of the supervisor that took the order. */
struct before {
	uint32_t pid;
	char note[256];
};

static int look(struct ctx *ctx, struct client_status **status, struct pm_error *err)
{
	if (client_agent_status(ctx->client, ctx->timeout_ms, status, err) < 0)
		return -1;
	if ((*status)->agent != NULL)
		return 0;
	return pm_fail(err, PM_PROTOCOL, "the agent did not say how it is");
}

/* Until another supervisor tells how it went, or the old one that it did not. */
static int wait_for_news(struct ctx *ctx, const struct before *before,
                         struct client_status **status, struct pm_error *err)
{
	uint32_t wait_ms = ctx->timeout_ms == 0 ? UPGRADE_WAIT_MS : ctx->timeout_ms;
	uint64_t deadline = pm_now_ms() + wait_ms;

	while (pm_now_ms() < deadline) {
		PM_STATUS *now = NULL;

		if (client_reconnect(ctx->client, wait_ms, err) < 0)
			return -1;
		if (look(ctx, &now, err) == 0 && now->agent->upgrade[0] != '\0' &&
		    (now->agent->supervisor_pid != before->pid ||
		     strcmp(now->agent->upgrade, before->note) != 0)) {
			*status = PM_STEAL(now);
			return 0;
		}
		(void)poll(NULL, 0, UPGRADE_LOOK_MS);
	}
	return pm_fail(err, PM_DEADLINE, "no new supervisor answers after %u s", wait_ms / 1000);
}

static int order_upgrade(struct ctx *ctx, struct pm_error *err)
{
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_RESULT *result = NULL;

	cmd.verb = PM__VERB__VERB_UPGRADE;
	cmd.timeout_ms = ctx->timeout_ms;
	if (client_command(ctx->client, &cmd, NULL, NULL, &result, err) < 0)
		/* The supervisor that took the order may be gone before its answer got out. */
		return err->code == PM_UNKNOWN ? 0 : -1;
	if (result->code == PM_OK)
		return 0;
	pm_fail(err, result->code, "%s", result->text);
	if (result->hint[0] != '\0')
		pm_hint(err, "%s", result->hint);
	return -1;
}

static int upgrade(struct ctx *ctx, struct pm_error *err)
{
	PM_STATUS *old = NULL;
	PM_STATUS *new = NULL;
	struct before before;
	const Pm__AgentStatus *a;

	if (look(ctx, &old, err) < 0)
		return -1;
	before.pid = old->agent->supervisor_pid;
	(void)snprintf(before.note, sizeof(before.note), "%s", old->agent->upgrade);
	if (order_upgrade(ctx, err) < 0 || wait_for_news(ctx, &before, &new, err) < 0)
		return pm_wrap(err, "upgrade");
	a = new->agent;
	if (strncmp(a->upgrade, "upgrade failed", 14) == 0 ||
	    strncmp(a->upgrade, "upgrade refused", 15) == 0) {
		pm_fail(err, PM_FAILED, "%s", a->upgrade);
		pm_hint(err, "the old version goes on, and so do the apps");
		return -1;
	}
	if (ctx->json)
		return status_json(ctx, a, err);
	say(ctx, "the agent is now %s, supervisor pid %u: %s", a->version, a->supervisor_pid,
	    a->upgrade);
	return 0;
}

static int agent_run(struct ctx *ctx, struct pm_error *err)
{
	const char *what = args_at(ctx->args, 0);

	if (strcmp(what, "status") == 0)
		return agent_status(ctx, err);
	if (strcmp(what, "upgrade") != 0) {
		pm_fail(err, PM_USAGE, "agent %s: no such command", what);
		pm_hint(err, "there are 'agent status' and 'agent upgrade'");
		return -1;
	}
	return ctx_connect(ctx, false, err) < 0 ? -1 : upgrade(ctx, err);
}

static int update_run(struct ctx *ctx, struct pm_error *err)
{
	return ctx_connect(ctx, true, err) < 0 ? -1 : upgrade(ctx, err);
}

const struct cmd cmd_agent = {
	.name = "agent",
	.args = "status|upgrade",
	.summary = "how the agent is; or replace it by the binary now on disk, apps running on",
	.min_args = 1,
	.max_args = 1,
	.flags = CMD_JSON | CMD_PMCTL_ONLY,
	.run = agent_run,
};

const struct cmd cmd_update = {
	.name = "update",
	.aliases = "updatePM2",
	.args = "",
	.summary = "the same as agent upgrade",
	.flags = CMD_JSON,
	.run = update_run,
};
