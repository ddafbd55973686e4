/* cmd_start_or.c - startOrRestart and startOrReload: apps of a file, new or not. */
#include "cli/act.h"
#include "cli/cmd_list.h"
#include "cli/config.h"
#include "cli/stage.h"

static int run(struct ctx *ctx, const struct action *action, struct pm_error *err)
{
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_ACCOUNT account = { 0 };
	const char *file = args_at(ctx->args, 0);

	if (!config_is_file(file)) {
		pm_fail(err, PM_USAGE,
		        ctx->as_pm2 ? "File %s not found"
		                    : "%s: not a configuration file by its name",
		        file);
		return -1;
	}
	cmd.no_wait = args_has(ctx->args, "no-wait");
	if (ctx_connect(ctx, true, err) < 0 ||
	    stage_config(ctx, action, &cmd, file, &account, err) < 0)
		return -1;
	return act_finish(ctx, action, &account, err);
}

static int restart_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct action action = {
		.verb = PM__VERB__VERB_START_OR_RESTART,
		.name = "startOrRestart",
		.done = "started",
		.done_again = "restarted",
		.pm2_rpc = "restartProcessId",
		.pm2_table = true,
	};

	return run(ctx, &action, err);
}

static int reload_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct action action = {
		.verb = PM__VERB__VERB_START_OR_RELOAD,
		.name = "startOrReload",
		.done = "started",
		.done_again = "reloaded",
		.pm2_rpc = "reloadProcessId",
		.pm2_table = true,
	};

	return run(ctx, &action, err);
}

static int apply_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct action action = {
		.verb = PM__VERB__VERB_START_OR_RELOAD,
		.name = "apply",
		.done = "started",
		.done_again = "reloaded",
	};

	return run(ctx, &action, err);
}

static const struct cmd_option options[] = {
	{ "env", 0, CMD_VALUE, "NAME", "add the file's env_NAME" },
	{ "only", 0, CMD_VALUE, "APPS", "only these apps of the file" },
	{ "no-wait", 0, CMD_NO_VALUE, NULL, "do not wait until they are ready" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_apply = {
	.name = "apply",
	.args = "FILE",
	.summary = "make what runs what a configuration file says",
	.help = "Apps of the file that run are reloaded with its settings, the others are started. "
		"A successor that does not get ready changes nothing: the old one serves on, with "
		"its old settings. Over hosts of a fleet it is a rollout: some hosts at a time.",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.flags = CMD_APP_OPTIONS | CMD_JSON | CMD_PMCTL_ONLY | CMD_FLEET | CMD_PLANS | CMD_ROLLOUT |
	         CMD_ROLLS,
	.run = apply_run,
};

const struct cmd cmd_start_or_restart = {
	.name = "startOrRestart",
	.args = "FILE",
	.pm2_needs = "json",
	.summary = "restart the apps of a configuration file that run, start the others",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.flags = CMD_APP_OPTIONS | CMD_JSON | CMD_FLEET | CMD_PLANS,
	.run = restart_run,
};

const struct cmd cmd_start_or_reload = {
	.name = "startOrReload",
	.aliases = "startOrGracefulReload",
	.args = "FILE",
	.pm2_needs = "json",
	.summary = "reload the apps of a configuration file that run, start the others",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.flags = CMD_APP_OPTIONS | CMD_JSON | CMD_FLEET | CMD_PLANS,
	.run = reload_run,
};
