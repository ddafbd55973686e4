/* cmd_restart.c - restart and reload, which differ in how careful the agent is. */
#include <string.h>

#include "cli/act.h"
#include "cli/cmd_list.h"
#include "cli/config.h"
#include "cli/fleet_act.h"
#include "cli/logs.h"
#include "cli/options.h"
#include "cli/stage.h"

static const struct action restart_action = {
	.verb = PM__VERB__VERB_RESTART,
	.name = "restart",
	.done = "restarted",
	.pm2_rpc = "restartProcessId",
	.pm2_unknown = "God db process id unknown",
	.pm2_table = true,
};

static const struct action reload_action = {
	.verb = PM__VERB__VERB_RELOAD,
	.name = "reload",
	.done = "reloaded",
	.pm2_rpc = "reloadProcessId",
	.pm2_unknown = "PM2 ID unknown",
};

static void pm2_hint(const struct ctx *ctx)
{
	if (!ctx->silent && !args_has(ctx->args, "update-env"))
		say_colored(ctx, COLOR_BOLD_BLUE,
		            "Use --update-env to update environment variables");
}

/* Words that are configuration files bring new specs; the rest names what is there. */
static int on_word(struct ctx *ctx, const struct action *action, Pm__Command *cmd, const char *word,
                   struct account *account, struct pm_error *err)
{
	if (config_is_file(word))
		return stage_config(ctx, action, cmd, word, account, err);
	if (ctx->as_pm2)
		pm2_hint(ctx);
	return act_on_words(ctx, action, cmd, &word, 1, account, err);
}

static int run(struct ctx *ctx, const struct action *meant, struct pm_error *err)
{
	/* Nobody waits for it: it was only ordered, and may fail yet. */
	struct action ordered = *meant;
	const struct action *action =
		ctx->as_pm2 || !args_has(ctx->args, "no-wait") ? meant : &ordered;
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_PATCH patch = { 0 };
	PM_ACCOUNT account = { 0 };
	size_t n = args_count(ctx->args), n_files = 0;
	PM_FREE const char **words = pm_calloc(n + 1, sizeof(*words));
	int status;

	ordered.done = meant->verb == PM__VERB__VERB_RELOAD ? "told to reload" : "told to restart";
	if (words == NULL)
		return pm_fail(err, PM_NO_MEMORY, "%s", action->name);
	for (size_t i = 0; i < n; i++) {
		words[i] = args_at(ctx->args, i);
		n_files += config_is_file(words[i]);
	}
	if (n_files == 0 && args_has(ctx->args, "env"))
		return pm_fail(err, PM_USAGE, "%s",
		               ctx->as_pm2 ? "Using --env [env] without passing the "
		                             "ecosystem.config.js does not work"
		                           : "--env: it names variables of a configuration file, "
		                             "and none is given");
	if (act_check_only(ctx, n_files, err) < 0 || fleet_act_check_words(ctx, err) < 0)
		return -1;
	if (ctx_connect(ctx, true, err) < 0 || options_flags(ctx, &cmd, err) < 0 ||
	    (n_files < n && options_patch(ctx, &patch, &cmd, err) < 0))
		return -1;
	if (ctx->as_pm2)
		cmd.no_wait = action->verb == PM__VERB__VERB_RESTART;
	if (n_files == 0 && !ctx->as_pm2) {
		if (act_on_words(ctx, action, &cmd, words, n, &account, err) < 0)
			return -1;
	} else {
		for (size_t i = 0; i < n; i++)
			if (on_word(ctx, action, &cmd, words[i], &account, err) < 0)
				return -1;
	}
	status = act_finish(ctx, action, &account, err);
	if (status == 0 && args_has(ctx->args, "attach") && !fleet_is_wide(ctx))
		return logs_follow(ctx, account.ids, account.n_ids, err);
	return status;
}

static int restart_run(struct ctx *ctx, struct pm_error *err)
{
	return run(ctx, &restart_action, err);
}

static int reload_run(struct ctx *ctx, struct pm_error *err)
{
	return run(ctx, &reload_action, err);
}

#define COMMON                                                                                \
	{ "update-env", 'a', CMD_NO_VALUE, NULL, "take the variables of this shell anew" },   \
		{ "env", 0, CMD_VALUE, "NAME", "of a configuration file, add its env_NAME" }, \
		{ "only", 0, CMD_VALUE, "APPS", "of a configuration file, only these apps" }, \
		{ "parallel", 0, CMD_VALUE, "N", "how many at a time" },                      \
		{ "no-wait", 0, CMD_NO_VALUE, NULL, "do not wait until they are ready" },     \
		{ "attach", 0, CMD_NO_VALUE, NULL, "follow their logs afterwards" },          \
	{                                                                                     \
		NULL, 0, CMD_NO_VALUE, NULL, NULL                                             \
	}

static const struct cmd_option restart_options[] = { COMMON };
static const struct cmd_option reload_options[] = {
	{ "force", 'f', CMD_NO_VALUE, NULL, "give up a reload that is going on, and begin anew" },
	COMMON,
};

const struct cmd cmd_restart = {
	.name = "restart",
	.args = "APP...",
	.pm2_needs = "id|name|namespace|all|json|stdin",
	.summary = "stop and start every instance of APP",
	.help = "Waits until they are ready again. Options of the app are merged into it first; "
		"a configuration file brings new settings for the apps it names.",
	.options = restart_options,
	.min_args = 1,
	.max_args = CMD_ANY,
	.flags = CMD_APP_OPTIONS | CMD_JSON | CMD_FLEET | CMD_PLANS | CMD_ROLLOUT,
	.run = restart_run,
};

const struct cmd cmd_reload = {
	.name = "reload",
	.args = "APP...",
	.pm2_needs = "id|name|namespace|all",
	.summary = "replace the instances of APP without a moment in which nobody answers",
	.help = "In cluster mode, and where the app's sockets come from `listen`, a successor is "
		"started beside each instance. When it listens, or says that it is ready, and has "
		"stayed up for min_uptime, new connections go to it; the old one answers what it "
		"has and is stopped. A successor that does not get there changes nothing: the old "
		"one serves on, the command fails and shows why. In fork mode nothing is shared, "
		"and a reload is a restart.",
	.options = reload_options,
	.min_args = 1,
	.max_args = CMD_ANY,
	.flags = CMD_APP_OPTIONS | CMD_JSON | CMD_FLEET | CMD_PLANS | CMD_ROLLOUT | CMD_ROLLS,
	.run = reload_run,
};
