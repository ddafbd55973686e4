/* cmd_join.c - `join`, `leave`: the machine's place in a fleet. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "cli/cmd_list.h"
#include "cli/ctx.h"
#include "cli/json_out.h"
#include "proto/enrol.h"

#define CONNECT_WAIT_MS 10000 /* for the agent's session, which goes on without us */
#define CONNECT_LOOK_MS 50

enum agent_says {
	AGENT_IS_DOWN, /* it connects when it is started */
	AGENT_TRIES,
	AGENT_CONNECTED,
};

/* Have the agent connect, and wait for that a little. */
static int connect_agent(struct ctx *ctx, enum agent_says *out, struct pm_error *err)
{
	uint64_t deadline = pm_now_ms() + CONNECT_WAIT_MS;
	const char *word = "start";

	*out = AGENT_IS_DOWN;
	if (ctx_connect(ctx, false, err) < 0)
		return err->code == PM_NOT_RUNNING ? 0 : -1;
	for (*out = AGENT_TRIES; pm_now_ms() < deadline; word = "") {
		PM_STATUS *status = NULL;

		if (client_uplink(ctx->client, word, ctx->timeout_ms, &status, err) < 0)
			return -1;
		if (status->agent != NULL && status->agent->uplink != NULL &&
		    status->agent->uplink->connected) {
			*out = AGENT_CONNECTED;
			return 0;
		}
		(void)poll(NULL, 0, CONNECT_LOOK_MS);
	}
	return 0;
}

static int tell(const struct ctx *ctx, const struct pm_membership *m, enum agent_says agent,
                struct pm_error *err)
{
	char words[PM_FINGERPRINT_TEXT];
	PM_BUF out = { 0 };
	struct json_out j;

	pm_key_fingerprint(m->coordinator, words);
	if (!ctx->json) {
		say(ctx, "joined as %s (%s)", m->name, m->id);
		say(ctx, "the coordinator's key: %s", words);
		if (agent == AGENT_IS_DOWN)
			say(ctx, "the agent connects when it is started");
		else if (agent == AGENT_TRIES)
			say(ctx, "the agent is not connected yet; see 'pmctl agent status'");
		return 0;
	}
	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kstr(&j, "id", m->id);
	json_kstr(&j, "name", m->name);
	json_kstr(&j, "cluster", m->cluster);
	json_kstr(&j, "fingerprint", words);
	json_kbool(&j, "connected", agent == AGENT_CONNECTED);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

static int join_run(struct ctx *ctx, struct pm_error *err)
{
	const char *file = args_get(ctx->args, "token-file"), *name = args_get(ctx->args, "name");
	PM_CLEANUP(pm_token_wipe) struct pm_buf token = { 0 };
	struct pm_membership m;
	enum agent_says agent;

	if (file == NULL) {
		pm_fail(err, PM_USAGE, "join: --token-file is missing");
		pm_hint(err, "a token comes by a file, or by standard input with --token-file -");
		return -1;
	}
	if (pm_token_read(file, &token, err) < 0)
		return pm_wrap(err, "join");
	if (pm_join(ctx->home, token.bytes, name == NULL ? "" : name, ctx->timeout_ms, &m, err) <
	            0 ||
	    connect_agent(ctx, &agent, err) < 0)
		return -1;
	return tell(ctx, &m, agent, err);
}

static int leave_run(struct ctx *ctx, struct pm_error *err)
{
	PM_STATUS *status = NULL;

	if (ctx_connect(ctx, false, err) == 0) {
		if (client_uplink(ctx->client, "stop", ctx->timeout_ms, &status, err) < 0)
			return pm_wrap(err, "leave");
	} else if (err->code != PM_NOT_RUNNING) {
		return -1;
	}
	if (pm_membership_forget(ctx->home, err) < 0)
		return pm_wrap(err, "leave");
	say(ctx, "left the fleet; the coordinator still lists it: 'pmctl node revoke' there");
	return 0;
}

static const struct cmd_option options[] = {
	{ "token-file", 0, CMD_VALUE, "FILE",
	  "the one-time token; - reads it from standard input" },
	{ "name", 0, CMD_VALUE, "NAME", "what to call this machine in the fleet; its host name" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_join = {
	.name = "join",
	.args = "",
	.summary = "let this machine join a fleet, by a one-time token",
	.help = "The agent gets a key of its own, and connects at once if it runs. The token names "
		"the coordinator and its key, so that nobody can stand in for it; compare the words "
		"with those that it shows. What the coordinator may do here is said in "
		"pmd-policy(5). 'pmctl token create' makes tokens.",
	.options = options,
	.max_args = 0,
	.flags = CMD_JSON | CMD_PMCTL_ONLY,
	.run = join_run,
};

const struct cmd cmd_leave = {
	.name = "leave",
	.args = "",
	.summary = "leave the fleet: end the session, forget coordinator and key",
	.max_args = 0,
	.flags = CMD_PMCTL_ONLY,
	.run = leave_run,
};
