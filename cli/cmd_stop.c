#include "cli/act.h"
#include "cli/cmd_list.h"

static int stop_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct action action = {
		.verb = PM__VERB__VERB_STOP,
		.name = "stop",
		.done = "stopped",
		.pm2_rpc = "stopProcessId",
		.pm2_unknown = " : id unknown",
		.pm2_table = true,
	};

	return act_run(ctx, &action, err);
}

static const struct cmd_option options[] = {
	{ "only", 0, CMD_VALUE, "APPS", "of a configuration file, only these apps" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_stop = {
	.name = "stop",
	.args = "APP...",
	.pm2_needs = "id|name|namespace|all|json|stdin",
	.summary = "stop every instance of APP; it stays in the list",
	.help = "The app gets its stop signal (SIGINT, or kill_signal), and SIGKILL after "
		"kill_timeout; so does every process it has started.",
	.options = options,
	.min_args = 1,
	.max_args = CMD_ANY,
	.flags = CMD_JSON | CMD_FLEET | CMD_PLANS | CMD_DESTRUCTIVE | CMD_ROLLOUT,
	.run = stop_run,
};
