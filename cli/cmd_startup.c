/* cmd_startup.c - startup: start the agent at boot. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/cmd_list.h"
#include "cli/cmd_startup.h"
#include "cli/startup.h"

static void closefp(FILE **f)
{
	if (*f != NULL)
		(void)fclose(*f); /* /dev/null: nothing to lose */
}

/* Shared with unstartup: options to words, and the exit status that PM2's scripts know. */
int cmd_startup_with(struct ctx *ctx, startup_fn *fn, struct pm_error *err)
{
	const struct args *a = ctx->args;
	const char *given = getenv(ctx->as_pm2 ? "PM2_HOME" : "PMD_HOME");
	PM_CLEANUP(closefp) FILE *quiet = ctx->silent ? fopen("/dev/null", "we") : NULL;
	const struct startup_options o = {
		.platform = args_at(a, 0),
		.user = args_get(a, ctx->as_pm2 ? "user" : "owner"),
		.hp = args_get(a, "hp"),
		.home = args_has(a, "home") || (given != NULL && given[0] != '\0') ? ctx->home
		                                                                   : NULL,
		.service = args_get(a, "service-name"),
		.user_unit = !ctx->as_pm2 && args_has(a, "user"),
		.as_pm2 = ctx->as_pm2,
	};

	if (fn(&o, quiet != NULL ? quiet : stdout, err) == 0)
		return 0;
	/* The line to run is out, and PM2 says nothing more. */
	return ctx->as_pm2 && err->code == PM_DENIED ? 1 : -1;
}

static int startup_run(struct ctx *ctx, struct pm_error *err)
{
	return cmd_startup_with(ctx, startup_install, err);
}

const struct cmd_option cmd_startup_options[] = {
	{ "owner", 'u', CMD_VALUE, "USER", "whose agent it is; else yours" },
	{ "hp", 0, CMD_VALUE, "DIR", "that user's home directory, with .pmd in it" },
	{ "service-name", 0, CMD_VALUE, "NAME", "the unit's name; else pmd-USER" },
	{ "user", 0, CMD_NO_VALUE, NULL, "a unit of your own systemd, without root" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_startup = {
	.name = "startup",
	.args = "[systemd]",
	.summary = "start the agent and its apps at boot, by a systemd unit",
	.help = "Writes the unit, shows it, enables it and starts it. An agent that runs already hands "
		"its apps over; they go on. Without root it prints the line to run as root, and ends "
		"with status 5. Init systems other than systemd are named and left alone.",
	.options = cmd_startup_options,
	.max_args = 1,
	.flags = CMD_PMCTL_ONLY,
	.run = startup_run,
};

/* PM2's own options (-u, --user, --hp, --service-name) are known at each of its verbs. */
const struct cmd cmd_startup_pm2 = {
	.name = "startup",
	.args = "[platform]",
	.summary = "enable the pm2 startup hook",
	.max_args = 1,
	.flags = CMD_PM2_ONLY,
	.run = startup_run,
};
