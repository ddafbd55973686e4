/* cmd_group.c - saved groups of hosts, and which hosts are meant: group, targets. */
#include <stdio.h>
#include <string.h>

#include "cli/cmd_list.h"
#include "cli/fleet_show.h"
#include "cli/subverb.h"

/* A selector as it would be typed. */
static void add_selector(const Pm__Selector *s, struct pm_buf *out)
{
	const struct {
		const char *option, *value;
	} parts[] = {
		{ "--hosts", s->hosts }, { "--label", s->label },     { "--group", s->group },
		{ "--where", s->where }, { "--exclude", s->exclude }, { "--limit", s->limit }
	};

	if (s->all)
		pm_buf_str(out, "--all");
	for (size_t i = 0; i < PM_COUNT(parts); i++)
		if (parts[i].value[0] != '\0')
			pm_buf_printf(out, "%s%s '%s'", out->len > 0 ? " " : "", parts[i].option,
			              parts[i].value);
	for (size_t i = 0; i < s->n_names; i++)
		pm_buf_printf(out, "%s%s", i == 0 ? (out->len > 0 ? " " : "") : ",", s->names[i]);
}

static int on_groups(void *arg, const Pm__FleetReply *reply, struct pm_error *err)
{
	struct listing *l = arg;
	struct json_out *j;

	(void)err;
	for (size_t i = 0;
	     reply->what_case == PM__FLEET_REPLY__WHAT_GROUPS && i < reply->groups->n_groups; i++) {
		const Pm__Group *g = reply->groups->groups[i];
		PM_BUF text = { 0 };

		if (g->selector != NULL)
			add_selector(g->selector, &text);
		listing_cell(l, g->name, COLOR_NONE);
		listing_cell(l, text.bytes == NULL ? "" : text.bytes, COLOR_NONE);
		listing_cell(l, g->by, COLOR_NONE);
		j = listing_json(l);
		json_begin_object(j);
		json_kstr(j, "name", g->name);
		json_kstr(j, "selector", text.bytes == NULL ? "" : text.bytes);
		json_kstr(j, "by", g->by);
		json_end_object(j);
	}
	return 0;
}

static int list(struct ctx *ctx, struct pm_error *err)
{
	static const struct listing_column list[] = {
		{ .key = "name", .title = "name", .least = 8, .name = true },
		{ .key = "hosts", .title = "hosts", .least = 12 },
		{ .key = "by", .title = "by", .rank = 1 },
	};
	static const struct listing_columns columns = { list, PM_COUNT(list), false };
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__GroupQuery query = PM__GROUP_QUERY__INIT;

	if (subverb_at(ctx, 0) != NULL)
		query.name = (char *)(uintptr_t)subverb_at(ctx, 0); /* only read */
	request.what_case = PM__FLEET_REQUEST__WHAT_GROUP_QUERY;
	request.group_query = &query;
	return fleet_show_list(ctx, &columns, "groups", &request, on_groups, err);
}

static int change(struct ctx *ctx, bool remove, struct pm_error *err)
{
	Pm__FleetRequest request = PM__FLEET_REQUEST__INIT;
	Pm__GroupChange body = PM__GROUP_CHANGE__INIT;

	if (fleet_show_open(ctx, err) < 0)
		return -1;
	if (!remove && !fleet_has_selector(ctx->fleet)) {
		pm_fail(err, PM_USAGE, "group set: no hosts are named");
		pm_hint(err, "add --hosts, --label, --group, --where or --all");
		return -1;
	}
	body.name = (char *)(uintptr_t)subverb_at(ctx, 0); /* only read */
	body.remove = remove;
	body.selector = &ctx->fleet->selector;
	request.what_case = PM__FLEET_REQUEST__WHAT_GROUP_CHANGE;
	request.group_change = &body;
	return fleet_show_change(ctx, &request, remove ? "group deleted" : "group saved", err);
}

static int set(struct ctx *ctx, struct pm_error *err)
{
	return change(ctx, false, err);
}

static int delete (struct ctx *ctx, struct pm_error *err)
{
	return change(ctx, true, err);
}

static int group_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct subverb table[] = {
		{ "list", "[NAME]", 0, 1, list },
		{ "set", "NAME, and which hosts", 1, 1, set },
		{ "delete", "NAME", 1, 1, delete },
		{ .name = NULL },
	};

	return subverb_run(ctx, table, err);
}

/* ---- targets ---- */

static int targets_json(const struct fleet *f, const struct pm_buf *names, struct pm_error *err)
{
	PM_BUF out = { 0 };
	struct json_out j;

	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kuint(&j, "count", f->n_nodes);
	json_kstr(&j, "folded", names->bytes == NULL ? "" : names->bytes);
	json_key(&j, "hosts");
	json_begin_array(&j);
	for (size_t i = 0; i < f->n_nodes; i++)
		json_str(&j, f->nodes[i]->name);
	json_end_array(&j);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

static int targets_run(struct ctx *ctx, struct pm_error *err)
{
	PM_BUF names = { 0 };

	if (fleet_show_open(ctx, err) < 0)
		return -1;
	if (args_count(ctx->args) > 0 && fleet_select(ctx->fleet, args_at(ctx->args, 0), err) < 0)
		return -1;
	if (!fleet_has_selector(ctx->fleet)) {
		pm_fail(err, PM_USAGE, "targets: no hosts are named");
		pm_hint(err, "add --hosts, --label, --group, --where or --all");
		return -1;
	}
	if (fleet_find(ctx, ctx->fleet, false, err) < 0)
		return -1;
	fleet_fold_nodes(ctx->fleet, &names);
	if (ctx->json)
		return targets_json(ctx->fleet, &names, err);
	if (args_has(ctx->args, "verbose")) {
		for (size_t i = 0; i < ctx->fleet->n_nodes; i++)
			say(ctx, "%s", ctx->fleet->nodes[i]->name);
		return 0;
	}
	pm_buf_printf(&names, "\n%zu host%s\n", ctx->fleet->n_nodes,
	              ctx->fleet->n_nodes == 1 ? "" : "s");
	return say_buf(&names, err);
}

const struct cmd cmd_group = {
	.name = "group",
	.args = "list|set|delete [NAME]",
	.summary = "saved groups of hosts, for --group NAME and @NAME",
	.help = "'set' keeps the options that choose hosts under the name, and not the hosts they "
		"mean now.",
	.min_args = 1,
	.max_args = 2,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_FLEET_ONLY | CMD_LISTS | CMD_PAGED,
	.run = group_run,
};

const struct cmd cmd_targets = {
	.name = "targets",
	.args = "[SET]",
	.summary = "which hosts are meant: folded and counted, and nothing is done to them",
	.max_args = 1,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_FLEET_ONLY | CMD_PAGED,
	.run = targets_run,
};
