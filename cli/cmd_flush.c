/* cmd_flush.c - flush and reloadLogs: the log files as a whole. */
#include <stdio.h>

#include "cli/act.h"
#include "cli/cmd_list.h"
#include "cli/fleet.h"
#include "proto/paths.h"

static int pm2_flush(struct ctx *ctx, const char *word, struct pm_error *err)
{
	PM_STATUS *status = NULL;
	char path[PM_PATH_MAX];

	if (word == NULL) {
		if (pm_home_file(ctx->home, PM_HOME_PM2_LOG, path, sizeof(path), err) < 0)
			return -1;
		say(ctx, "Flushing %s", path);
	}
	if (ctx_status(ctx, word, CTX_FULL, &status, err) < 0 && err->code != PM_NOT_FOUND)
		return -1;
	for (size_t i = 0; status != NULL && i < status->n_instances; i++) {
		say(ctx, "Flushing:");
		say(ctx, "%s", status->instances[i]->out_file);
		say(ctx, "%s", status->instances[i]->error_file);
	}
	return 0;
}

static int flush_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct action action = {
		.verb = PM__VERB__VERB_FLUSH,
		.name = "flush",
		.done = "flushed",
	};
	const char *word = args_at(ctx->args, 0);
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_ACCOUNT account = { 0 };
	int rc;

	if (ctx_connect(ctx, true, err) < 0 || (ctx->as_pm2 && pm2_flush(ctx, word, err) < 0))
		return -1;
	if (word == NULL)
		rc = act_send(ctx, &action, &cmd, &account, err);
	else
		rc = act_on_words(ctx, &action, &cmd, &word, 1, &account, err);
	if (ctx->as_pm2 && (rc == 0 || err->code == PM_NOT_FOUND)) {
		say(ctx, "Logs flushed"); /* of an unknown name, too */
		return 0;
	}
	if (rc < 0)
		return -1;
	if (account.n_ok + account.n_failed == 0 && !ctx->json && !fleet_is_wide(ctx)) {
		say(ctx, "all log files flushed");
		return 0;
	}
	return act_finish(ctx, &action, &account, err);
}

static int reload_logs_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct action action = {
		.verb = PM__VERB__VERB_REOPEN_LOGS,
		.name = "reloadLogs",
		.done = "log files reopened",
	};
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_ACCOUNT account = { 0 };

	if (ctx->as_pm2)
		say_plain(ctx, "Reloading all logs...");
	if (ctx_connect(ctx, true, err) < 0 || act_send(ctx, &action, &cmd, &account, err) < 0)
		return -1;
	if (ctx->as_pm2)
		say_plain(ctx, "All logs reloaded");
	else if (account.n_failed == 0 && !ctx->json && !fleet_is_wide(ctx))
		say(ctx, "all log files reopened");
	return ctx->json || account.n_failed > 0 || fleet_is_wide(ctx)
	               ? act_finish(ctx, &action, &account, err)
	               : 0;
}

const struct cmd cmd_flush = {
	.name = "flush",
	.args = "[APP]",
	.summary = "empty the log files of APP, or of all apps",
	.max_args = 1,
	.flags = CMD_JSON | CMD_FLEET | CMD_DESTRUCTIVE,
	.run = flush_run,
};

const struct cmd cmd_reload_logs = {
	.name = "reloadLogs",
	.args = "",
	.summary = "open all log files anew, after they were moved",
	.flags = CMD_JSON | CMD_FLEET,
	.run = reload_logs_run,
};
