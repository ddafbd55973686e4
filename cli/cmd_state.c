/* cmd_state.c - save, resurrect, cleardump: the list over a reboot. */
#include <stdio.h>

#include "cli/act.h"
#include "cli/cmd_list.h"
#include "cli/dump_verbs.h"
#include "cli/fleet.h"
#include "proto/paths.h"

/* A command without targets; its own text is what there is to say. */
static int plain(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
                 struct account *account, struct pm_error *err)
{
	return ctx_connect(ctx, true, err) < 0 ? -1 : act_send(ctx, action, cmd, account, err);
}

static int save_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct action action = {
		.verb = PM__VERB__VERB_SAVE,
		.name = "save",
		.done = "saved",
	};
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_ACCOUNT account = { 0 };
	PM_STATUS *status = NULL;
	char path[PM_PATH_MAX];

	cmd.force = args_has(ctx->args, "force");
	if (ctx->as_pm2)
		say(ctx, "Saving current process list...");
	if (fleet_is_wide(ctx)) { /* a host with nothing to save says so */
		if (plain(ctx, &action, &cmd, &account, err) < 0)
			return -1;
		return act_finish(ctx, &action, &account, err);
	}
	if (ctx_connect(ctx, true, err) < 0 || ctx_status(ctx, NULL, CTX_LIST, &status, err) < 0 ||
	    pm_home_file(ctx->home, PM_HOME_STATE_DIR, path, sizeof(path), err) < 0)
		return -1;
	if (status->n_instances == 0 && !cmd.force) {
		if (ctx->as_pm2) {
			say_warn_out(ctx, "PM2 is not managing any process, skipping save...");
			say_warn_out(ctx, "To force saving use: pm2 save --force");
			return 0;
		}
		pm_fail(err, PM_NOT_FOUND, "save: the list is empty, what was saved is kept");
		pm_hint(err, "'pmctl save --force' saves the empty list");
		return -1;
	}
	/* The agent's own list and dump.pm2 are to hold the same. */
	if (plain(ctx, &action, &cmd, &account, err) < 0 ||
	    (ctx->as_pm2 && dump_save_now(ctx, path, err) < 0))
		return pm_wrap(err, "save");
	if (ctx->as_pm2)
		say(ctx, "Successfully saved in %s", path);
	else if (account.n_ok + account.n_failed == 0)
		say(ctx, "saved %zu instance%s in %s", status->n_instances,
		    status->n_instances == 1 ? "" : "s", path);
	if (account.n_ok + account.n_failed == 0 && !ctx->json)
		return 0;
	return act_finish(ctx, &action, &account, err);
}

static int resurrect_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct action action = {
		.verb = PM__VERB__VERB_RESURRECT,
		.name = "resurrect",
		.done = "restored",
	};
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_ACCOUNT account = { 0 };

	if (ctx->as_pm2)
		return dump_resurrect(ctx, err);
	cmd.no_wait = args_has(ctx->args, "no-wait");
	if (plain(ctx, &action, &cmd, &account, err) < 0)
		return pm_wrap(err, "resurrect");
	return act_finish(ctx, &action, &account, err);
}

static int cleardump_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct action action = {
		.verb = PM__VERB__VERB_CLEARDUMP,
		.name = "cleardump",
		.done = "cleared",
	};
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_ACCOUNT account = { 0 };
	char path[PM_PATH_MAX];

	if (plain(ctx, &action, &cmd, &account, err) < 0 ||
	    (ctx->as_pm2 && dump_save_empty(ctx, path, err) < 0))
		return -1;
	if (ctx->as_pm2)
		say(ctx, "Successfully created %s", path);
	else if (!ctx->json)
		say(ctx, "what was saved is forgotten; what runs goes on");
	return ctx->json ? act_finish(ctx, &action, &account, err) : 0;
}

static const struct cmd_option save_options[] = {
	{ "force", 'f', CMD_NO_VALUE, NULL, "even an empty list" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};
static const struct cmd_option resurrect_options[] = {
	{ "no-wait", 0, CMD_NO_VALUE, NULL, "do not wait until they are ready" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_save = {
	.name = "save",
	.aliases = "dump",
	.args = "",
	.summary = "remember the list as it is now, for resurrect and the next boot",
	.options = save_options,
	.flags = CMD_JSON | CMD_FLEET,
	.run = save_run,
};

const struct cmd cmd_resurrect = {
	.name = "resurrect",
	.args = "",
	.summary = "start what was saved and is not in the list",
	.options = resurrect_options,
	.flags = CMD_JSON | CMD_FLEET,
	.run = resurrect_run,
};

const struct cmd cmd_cleardump = {
	.name = "cleardump",
	.args = "",
	.summary = "forget what was saved",
	.flags = CMD_JSON,
	.run = cleardump_run,
};
