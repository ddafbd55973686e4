#include <string.h>

#include "cli/act.h"
#include "cli/cmd_list.h"
#include "cli/fmt.h"
#include "cli/target.h"

static const struct action action = {
	.verb = PM__VERB__VERB_SIGNAL,
	.name = "sendSignal",
	.done = "signalled",
};

static int pm2_fail(struct ctx *ctx, const char *what)
{
	say_plain_error(ctx, "%s", what);
	return 1;
}

static int signal_run(struct ctx *ctx, struct pm_error *err)
{
	const char *name = args_at(ctx->args, 0), *target = args_at(ctx->args, 1);
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_ACCOUNT account = { 0 };

	cmd.signal = fmt_parse_signal(name);
	if (ctx->as_pm2)
		say(ctx, "Sending signal to process %s %s",
		    target_is_number(target) ? "id" : "name", target);
	if (cmd.signal == 0) {
		if (ctx->as_pm2)
			return pm2_fail(ctx, "Error when sending signal (signal unknown)");
		pm_fail(err, PM_USAGE, "sendSignal %s: no such signal", name);
		pm_hint(err, "name one as in 'kill -l': SIGUSR2, HUP, 12");
		return -1;
	}
	if (ctx_connect(ctx, true, err) < 0)
		return -1;
	if (act_on_words(ctx, &action, &cmd, &target, 1, &account, err) < 0) {
		if (!ctx->as_pm2 || err->code != PM_NOT_FOUND)
			return -1;
		if (target_is_number(target)) {
			say_plain_error(ctx, "%s id unknown", target);
			return 1;
		}
		return pm2_fail(ctx, "Unknown process name");
	}
	if (ctx->as_pm2 && account.n_failed == 0)
		say(ctx, "Successfully sent signal %s to process %s %s", name,
		    target_is_number(target) ? "id" : "name", target);
	return act_finish(ctx, &action, &account, err);
}

const struct cmd cmd_signal = {
	.name = "sendSignal",
	.aliases = "signal",
	.args = "SIGNAL APP",
	.pm2_needs = "signal",
	.summary = "send a signal to the processes of APP (not to their children)",
	.min_args = 2,
	.max_args = 2,
	.flags = CMD_JSON | CMD_FLEET,
	.run = signal_run,
};
