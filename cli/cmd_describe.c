#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/apps.h"
#include "cli/cmd_list.h"
#include "cli/ctx.h"
#include "cli/fleet_list.h"
#include "cli/fmt.h"
#include "cli/jlist.h"
#include "cli/redact.h"
#include "cli/spec_name.h"
#include "cli/table.h"
#include "proto/check.h"
#include "proto/spec.h"
#include "proto/units.h"

struct facts {
	struct table *table; /* owned */
	struct pm_buf scratch;
};

static void fact(struct facts *f, const char *name, const char *value, enum color color)
{
	table_cell(f->table, name, COLOR_BOLD);
	table_cell(f->table, value[0] == '\0' ? "N/A" : say_cleaned(&f->scratch, value), color);
}

static void number(struct facts *f, const char *name, uint64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	fact(f, name, text, COLOR_NONE);
}

static void words(struct facts *f, const char *name, char *const *list, size_t n)
{
	PM_BUF text = { 0 };

	for (size_t i = 0; i < n; i++)
		pm_buf_printf(&text, "%s%s", i == 0 ? "" : " ", list[i]);
	fact(f, name, n == 0 || text.failed ? "" : text.bytes, COLOR_NONE);
}

static void how_it_is(struct facts *f, const Pm__InstanceStatus *s, bool as_pm2)
{
	bool online = s->state == PM__LIFE_STATE__LIFE_ONLINE;
	char text[FMT_MAX];

	fact(f, "status", apps_state_name(s->state), apps_state_color(s->state));
	fact(f, "name", s->name, COLOR_NONE);
	fact(f, "namespace", s->namespace_, COLOR_NONE);
	fact(f, "version", s->version, COLOR_NONE);
	number(f, "restarts", s->restarts);
	if (s->spec->max_memory != 0) {
		pm_bytes_text(s->spec->max_memory, text);
		if (as_pm2)
			number(f, "max memory restart", s->spec->max_memory);
		else
			fact(f, "max memory", text, COLOR_NONE);
	}
	if (s->spec->cron[0] != '\0')
		fact(f, "cron restart", s->spec->cron, COLOR_NONE);
	if (online)
		pm_uptime_text(s->uptime_ms, text);
	fact(f, "uptime", online ? text : "0", COLOR_NONE);
	if (as_pm2)
		return;
	number(f, "pid", s->pid);
	if (s->n_processes > 1)
		number(f, "processes", s->n_processes);
	pm_bytes_text(s->memory, text);
	fact(f, "memory", text, COLOR_NONE);
	if (s->note[0] != '\0')
		fact(f, "note", s->note, COLOR_NONE);
	if (s->last_order[0] != '\0')
		fact(f, "last order", s->last_order, COLOR_NONE);
}

static const char *health_word(Pm__Health health)
{
	switch (health) {
	case PM__HEALTH__HEALTH_UNKNOWN:
		return " (not known yet)";
	case PM__HEALTH__HEALTH_OK:
		return " (passes)";
	case PM__HEALTH__HEALTH_FAILING:
		return " (fails)";
	case PM__HEALTH__HEALTH_UNSPECIFIED:
	case _PM__HEALTH_IS_INT_SIZE:
		break;
	}
	return "";
}

static void checks(struct facts *f, const Pm__InstanceStatus *s)
{
	const Pm__AppSpec *spec = s->spec;
	char check[200], text[240];

	for (enum check_role role = CHECK_STARTUP; role < CHECK_ROLES; role++) {
		const Pm__HealthCheck *c = check_of(spec, role);

		if (c == NULL)
			continue;
		check_text(c, check, sizeof(check));
		(void)snprintf(text, sizeof(text), "%s%s", check,
		               role == CHECK_READY  ? health_word(s->ready)
		               : role == CHECK_LIVE ? health_word(s->live)
		                                    : "");
		fact(f, check_role_names[role], text, COLOR_NONE);
	}
	if (spec->watchdog_ms != 0)
		number(f, "watchdog (ms)", spec->watchdog_ms);
}

static void what_it_runs(struct facts *f, const Pm__InstanceStatus *s, bool as_pm2)
{
	const Pm__AppSpec *spec = s->spec;
	const Pm__EnvVar *node_env = spec_find_env(spec->env, spec->n_env, "NODE_ENV");
	char created[FMT_MAX], settings[SPEC_NAME_TEXT];

	if (s->log_file[0] != '\0')
		fact(f, "entire log path", s->log_file, COLOR_NONE);
	fact(f, "script path", spec->script, COLOR_NONE);
	words(f, "script args", spec->args, spec->n_args);
	fact(f, "error log path", s->error_file, COLOR_NONE);
	fact(f, "out log path", s->out_file, COLOR_NONE);
	fact(f, "pid path", s->pid_file, COLOR_NONE);
	fact(f, "interpreter", spec->interpreter, COLOR_NONE);
	words(f, "interpreter args", spec->interpreter_args, spec->n_interpreter_args);
	number(f, "script id", s->pm_id);
	fact(f, "exec cwd", spec->cwd, COLOR_NONE);
	fact(f, "exec mode",
	     s->exec_mode == PM__EXEC_MODE__EXEC_MODE_CLUSTER ? "cluster_mode" : "fork_mode",
	     COLOR_NONE);
	fact(f, "node.js version", spec->node_version, COLOR_NONE);
	fact(f, "node env", node_env == NULL ? "" : node_env->value, COLOR_NONE);
	fact(f, "watch & reload", s->watching ? "✔" : "✘", s->watching ? COLOR_GREEN : COLOR_RED);
	number(f, "unstable restarts", s->unstable_restarts);
	fmt_iso(s->created_wall_ms, created);
	fact(f, "created at", s->created_wall_ms == 0 ? "" : created, COLOR_NONE);
	if (as_pm2)
		return;
	spec_name_text(&s->spec_hash, SPEC_NAME_SHORT, settings);
	fact(f, "settings", settings, COLOR_NONE);
	number(f, "kill timeout (ms)", spec->kill_timeout_ms);
	words(f, "depends on", spec->depends_on, spec->n_depends_on);
	words(f, "listen", spec->listen, spec->n_listen);
	checks(f, s);
	if (s->dropped_lines != 0)
		number(f, "log lines dropped", s->dropped_lines);
}

/* Variables that are not as in the caller's shell. */
static int divergent(struct ctx *ctx, const Pm__InstanceStatus *s, const struct table_style *style,
                     struct pm_buf *out, struct pm_error *err)
{
	static const struct table_column columns[] = { { .title = "" },
		                                       { .title = "", .least = 20 } };
	struct facts f = { .table = table_create(columns, PM_COUNT(columns)) };
	PM_TABLE *table = f.table;
	size_t n = 0;
	int rc = 0;

	if (table == NULL)
		return pm_fail(err, PM_NO_MEMORY, "describe");
	for (size_t i = 0; i < s->spec->n_env; i++) {
		const Pm__EnvVar *var = s->spec->env[i];
		const char *here = getenv(var->name);
		bool hide = !ctx->as_pm2 && !args_has(ctx->args, "reveal") &&
		            redact_is_secret(var->name);

		if (here != NULL && strcmp(here, var->value) == 0)
			continue;
		fact(&f, var->name, hide ? REDACTED : var->value, COLOR_NONE);
		n++;
	}
	if (n > 0 || ctx->as_pm2)
		color_add(out, style->color, COLOR_BOLD_INVERSE,
		          " Divergent env variables from local env ");
	if (n > 0 || ctx->as_pm2)
		pm_buf_char(out, '\n');
	if (n > 0)
		rc = table_render(table, style, out, err);
	else if (ctx->as_pm2)
		pm_buf_char(out, '\n');
	pm_buf_finish(&f.scratch);
	return rc;
}

static int one(struct ctx *ctx, const Pm__InstanceStatus *s, struct pm_buf *out,
               struct pm_error *err)
{
	static const struct table_column columns[] = { { .title = "" },
		                                       { .title = "", .least = 20 } };
	struct table_style style = {
		.width = ctx->as_pm2 ? 0 : ctx->width,
		.box = ctx->as_pm2 || ctx->tty_out,
		.ascii = !ctx->as_pm2 && ctx->tty_out && !ctx->utf8,
		.color = ctx->color_out,
	};
	struct facts f = { .table = table_create(columns, PM_COUNT(columns)) };
	PM_TABLE *table = f.table;
	PM_BUF title = { 0 };
	int rc;

	if (table == NULL || s->spec == NULL)
		return pm_fail(err, PM_NO_MEMORY, "describe");
	pm_buf_printf(&title, " Describing process with id %u - name %s ", s->pm_id,
	              say_cleaned(&f.scratch, s->name));
	if (!title.failed)
		color_add(out, ctx->color_out, COLOR_BOLD_INVERSE, title.bytes);
	pm_buf_char(out, '\n');
	how_it_is(&f, s, ctx->as_pm2);
	what_it_runs(&f, s, ctx->as_pm2);
	rc = table_render(table, &style, out, err);
	if (rc == 0)
		rc = divergent(ctx, s, &style, out, err);
	pm_buf_finish(&f.scratch);
	return rc;
}

static void hints(struct ctx *ctx, const Pm__InstanceStatus *s, struct pm_buf *out)
{
	PM_BUF scratch = { 0 };
	const char *name = say_cleaned(&scratch, s->name);

	if (!ctx->as_pm2 && !ctx->tty_out)
		return;
	pm_buf_printf(out, "\n Use `%s logs %s [--lines 1000]` to display logs\n", ctx->program,
	              name);
	pm_buf_printf(out, " Use `%s env %u` to display environment variables\n", ctx->program,
	              s->pm_id);
	if (!ctx->as_pm2)
		pm_buf_printf(out, " Use `%s why %s` to see why it is in this state\n",
		              ctx->program, name);
}

static int as_json(struct ctx *ctx, const struct client_status *status, struct pm_error *err)
{
	struct jlist_style style = { .reveal = args_has(ctx->args, "reveal") };
	PM_BUF out = { 0 };
	struct json_out j;

	json_init(&j, &out);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_key(&j, "apps");
	jlist_write(&j, status->instances, status->n_instances, &style);
	json_end_object(&j);
	pm_buf_char(&out, '\n');
	return say_buf(&out, err);
}

static int describe_run(struct ctx *ctx, struct pm_error *err)
{
	const char *word = args_at(ctx->args, 0);
	PM_STATUS *status = NULL;
	PM_BUF out = { 0 };

	if (ctx_connect(ctx, true, err) < 0)
		return -1;
	if (ctx_status(ctx, word, args_has(ctx->args, "reveal") ? CTX_ENVIRONMENT : CTX_FULL,
	               &status, err) < 0) {
		if (!ctx->as_pm2 || err->code != PM_NOT_FOUND)
			return pm_wrap(err, "describe");
		say_warn(ctx, "%s doesn't exist", word);
		return 1;
	}
	if (ctx->json)
		return as_json(ctx, status, err);
	for (size_t i = 0; i < status->n_instances; i++) {
		if (one(ctx, status->instances[i], &out, err) < 0)
			return -1;
		hints(ctx, status->instances[i], &out);
	}
	return ctx->silent ? 0 : say_buf(&out, err);
}

static int run(struct ctx *ctx, struct pm_error *err)
{
	return fleet_is_wide(ctx)
	               ? fleet_each(ctx, args_has(ctx->args, "reveal"), describe_run, err)
	               : describe_run(ctx, err);
}

static const struct cmd_option options[] = {
	{ "reveal", 0, CMD_NO_VALUE, NULL, "show the values of secrets" },
	{ NULL, 0, CMD_NO_VALUE, NULL, NULL },
};

const struct cmd cmd_describe = {
	.name = "describe",
	.aliases = "desc info show",
	.args = "APP",
	.pm2_needs = "name|id",
	.summary = "everything about the instances of APP",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.flags = CMD_JSON | CMD_FLEET | CMD_PAGED,
	.run = run,
};
