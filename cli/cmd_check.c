/* cmd_check.c - pmctl check FILE: every problem of an application file; nothing is started. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd_list.h"
#include "cli/config.h"
#include "cli/ctx.h"
#include "cli/json_out.h"
#include "cli/path.h"

static const char *severity_name(enum config_severity severity)
{
	static const char *const names[] = {
		[CONFIG_ERROR] = "error",
		[CONFIG_WARNING] = "warning",
		[CONFIG_NOTE] = "note",
	};

	return names[severity];
}

static const char *mode_name(const Pm__AppSpec *spec)
{
	return spec->exec_mode == PM__EXEC_MODE__EXEC_MODE_CLUSTER ? "cluster" : "fork";
}

static void json_result(struct pm_buf *out, const char *path, const struct config_result *r)
{
	struct json_out j;

	json_init(&j, out);
	json_begin_object(&j);
	json_kstr(&j, "file", path);
	json_kbool(&j, "ok", r->report.n_errors == 0);
	json_key(&j, "apps");
	json_begin_array(&j);
	for (size_t i = 0; i < r->n; i++) {
		json_begin_object(&j);
		json_kstr(&j, "name", r->specs[i]->name);
		json_kstr(&j, "script", r->specs[i]->script);
		json_kstr(&j, "interpreter", r->specs[i]->interpreter);
		json_kstr(&j, "exec_mode", mode_name(r->specs[i]));
		json_kuint(&j, "instances", r->specs[i]->instances);
		json_end_object(&j);
	}
	json_end_array(&j);
	json_key(&j, "problems");
	json_begin_array(&j);
	for (size_t i = 0; i < r->report.n; i++) {
		const struct config_problem *p = &r->report.items[i];

		json_begin_object(&j);
		json_kstr(&j, "severity", severity_name(p->severity));
		json_kuint(&j, "line", p->line);
		json_kuint(&j, "column", p->column);
		json_kstr(&j, "text", p->text);
		json_kstr(&j, "hint", p->hint);
		json_end_object(&j);
	}
	json_end_array(&j);
	json_end_object(&j);
	pm_buf_char(out, '\n');
}

static void text_result(struct pm_buf *out, const char *path, const struct config_result *r)
{
	PM_BUF scratch = { 0 };
	char line[640];

	for (size_t i = 0; i < r->report.n; i++) {
		const struct config_problem *p = &r->report.items[i];

		config_problem_text(path, p, line, sizeof(line));
		pm_buf_str(out, say_cleaned(&scratch, line));
		if (p->hint[0] != '\0')
			pm_buf_printf(out, "; %s", say_cleaned(&scratch, p->hint));
		if (p->severity != CONFIG_ERROR)
			pm_buf_printf(out, " (%s)", severity_name(p->severity));
		pm_buf_char(out, '\n');
	}
	if (r->report.n_more > 0)
		pm_buf_printf(out, "%zu more problems\n", r->report.n_more);
	if (r->report.n_errors > 0)
		return;
	pm_buf_printf(out, "%s: %zu app%s, no errors\n", say_cleaned(&scratch, path), r->n,
	              r->n == 1 ? "" : "s");
	for (size_t i = 0; i < r->n; i++) {
		const Pm__AppSpec *s = r->specs[i];
		bool direct = strcmp(s->interpreter, "none") == 0;

		pm_buf_printf(out, "  %s: %s, %u instance%s, ", say_cleaned(&scratch, s->name),
		              mode_name(s), s->instances, s->instances == 1 ? "" : "s");
		pm_buf_printf(out, "%s%s", direct ? "" : path_base(s->interpreter),
		              direct ? "" : " ");
		pm_buf_printf(out, "%s\n", say_cleaned(&scratch, s->script));
	}
}

static int check_run(struct ctx *ctx, struct pm_error *err)
{
	const char *path = args_at(ctx->args, 0);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct build_context build = { .environment = environ, .as_pm2 = false };
	struct config_request request = { .path = path, .build = &build };
	struct config_result result = { 0 };
	PM_BUF out = { 0 };
	char cwd[PM_PATH_MAX];
	int rc;

	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return pm_fail(err, PM_INTERNAL, "the current directory is gone");
	build.cwd = cwd;
	build.n_cpus = cpus > 0 ? (unsigned)cpus : 1;
	build.profile = args_get(ctx->args, "env");
	build.cache = build_cache_create();
	request.only = args_get(ctx->args, "only");
	rc = config_load(&request, &result, err);
	/* An error without a report is about the file as a whole: it is not there, node hangs. */
	if (rc == 0 || result.report.n_errors > 0) {
		if (ctx->json)
			json_result(&out, path, &result);
		else
			text_result(&out, path, &result);
		rc = say_buf(&out, err) < 0       ? -1
		     : result.report.n_errors > 0 ? pm_code_exit_status(PM_CONFIG)
		                                  : 0;
	}
	config_result_finish(&result);
	build_cache_destroy(build.cache);
	return rc;
}

static const struct cmd_option check_options[] = {
	{ "env", 0, CMD_VALUE, "NAME", "with the variables of env_NAME" },
	{ "only", 0, CMD_VALUE, "NAMES", "only these apps, separated by commas" },
	{ 0 },
};

const struct cmd cmd_check = {
	.name = "check",
	.args = "FILE",
	.summary = "tell every problem of an application file; nothing is started",
	.help = "Each problem comes with line and column, and a mistyped key with the one that was "
		"probably meant. Keys that PM2 has and that do nothing here are named too. The exit "
		"status is 8 when there is an error.",
	.options = check_options,
	.min_args = 1,
	.max_args = 1,
	.flags = CMD_JSON | CMD_PMCTL_ONLY | CMD_PAGED,
	.run = check_run,
};
