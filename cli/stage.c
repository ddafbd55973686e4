#include "cli/stage.h"

#include <stdlib.h>
#include <string.h>

#include "cli/config.h"
#include "cli/options.h"
#include "cli/target.h"

/* Problems go to stderr, errors first of all; notes are for `check`. */
static void print_report(const struct ctx *ctx, const char *path,
                         const struct config_report *report)
{
	for (size_t i = 0; i < report->n; i++) {
		const struct config_problem *p = &report->items[i];
		struct pm_error err;
		char text[512];

		if (p->severity == CONFIG_NOTE || (ctx->as_pm2 && p->severity == CONFIG_WARNING))
			continue;
		config_problem_text(path, p, text, sizeof(text));
		if (p->severity == CONFIG_WARNING) {
			say_warn(ctx, "%s%s%s", text, p->hint[0] == '\0' ? "" : "; ", p->hint);
			continue;
		}
		(void)pm_fail(&err, PM_CONFIG, "%s", text);
		if (p->hint[0] != '\0')
			pm_hint(&err, "%s", p->hint);
		say_error(ctx, &err);
	}
}

static int load(struct ctx *ctx, const char *path, struct config_result *result,
                struct pm_error *err)
{
	char cwd[PM_PATH_MAX];
	struct build_context build;
	struct spec_builder over;
	struct config_request request = { .path = path,
		                          .build = &build,
		                          .only = args_get(ctx->args, "only") };
	int rc;

	if (options_context(ctx, cwd, &build, err) < 0 || spec_builder_init(&over, err) < 0)
		return -1;
	build.cache = build_cache_create();
	rc = options_apply(ctx, &over, err);
	if (rc == 0) {
		request.over = args_n_app_options(ctx->args) > 0 ? &over : NULL;
		rc = config_load(&request, result, err);
	}
	build_cache_destroy(build.cache);
	spec_builder_finish(&over);
	return rc;
}

void stage_pm2_cron(const struct ctx *ctx, const Pm__AppSpec *spec)
{
	if (spec->cron[0] != '\0')
		say(ctx, "cron restart at %s", spec->cron);
}

/* PM2 says which apps are new and which it restarts. */
static int pm2_announce(struct ctx *ctx, const struct config_result *result, bool *exists,
                        struct pm_error *err)
{
	PM_BUF fresh = { 0 };
	PM_STATUS *status = NULL;

	if (ctx_status(ctx, NULL, CTX_LIST, &status, err) < 0)
		return -1;
	for (size_t i = 0; i < result->n; i++)
		stage_pm2_cron(ctx, result->specs[i]);
	for (size_t i = 0; i < result->n; i++) {
		for (size_t k = 0; k < status->n_instances; k++)
			exists[i] = exists[i] ||
			            strcmp(status->instances[k]->name, result->specs[i]->name) == 0;
		if (!exists[i])
			pm_buf_printf(&fresh, "%s%s", fresh.len == 0 ? "" : ", ",
			              result->specs[i]->name);
	}
	if (fresh.len > 0)
		say_warn_out(ctx, "Applications %s not running, starting...", fresh.bytes);
	return 0;
}

static int push_all(struct ctx *ctx, const struct config_result *result, bool *wait_ready,
                    struct pm_error *err)
{
	for (size_t i = 0; i < result->n; i++) {
		*wait_ready = *wait_ready || result->specs[i]->wait_ready;
		if (client_push_spec(ctx->client, result->specs[i], err) < 0)
			return -1;
	}
	return 0;
}

static int send(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
                struct config_result *result, struct account *account, struct pm_error *err)
{
	Pm__Command staged = *cmd;
	struct action quiet = *action;
	PM_FREE bool *exists = pm_calloc(result->n + 1, sizeof(*exists));
	bool wait_ready = false;

	if (exists == NULL)
		return pm_fail(err, PM_NO_MEMORY, "%s", action->name);
	if (ctx->as_pm2 && pm2_announce(ctx, result, exists, err) < 0)
		return -1;
	if (push_all(ctx, result, &wait_ready, err) < 0)
		return -1;
	staged.use_staged = true;
	staged.patch = NULL; /* the options are in the specs */
	staged.no_wait = ctx->as_pm2 ? staged.no_wait && !wait_ready : staged.no_wait;
	if (ctx->as_pm2)
		quiet.pm2_rpc = NULL;
	if (act_send(ctx, &quiet, &staged, account, err) < 0)
		return -1;
	for (size_t i = 0; ctx->as_pm2 && account->n_failed == 0 && i < result->n; i++)
		if (!exists[i])
			say(ctx, "App [%s] launched (%u instances)", result->specs[i]->name,
			    result->specs[i]->instances);
		else
			act_pm2_applied(ctx, action, result->specs[i]->name);
	return 0;
}

int stage_config(struct ctx *ctx, const struct action *action, Pm__Command *cmd, const char *path,
                 struct account *account, struct pm_error *err)
{
	struct config_result *result = pm_calloc(1, sizeof(*result));
	size_t told;
	int rc;

	if (result == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read %s", path);
	rc = load(ctx, path, result, err);
	told = result->report.n_errors;
	if (rc == 0 || told > 1)
		print_report(ctx, path, &result->report);
	if (rc < 0 && told > 1)
		pm_fail(err, PM_CONFIG, "%s: %zu errors, nothing was started", path, told);
	if (rc < 0 && ctx->as_pm2 && err->code == PM_NOT_FOUND && told == 0 &&
	    args_get(ctx->args, "only") == NULL)
		pm_fail(err, PM_NOT_FOUND, "File %s not found", path);
	if (rc == 0)
		rc = send(ctx, action, cmd, result, account, err);
	config_result_finish(result);
	free(result);
	return rc;
}

static int set_script(struct spec_builder *b, const char *script, struct pm_error *err)
{
	struct doc_node node = { .type = DOC_TEXT, .text = script };

	return spec_set(b, spec_key_find("script"), &node, err);
}

static int set_args(struct spec_builder *b, char *const *words, size_t n, struct pm_error *err)
{
	PM_FREE struct doc_node *nodes = pm_calloc(n + 1, sizeof(*nodes));
	struct doc_node list = { .type = DOC_LIST, .n = n };

	if (nodes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read the arguments");
	for (size_t i = 0; i < n; i++)
		nodes[i] = (struct doc_node){ .type = DOC_TEXT,
			                      .text = words[i],
			                      .next = i + 1 < n ? &nodes[i + 1] : NULL };
	list.first = n == 0 ? NULL : nodes;
	list.last = n == 0 ? NULL : &nodes[n - 1];
	return spec_set(b, spec_key_find("args"), &list, err);
}

int stage_script(struct ctx *ctx, const char *script, Pm__AppSpec **out, struct pm_error *err)
{
	struct spec_builder builder;
	struct build_context build;
	char cwd[PM_PATH_MAX];
	size_t n;
	char *const *words = args_script(ctx->args, &n);
	int rc;

	if (options_context(ctx, cwd, &build, err) < 0 || spec_builder_init(&builder, err) < 0)
		return -1;
	rc = set_script(&builder, script, err);
	if (rc == 0 && n > 0)
		rc = set_args(&builder, words, n, err);
	if (rc == 0)
		rc = options_apply(ctx, &builder, err);
	if (rc == 0)
		rc = spec_build(&builder, &build, out, err);
	spec_builder_finish(&builder);
	return rc;
}
