/* cmd_history.c - history: the versions of an app's settings that can be gone back to. */
#include <stdio.h>

#include "cli/cmd_list.h"
#include "cli/fleet_list.h"
#include "cli/fmt.h"
#include "cli/lists.h"
#include "cli/spec_name.h"
#include "cli/versions_ask.h"

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

static void cell(struct listing *l, const char *text)
{
	listing_cell(l, text[0] == '\0' ? "-" : text, COLOR_NONE);
}

static void row(struct listing *l, const Pm__SpecVersion *v)
{
	char name[SPEC_NAME_TEXT], shown[SPEC_NAME_TEXT + 2], when[FMT_MAX];

	spec_name_text(&v->hash, SPEC_NAME_SHORT, name);
	(void)snprintf(shown, sizeof(shown), "%s%s", name, v->present ? " *" : "");
	fmt_iso(v->wall_ms, when);
	listing_cell(l, shown, v->present ? COLOR_BOLD : COLOR_NONE);
	if (v->n_running > 0)
		listing_count(l, v->n_running, COLOR_GREEN);
	else
		listing_number(l, "-", 0, COLOR_NONE);
	cell(l, v->version);
	listing_number(l, v->wall_ms == 0 ? "-" : when, v->wall_ms, COLOR_NONE);
	cell(l, v->by);
	cell(l, v->what);
	spec_name_text(&v->hash, 2 * SPEC_NAME_BYTES, name);
	cell(l, name);
	version_json(listing_json(l), v);
}

static int print(const struct ctx *ctx, const struct client_result *r,
                 const struct listing_columns *columns, const struct listing_options *options,
                 struct pm_error *err)
{
	PM_LISTING *l = NULL;
	PM_BUF more = { 0 };
	struct json_out j;

	if (listing_create(columns, &l, err) < 0)
		return -1;
	for (size_t i = 0; i < r->n_versions; i++)
		row(l, r->versions[i]);
	json_init(&j, &more);
	json_kstr(&j, "app", r->text);
	if (more.failed)
		return pm_fail(err, PM_NO_MEMORY, "history");
	return lists_print(ctx, l, options, "versions", more.bytes, err);
}

static int history_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct listing_column list[] = {
		{ .key = "settings", .title = "settings" },
		{ .key = "running", .title = "running", .right = true },
		{ .key = "version", .title = "version", .rank = 2 },
		{ .key = "declared", .title = "declared" },
		{ .key = "by", .title = "by", .rank = 1 },
		{ .key = "what", .title = "what changed", .least = 20 },
		{ .key = "hash", .title = "hash", .wide = true, .name = true },
	};
	static const struct listing_columns columns = { list, PM_COUNT(list), true };
	struct listing_options options;
	PM_RESULT *result = NULL;

	if (lists_read(ctx, &columns, &options, err) < 0 || ctx_connect(ctx, true, err) < 0 ||
	    versions_ask(ctx, args_at(ctx->args, 0), &result, err) < 0)
		return pm_wrap(err, "history");
	return print(ctx, result, &columns, &options, err);
}

static int run(struct ctx *ctx, struct pm_error *err)
{
	return fleet_is_wide(ctx) ? fleet_each_asked(ctx, history_run, err) : history_run(ctx, err);
}

const struct cmd cmd_history = {
	.name = "history",
	.args = "APP",
	.summary = "the versions of APP's settings that can be gone back to",
	.help = "Newest first, 20 of them, also of an app that was deleted. An asterisk marks the "
		"one that the app has now; `running` counts the instances that were started with "
		"each. What changed is told by the names of keys and variables; values are shown "
		"of numbers and switches alone. Over hosts of a fleet: of each that has the app.",
	.min_args = 1,
	.max_args = 1,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_FLEET | CMD_LISTS | CMD_PAGED,
	.run = run,
};
