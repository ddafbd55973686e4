/* cmd_history.c - history: the versions of an app's settings that can be gone back to. */
#include "cli/cmd_list.h"
#include "cli/fmt.h"
#include "cli/json_out.h"
#include "cli/spec_name.h"
#include "cli/table.h"
#include "cli/versions_ask.h"

static void cell(struct table *t, struct pm_buf *scratch, const char *text)
{
	table_cell(t, text[0] == '\0' ? "-" : say_cleaned(scratch, text), COLOR_NONE);
}

static void row(struct table *t, const Pm__SpecVersion *v, struct pm_buf *scratch)
{
	char name[SPEC_NAME_TEXT], when[FMT_MAX];

	spec_name_text(&v->hash, SPEC_NAME_SHORT, name);
	fmt_iso(v->wall_ms, when);
	table_cellf(t, v->present ? COLOR_BOLD : COLOR_NONE, "%s%s", name, v->present ? " *" : "");
	if (v->n_running > 0)
		table_cellf(t, COLOR_GREEN, "%u", v->n_running);
	else
		cell(t, scratch, "");
	cell(t, scratch, v->version);
	cell(t, scratch, v->wall_ms == 0 ? "" : when);
	cell(t, scratch, v->by);
	cell(t, scratch, v->what);
}

static int print_table(const struct ctx *ctx, const struct client_result *r, struct pm_error *err)
{
	static const struct table_column columns[] = {
		{ .title = "settings" },           { .title = "running", .right = true },
		{ .title = "version", .rank = 2 }, { .title = "declared" },
		{ .title = "by", .rank = 1 },      { .title = "what changed", .least = 20 },
	};
	const struct table_style style = {
		.width = ctx->width,
		.color = ctx->color_out,
		.titles = COLOR_BOLD,
		.cut_end = true,
	};
	PM_TABLE *table = table_create(columns, PM_COUNT(columns));
	PM_BUF scratch = { 0 };
	PM_BUF out = { 0 };

	if (table == NULL)
		return pm_fail(err, PM_NO_MEMORY, "history");
	for (size_t i = 0; i < r->n_versions; i++)
		row(table, r->versions[i], &scratch);
	return table_render(table, &style, &out, err) < 0 ? -1 : say_buf(&out, err);
}

static void version_json(struct json_out *j, const Pm__SpecVersion *v)
{
	char name[SPEC_NAME_TEXT];

	spec_name_text(&v->hash, 2 * SPEC_NAME_BYTES, name);
	json_begin_object(j);
	json_kstr(j, "spec_hash", name);
	json_kbool(j, "present", v->present);
	json_kuint(j, "running", v->n_running);
	json_kstr(j, "version", v->version);
	json_kint(j, "declared_ms", v->wall_ms);
	json_kstr(j, "by", v->by);
	json_kstr(j, "what", v->what);
	json_end_object(j);
}

static int print_json(const struct client_result *r, struct pm_error *err)
{
	PM_BUF out = { 0 };
	struct json_out j;

	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kstr(&j, "app", r->text);
	json_key(&j, "versions");
	json_begin_array(&j);
	for (size_t i = 0; i < r->n_versions; i++)
		version_json(&j, r->versions[i]);
	json_end_array(&j);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

static int run(struct ctx *ctx, struct pm_error *err)
{
	PM_RESULT *result = NULL;

	if (ctx_connect(ctx, true, err) < 0 ||
	    versions_ask(ctx, args_at(ctx->args, 0), &result, err) < 0)
		return pm_wrap(err, "history");
	return ctx->json ? print_json(result, err) : print_table(ctx, result, err);
}

const struct cmd cmd_history = {
	.name = "history",
	.args = "APP",
	.summary = "the versions of APP's settings that can be gone back to",
	.help = "Newest first, 20 of them, also of an app that was deleted. An asterisk marks the "
		"one that the app has now; `running` counts the instances that were started with "
		"each. What changed is told by the names of keys and variables; values are shown "
		"of numbers and switches alone.",
	.min_args = 1,
	.max_args = 1,
	.flags = CMD_JSON | CMD_PMCTL_ONLY,
	.run = run,
};
