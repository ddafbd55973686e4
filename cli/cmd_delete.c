#include "cli/act.h"
#include "cli/cmd_list.h"

static int delete_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct action action = {
		.verb = PM__VERB__VERB_DELETE,
		.name = "delete",
		.done = "deleted",
		.pm2_rpc = "deleteProcessId",
		.pm2_unknown = " : id unknown",
		.pm2_table = true,
	};

	return act_run(ctx, &action, err);
}

static const struct cmd_option options[] = {
	{ "only", 0, CMD_VALUE, "APPS", "of a configuration file, only these apps" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_delete = {
	.name = "delete",
	.aliases = "del",
	.args = "APP...",
	.pm2_needs = "name|id|namespace|script|all|json|stdin",
	.summary = "stop every instance of APP and forget it",
	.options = options,
	.min_args = 1,
	.max_args = CMD_ANY,
	.flags = CMD_JSON | CMD_FLEET | CMD_PLANS | CMD_DESTRUCTIVE,
	.run = delete_run,
};
