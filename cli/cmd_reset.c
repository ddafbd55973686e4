#include "cli/act.h"

#include "cli/cmd_list.h"
#include "cli/target.h"

static const struct action action = {
	.verb = PM__VERB__VERB_RESET,
	.name = "reset",
	.done = "counters reset",
	.pm2_table = true,
};

/* PM2 names each instance before it does it, and shrugs at an id that nobody has. */
static int pm2_reset(struct ctx *ctx, struct pm_error *err)
{
	const char *word = args_at(ctx->args, 0);
	PM_STATUS *status = NULL;
	PM_ACCOUNT account = { 0 };

	if (ctx_connect(ctx, true, err) < 0)
		return -1;
	if (ctx_status(ctx, word, CTX_LIST, &status, err) < 0) {
		if (err->code != PM_NOT_FOUND)
			return -1;
		if (!target_is_number(word)) {
			say_plain_error(ctx, "Unknown process name");
			return 1;
		}
		say(ctx, "Resetting meta for process id %s", word);
		say_plain_error(ctx, "Error: %s id unknown", word);
		return act_print_table(ctx, err) < 0 ? -1 : 0;
	}
	for (size_t i = 0; i < status->n_instances; i++) {
		Pm__Command cmd = PM__COMMAND__INIT;
		struct target_list list = { 0 };
		int rc;

		say(ctx, "Resetting meta for process id %u", status->instances[i]->pm_id);
		rc = target_list_add_id(&list, status->instances[i]->pm_id, err);
		cmd.targets = list.targets;
		cmd.n_targets = list.n;
		if (rc == 0)
			rc = act_send(ctx, &action, &cmd, &account, err);
		target_list_finish(&list);
		if (rc < 0)
			return -1;
	}
	return act_finish(ctx, &action, &account, err);
}

static int reset_run(struct ctx *ctx, struct pm_error *err)
{
	return ctx->as_pm2 ? pm2_reset(ctx, err) : act_run(ctx, &action, err);
}

const struct cmd cmd_reset = {
	.name = "reset",
	.args = "APP...",
	.pm2_needs = "name|id|all",
	.summary = "set the restart counters of APP to 0",
	.min_args = 1,
	.max_args = CMD_ANY,
	.flags = CMD_JSON | CMD_FLEET,
	.run = reset_run,
};
