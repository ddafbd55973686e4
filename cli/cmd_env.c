#include <string.h>

#include "cli/cmd_list.h"
#include "cli/ctx.h"
#include "cli/fleet_list.h"
#include "cli/json_out.h"
#include "cli/redact.h"
#include "cli/target.h"
#include "proto/sanitize.h"

static const char *shown(const struct ctx *ctx, const Pm__EnvVar *var)
{
	bool hide = !ctx->as_pm2 && !args_has(ctx->args, "reveal") && redact_is_secret(var->name);

	return hide ? REDACTED : var->value;
}

static int as_json(const struct ctx *ctx, const Pm__InstanceStatus *s, struct pm_error *err)
{
	PM_BUF out = { 0 };
	struct json_out j;

	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kuint(&j, "id", s->pm_id);
	json_kstr(&j, "name", s->name);
	json_key(&j, "env");
	json_begin_object(&j);
	for (size_t i = 0; i < s->n_process_env; i++)
		json_kstr(&j, s->process_env[i]->name, shown(ctx, s->process_env[i]));
	json_end_object(&j);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

static int env_run(struct ctx *ctx, struct pm_error *err)
{
	const char *word = args_at(ctx->args, 0);
	PM_STATUS *status = NULL;
	PM_BUF out = { 0 };

	if (ctx->as_pm2 && !target_is_number(word))
		return pm_fail(err, PM_NOT_FOUND, "Modules with id %s not found", word);
	if (ctx_connect(ctx, true, err) < 0)
		return -1;
	if (ctx_status(ctx, word, CTX_ENVIRONMENT, &status, err) < 0) {
		if (ctx->as_pm2 && err->code == PM_NOT_FOUND)
			return pm_fail(err, PM_NOT_FOUND, "Modules with id %s not found", word);
		return pm_wrap(err, "env");
	}
	if (ctx->json)
		return as_json(ctx, status->instances[0], err);
	for (size_t i = 0; i < status->instances[0]->n_process_env; i++) {
		const Pm__EnvVar *var = status->instances[0]->process_env[i];
		unsigned flags = ctx->tty_out ? PM_SANITIZE_ONE_LINE : 0;
		const char *value = shown(ctx, var);

		pm_sanitize(var->name, strlen(var->name), PM_SANITIZE_ONE_LINE, &out);
		pm_buf_str(&out, ": ");
		if (ctx->tty_out)
			pm_sanitize(value, strlen(value), flags, &out);
		else
			pm_buf_str(&out, value);
		pm_buf_char(&out, '\n');
	}
	return say_buf(&out, err);
}

static int run(struct ctx *ctx, struct pm_error *err)
{
	return fleet_is_wide(ctx) ? fleet_each(ctx, true, env_run, err) : env_run(ctx, err);
}

static const struct cmd_option options[] = {
	{ "reveal", 0, CMD_NO_VALUE, NULL, "show the values of secrets" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_env = {
	.name = "env",
	.args = "ID",
	.pm2_needs = "id",
	.summary = "the environment of an instance, as its process got it",
	.help = "Values of variables that look like secrets are hidden (names with KEY, SECRET, "
		"TOKEN, PASS or CRED) unless --reveal is given.",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.flags = CMD_JSON | CMD_FLEET | CMD_PAGED,
	.run = run,
};
