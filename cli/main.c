#include "cli/main.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/color.h"
#include "cli/ctx.h"
#include "cli/fleet.h"
#include "cli/help.h"
#include "cli/lists.h"
#include "cli/pager.h"
#include "cli/rollout_start.h"
#include "proto/failpoint.h"
#include "proto/paths.h"
#include "proto/units.h"

static bool called_pm2(const char *argv0)
{
	const char *slash = argv0 == NULL ? NULL : strrchr(argv0, '/');
	const char *name = slash == NULL ? argv0 : slash + 1;

	return name != NULL && strcmp(name, "pm2") == 0;
}

static unsigned terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	int64_t n;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	if (columns != NULL && pm_parse_int(columns, &n) && n > 0 && n < 10000)
		return (unsigned)n;
	return 80;
}

/* The process itself stays in the C locale: functions that match text are several times faster. */
static bool locale_is_utf8(void)
{
	locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	bool utf8;

	if (locale == (locale_t)0)
		return false; /* one that is not installed: plain ASCII */
	utf8 = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
	freelocale(locale);
	return utf8;
}

static int settle_color(struct ctx *ctx, struct pm_error *err)
{
	const char *no_color = getenv("NO_COLOR"), *force = getenv("CLICOLOR_FORCE");
	const char *term = getenv("TERM"), *asked = args_get(ctx->args, "color");
	enum color_when when = COLOR_AUTO;

	if (args_has(ctx->args, "color") && !color_parse_when(asked, &when))
		return pm_fail(err, PM_USAGE, "--color: expected auto, always or never, found '%s'",
		               asked);
	if (args_has(ctx->args, "no-color"))
		when = COLOR_NEVER;
	/* PM2 colours whatever its output is. */
	if (ctx->as_pm2 && when == COLOR_AUTO && (no_color == NULL || no_color[0] == '\0'))
		when = COLOR_ALWAYS;
	ctx->color_out = color_wanted(when, ctx->tty_out, no_color, force, term);
	ctx->color_err = color_wanted(when, isatty(STDERR_FILENO) == 1, no_color, force, term);
	return 0;
}

/* What several hosts say has one form in JSON, under either name. */
static bool is_fleet_jlist(const struct ctx *ctx)
{
	const struct cmd *cmd = args_cmd(ctx->args);

	return cmd != NULL && strcmp(cmd->name, "jlist") == 0 && fleet_is_meant(ctx->args);
}

static int settle(struct ctx *ctx, struct pm_error *err)
{
	const char *silent = getenv("PM2_SILENT"), *timeout = args_get(ctx->args, "timeout");
	uint64_t ms;

	ctx->silent = args_has(ctx->args, "silent") ||
	              (ctx->as_pm2 && silent != NULL && strcmp(silent, "true") == 0);
	ctx->jsonl = args_has(ctx->args, "jsonl");
	ctx->json = args_has(ctx->args, "json") || ctx->jsonl || is_fleet_jlist(ctx);
	if (lists_settle(ctx, err) < 0)
		return -1;
	if (ctx->json && args_cmd(ctx->args) != NULL &&
	    (args_cmd(ctx->args)->flags & CMD_JSON) == 0) {
		pm_fail(err, PM_USAGE, "%s --json: this command has nothing to say in JSON",
		        args_cmd(ctx->args)->name);
		return -1;
	}
	if (timeout != NULL) {
		if (!pm_parse_duration(timeout, 1000, &ms) || ms == 0 || ms > UINT32_MAX)
			return pm_fail(err, PM_USAGE,
			               "--timeout: expected a duration such as 30s, found '%s'",
			               timeout);
		ctx->timeout_ms = (uint32_t)ms;
	}
	ctx->tty_out = isatty(STDOUT_FILENO) == 1;
	ctx->width = ctx->tty_out ? terminal_width() : 0;
	ctx->utf8 = !ctx->tty_out || locale_is_utf8();
	if (settle_color(ctx, err) < 0)
		return -1;
	return pm_home_resolve(args_get(ctx->args, "home"), ctx->as_pm2, ctx->home,
	                       sizeof(ctx->home), err);
}

/* Hosts on the command line: the coordinator is asked, and not the agent here. */
static int settle_fleet(struct ctx *ctx, const struct cmd *cmd, struct pm_error *err)
{
	static const char *const rest[] = { "yes", "jsonl", "verbose", "diff", "include-drained" };

	if (ctx->as_pm2 || (cmd->flags & CMD_FLEET) == 0)
		return 0;
	if (fleet_is_meant(ctx->args))
		return fleet_begin(ctx, err);
	if ((cmd->flags & CMD_ROLLOUT) != 0 && rollout_check_local(ctx, err) < 0)
		return -1;
	for (size_t i = 0; i < PM_COUNT(rest); i++)
		if (args_has(ctx->args, rest[i]) && !args_is_own(ctx->args, rest[i]))
			return pm_fail(err, PM_USAGE,
			               "--%s goes with --all, --hosts, --label, "
			               "--group or --where",
			               rest[i]);
	return 0;
}

static int run_verb(struct ctx *ctx, struct pm_error *err)
{
	const struct cmd *cmd = args_cmd(ctx->args);

	if (args_has(ctx->args, "version")) {
		(void)puts(PM_VERSION);
		return 0;
	}
	if (args_has(ctx->args, "help")) {
		if (cmd != NULL)
			help_cmd(ctx, cmd, stdout);
		else
			help_all(ctx, stdout);
		return 0;
	}
	if (args_has(ctx->args, "apply"))
		return rollout_apply(ctx, err);
	if (cmd == NULL) {
		help_usage(ctx, ctx->as_pm2 ? stdout : stderr);
		return ctx->as_pm2 ? 1 : 2;
	}
	if (args_has(ctx->args, "plan") && (ctx->as_pm2 || (cmd->flags & CMD_PLANS) == 0))
		return pm_fail(err, PM_USAGE, "%s: there is no plan of it, it is done or not",
		               cmd->name);
	if (settle_fleet(ctx, cmd, err) < 0)
		return -1;
	return cmd->run(ctx, err);
}

static int status_of(const struct ctx *ctx, const struct pm_error *err)
{
	/* The coordinator is there and the host is not: as of any number of them. */
	if (ctx->fleet != NULL && ctx->fleet->single && err->code == PM_UNREACHABLE &&
	    fleet_client_is_up(ctx->fleet->client))
		return 11;
	return ctx->as_pm2 ? 1 : pm_code_exit_status(err->code);
}

/* Errors of the command line itself; PM2 prints these in commander's form. */
static int refuse(struct ctx *ctx, int argc, char **argv, const struct pm_error *err)
{
	ctx->color_out = ctx->color_err = false;
	if (!ctx->as_pm2) {
		say_error(ctx, err);
	} else if (strstr(err->what, "no such command") != NULL) {
		ctx->color_err = true;
		(void)printf("\033[31m[PM2][ERROR] \033[39mCommand not found\n\n");
		help_usage(ctx, stdout);
		if (err->hint[0] != '\0')
			(void)fprintf(stderr, "%s; with pmctl: %s\n", err->what, err->hint);
	} else {
		(void)fprintf(stderr, "\n  error: %s\n\n", err->what);
		if (err->hint[0] != '\0')
			(void)fprintf(stderr, "  with pmctl: %s\n\n", err->hint);
	}
	(void)argc;
	(void)argv;
	return status_of(ctx, err);
}

/* Whether who read our output has gone: its end of a pipe is closed, or a terminal hung up. */
static bool reader_is_gone(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

	return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

/*
 * Written output that did not get out: a closed pipe is the reader's choice, the rest an error. Of
 * a write before the last one nobody knows any more why it failed.
 */
static int finish_output(const struct ctx *ctx, int status)
{
	struct pm_error err;

	errno = 0;
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return status;
	if (errno == EPIPE || reader_is_gone())
		return status;
	if (errno != 0) {
		(void)pm_fail_errno(&err, errno, "write to stdout");
	} else {
		(void)pm_fail(&err, PM_INTERNAL, "write to stdout: a part of it did not get out");
		pm_hint(&err, "is the disk full?");
	}
	say_error(ctx, &err);
	return status == 0 ? 1 : status;
}

int pmctl_main(int argc, char **argv)
{
	PM_CLEANUP(args_destroyp) struct args *args = NULL;
	struct ctx ctx = { .as_pm2 = called_pm2(argv[0]) };
	struct pm_error err = { 0 }, unwritten;
	int status;

	(void)signal(SIGPIPE, SIG_IGN); /* cannot fail for SIGPIPE */
	pm_failpoint_arm_from_env();
	ctx.program = ctx.as_pm2 ? "pm2" : "pmctl";
	if (args_parse(argc, argv, ctx.as_pm2, &args, &err) < 0)
		return refuse(&ctx, argc, argv, &err);
	ctx.args = args;
	if (settle(&ctx, &err) < 0)
		return refuse(&ctx, argc, argv, &err);
	pager_begin(&ctx);
	status = run_verb(&ctx, &err);
	if (pager_end(&unwritten) < 0 && status >= 0) {
		err = unwritten;
		status = -1;
	}
	if (status < 0) {
		/* "This machine" and "here" are another one's words. */
		if (ctx.fleet != NULL && ctx.fleet->single && ctx.fleet->n_nodes == 1)
			(void)pm_wrap(&err, "%.100s", ctx.fleet->nodes[0]->name);
		say_error(&ctx, &err);
		status = status_of(&ctx, &err);
	}
	client_destroy(ctx.client); /* before the session that it may go through */
	fleet_close(ctx.fleet);
	return finish_output(&ctx, status);
}
