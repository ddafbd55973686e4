/* cmd_jlist.c - jlist and prettylist: PM2's list for programs. */
#include <stdio.h>

#include "cli/cmd_list.h"
#include "cli/ctx.h"
#include "cli/inspect.h"
#include "cli/jlist.h"

static int jlist_text(struct ctx *ctx, struct pm_buf *out, struct pm_error *err)
{
	struct jlist_style style = { .as_pm2 = ctx->as_pm2,
		                     .reveal = args_has(ctx->args, "reveal") };
	PM_STATUS *status = NULL;
	struct json_out j;

	if (ctx_connect(ctx, true, err) < 0 || ctx_status(ctx, NULL, true, &status, err) < 0)
		return -1;
	json_init(&j, out);
	jlist_write(&j, status->instances, status->n_instances, &style);
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "print the list") : 0;
}

static int jlist_run(struct ctx *ctx, struct pm_error *err)
{
	PM_BUF out = { 0 };

	if (jlist_text(ctx, &out, err) < 0)
		return -1;
	if (!ctx->as_pm2)
		pm_buf_char(&out, '\n'); /* PM2 ends without one */
	return say_buf(&out, err);
}

static int prettylist_run(struct ctx *ctx, struct pm_error *err)
{
	PM_BUF json = { 0 };
	PM_BUF out = { 0 };

	if (jlist_text(ctx, &json, err) < 0 || inspect_json(json.bytes, json.len, &out, err) < 0)
		return -1;
	if (!ctx->as_pm2)
		pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

static const struct cmd_option options[] = {
	{ "reveal", 0, CMD_NO_VALUE, NULL, "show the values of secrets" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_jlist = {
	.name = "jlist",
	.args = "",
	.summary = "everything about all apps as JSON, in the shape of PM2's jlist",
	.help = "Values of variables that look like secrets are hidden (names with KEY, SECRET, "
		"TOKEN, PASS or CRED). 'list --json' is the same list in a document with a "
		"schema number.",
	.options = options,
	.flags = CMD_JSON,
	.run = jlist_run,
};

const struct cmd cmd_prettylist = {
	.name = "prettylist",
	.args = "",
	.summary = "the same as jlist, as node prints objects",
	.options = options,
	.run = prettylist_run,
};
