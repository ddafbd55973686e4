#include "cli/fleet_act.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/apps.h"
#include "cli/config.h"
#include "cli/fleet_route.h"
#include "cli/fleet_send.h"
#include "cli/host_view.h"
#include "cli/json_out.h"
#include "proto/hostlist.h"

struct acting {
	struct ctx *ctx;
	struct fleet *f;
	const struct action *action;
	struct host_view view;
	uint64_t begin_ms;
	bool bar;       /* there is a progress line on stderr */
	bool bar_shown; /* it stands there now */
};

/* ---- JSON ---- */

static void host_json(struct json_out *j, const struct host *h)
{
	json_kstr(j, "host", h->name);
	json_kstr(j, "id", h->id);
	json_kstr(j, "state", hosts_state_name(h->state));
	json_kstr(j, "code", pm_code_name(h->code));
	json_kstr(j, "text", h->text == NULL ? "" : h->text);
	if (h->last_seen_wall_ms > 0)
		json_kint(j, "last_seen_ms", h->last_seen_wall_ms);
	json_key(j, "outcomes");
	json_begin_array(j);
	for (size_t i = 0; i < h->n_outcomes; i++)
		act_outcome_json(j, h->outcomes[i]);
	json_end_array(j);
}

static void host_json_line(const struct host *h)
{
	PM_BUF out = { 0 };
	struct json_out j;
	struct pm_error err;

	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	host_json(&j, h);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	if (say_buf(&out, &err) == 0)
		(void)fflush(stdout); /* main looks at errors */
}

void fleet_account_json(const struct fleet *f, struct json_out *j)
{
	struct hosts_account a = hosts_account(&f->hosts);

	json_key(j, "account");
	json_begin_object(j);
	json_kuint(j, "total", a.total);
	for (unsigned state = 0; state < HOST_N_STATES; state++)
		json_kuint(j, hosts_state_name(state), a.n[state]);
	json_end_object(j);
}

int fleet_exit_status(const struct fleet *f)
{
	return f->stopped ? 130 : hosts_exit_status(&f->hosts, f->time_is_up);
}

/* ---- what is seen while it goes on ---- */

static void clear_bar(struct acting *a)
{
	if (a->bar_shown)
		(void)fputs("\r\033[K", stderr);
	a->bar_shown = false;
}

static void on_tick(void *arg)
{
	struct acting *a = arg;
	struct hosts_account account = hosts_account(&a->f->hosts);
	PM_BUF text = { 0 };

	if (!a->bar)
		return;
	host_view_bar(&account, pm_now_ms() - a->begin_ms, a->ctx->utf8, &text);
	if (text.failed)
		return;
	(void)fflush(stdout); /* main looks at errors */
	(void)fprintf(stderr, "\r\033[K%s", text.bytes);
	(void)fflush(stderr);
	a->bar_shown = true;
}

static void on_host(void *arg, struct host *h)
{
	struct acting *a = arg;
	PM_BUF out = { 0 };
	struct pm_error err;

	if (a->ctx->jsonl) {
		host_json_line(h);
		return;
	}
	if (a->ctx->json || a->ctx->silent)
		return;
	host_view_progress(&a->view, &a->f->hosts, h, &out);
	if (out.len == 0)
		return;
	clear_bar(a);
	if (say_buf(&out, &err) == 0)
		(void)fflush(stdout); /* main looks at errors */
}

/* ---- sending ---- */

/* "restart api on 1000 hosts: web[0001-1000]": which ones, before anything is done to them. */
static void announce(const struct acting *a, const char *what)
{
	PM_BUF names = { 0 };

	if (a->f->n_nodes <= HOST_VIEW_EACH)
		return;
	fleet_fold_nodes(a->f, &names);
	if (names.failed)
		return;
	say(a->ctx, "%s on %zu hosts: %s", what, a->f->n_nodes, names.bytes);
	(void)fflush(stdout); /* main looks at errors */
}

/* Hosts that somebody took out of service (FLEET 1.7, class F). */
static void leave_out_drained(struct ctx *ctx)
{
	struct fleet *f = ctx->fleet;

	if (args_has(ctx->args, "include-drained"))
		return;
	for (size_t i = 0; i < f->n_nodes; i++) {
		struct host *h = &f->hosts.list[i];

		if (!f->nodes[i]->drained)
			continue;
		h->state = HOST_SKIPPED;
		h->code = PM_UNREACHABLE;
		if (f->nodes[i]->drain_text[0] != '\0')
			h->text = pm_strdup(f->nodes[i]->drain_text); /* NULL: no text */
	}
}

int act_confirm(struct ctx *ctx, const struct action *action, const Pm__Command *cmd,
                struct pm_error *err)
{
	const char *word = cmd->n_targets > 0 ? cmd->targets[0]->text : "all";
	PM_BUF what = { 0 };

	pm_buf_str(&what, action->name);
	for (size_t i = 0; i < cmd->n_targets; i++)
		pm_buf_printf(&what, " %s", cmd->targets[i]->text);
	if (what.failed)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if ((args_cmd(ctx->args)->flags & CMD_DESTRUCTIVE) == 0)
		return 0;
	return fleet_confirm(ctx, what.bytes, word, err);
}

int fleet_act_check_words(const struct ctx *ctx, struct pm_error *err)
{
	size_t n = args_count(ctx->args), n_files = 0;

	for (size_t i = 0; i < n; i++)
		n_files += config_is_file(args_at(ctx->args, i));
	if (!fleet_is_wide(ctx) || n_files == 0 || n == 1)
		return 0;
	return pm_fail(err, PM_USAGE,
	               "%s: with several hosts, one configuration file or names, and not both",
	               args_cmd(ctx->args)->name);
}

int fleet_act_send(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
                   struct pm_error *err)
{
	struct fleet *f = ctx->fleet;
	struct acting a = {
		.ctx = ctx,
		.f = f,
		.action = action,
		.view = { .done = action->done,
		          .width = host_view_width(&f->hosts),
		          .columns = ctx->width,
		          .color = ctx->color_out,
		          .verbose = args_has(ctx->args, "verbose"),
		          .now_wall_ms = pm_wall_ms() },
		.begin_ms = pm_now_ms(),
		.bar = f->n_nodes > HOST_VIEW_EACH && isatty(STDERR_FILENO) == 1 && !ctx->json &&
		       !ctx->silent,
	};
	static const struct fleet_send_handlers handlers = { on_host, on_tick };
	Pm__Forward forward = PM__FORWARD__INIT;
	PM_BUF what = { 0 };
	int rc;

	if (f->sent)
		return pm_fail(err, PM_UNSUPPORTED,
		               "%s: one configuration file at a time for several hosts",
		               action->name);
	pm_buf_str(&what, action->name);
	for (size_t i = 0; i < cmd->n_targets; i++)
		pm_buf_printf(&what, " %s", cmd->targets[i]->text);
	leave_out_drained(ctx);
	if (!what.failed)
		announce(&a, what.bytes);
	forward.what_case = PM__FORWARD__WHAT_COMMAND;
	forward.command = cmd;
	forward.deadline_ms = ctx->timeout_ms != 0 ? ctx->timeout_ms : PM_FLEET_ACT_MS;
	cmd->timeout_ms = forward.deadline_ms;
	forward.specs = fleet_route_specs(ctx->client, &forward.n_specs);
	rc = fleet_send(ctx, &forward, &handlers, &a, err);
	clear_bar(&a);
	return rc < 0 ? pm_wrap(err, "%s", action->name) : 0;
}

/* ---- the end ---- */

void fleet_say_missing(struct ctx *ctx)
{
	struct fleet *f = ctx->fleet;
	PM_FREE const char **names = pm_calloc(f->hosts.n + 1, sizeof(*names));
	PM_BUF text = { 0 };
	struct pm_error err;
	size_t n = 0;

	for (size_t i = 0; names != NULL && i < f->hosts.n; i++)
		if (f->hosts.list[i].state == HOST_WAITING)
			names[n++] = f->hosts.list[i].name;
	if (n == 0 || hostlist_fold(names, n, &text, &err) < 0)
		return;
	say_warn(ctx, "not waited for: %zu host%s: %s; what was sent there goes on", n,
	         n == 1 ? "" : "s", text.bytes);
}

static int finish_json(struct ctx *ctx, const struct action *action, struct pm_error *err)
{
	struct fleet *f = ctx->fleet;
	PM_BUF out = { 0 };
	struct json_out j;

	if (ctx->jsonl)
		for (size_t i = 0; i < f->hosts.n; i++)
			if (!f->hosts.list[i].answered || f->hosts.list[i].state == HOST_UNKNOWN ||
			    f->hosts.list[i].state == HOST_WAITING)
				host_json_line(&f->hosts.list[i]);
	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kstr(&j, "command", action->name);
	if (!ctx->jsonl) {
		json_key(&j, "hosts");
		json_begin_array(&j);
		for (size_t i = 0; i < f->hosts.n; i++) {
			json_begin_object(&j);
			host_json(&j, &f->hosts.list[i]);
			json_end_object(&j);
		}
		json_end_array(&j);
	}
	fleet_account_json(f, &j);
	json_kint(&j, "exit", fleet_exit_status(f));
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

int fleet_act_finish(struct ctx *ctx, const struct action *action, struct pm_error *err)
{
	struct fleet *f = ctx->fleet;
	struct host_view view = { .done = action->done,
		                  .width = host_view_width(&f->hosts),
		                  .columns = ctx->width,
		                  .color = ctx->color_out,
		                  .verbose = args_has(ctx->args, "verbose"),
		                  .now_wall_ms = pm_wall_ms() };
	PM_BUF out = { 0 };

	if (ctx->json) {
		if (finish_json(ctx, action, err) < 0)
			return -1;
	} else if (!ctx->silent) {
		if (host_view_end(&view, &f->hosts, &out, err) < 0 || say_buf(&out, err) < 0)
			return -1;
	}
	if (f->stopped)
		fleet_say_missing(ctx);
	return fleet_exit_status(f);
}
