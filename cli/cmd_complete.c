/* cmd_complete.c - __complete: what the shells' completion asks; starts no agent. */
#include <stdlib.h>

#include "cli/cmd_list.h"
#include "cli/complete.h"
#include "cli/context_file.h"
#include "cli/ctx.h"
#include "cli/fleet.h"
#include "cli/rollout_ask.h"
#include "proto/paths.h"

/* Somebody waits with a finger on the key: an agent that hangs is as good as none. */
#define PATIENCE_MS 500

/* Names from the agent; without one there are none, and that is no error. */
static void live(struct ctx *ctx, const struct complete *plan, struct pm_buf *out)
{
	PM_STATUS *status = NULL;
	struct pm_error err;

	if (plan->home != NULL &&
	    pm_home_resolve(plan->home, false, ctx->home, sizeof(ctx->home), &err) < 0)
		return;
	ctx->timeout_ms = PATIENCE_MS;
	if (ctx_connect(ctx, false, &err) < 0 || ctx_status(ctx, NULL, CTX_LIST, &status, &err) < 0)
		return;
	complete_instances(plan, status->instances, status->n_instances, out);
}

static void known_contexts(const struct complete *plan, struct pm_buf *out)
{
	PM_CONTEXTS c = { 0 };
	struct pm_error err;

	if (context_file_load(&c, &err) < 0)
		return; /* a file that is damaged has no names; commands say so */
	for (size_t i = 0; i < c.n; i++)
		complete_name(plan, c.list[i].name, "context", out);
}

/* Names from the coordinator; one that does not answer has none. */
static void known_hosts(struct ctx *ctx, const struct complete *plan, struct pm_buf *out)
{
	PM_FLEET *f = NULL;
	struct pm_error err;

	ctx->timeout_ms = PATIENCE_MS;
	if (fleet_open(ctx, &f, &err) < 0)
		return;
	f->selector.all = true;
	if (fleet_find(ctx, f, false, &err) < 0)
		return;
	for (size_t i = 0; i < f->n_nodes; i++)
		complete_name(plan, f->nodes[i]->name, "host", out);
}

struct offering {
	const struct complete *plan;
	struct pm_buf *out;
};

static int offer_rollout(void *arg, const struct rollout_copy *c, struct pm_error *err)
{
	struct offering *o = arg;

	(void)err;
	complete_name(o->plan, c->status->id, c->status->what, o->out);
	return 0;
}

static void known_rollouts(struct ctx *ctx, const struct complete *plan, struct pm_buf *out)
{
	struct offering o = { plan, out };
	PM_FLEET *f = NULL;
	struct pm_error err;

	ctx->timeout_ms = PATIENCE_MS;
	if (fleet_open(ctx, &f, &err) < 0 ||
	    rollout_ask_list(ctx, f, true, offer_rollout, &o, &err) < 0)
		return;
}

static int complete_run(struct ctx *ctx, struct pm_error *err)
{
	struct complete plan;
	PM_BUF out = { 0 };
	const char *files;
	char *const *words;
	size_t n;

	words = args_script(ctx->args, &n);
	complete_plan(words, n, &plan);
	complete_words(&plan, &out);
	if (plan.apps || plan.ids)
		live(ctx, &plan, &out);
	if (plan.contexts)
		known_contexts(&plan, &out);
	if (plan.hosts)
		known_hosts(ctx, &plan, &out);
	if (plan.rollouts)
		known_rollouts(ctx, &plan, &out);
	files = complete_files_word(plan.files);
	if (files != NULL)
		pm_buf_printf(&out, "%s\n", files);
	return say_buf(&out, err);
}

const struct cmd cmd_complete = {
	.name = "__complete",
	.args = "-- [WORD]...",
	.summary = "what may stand at the end of a command line, for the shell's completion",
	.flags = CMD_SCRIPT_ARGS | CMD_PMCTL_ONLY | CMD_HIDDEN,
	.run = complete_run,
};
