#include "cli/lists.h"

#include <string.h>

static bool has_lists(const struct ctx *ctx)
{
	const struct cmd *cmd = args_cmd(ctx->args);

	return !ctx->as_pm2 && cmd != NULL && (cmd->flags & CMD_LISTS) != 0;
}

int lists_settle(struct ctx *ctx, struct pm_error *err)
{
	struct listing_options o = { 0 };
	const char *form = args_get(ctx->args, "output");

	if (!has_lists(ctx) || form == NULL)
		return 0;
	if (listing_form_parse(form, &o, err) < 0)
		return -1;
	if ((args_has(ctx->args, "json") && o.form != LISTING_JSON) ||
	    (args_has(ctx->args, "jsonl") && o.form != LISTING_JSONL))
		return pm_fail(err, PM_USAGE, "-o %.60s and --json are two forms; choose one",
		               form);
	ctx->jsonl = ctx->jsonl || o.form == LISTING_JSONL;
	ctx->json = ctx->json || ctx->jsonl || o.form == LISTING_JSON;
	return 0;
}

bool lists_is_asked(const struct ctx *ctx, const char **which)
{
	for (const struct cmd_option *o = cmd_list_options; o->name != NULL; o++)
		if (has_lists(ctx) && args_has(ctx->args, o->name)) {
			*which = o->name;
			return true;
		}
	return false;
}

int lists_read(const struct ctx *ctx, const struct listing_columns *columns,
               struct listing_options *out, struct pm_error *err)
{
	const char *form = args_get(ctx->args, "output");

	*out = (struct listing_options){ 0 };
	if (!has_lists(ctx))
		return 0;
	if (form != NULL && listing_form_parse(form, out, err) < 0)
		return -1;
	if (ctx->json && out->form == LISTING_TABLE)
		out->form = LISTING_JSON;
	out->no_header = args_has(ctx->args, "no-header");
	out->sort = args_get(ctx->args, "sort");
	for (size_t i = 0; i < args_n_values(ctx->args, "filter"); i++)
		if (listing_filter_parse(args_value(ctx->args, "filter", i), out, err) < 0)
			return -1;
	return listing_check(out, columns, err);
}

int lists_print(const struct ctx *ctx, const struct listing *l, const struct listing_options *o,
                const char *key, const char *more, struct pm_error *err)
{
	struct listing_style style = { .width = ctx->width, .color = ctx->color_out };
	PM_FREE size_t *rows = NULL;
	PM_BUF out = { 0 };
	size_t n;
	int rc;

	if (listing_choose(l, o, &rows, &n, err) < 0)
		return -1;
	if (o->form == LISTING_JSON || o->form == LISTING_JSONL)
		rc = listing_documents(l, o, key, more, rows, n, &out, err);
	else
		rc = listing_text(l, o, &style, rows, n, &out, err);
	return rc < 0 ? -1 : say_buf(&out, err);
}
