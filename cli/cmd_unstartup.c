/* cmd_unstartup.c - unstartup: start the agent at boot no more. */
#include "cli/cmd.h"
#include "cli/cmd_list.h"
#include "cli/cmd_startup.h"
#include "cli/startup.h"

static int unstartup_run(struct ctx *ctx, struct pm_error *err)
{
	return cmd_startup_with(ctx, startup_remove, err);
}

const struct cmd cmd_unstartup = {
	.name = "unstartup",
	.args = "[systemd]",
	.summary = "disable and remove the unit that startup made",
	.help = "An agent that runs goes on, and so do its apps; 'pmctl kill' ends them.",
	.options = cmd_startup_options,
	.max_args = 1,
	.flags = CMD_PMCTL_ONLY,
	.run = unstartup_run,
};

const struct cmd cmd_unstartup_pm2 = {
	.name = "unstartup",
	.args = "[platform]",
	.summary = "disable the pm2 startup hook",
	.max_args = 1,
	.flags = CMD_PM2_ONLY,
	.run = unstartup_run,
};
