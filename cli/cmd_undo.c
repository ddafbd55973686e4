/* cmd_undo.c - undo: an app gets a version of its settings again that it had before. */
#include "cli/act.h"
#include "cli/cmd_list.h"
#include "cli/fleet.h"
#include "cli/versions_ask.h"

static const struct action action = {
	.verb = PM__VERB__VERB_REVERT,
	.name = "undo",
	.done = "started",
	.done_again = "reloaded",
};

static int run(struct ctx *ctx, struct pm_error *err)
{
	const Pm__SpecVersion *version;
	Pm__SpecRef ref = PM__SPEC_REF__INIT, *refs[] = { &ref };
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_RESULT *known = NULL;
	PM_ACCOUNT account = { 0 };

	if (ctx->fleet != NULL || fleet_names_hosts(ctx->args)) {
		/* What came before may be another version on each of them. */
		pm_fail(err, PM_USAGE, "undo: over hosts, a rollout is undone, not an app");
		pm_hint(err, "'pmctl rollout list --all' shows them, 'pmctl rollout undo ROLLOUT' "
		             "takes one back");
		return -1;
	}
	if (ctx_connect(ctx, true, err) < 0 ||
	    versions_ask(ctx, args_at(ctx->args, 0), &known, err) < 0 ||
	    versions_choose(known->text, known->versions, known->n_versions,
	                    args_get(ctx->args, "to"), &version, err) < 0)
		return pm_wrap(err, "undo");
	ref.name = (char *)(uintptr_t)known->text; /* only read */
	ref.hash = version->hash;
	cmd.specs = refs;
	cmd.n_specs = 1;
	cmd.force = args_has(ctx->args, "force");
	cmd.no_wait = args_has(ctx->args, "no-wait");
	if (act_send(ctx, &action, &cmd, &account, err) < 0)
		return pm_wrap(err, "undo");
	return act_finish(ctx, &action, &account, err);
}

static const struct cmd_option options[] = {
	{ "to", 0, CMD_VALUE, "SETTINGS",
	  "this version, by the beginning of its name in 'history'" },
	{ "force", 'f', CMD_NO_VALUE, NULL, "give up a reload that is going on" },
	{ "no-wait", 0, CMD_NO_VALUE, NULL, "do not wait until they are ready" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_undo = {
	.name = "undo",
	.args = "APP",
	.summary = "give APP the settings again that it had before",
	.help = "It is a reload: instances are replaced without a moment in which nobody answers "
		"where that is possible, their number is as it was, and a version that does not "
		"get ready changes nothing. Instances that have that version already are left "
		"alone. An app that was deleted is started anew. Variables that came from a shell "
		"stay as they are. What the app had until now is kept: a second undo takes the "
		"first one back. Over hosts of a fleet it is a rollout that is undone: see "
		"'pmctl help rollout'.",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_PLANS | CMD_FLEET,
	.run = run,
};
