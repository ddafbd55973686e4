#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/apps.h"
#include "cli/cmd_list.h"
#include "cli/ctx.h"
#include "cli/fleet_list.h"
#include "cli/jlist.h"
#include "cli/lists.h"
#include "proto/units.h"

static int list_json(const struct client_status *status, bool reveal, struct pm_buf *out,
                     struct pm_error *err)
{
	struct jlist_style style = { .reveal = reveal };
	struct json_out j;

	json_init(&j, out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_key(&j, "apps");
	jlist_write(&j, status->instances, status->n_instances, &style);
	if (status->agent != NULL) {
		json_key(&j, "degraded");
		json_begin_array(&j);
		for (size_t i = 0; i < status->agent->n_degraded; i++)
			json_str(&j, status->agent->degraded[i]);
		json_end_array(&j);
	}
	json_end_object(&j);
	pm_buf_char(out, '\n');
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "list") : 0;
}

/* Notes of instances and of the agent, below the table: what is not as it should be. */
static void add_notes(const struct client_status *status, struct pm_buf *out)
{
	PM_BUF scratch = { 0 };

	for (size_t i = 0; i < status->n_instances; i++) {
		const Pm__InstanceStatus *s = status->instances[i];

		if (s->note[0] != '\0') {
			pm_buf_printf(out, "%s (%u): ", say_cleaned(&scratch, s->name), s->pm_id);
			pm_buf_printf(out, "%s\n", say_cleaned(&scratch, s->note));
		}
	}
	for (size_t i = 0; status->agent != NULL && i < status->agent->n_degraded; i++)
		pm_buf_printf(out, "degraded: %s\n",
		              say_cleaned(&scratch, status->agent->degraded[i]));
}

/* The rows of pmctl's own list, and which of them are meant; the instances come in that order. */
static int choose(struct client_status *status, const struct listing_options *o, struct listing *l,
                  size_t **rows, size_t *n, struct pm_error *err)
{
	/* Without an order of its own the list goes by name; of equal ones the ids decide. */
	if (apps_sort(status->instances, status->n_instances, o->sort == NULL ? NULL : "id", err) <
	    0)
		return -1;
	for (size_t i = 0; i < status->n_instances; i++)
		apps_listing_add(l, NULL, status->instances[i]);
	return listing_choose(l, o, rows, n, err);
}

/* As jlist has them. */
static int render_json(struct ctx *ctx, const struct client_status *all, const size_t *rows,
                       size_t n, struct pm_buf *out, struct pm_error *err)
{
	struct jlist_style style = { .reveal = args_has(ctx->args, "reveal") };
	PM_FREE Pm__InstanceStatus **chosen = pm_calloc(n + 1, sizeof(*chosen));
	struct client_status status = *all;

	if (chosen == NULL)
		return pm_fail(err, PM_NO_MEMORY, "list");
	for (size_t i = 0; i < n; i++)
		chosen[i] = all->instances[rows[i]];
	status.instances = chosen;
	status.n_instances = n;
	if (!ctx->jsonl)
		return list_json(&status, style.reveal, out, err);
	for (size_t i = 0; i < n; i++) {
		PM_BUF object = { 0 };
		struct json_out j;

		json_init(&j, &object);
		jlist_write_one(&j, chosen[i], &style);
		if (object.failed)
			return pm_fail(err, PM_NO_MEMORY, "list");
		listing_line(object.bytes, object.len, out);
	}
	return 0;
}

static int render_own(struct ctx *ctx, struct client_status *status, struct pm_buf *out,
                      struct pm_error *err)
{
	struct listing_style style = { .width = ctx->width,
		                       .color = ctx->color_out,
		                       .ascii = !ctx->utf8 && ctx->tty_out,
		                       .box = ctx->tty_out };
	struct listing_options o;
	PM_LISTING *l = NULL;
	PM_FREE size_t *rows = NULL;
	size_t n;

	if (lists_read(ctx, &apps_columns, &o, err) < 0 ||
	    listing_create(&apps_columns, &l, err) < 0 || choose(status, &o, l, &rows, &n, err) < 0)
		return -1;
	if (ctx->json)
		return render_json(ctx, status, rows, n, out, err);
	if (status->n_instances == 0 && ctx->tty_out && o.form == LISTING_TABLE) {
		pm_buf_str(out, "Nothing is running. 'pmctl start FILE' starts something.\n");
		add_notes(status, out);
		return 0;
	}
	if (listing_text(l, &o, &style, rows, n, out, err) < 0)
		return -1;
	/* They belong to the whole list, and to people. */
	if (o.form == LISTING_TABLE && o.n_filters == 0 && !o.no_header)
		add_notes(status, out);
	return 0;
}

static int render(struct ctx *ctx, struct pm_buf *out, struct pm_error *err)
{
	bool mini = args_has(ctx->args, "mini-list");
	struct apps_style style = {
		.width = ctx->width,
		.color = ctx->color_out,
		.utf8 = ctx->utf8 || !ctx->tty_out,
		.box = ctx->tty_out,
		.as_pm2 = ctx->as_pm2,
	};
	PM_STATUS *status = NULL;

	if (ctx_status(ctx, args_at(ctx->args, 0), mini || ctx->json ? CTX_FULL : CTX_LIST, &status,
	               err) < 0)
		return -1;
	if (!ctx->as_pm2 && !mini)
		return render_own(ctx, status, out, err);
	if (ctx->json)
		return list_json(status, args_has(ctx->args, "reveal"), out, err);
	if (apps_sort(status->instances, status->n_instances, args_get(ctx->args, "sort"), err) <
	    0) {
		if (!ctx->as_pm2)
			return -1;
		/* PM2 takes any word and leaves the order alone. */
	}
	if (mini) {
		apps_mini(status->instances, status->n_instances, out);
		return 0;
	}
	return apps_table(status->instances, status->n_instances, &style, out, err);
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signum)
{
	(void)signum;
	interrupted = 1;
}

/* From the top of the terminal, each line over the old one: nothing flickers. */
static void redraw(const struct pm_buf *text, struct pm_buf *screen)
{
	pm_buf_str(screen, "\033[H");
	for (size_t i = 0; i < text->len; i++) {
		if (text->bytes[i] == '\n')
			pm_buf_str(screen, "\033[K");
		pm_buf_char(screen, text->bytes[i]);
	}
	pm_buf_str(screen, "\033[J");
}

/* Again and again on the same place of the terminal, until Ctrl-C. */
static int watch(struct ctx *ctx, uint64_t every_ms, struct pm_error *err)
{
	struct sigaction action = { .sa_handler = on_interrupt };

	if (every_ms < 200)
		every_ms = 200;
	(void)sigaction(SIGINT, &action, NULL); /* cannot fail for SIGINT */
	if (ctx->tty_out)
		(void)fputs("\033[2J", stdout); /* main looks at ferror() */
	while (!interrupted) {
		PM_BUF out = { 0 };
		PM_BUF screen = { 0 };

		if (render(ctx, &out, err) < 0)
			return -1;
		if (ctx->tty_out)
			redraw(&out, &screen);
		if (say_buf(ctx->tty_out ? &screen : &out, err) < 0)
			return -1;
		if (fflush(stdout) != 0)
			return 0; /* main tells why */
		(void)poll(NULL, 0, (int)every_ms);
	}
	return 130;
}

/* Blocks of lines have no columns. */
static int check_mini(const struct ctx *ctx, const struct listing_options *o, struct pm_error *err)
{
	if (ctx->as_pm2 || !args_has(ctx->args, "mini-list") ||
	    (o->form == LISTING_TABLE && o->n_filters == 0 && !o->no_header))
		return 0;
	return pm_fail(err, PM_USAGE,
	               "list: --mini-list has no columns, and goes with none of --output, "
	               "--no-header and --filter");
}

static int list_run(struct ctx *ctx, struct pm_error *err)
{
	const char *every = args_get(ctx->args, "watch");
	uint64_t every_ms = 2000;
	struct listing_options o;
	PM_BUF out = { 0 };

	if (every != NULL && (!pm_parse_duration(every, 1000, &every_ms) || every_ms > 3600000))
		return pm_fail(err, PM_USAGE, "--watch: expected a time such as 2s, found '%s'",
		               every);
	if (lists_read(ctx, fleet_is_wide(ctx) ? &apps_host_columns : &apps_columns, &o, err) < 0 ||
	    check_mini(ctx, &o, err) < 0)
		return -1;
	if (fleet_is_wide(ctx)) {
		if (every != NULL || args_has(ctx->args, "watch") ||
		    args_has(ctx->args, "mini-list"))
			return pm_fail(err, PM_USAGE,
			               "list: --watch and --mini-list are for one host");
		return fleet_list(ctx, &o, err);
	}
	if (ctx->fleet == NULL && args_count(ctx->args) > 0) {
		pm_fail(err, PM_USAGE, "list: '%s' is one argument too many",
		        args_at(ctx->args, 0));
		pm_hint(err, "'pmctl describe %.60s' shows one app", args_at(ctx->args, 0));
		return -1;
	}
	if (ctx_connect(ctx, true, err) < 0)
		return -1;
	if (args_has(ctx->args, "watch"))
		return watch(ctx, every_ms, err);
	if (render(ctx, &out, err) < 0)
		return -1;
	/* Silent turns off messages; the table is what was asked for. Of PM2 it turns off that too.
	 */
	return ctx->silent && ctx->as_pm2 && !ctx->json ? 0 : say_buf(&out, err);
}

static const struct cmd_option options[] = {
	{ "sort", 0, CMD_VALUE, "FIELD[:desc]",
	  "by name, namespace, pid, id, cpu, memory, uptime or status, or another column" },
	{ "mini-list", 'm', CMD_NO_VALUE, NULL, "a block of lines for each, no table" },
	{ "watch", 0, CMD_OPTIONAL_EQ, "TIME", "again every 2 seconds, or every TIME" },
	{ "reveal", 0, CMD_NO_VALUE, NULL, "with --json, show the values of secrets" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_list = {
	.name = "list",
	.aliases = "ls l ps status",
	.args = "[APP]...",
	.summary = "all apps: what runs, since when, what it takes",
	.help = "APP is for hosts of a fleet: only these apps of theirs. Up to 20 hosts get a line "
		"for each of their apps; of more, those that give the same answer stand together.",
	.options = options,
	.max_args = CMD_ANY,
	.flags = CMD_JSON | CMD_FLEET | CMD_LISTS | CMD_PAGED,
	.run = list_run,
};
