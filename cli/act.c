#include "cli/act.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/apps.h"
#include "cli/config.h"
#include "cli/fleet_act.h"
#include "cli/inspect.h"
#include "cli/json_out.h"
#include "cli/rollout_start.h"
#include "cli/spec_name.h"
#include "cli/target.h"
#include "cli/text.h"

/* Exit status of a plan that has something to do. */
#define PLAN_CHANGES 20

void account_finish(struct account *a)
{
	free(a->ids);
	pm_buf_finish(&a->json);
}

void act_names_free(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->names[i]);
	free(names->names);
	*names = (struct names){ 0 };
}

static void remember(struct account *a, uint32_t id)
{
	uint32_t *ids = pm_realloc(a->ids, (a->n_ids + 1) * sizeof(*ids));

	if (ids == NULL) {
		a->failed = true;
		return;
	}
	ids[a->n_ids++] = id;
	a->ids = ids;
}

/* ---- one outcome ---- */

static void version_json(struct json_out *j, const char *hash_key, const ProtobufCBinaryData *hash,
                         const char *version_key, const char *version)
{
	char name[SPEC_NAME_TEXT];

	spec_name_text(hash, 2 * SPEC_NAME_BYTES, name);
	if (*name != '\0')
		json_kstr(j, hash_key, name);
	if (*version != '\0')
		json_kstr(j, version_key, version);
}

void act_outcome_json(struct json_out *j, const Pm__Outcome *o)
{
	json_begin_object(j);
	json_kstr(j, "name", o->name);
	if (o->has_id)
		json_kuint(j, "id", o->pm_id);
	json_kbool(j, "ok", o->code == PM_OK);
	json_kstr(j, "code", pm_code_name(pm_code_from_wire(o->code)));
	json_kstr(j, "text", o->text);
	if (o->hint[0] != '\0')
		json_kstr(j, "hint", o->hint);
	if (o->has_id) {
		json_kuint(j, "pid", o->pid);
		json_kstr(j, "status", apps_state_name(o->state));
	}
	version_json(j, "spec_from", &o->spec_from, "version_from", o->version_from);
	version_json(j, "spec_to", &o->spec_to, "version_to", o->version_to);
	if (o->changes)
		json_kbool(j, "changes", true);
	if (o->log_tail.len > 0) {
		json_key(j, "log_tail");
		json_strn(j, (const char *)o->log_tail.data, o->log_tail.len);
	}
	json_end_object(j);
}

static void outcome_json(struct account *a, const Pm__Outcome *o)
{
	struct json_out j;

	json_init(&j, &a->json);
	j.comma = a->json.len > 0;
	act_outcome_json(&j, o);
}

/* The last lines of an instance that failed, set off from our own words. */
static void print_tail(const struct ctx *ctx, const Pm__Outcome *o)
{
	PM_BUF out = { 0 };

	if (o->log_tail.len == 0 || ctx->json)
		return;
	say_plain(ctx, "  its last output:");
	text_add_tail(&out, (const char *)o->log_tail.data, o->log_tail.len, ctx->color_out);
	if (!ctx->silent && !out.failed)
		(void)fwrite(out.bytes, 1, out.len, stdout);
}

static bool is_plan(const struct ctx *ctx)
{
	return args_has(ctx->args, "plan");
}

static void print_ours(const struct ctx *ctx, const struct action *action, const Pm__Outcome *o)
{
	char who[PM_NAME_MAX + 32];

	if (o->has_id)
		(void)snprintf(who, sizeof(who), "%.*s (%u)", PM_NAME_MAX, o->name, o->pm_id);
	else
		(void)snprintf(who, sizeof(who), "%.*s", PM_NAME_MAX, o->name);
	if (o->code == PM_OK) {
		const char *done = o->existed && action->done_again != NULL ? action->done_again
		                                                            : action->done;

		if (o->pid != 0 && o->text[0] == '\0')
			say(ctx, "%s: %s, pid %u", who, done, o->pid);
		else
			say(ctx, "%s: %s", who, o->text[0] == '\0' ? done : o->text);
	} else if (!ctx->json) {
		struct pm_error err;

		(void)pm_fail(&err, pm_code_from_wire(o->code), "%s %s: %s", action->name, who,
		              o->text[0] == '\0' ? pm_code_name(pm_code_from_wire(o->code))
		                                 : o->text);
		if (o->hint[0] != '\0')
			pm_hint(&err, "%s", o->hint);
		say_error(ctx, &err);
		print_tail(ctx, o);
	}
}

static void print_pm2(const struct ctx *ctx, const struct action *action, const Pm__Outcome *o)
{
	struct pm_error err;

	if (o->code == PM_OK) {
		if (action->pm2_rpc != NULL)
			say(ctx, "[%s](%u) ✓", o->name, o->pm_id);
		return;
	}
	(void)pm_fail(&err, pm_code_from_wire(o->code), "%s", o->text);
	say_error(ctx, &err);
}

struct progress {
	const struct ctx *ctx;
	const struct action *action;
	struct account *account;
	uint32_t *told; /* owned: ids that came as progress, in whatever order they were done */
	size_t n_told, cap;
};

static void one_outcome(struct progress *p, const Pm__Outcome *o)
{
	if (o->code == PM_OK) {
		p->account->n_ok++;
		p->account->n_changes += o->changes;
		p->account->n_again += o->existed && p->action->done_again != NULL;
	} else {
		if (p->account->n_failed++ == 0)
			p->account->code = pm_code_from_wire(o->code);
	}
	if (o->has_id)
		remember(p->account, o->pm_id);
	if (p->ctx->json)
		outcome_json(p->account, o);
	else if (p->ctx->as_pm2)
		print_pm2(p->ctx, p->action, o);
	else
		print_ours(p->ctx, p->action, o);
}

static void on_progress(void *arg, const Pm__Outcome *o)
{
	struct progress *p = arg;

	if (p->ctx->json)
		return; /* one document, at the end: what comes then says more */
	if (p->n_told == p->cap) {
		size_t cap = p->cap == 0 ? 64 : p->cap * 2;
		uint32_t *more = pm_realloc(p->told, cap * sizeof(uint32_t));

		if (more == NULL)
			return; /* told with the result, then */
		p->told = more;
		p->cap = cap;
	}
	p->told[p->n_told++] = o->pm_id;
	one_outcome(p, o);
	(void)fflush(stdout); /* main looks at errors */
}

static bool was_told(const struct progress *p, const Pm__Outcome *o)
{
	for (size_t i = 0; i < p->n_told; i++)
		if (o->has_id && p->told[i] == o->pm_id)
			return true;
	return false;
}

int act_send(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
             struct account *account, struct pm_error *err)
{
	struct progress p = { .ctx = ctx, .action = action, .account = account };
	PM_RESULT *result = NULL;

	cmd->verb = action->verb;
	cmd->timeout_ms = ctx->timeout_ms;
	if (ctx->fleet != NULL && !is_plan(ctx) && act_confirm(ctx, action, cmd, err) < 0)
		return -1;
	if (rollout_is_meant(ctx))
		return rollout_send(ctx, action, cmd, err);
	if (fleet_is_wide(ctx) && is_plan(ctx))
		return pm_fail(err, PM_UNSUPPORTED, "%s: a plan of it is one host's", action->name);
	cmd->dry_run = is_plan(ctx);
	if (fleet_is_wide(ctx))
		return fleet_act_send(ctx, action, cmd, err);
	if (client_command(ctx->client, cmd, on_progress, &p, &result, err) < 0) {
		free(p.told);
		return -1;
	}
	/* What came as progress is not told twice. */
	for (size_t i = 0; i < result->n_outcomes; i++)
		if (!was_told(&p, result->outcomes[i]))
			one_outcome(&p, result->outcomes[i]);
	free(p.told);
	if (result->code != PM_OK && result->n_outcomes == 0) {
		pm_fail(err, result->code, "%s", result->text);
		if (result->hint[0] != '\0')
			pm_hint(err, "%s", result->hint);
		return -1;
	}
	return account->failed ? pm_fail(err, PM_NO_MEMORY, "%s", action->name) : 0;
}

/* ---- targets ---- */

static int add_word(struct ctx *ctx, const char *word, struct target_list *list,
                    struct pm_error *err)
{
	if (target_is_regex(word)) {
		PM_STATUS *all = NULL;

		if (fleet_is_wide(ctx))
			return pm_fail(
				err, PM_UNSUPPORTED,
				"%s: a pattern is looked up on one host; for several, name apps",
				word);
		if (ctx_status(ctx, NULL, CTX_LIST, &all, err) < 0)
			return -1;
		return target_list_add_regex(list, word, all->instances, all->n_instances, err);
	}
	if (config_is_file(word)) {
		struct names names = { 0 };
		int rc = act_config_names(ctx, word, &names, err);

		for (size_t i = 0; rc == 0 && i < names.n; i++)
			rc = target_list_add(list, names.names[i], err);
		act_names_free(&names);
		return rc;
	}
	return target_list_add(list, word, err);
}

int act_config_names(struct ctx *ctx, const char *path, struct names *out, struct pm_error *err)
{
	char cwd[PM_PATH_MAX];
	struct build_context build = {
		.cwd = cwd, .environment = environ, .n_cpus = 1, .as_pm2 = ctx->as_pm2
	};
	struct config_request request = { .path = path,
		                          .build = &build,
		                          .only = args_get(ctx->args, "only") };
	struct config_result *result = pm_calloc(1, sizeof(*result));
	int rc;

	if (result == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read %s", path);
	if (getcwd(cwd, sizeof(cwd)) == NULL) {
		free(result);
		return pm_fail(err, PM_INTERNAL, "the current directory is gone");
	}
	rc = config_load(&request, result, err);
	out->names = rc < 0 ? NULL : pm_calloc(result->n + 1, sizeof(char *));
	if (rc == 0 && out->names == NULL)
		rc = pm_fail(err, PM_NO_MEMORY, "read %s", path);
	for (size_t i = 0; rc == 0 && i < result->n; i++) {
		out->names[i] = pm_strdup(result->specs[i]->name);
		if (out->names[i] == NULL)
			rc = pm_fail(err, PM_NO_MEMORY, "read %s", path);
		else
			out->n++;
	}
	config_result_finish(result);
	free(result);
	if (rc < 0)
		act_names_free(out);
	return rc;
}

static int send_to(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
                   struct target_list *list, struct account *account, struct pm_error *err)
{
	int rc;

	cmd->targets = list->targets;
	cmd->n_targets = list->n;
	rc = act_send(ctx, action, cmd, account, err);
	cmd->targets = NULL;
	cmd->n_targets = 0;
	return rc;
}

/* "Applying action restartProcessId on app [api](ids: [ 0, 1 ])" */
static void pm2_applying(const struct ctx *ctx, const struct action *action, const char *target,
                         const struct client_status *status)
{
	PM_BUF json = { 0 };
	PM_BUF ids = { 0 };
	struct json_out j;
	struct pm_error err;
	/* PM2 shows an id that was typed as the text it was. */
	bool typed = target_is_number(target) &&
	             (status == NULL || strcmp(status->instances[0]->name, target) != 0);

	json_init(&j, &json);
	json_begin_array(&j);
	if (typed)
		json_str(&j, target);
	for (size_t i = 0; !typed && status != NULL && i < status->n_instances; i++)
		json_uint(&j, status->instances[i]->pm_id);
	json_end_array(&j);
	if (json.failed || inspect_json(json.bytes, json.len, &ids, &err) < 0)
		return;
	say(ctx, "Applying action %s on app [%s](ids: %s)", action->pm2_rpc, target, ids.bytes);
}

void act_pm2_applied(struct ctx *ctx, const struct action *action, const char *name)
{
	PM_STATUS *status = NULL;
	struct pm_error err;

	if (ctx_status(ctx, name, CTX_LIST, &status, &err) < 0)
		return; /* it is gone again: nothing to tell */
	pm2_applying(ctx, action, name, status);
	for (size_t i = 0; i < status->n_instances; i++)
		say(ctx, "[%s](%u) ✓", name, status->instances[i]->pm_id);
}

static int pm2_not_found(struct ctx *ctx, const struct action *action, const char *word,
                         struct pm_error *err)
{
	if (strcmp(word, "all") == 0 || target_is_regex(word)) {
		say_warn(ctx, "No process found");
		return pm_fail(err, PM_NOT_FOUND, "%s", "");
	}
	if (!target_is_number(word) || action->pm2_rpc == NULL)
		return pm_fail(err, PM_NOT_FOUND, "Process or Namespace %s not found", word);
	pm2_applying(ctx, action, word, NULL);
	return pm_fail(err, PM_NOT_FOUND, "%s%s", action->pm2_unknown[0] == ' ' ? word : "",
	               action->pm2_unknown);
}

/* One target as PM2 does it: say what will be done to which ids (not for apps of a file), do it. */
static int pm2_word(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
                    const char *word, bool announce, struct account *account, struct pm_error *err)
{
	struct target_list list = { 0 };
	PM_STATUS *status = NULL;
	size_t failed = account->n_failed;
	int rc;

	rc = target_is_regex(word) ? add_word(ctx, word, &list, err)
	                           : target_list_add(&list, word, err);
	if (rc == 0) {
		Pm__StatusRequest req = PM__STATUS_REQUEST__INIT;

		req.detail = PM__DETAIL__DETAIL_LIST;
		req.sample = true;
		req.targets = list.targets;
		req.n_targets = list.n;
		rc = client_status(ctx->client, &req, ctx->timeout_ms, &status, err);
	}
	if ((rc < 0 && err->code == PM_NOT_FOUND) || (rc == 0 && status->n_instances == 0)) {
		rc = pm2_not_found(ctx, action, word, err);
	} else if (rc == 0) {
		if (announce && action->pm2_rpc != NULL)
			pm2_applying(ctx, action, word, status);
		rc = send_to(ctx, action, cmd, &list, account, err);
	}
	target_list_finish(&list);
	if (rc == 0 && account->n_failed > failed)
		return pm_fail(err, account->code, "%s", "");
	return rc;
}

static int pm2_words(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
                     const char *const *words, size_t n, struct account *account,
                     struct pm_error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (!config_is_file(words[i])) {
			if (pm2_word(ctx, action, cmd, words[i], true, account, err) < 0)
				return -1;
			continue;
		}
		struct names names = { 0 };
		int rc = act_config_names(ctx, words[i], &names, err);

		for (size_t k = 0; rc == 0 && k < names.n; k++)
			rc = pm2_word(ctx, action, cmd, names.names[k], false, account, err);
		act_names_free(&names);
		if (rc < 0)
			return -1;
	}
	return 0;
}

int act_on_words(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
                 const char *const *words, size_t n, struct account *account, struct pm_error *err)
{
	struct target_list list = { 0 };
	int rc = 0;

	if (ctx->as_pm2)
		return pm2_words(ctx, action, cmd, words, n, account, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = add_word(ctx, words[i], &list, err);
	if (rc == 0)
		rc = send_to(ctx, action, cmd, &list, account, err);
	target_list_finish(&list);
	return rc < 0 ? pm_wrap(err, "%s", action->name) : 0;
}

/* ---- the end ---- */

int act_print_table(struct ctx *ctx, struct pm_error *err)
{
	struct apps_style style = { .width = ctx->width,
		                    .color = ctx->color_out,
		                    .utf8 = true,
		                    .box = true,
		                    .as_pm2 = true };
	PM_STATUS *status = NULL;
	PM_BUF out = { 0 };

	if (ctx->silent)
		return 0;
	if (ctx_status(ctx, NULL, CTX_LIST, &status, err) < 0 ||
	    apps_sort(status->instances, status->n_instances, args_get(ctx->args, "sort"), err) <
	            0 ||
	    apps_table(status->instances, status->n_instances, &style, &out, err) < 0)
		return -1;
	return say_buf(&out, err);
}

static int account_json(const struct ctx *ctx, const struct action *action, const struct account *a,
                        struct pm_error *err)
{
	PM_BUF out = { 0 };
	struct json_out j;

	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kstr(&j, "command", action->name);
	json_key(&j, "outcomes");
	json_begin_array(&j);
	json_raw(&j, a->json.len == 0 ? "" : a->json.bytes);
	json_end_array(&j);
	json_key(&j, "account");
	json_begin_object(&j);
	json_kuint(&j, "total", a->n_ok + a->n_failed);
	json_kuint(&j, "ok", a->n_ok);
	json_kuint(&j, "failed", a->n_failed);
	if (is_plan(ctx))
		json_kuint(&j, "changes", a->n_changes);
	json_end_object(&j);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	if (a->json.failed)
		return pm_fail(err, PM_NO_MEMORY, "print the answer");
	return say_buf(&out, err);
}

static void say_plan(const struct ctx *ctx, const struct account *a)
{
	if (a->n_changes == 0)
		say(ctx, "nothing would change");
	else
		say(ctx, "nothing was done: this is only a plan");
}

static void say_account(const struct ctx *ctx, const struct action *action, const struct account *a)
{
	bool again = action->done_again != NULL && a->n_again > 0;
	bool both = again && a->n_again < a->n_ok;
	char done[64];

	(void)snprintf(done, sizeof(done), "%s%s%s", again && !both ? "" : action->done,
	               both ? " or " : "", again ? action->done_again : "");
	if (a->n_failed == 0)
		say(ctx, "%zu instances: all %s", a->n_ok, done);
	else
		say(ctx, "%zu instances: %zu %s, %zu failed", a->n_ok + a->n_failed, a->n_ok, done,
		    a->n_failed);
}

int act_finish(struct ctx *ctx, const struct action *action, const struct account *a,
               struct pm_error *err)
{
	if (ctx->fleet != NULL && ctx->fleet->rolled)
		return ctx->fleet->roll_status;
	if (fleet_is_wide(ctx))
		return fleet_act_finish(ctx, action, err);
	if (ctx->json) {
		if (account_json(ctx, action, a, err) < 0)
			return -1;
	} else if (ctx->as_pm2) {
		if (action->pm2_table && a->n_failed == 0 && act_print_table(ctx, err) < 0)
			return -1;
	} else if (a->n_ok + a->n_failed == 0) {
		say(ctx, "%s: there is nothing to do", action->name);
	} else if (is_plan(ctx)) {
		say_plan(ctx, a);
	} else if (a->n_ok + a->n_failed > 1) {
		say_account(ctx, action, a);
	}
	if (a->n_failed == 0)
		return a->n_changes > 0 ? PLAN_CHANGES : 0;
	if (ctx->as_pm2)
		return 1;
	/* One cause, one status; several instances of which some did it: some failed. */
	return a->n_ok > 0 ? 10 : pm_code_exit_status(a->code);
}

int act_check_only(const struct ctx *ctx, size_t n_files, struct pm_error *err)
{
	if (ctx->as_pm2 || n_files > 0 || !args_has(ctx->args, "only"))
		return 0;
	pm_fail(err, PM_USAGE, "--only: it chooses from a configuration file, and none is given");
	pm_hint(err, "name the apps themselves, or the file");
	return -1;
}

int act_run(struct ctx *ctx, const struct action *action, struct pm_error *err)
{
	Pm__Command cmd = PM__COMMAND__INIT;
	PM_ACCOUNT account = { 0 };
	size_t n = args_count(ctx->args), n_files = 0;
	PM_FREE const char **words = pm_calloc(n + 1, sizeof(*words));

	if (words == NULL)
		return pm_fail(err, PM_NO_MEMORY, "%s", action->name);
	for (size_t i = 0; i < n; i++) {
		words[i] = args_at(ctx->args, i);
		n_files += config_is_file(words[i]);
	}
	if (act_check_only(ctx, n_files, err) < 0)
		return -1;
	if (ctx_connect(ctx, true, err) < 0 ||
	    act_on_words(ctx, action, &cmd, words, n, &account, err) < 0)
		return -1;
	return act_finish(ctx, action, &account, err);
}
