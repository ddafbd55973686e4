#include "cli/args.h"
#include "cli/cmd_list.h"
#include "cli/help.h"

static int help_run(struct ctx *ctx, struct pm_error *err)
{
	const char *verb = args_at(ctx->args, 0);
	const struct cmd *cmd;
	const char *near;

	if (verb == NULL) {
		help_all(ctx, stdout);
		return 0;
	}
	cmd = cmd_find(verb, ctx->as_pm2);
	if (cmd == NULL) {
		pm_fail(err, PM_USAGE, "help %s: no such command", verb);
		near = cmd_nearest(verb, ctx->as_pm2);
		if (near != NULL)
			pm_hint(err, "did you mean '%s'?", near);
		return -1;
	}
	help_cmd(ctx, cmd, stdout);
	return 0;
}

const struct cmd cmd_help = {
	.name = "help",
	.args = "[COMMAND]",
	.summary = "all commands, or how to use one",
	.max_args = 1,
	.flags = CMD_PAGED,
	.run = help_run,
};
