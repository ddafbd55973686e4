/* cmd_start.c - start: configuration files, what is in the list already, and scripts. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/act.h"
#include "cli/cmd_list.h"
#include "cli/config.h"
#include "cli/fleet_act.h"
#include "cli/logs.h"
#include "cli/options.h"
#include "cli/stage.h"
#include "cli/target.h"

static const struct action start_action = {
	.verb = PM__VERB__VERB_START,
	.name = "start",
	.done = "started",
	.pm2_rpc = "restartProcessId",
	.pm2_unknown = "God db process id unknown",
	.pm2_table = true,
};

/* Of a file, apps that are in the list are restarted. */
static const struct action file_action = {
	.verb = PM__VERB__VERB_START_OR_RESTART,
	.name = "start",
	.done = "started",
	.done_again = "restarted",
	.pm2_rpc = "restartProcessId",
	.pm2_table = true,
};

/* PM2 restarts what `start` finds in the list. */
static const struct action pm2_action = {
	.verb = PM__VERB__VERB_RESTART,
	.name = "restart",
	.done = "restarted",
	.pm2_rpc = "restartProcessId",
	.pm2_unknown = "God db process id unknown",
	.pm2_table = true,
};

/* What one call of start has to do, sorted by kind before anything is done. */
struct plan {
	struct ctx *ctx;
	Pm__Command *cmd;
	struct account *account;
	struct options_patch *patch;
	const char **known; /* owned; words that name what is in the list */
	size_t n_known;
	Pm__AppSpec **specs; /* owned; of scripts */
	size_t n_specs;
};

static void plan_finish(struct plan *p)
{
	for (size_t i = 0; i < p->n_specs; i++)
		spec_free(p->specs[i]);
	free(p->specs);
	free(p->known);
}

/* Options given with what is in the list already are merged into it. */
static int act_on_known(struct plan *p, const struct action *action, const char *const *words,
                        size_t n, struct pm_error *err)
{
	if (options_patch(p->ctx, p->patch, p->cmd, err) < 0)
		return -1;
	return act_on_words(p->ctx, action, p->cmd, words, n, p->account, err);
}

/* A word that can only be a script: it holds a slash, or ends in an extension. */
static bool looks_like_script(const char *word)
{
	const char *dot = strrchr(word, '.');

	return strchr(word, '/') != NULL || (dot != NULL && dot != word && dot[1] != '\0');
}

static int is_known(struct ctx *ctx, const char *word, bool *known, struct pm_error *err)
{
	PM_STATUS *status = NULL;

	*known = strcmp(word, "all") == 0 || target_is_regex(word);
	if (*known || looks_like_script(word))
		return 0;
	if (fleet_is_wide(ctx)) {
		*known = true; /* or each host that has none says so */
		return 0;
	}
	if (ctx_status(ctx, word, CTX_LIST, &status, err) == 0)
		*known = true;
	else if (err->code != PM_NOT_FOUND)
		return -1;
	return 0;
}

/* The same script under the same name: stopped, it is started; running, it is refused. */
static int find_same(struct plan *p, const Pm__AppSpec *spec, bool *restart, struct pm_error *err)
{
	PM_STATUS *status = NULL;

	*restart = false;
	if (args_has(p->ctx->args, "force") || spec->command || fleet_is_wide(p->ctx))
		return 0;
	if (ctx_status(p->ctx, spec->script, CTX_LIST, &status, err) < 0)
		return err->code == PM_NOT_FOUND ? 0 : -1;
	for (size_t i = 0; i < status->n_instances; i++) {
		const Pm__InstanceStatus *s = status->instances[i];

		if (strcmp(s->name, spec->name) != 0)
			continue;
		if (s->state == PM__LIFE_STATE__LIFE_STOPPED ||
		    s->state == PM__LIFE_STATE__LIFE_STOPPING ||
		    s->state == PM__LIFE_STATE__LIFE_ERRORED) {
			*restart = true;
			continue;
		}
		if (p->ctx->as_pm2)
			return pm_fail(err, PM_EXISTS,
			               "Script already launched, add -f option to force "
			               "re-execution");
		pm_fail(err, PM_EXISTS, "start %s: it runs already as %s (%u)", spec->script,
		        s->name, s->pm_id);
		pm_hint(err, "'pmctl restart %.60s' restarts it, -f starts a second one", s->name);
		return -1;
	}
	return 0;
}

static void pm2_starting(const struct ctx *ctx, const Pm__AppSpec *spec)
{
	bool cluster = spec->exec_mode == PM__EXEC_MODE__EXEC_MODE_CLUSTER;

	stage_pm2_cron(ctx, spec);
	say(ctx, "Starting %s in %s (%u instance%s)",
	    spec->command ? spec->interpreter : spec->script,
	    cluster ? "cluster_mode" : "fork_mode", spec->instances,
	    spec->instances == 1 ? "" : "s");
}

/* Takes the spec over. */
static int add_spec(struct plan *p, Pm__AppSpec *spec, struct pm_error *err)
{
	Pm__AppSpec **specs = pm_realloc(p->specs, (p->n_specs + 1) * sizeof(*specs));

	if (specs == NULL) {
		spec_free(spec);
		return pm_fail(err, PM_NO_MEMORY, "start");
	}
	specs[p->n_specs++] = spec;
	p->specs = specs;
	return 0;
}

static int add_script(struct plan *p, const char *word, struct pm_error *err)
{
	PM_SPEC *spec = NULL;
	bool restart;

	if (stage_script(p->ctx, word, &spec, err) < 0)
		return -1;
	if (find_same(p, spec, &restart, err) < 0)
		return -1;
	if (restart) {
		/* Its own words: the spec goes with this call, the entry's name is ours. */
		const char *name = word;

		if (p->ctx->as_pm2)
			return act_on_known(p, &pm2_action, &name, 1, err);
		p->known[p->n_known++] = word;
		return 0;
	}
	return add_spec(p, PM_STEAL(spec), err);
}

static int send_specs(struct plan *p, struct pm_error *err)
{
	Pm__Command cmd = *p->cmd;
	struct action action = start_action;

	if (p->n_specs == 0)
		return 0;
	cmd.use_staged = true;
	/* Whether the entry exists was looked at, but not on several hosts: these are new ones. */
	if (!fleet_is_wide(p->ctx))
		cmd.force = true;
	cmd.patch = NULL;
	for (size_t i = 0; i < p->n_specs; i++) {
		if (p->ctx->as_pm2)
			pm2_starting(p->ctx, p->specs[i]);
		if (p->ctx->as_pm2 && p->specs[i]->wait_ready)
			cmd.no_wait = false;
		if (client_push_spec(p->ctx->client, p->specs[i], err) < 0)
			return -1;
	}
	action.pm2_rpc = NULL;
	if (act_send(p->ctx, &action, &cmd, p->account, err) < 0)
		return -1;
	if (p->ctx->as_pm2 && p->account->n_failed == 0)
		say(p->ctx, "Done.");
	for (size_t i = 0; i < p->n_specs; i++)
		spec_free(p->specs[i]);
	p->n_specs = 0;
	return 0;
}

static int one_word(struct plan *p, const char *word, struct pm_error *err)
{
	bool known;

	if (config_is_file(word))
		return stage_config(p->ctx, &file_action, p->cmd, word, p->account, err);
	if (is_known(p->ctx, word, &known, err) < 0)
		return -1;
	if (!known) {
		if (add_script(p, word, err) < 0)
			return -1;
		return p->ctx->as_pm2 ? send_specs(p, err) : 0;
	}
	if (!p->ctx->as_pm2) {
		p->known[p->n_known++] = word;
		return 0;
	}
	if (act_on_known(p, &pm2_action, &word, 1, err) < 0)
		return -1;
	say(p->ctx, "Process successfully started");
	return 0;
}

/* Without an argument: the file that `pmctl init` writes. */
static const char *default_file(void)
{
	static const char *const names[] = { "ecosystem.config.js",   "ecosystem.config.cjs",
		                             "ecosystem.config.mjs",  "ecosystem.config.json",
		                             "ecosystem.config.yaml", "ecosystem.config.yml",
		                             "ecosystem.json",        "ecosystem.yaml",
		                             "ecosystem.yml" };

	for (size_t i = 0; i < PM_COUNT(names); i++)
		if (access(names[i], R_OK) == 0)
			return names[i];
	return names[0];
}

static int do_words(struct plan *p, struct pm_error *err)
{
	size_t n = args_count(p->ctx->args);

	if (n == 0) {
		const char *file = default_file();

		if (access(file, R_OK) < 0) {
			pm_fail(err, PM_NOT_FOUND,
			        p->ctx->as_pm2 ? "File %s not found" : "start: there is no %s here",
			        file);
			pm_hint(err, "say what to start, or write one with 'pmctl init'");
			return -1;
		}
		return one_word(p, file, err);
	}
	if (fleet_act_check_words(p->ctx, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (one_word(p, args_at(p->ctx->args, i), err) < 0)
			return -1;
	if (fleet_is_wide(p->ctx) && p->n_specs > 0 && p->n_known > 0)
		return pm_fail(err, PM_USAGE,
		               "start: with several hosts, scripts or names of apps, and not both");
	if (send_specs(p, err) < 0)
		return -1;
	if (p->n_known > 0)
		return act_on_known(p, &start_action, p->known, p->n_known, err);
	return 0;
}

/* What is of configuration files alone. */
static int check_file_options(const struct ctx *ctx, struct pm_error *err)
{
	size_t n = args_count(ctx->args), n_files = n == 0; /* without a word it is a file */

	for (size_t i = 0; i < n; i++)
		n_files += config_is_file(args_at(ctx->args, i));
	if (!ctx->as_pm2 && n_files == 0 && args_has(ctx->args, "env"))
		return pm_fail(err, PM_USAGE,
		               "--env: it names variables of a configuration file, and none is "
		               "given");
	return act_check_only(ctx, n_files, err);
}

static int run(struct ctx *ctx, struct pm_error *err)
{
	struct action finish = start_action;
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_PATCH patch = { 0 };
	PM_ACCOUNT account = { 0 };
	PM_CLEANUP(plan_finish)
	struct plan plan = { .ctx = ctx, .cmd = &cmd, .account = &account, .patch = &patch };
	int status;

	plan.known = pm_calloc(args_count(ctx->args) + 1, sizeof(*plan.known));
	if (plan.known == NULL)
		return pm_fail(err, PM_NO_MEMORY, "start");
	if (check_file_options(ctx, err) < 0 || ctx_connect(ctx, true, err) < 0 ||
	    options_flags(ctx, &cmd, err) < 0)
		return -1;
	if (ctx->as_pm2)
		cmd.no_wait = true;
	if (do_words(&plan, err) < 0)
		return -1;
	finish.done_again = file_action.done_again;
	status = act_finish(ctx, &finish, &account, err);
	if (status == 0 && args_has(ctx->args, "attach") && !fleet_is_wide(ctx))
		return logs_follow(ctx, account.ids, account.n_ids, err);
	return status;
}

static const struct cmd_option options[] = {
	{ "env", 0, CMD_VALUE, "NAME", "of a configuration file, add its env_NAME" },
	{ "only", 0, CMD_VALUE, "APPS", "of a configuration file, only these apps" },
	{ "force", 'f', CMD_NO_VALUE, NULL, "start a second copy of what runs already" },
	{ "update-env", 'a', CMD_NO_VALUE, NULL,
	  "of an app in the list, take the variables of this shell anew" },
	{ "parallel", 0, CMD_VALUE, "N", "how many at a time" },
	{ "no-wait", 0, CMD_NO_VALUE, NULL, "do not wait until they are ready" },
	{ "attach", 0, CMD_NO_VALUE, NULL, "follow their logs afterwards" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_start = {
	.name = "start",
	.args = "[FILE|APP]... [-- ARGUMENT...]",
	.summary = "start a program, the apps of a configuration file, or what has stopped",
	.help = "FILE is a script, a program, a command line (text with a blank), or a "
		"configuration file; without one it is ecosystem.config.js. Waits until the app "
		"is ready, and shows its last output if it fails.",
	.options = options,
	.min_args = 0,
	.max_args = CMD_ANY,
	.flags = CMD_APP_OPTIONS | CMD_JSON | CMD_SCRIPT_ARGS | CMD_FLEET | CMD_PLANS | CMD_ROLLOUT,
	.run = run,
};
