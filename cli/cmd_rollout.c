/* cmd_rollout.c - rollouts that there are: look at them, and step in. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd_list.h"
#include "cli/fleet_show.h"
#include "cli/lists.h"
#include "cli/rollout_json.h"
#include "cli/rollout_plan_view.h"
#include "cli/rollout_show.h"
#include "cli/rollout_start.h"
#include "cli/rollout_watch.h"
#include "cli/subverb.h"

/* ---- list ---- */

struct rollout_list {
	struct listing *rows;
	size_t n;
	bool all;
};

static enum color state_color(Pm__RolloutState state)
{
	switch (state) {
	case PM__ROLLOUT_STATE__ROLLOUT_PAUSED:
	case PM__ROLLOUT_STATE__ROLLOUT_UNDOING:
	case PM__ROLLOUT_STATE__ROLLOUT_WAITING_LOCK:
		return COLOR_YELLOW;
	case PM__ROLLOUT_STATE__ROLLOUT_SUCCEEDED:
	case PM__ROLLOUT_STATE__ROLLOUT_RUNNING:
		return COLOR_GREEN;
	case PM__ROLLOUT_STATE__ROLLOUT_FAILED:
		return COLOR_RED;
	case PM__ROLLOUT_STATE__ROLLOUT_UNSPECIFIED:
	case PM__ROLLOUT_STATE__ROLLOUT_PLANNED:
	case PM__ROLLOUT_STATE__ROLLOUT_UNDONE:
	case PM__ROLLOUT_STATE__ROLLOUT_ABORTED:
	case _PM__ROLLOUT_STATE_IS_INT_SIZE:
		break;
	}
	return COLOR_NONE;
}

static bool is_over(Pm__RolloutState state)
{
	return state == PM__ROLLOUT_STATE__ROLLOUT_SUCCEEDED ||
	       state == PM__ROLLOUT_STATE__ROLLOUT_FAILED ||
	       state == PM__ROLLOUT_STATE__ROLLOUT_UNDONE ||
	       state == PM__ROLLOUT_STATE__ROLLOUT_ABORTED;
}

/* "51/1000 hosts", as far as a list tells. */
static void progress_cell(struct listing *rows, const Pm__RolloutStatus *st)
{
	static const Pm__StepState ended[] = { PM__STEP_STATE__STEP_HEALTHY,
		                               PM__STEP_STATE__STEP_FAILED,
		                               PM__STEP_STATE__STEP_SKIPPED,
		                               PM__STEP_STATE__STEP_UNKNOWN };
	size_t n = 0, failed = 0;
	char text[80];

	if (st->n_counts < ROLLOUT_STEP_STATES) {
		listing_cell(rows, "-", COLOR_NONE);
		return;
	}
	for (size_t i = 0; i < PM_COUNT(ended); i++)
		n += st->counts[ended[i]];
	failed = (size_t)st->counts[PM__STEP_STATE__STEP_FAILED] +
	         st->counts[PM__STEP_STATE__STEP_UNKNOWN];
	if (failed > 0)
		(void)snprintf(text, sizeof(text), "%zu/%u, %zu failed", n, st->n_hosts, failed);
	else
		(void)snprintf(text, sizeof(text), "%zu/%u", n, st->n_hosts);
	listing_number(rows, text, (int64_t)n, failed > 0 ? COLOR_RED : COLOR_NONE);
}

static int on_rollout(void *arg, const struct rollout_copy *c, struct pm_error *err)
{
	struct rollout_list *l = arg;
	const Pm__RolloutStatus *st = c->status;

	(void)err;
	/* A coordinator tells of those that are over for a while, too. */
	if (!l->all && is_over(st->state))
		return 0;
	l->n++;
	listing_cell(l->rows, st->id, COLOR_NONE);
	listing_cell(l->rows, st->what, COLOR_NONE);
	listing_cell(l->rows, rollout_state_word(st->state), state_color(st->state));
	progress_cell(l->rows, st);
	listing_cell(l->rows, st->by, COLOR_NONE);
	fleet_show_when_cell(l->rows, st->created_wall_ms);
	listing_cell(l->rows, st->why[0] != '\0' ? st->why : st->message, COLOR_NONE);
	listing_count(l->rows, st->n_hosts, COLOR_NONE);
	fleet_show_when_cell(l->rows, st->changed_wall_ms);
	listing_cell(l->rows, st->message, COLOR_NONE);
	rollout_json_status(listing_json(l->rows), c);
	return 0;
}

static int list(struct ctx *ctx, struct pm_error *err)
{
	static const struct listing_column list[] = {
		{ .key = "id", .title = "id", .name = true },
		{ .key = "what", .title = "what", .least = 10 },
		{ .key = "state", .title = "state" },
		{ .key = "progress", .title = "progress" },
		{ .key = "by", .title = "by", .rank = 2 },
		{ .key = "age", .title = "age", .rank = 1 },
		{ .key = "why", .title = "why", .least = 8, .rank = 3 },
		{ .key = "hosts", .title = "hosts", .right = true, .wide = true },
		{ .key = "changed", .title = "changed", .wide = true },
		{ .key = "message", .title = "message", .wide = true },
	};
	static const struct listing_columns columns = { list, PM_COUNT(list), false };
	bool all = args_has(ctx->args, "all");
	struct listing_options options;
	PM_LISTING *rows = NULL;
	struct rollout_list l = { .all = all };

	if (lists_read(ctx, &columns, &options, err) < 0 ||
	    listing_create(&columns, &rows, err) < 0 || fleet_show_open(ctx, err) < 0)
		return -1;
	l.rows = rows;
	if (rollout_ask_list(ctx, ctx->fleet, all, on_rollout, &l, err) < 0)
		return -1;
	if (l.n > 0 || options.form != LISTING_TABLE)
		return lists_print(ctx, rows, &options, "rollouts", NULL, err);
	say(ctx, all ? "there are no rollouts"
	             : "no rollout goes on; 'pmctl rollout list --all' shows those that are over");
	return 0;
}

/* ---- one ---- */

static int find(struct ctx *ctx, struct rollout_copy *c, struct pm_error *err)
{
	if (fleet_show_open(ctx, err) < 0)
		return -1;
	return rollout_ask_show(ctx, ctx->fleet, subverb_at(ctx, 0), c, err);
}

static int show(struct ctx *ctx, struct pm_error *err)
{
	struct rollout_view v = { .color = ctx->color_out, .utf8 = ctx->utf8, .width = ctx->width };
	bool verbose = args_has(ctx->args, "verbose");
	PM_ROLLOUT c = { 0 };
	PM_BUF out = { 0 };
	int64_t now_ms = pm_wall_ms();
	int rc;

	if (find(ctx, &c, err) < 0)
		return -1;
	if (ctx->json)
		return rollout_print_json(ctx, &c, -1, err);
	if (now_ms > c.status->created_wall_ms)
		v.run_ms = (uint64_t)(now_ms - c.status->created_wall_ms);
	if (c.status->state == PM__ROLLOUT_STATE__ROLLOUT_PLANNED)
		rc = rollout_plan_view(&v, &c, verbose, &out, err);
	else
		rc = rollout_show(&v, &c, now_ms, false, verbose, &out, err);
	return rc < 0 ? -1 : say_buf(&out, err);
}

static int watch(struct ctx *ctx, struct pm_error *err)
{
	PM_ROLLOUT c = { 0 };

	if (find(ctx, &c, err) < 0)
		return -1;
	if (c.status->state == PM__ROLLOUT_STATE__ROLLOUT_PLANNED) {
		pm_fail(err, PM_USAGE, "watch %.40s: it is only planned", c.status->id);
		pm_hint(err, "'pmctl --apply %.40s' begins it", c.status->id);
		return -1;
	}
	return rollout_watch(ctx, ctx->fleet, &c, err);
}

/* ---- orders ---- */

static int print_changed(struct ctx *ctx, const struct rollout_copy *c, const char *done,
                         struct pm_error *err)
{
	PM_BUF out = { 0 };
	struct json_out j;

	if (!ctx->json) {
		say(ctx, "%s: %s", c->status->id, done);
		return 0;
	}
	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_key(&j, "rollout");
	rollout_json_status(&j, c);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

static int change(struct ctx *ctx, Pm__RolloutVerb verb, const char *id, const char *done,
                  struct pm_error *err)
{
	PM_ROLLOUT c = { 0 };

	if (fleet_show_open(ctx, err) < 0 ||
	    rollout_ask_change(ctx, ctx->fleet, verb, id, args_get(ctx->args, "message"), &c, err) <
	            0)
		return -1;
	return print_changed(ctx, &c, done, err);
}

#define CHANGE(function, verb, done)                                     \
	static int function(struct ctx *ctx, struct pm_error *err)       \
	{                                                                \
		return change(ctx, verb, subverb_at(ctx, 0), done, err); \
	}

CHANGE(pause_rollout, PM__ROLLOUT_VERB__ROLLOUT_PAUSE, "paused")
CHANGE(resume, PM__ROLLOUT_VERB__ROLLOUT_RESUME, "resumed")
CHANGE(promote, PM__ROLLOUT_VERB__ROLLOUT_PROMOTE, "promoted")
CHANGE(abort_rollout, PM__ROLLOUT_VERB__ROLLOUT_ABORT,
       "it ends with what is under way; what was changed stays so")
CHANGE(steal, PM__ROLLOUT_VERB__ROLLOUT_STEAL, "it is paused, and its locks are free")

/* It changes hosts again, and some may have been well for a long time. */
static int confirm_undo(struct ctx *ctx, const struct rollout_copy *c, struct pm_error *err)
{
	struct rollout_account a = rollout_copy_account(c);
	PM_BUF what = { 0 };
	char line[64];

	if (args_has(ctx->args, "yes"))
		return 0;
	if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1)
		return pm_fail(err, PM_USAGE, "undo %.40s needs --yes; nobody can be asked here",
		               c->status->id);
	(void)fflush(stdout); /* main looks at errors */
	(void)fprintf(stderr, "undo %s: %s goes back on %zu hosts? [y/N] ", c->status->id,
	              say_cleaned(&what, c->status->what), a.fresh + a.down + a.under_way);
	(void)fflush(stderr);
	if (fleet_read_line(ctx->fleet, line, sizeof(line)) &&
	    (strcmp(line, "y") == 0 || strcmp(line, "yes") == 0))
		return 0;
	return pm_fail(err, PM_DENIED, "undo %.40s: nothing was done", c->status->id);
}

static int undo(struct ctx *ctx, struct pm_error *err)
{
	PM_ROLLOUT c = { 0 };

	if (find(ctx, &c, err) < 0 || confirm_undo(ctx, &c, err) < 0)
		return -1;
	return change(ctx, PM__ROLLOUT_VERB__ROLLOUT_UNDO, c.status->id,
	              "it goes back on every host; 'pmctl rollout watch' shows how", err);
}

static int rollout_run(struct ctx *ctx, struct pm_error *err)
{
	static const struct subverb table[] = {
		{ "list", "[--all]", 0, 0, list },
		{ "show", "ROLLOUT", 1, 1, show },
		{ "watch", "ROLLOUT", 1, 1, watch },
		{ "pause", "ROLLOUT", 1, 1, pause_rollout },
		{ "resume", "ROLLOUT", 1, 1, resume },
		{ "promote", "ROLLOUT", 1, 1, promote },
		{ "abort", "ROLLOUT", 1, 1, abort_rollout },
		{ "undo", "ROLLOUT", 1, 1, undo },
		{ "steal", "ROLLOUT", 1, 1, steal },
		{ .name = NULL },
	};

	return subverb_run(ctx, table, err);
}

static const struct cmd_option options[] = {
	{ "all", 0, CMD_NO_VALUE, NULL, "with list: those that are over, too" },
	{ "message", 'm', CMD_VALUE, "TEXT", "why: in the story of the rollout, and in the audit" },
	{ "yes", 'y', CMD_NO_VALUE, NULL, "do not ask before an undo" },
	{ "jsonl", 0, CMD_NO_VALUE, NULL, "with watch: a JSON document a line, for each change" },
	{ "verbose", 0, CMD_NO_VALUE, NULL, "with show: every host, however many there are" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_rollout = {
	.name = "rollout",
	.args = "list|show|watch|pause|resume|promote|abort|undo|steal [ROLLOUT]",
	.summary = "rollouts that go on, and those that are over: look at them, and step in",
	.help = "ROLLOUT is its id or the beginning of it. A rollout lives in the coordinator, and "
		"'watch' only looks at it. 'promote' lets it go on where it waits for that, "
		"'abort' ends it and leaves every host as it is, 'undo' puts back what each host "
		"had before. 'steal' takes the locks away from one that does not let go of them.",
	.options = options,
	.min_args = 1,
	.max_args = 2,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_COORDINATOR | CMD_LISTS | CMD_PAGED,
	.run = rollout_run,
};
