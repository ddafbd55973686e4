#include <string.h>

#include "cli/cmd_list.h"
#include "cli/fleet_logs.h"
#include "cli/logs.h"
#include "cli/target.h"

#define PM2_TIME "YYYY-MM-DD-HH:mm:ss"

static int instant(const struct ctx *ctx, const char *option, int64_t *out, struct pm_error *err)
{
	const char *text = args_get(ctx->args, option);

	if (text == NULL || log_view_instant(text, pm_wall_ms(), out))
		return 0;
	return pm_fail(err, PM_USAGE,
	               "--%s: expected a time such as 10m, 10:30 or 2026-11-23T10:30:00, found "
	               "'%s'",
	               option, text);
}

static int settle_query(struct ctx *ctx, Pm__LogQuery *q, struct pm_error *err)
{
	const char *grep = args_get(ctx->args, "grep"), *exclude = args_get(ctx->args, "exclude");
	bool since = args_has(ctx->args, "since");
	int64_t lines;

	if (args_number(ctx->args, "lines", 0, 1000000, since ? 1000000 : 15, &lines, err) < 0 ||
	    instant(ctx, "since", &q->since_wall_ms, err) < 0 ||
	    instant(ctx, "until", &q->until_wall_ms, err) < 0)
		return -1;
	if (grep != NULL && exclude != NULL)
		return pm_fail(err, PM_USAGE, "--grep and --exclude cannot be used together");
	q->lines = (uint32_t)lines;
	q->no_out = args_has(ctx->args, "err");
	q->no_err = args_has(ctx->args, "out");
	if (q->no_out && q->no_err)
		q->no_out = q->no_err = false; /* both asked for */
	q->follow = !args_has(ctx->args, "nostream") && q->until_wall_ms == 0;
	if (!q->follow && args_has(ctx->args, "follow"))
		return pm_fail(err, PM_USAGE, "--follow goes with neither --nostream nor --until");
	q->grep_invert = exclude != NULL;
	return 0;
}

/* The pattern in POSIX form, in the buffer that the query borrows. */
static int settle_pattern(struct ctx *ctx, Pm__LogQuery *q, char *ere, size_t size,
                          struct pm_error *err)
{
	const char *text = args_get(ctx->args, q->grep_invert ? "exclude" : "grep");

	if (text == NULL)
		return 0;
	if (target_translate_regex(text, ere, size, err) < 0)
		return -1;
	q->grep = ere;
	return 0;
}

static int settle_style(struct ctx *ctx, struct logs_request *r, struct pm_error *err)
{
	const char *raw = args_get(ctx->args, "raw"), *output = args_get(ctx->args, "output");
	bool forced = raw != NULL && strcmp(raw, "force") == 0;

	if (raw != NULL && !forced)
		return pm_fail(err, PM_USAGE, "--raw=%s: the only word here is force", raw);
	if (output != NULL && strcmp(output, "json") != 0 && strcmp(output, "raw") != 0)
		return pm_fail(err, PM_USAGE, "--output: expected json or raw, found '%s'", output);
	r->style.as_pm2 = ctx->as_pm2;
	r->style.color = ctx->color_out;
	r->style.clean = ctx->tty_out && !forced;
	r->style.highlight = args_get(ctx->args, "highlight");
	if (ctx->json || (output != NULL && strcmp(output, "json") == 0))
		r->style.form = LOG_JSON;
	else if (args_has(ctx->args, "format"))
		r->style.form = LOG_FORMAT;
	else if (args_has(ctx->args, "raw") || output != NULL || args_has(ctx->args, "no-prefix"))
		r->style.form = LOG_RAW;
	if (args_has(ctx->args, "timestamp")) {
		r->style.time_format = args_get(ctx->args, "timestamp");
		if (r->style.time_format == NULL)
			r->style.time_format = PM2_TIME;
	}
	if (args_has(ctx->args, "fold") && r->style.form != LOG_PREFIX && r->style.form != LOG_JSON)
		return pm_fail(err, PM_USAGE,
		               "--fold tells how many hosts wrote a line, which --raw, --no-prefix "
		               "and --format leave out");
	r->raw_stderr = r->style.form == LOG_RAW && !args_has(ctx->args, "no-prefix");
	return 0;
}

static int settle_target(struct ctx *ctx, const char *word, struct target_list *list,
                         struct pm_error *err)
{
	PM_STATUS *status = NULL;

	if (word == NULL || strcmp(word, "all") == 0)
		return 0;
	if (!target_is_regex(word))
		return target_list_add(list, word, err);
	if (ctx->fleet != NULL)
		return pm_fail(err, PM_UNSUPPORTED,
		               "%s: a pattern is looked up on one host; for hosts, name apps",
		               word);
	if (ctx_status(ctx, NULL, CTX_LIST, &status, err) < 0)
		return -1;
	return target_list_add_regex(list, word, status->instances, status->n_instances, err);
}

static void announce(struct ctx *ctx, struct logs_request *r, const char *word)
{
	bool all = word == NULL || strcmp(word, "all") == 0;
	PM_BUF text = { 0 };

	r->headings =
		r->query.lines > 0 && (r->style.form == LOG_PREFIX || r->style.form == LOG_RAW);
	r->headings = r->headings && ctx->as_pm2;
	if (!r->headings)
		return;
	pm_buf_printf(&text,
	              "[TAILING] Tailing last %u lines for [%s] process%s (change the value with "
	              "--lines option)",
	              r->query.lines, all ? "all" : word, all ? "es" : "");
	if (!text.failed)
		say_colored(ctx, COLOR_BOLD_GREY, "%s", text.bytes);
}

static int logs_run(struct ctx *ctx, struct pm_error *err)
{
	const char *word = args_at(ctx->args, 0);
	struct logs_request r = { .query = PM__LOG_QUERY__INIT };
	struct target_list list = { 0 };
	char ere[4096];
	int status;

	if (ctx->fleet == NULL &&
	    (args_has(ctx->args, "order") || args_has(ctx->args, "max-sources") ||
	     args_has(ctx->args, "fold")))
		return pm_fail(err, PM_USAGE,
		               "--order, --fold and --max-sources are for hosts of a fleet");
	if (settle_query(ctx, &r.query, err) < 0 || settle_style(ctx, &r, err) < 0 ||
	    settle_pattern(ctx, &r.query, ere, sizeof(ere), err) < 0 ||
	    ctx_connect(ctx, true, err) < 0)
		return -1;
	/* PM2 shows its own log beside all apps, unless streams or forms were chosen. */
	r.query.agent_log = args_has(ctx->args, "agent") ||
	                    (ctx->as_pm2 && word == NULL && r.style.form == LOG_PREFIX &&
	                     !args_has(ctx->args, "out") && !args_has(ctx->args, "err"));
	if (ctx->as_pm2 && (r.style.form == LOG_JSON || r.style.form == LOG_FORMAT))
		r.query.lines = 0; /* these forms are of live lines only */
	r.query.events = ctx->as_pm2 && r.style.form == LOG_JSON && r.query.follow;
	announce(ctx, &r, word);
	status = settle_target(ctx, word, &list, err);
	if (status == 0) {
		r.query.targets = list.targets;
		r.query.n_targets = list.n;
		status = ctx->fleet != NULL ? fleet_logs(ctx, &r, err) : logs_show(ctx, &r, err);
	}
	target_list_finish(&list);
	if (status < 0 && ctx->as_pm2 && err->code == PM_NOT_FOUND)
		return 0; /* an unknown name has no lines */
	return status < 0 ? pm_wrap(err, "logs") : status;
}

static const struct cmd_option options[] = {
	{ "lines", 'n', CMD_VALUE, "N", "begin with the last N lines of each file; 15" },
	{ "since", 0, CMD_VALUE, "TIME", "begin with lines from then on: 10m, 10:30, 2026-11-23" },
	{ "until", 0, CMD_VALUE, "TIME", "stop at lines from then on; does not follow" },
	{ "grep", 0, CMD_VALUE, "REGEX", "only lines that match" },
	{ "exclude", 0, CMD_VALUE, "REGEX", "only lines that do not match" },
	{ "follow", 'f', CMD_NO_VALUE, NULL, "follow, as it does unless told otherwise" },
	{ "nostream", 0, CMD_NO_VALUE, NULL, "do not follow" },
	{ "out", 0, CMD_NO_VALUE, NULL, "only standard output" },
	{ "err", 0, CMD_NO_VALUE, NULL, "only standard error" },
	{ "raw", 0, CMD_OPTIONAL_EQ, "force",
	  "the lines alone, those of stderr on stderr; on a terminal they are made harmless "
	  "unless forced" },
	{ "output", 'o', CMD_VALUE, "json|raw", "the same as --json or --raw" },
	{ "no-prefix", 0, CMD_NO_VALUE, NULL, "the lines alone, those of stderr with the others" },
	{ "order", 0, CMD_VALUE, "time|arrival",
	  "of several hosts: by time, as far as lines come within 500 ms, or as they come" },
	{ "fold", 0, CMD_NO_VALUE, NULL,
	  "of several hosts: the same line of an app, written within 500 ms, once, with its number" },
	{ "max-sources", 0, CMD_VALUE, "N", "of so many hosts at most; 50, and 256 is the limit" },
	{ "format", 0, CMD_NO_VALUE, NULL, "timestamp=... app=... id=... type=... message=..." },
	{ "timestamp", 0, CMD_OPTIONAL, "FORMAT", "a time before each line; " PM2_TIME },
	{ "highlight", 0, CMD_OPTIONAL, "TEXT", "invert TEXT where it occurs" },
	{ "agent", 0, CMD_NO_VALUE, NULL, "the agent's own log, too" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_logs = {
	.name = "logs",
	.aliases = "log",
	.args = "[APP]",
	.summary = "the last lines that APP, or all apps, wrote, and what they write now",
	.help = "With --json each line is an object {message, timestamp, type, process_id, "
		"app_name}. Ctrl-C ends it.",
	.options = options,
	.max_args = 1,
	.flags = CMD_JSON | CMD_FLEET,
	.run = logs_run,
};
