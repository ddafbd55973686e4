/* cmd_jlist.c - jlist and prettylist: PM2's list for programs. */
#include <stdio.h>

#include "cli/cmd_list.h"
#include "cli/ctx.h"
#include "cli/fleet_list.h"
#include "cli/inspect.h"
#include "cli/jlist.h"

struct text {
	struct pm_buf *out;
	struct json_out json;
	struct jlist_style style;
};

static int on_page(void *arg, bool first, Pm__InstanceStatus *const *instances, size_t n,
                   struct pm_error *err)
{
	struct text *t = arg;

	(void)err;
	if (first) {
		pm_buf_reset(t->out);
		json_init(&t->json, t->out);
		json_begin_array(&t->json);
	}
	for (size_t i = 0; i < n; i++)
		jlist_write_one(&t->json, instances[i], &t->style);
	return 0;
}

static int jlist_text(struct ctx *ctx, struct pm_buf *out, struct pm_error *err)
{
	struct text t = { .out = out,
		          .style = { .as_pm2 = ctx->as_pm2,
		                     .reveal = args_has(ctx->args, "reveal") } };
	Pm__StatusRequest req = PM__STATUS_REQUEST__INIT;

	req.detail = PM__DETAIL__DETAIL_FULL;
	req.sample = true; /* memory and CPU as they are now */
	if (ctx_connect(ctx, true, err) < 0 ||
	    client_status_pages(ctx->client, &req, ctx->timeout_ms, on_page, &t, err) < 0)
		return -1;
	json_end_array(&t.json);
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "print the list") : 0;
}

static int jlist_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct listing_options all = { .form = LISTING_JSON };
	PM_BUF out = { 0 };

	if (fleet_is_wide(ctx))
		return fleet_list(ctx, &all, err);
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
		"schema number, and what this says of hosts of a fleet, too.",
	.options = options,
	.flags = CMD_JSON | CMD_FLEET,
	.run = jlist_run,
};

const struct cmd cmd_prettylist = {
	.name = "prettylist",
	.args = "",
	.summary = "the same as jlist, as node prints objects",
	.options = options,
	.run = prettylist_run,
};
