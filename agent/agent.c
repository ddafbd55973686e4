#include "agent/agent.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "agent/keeper.h"
#include "agent/supervisor.h"
#include "proto/failpoint.h"
#include "proto/limits.h"
#include "proto/paths.h"

struct arguments {
	struct keeper_options keeper;
	const char *home;
	bool supervisor, self_check, version, help;
	int fd, lock_fd, origin_fd;
};

enum {
	OPT_HOME = 256,
	OPT_FOREGROUND,
	OPT_PM2,
	OPT_TAKEOVER,
	OPT_VERSION,
	OPT_HELP,
	OPT_SELF_CHECK,
	OPT_SUPERVISOR,
	OPT_FD,
	OPT_LOCK_FD,
	OPT_ORIGIN_FD,
	OPT_RESTORE,
	OPT_FALLBACK,
	OPT_FELL_BACK
};

/* The ones after --help are between our own processes. */
static const struct option options[] = {
	{ "home", required_argument, NULL, OPT_HOME },
	{ "foreground", no_argument, NULL, OPT_FOREGROUND },
	{ "pm2", no_argument, NULL, OPT_PM2 },
	{ "takeover", no_argument, NULL, OPT_TAKEOVER },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "self-check", no_argument, NULL, OPT_SELF_CHECK },
	{ "supervisor", no_argument, NULL, OPT_SUPERVISOR },
	{ "fd", required_argument, NULL, OPT_FD },
	{ "lock-fd", required_argument, NULL, OPT_LOCK_FD },
	{ "origin-fd", required_argument, NULL, OPT_ORIGIN_FD },
	{ "restore", required_argument, NULL, OPT_RESTORE },
	{ "fallback", required_argument, NULL, OPT_FALLBACK },
	{ "fell-back", no_argument, NULL, OPT_FELL_BACK },
	{ NULL, 0, NULL, 0 },
};

static bool as_pm2;

bool agent_is_pm2(void)
{
	return as_pm2;
}

static int usage(FILE *to)
{
	(void)fprintf(
		to,
		"usage: pmd agent [--home DIR] [--pm2] [--foreground] [--takeover]\n"
		"       pmd agent --self-check | --version | --help\n"
		"\n"
		"  --home DIR    the agent's directory (default $PMD_HOME, else ~/.pmd)\n"
		"  --pm2         the home has PM2's file names (default $PM2_HOME, else ~/.pm2)\n"
		"  --foreground  the agent's own log goes to stderr as well\n"
		"  --takeover    an agent that has this home hands everything over and leaves\n"
		"  --self-check  start nothing; exit 0 when this program could run as an agent\n");
	return to == stdout ? 0 : 2;
}

/* A descriptor's number that one of our processes gave to this one. */
static bool number(const char *text, int *out)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < 0 || value > 1 << 30 ||
	    fcntl((int)value, F_GETFD) < 0) {
		(void)fprintf(stderr, "pmd: %s is not an open descriptor\n", text);
		return false;
	}
	*out = (int)value;
	return true;
}

static bool take_option(struct arguments *a, int opt)
{
	switch (opt) {
	case OPT_HOME:
		a->home = optarg;
		return true;
	case OPT_FOREGROUND:
		return a->keeper.foreground = true;
	case OPT_PM2:
		return a->keeper.as_pm2 = true;
	case OPT_TAKEOVER:
		return a->keeper.takeover = true;
	case OPT_VERSION:
		return a->version = true;
	case OPT_HELP:
		return a->help = true;
	case OPT_SELF_CHECK:
		return a->self_check = true;
	case OPT_SUPERVISOR:
		return a->supervisor = true;
	case OPT_FD:
		return number(optarg, &a->fd);
	case OPT_LOCK_FD:
		return number(optarg, &a->lock_fd);
	case OPT_ORIGIN_FD:
		return number(optarg, &a->origin_fd);
	case OPT_RESTORE:
		return number(optarg, &a->keeper.restore_fd);
	case OPT_FALLBACK:
		return number(optarg, &a->keeper.fallback_fd);
	case OPT_FELL_BACK:
		return a->keeper.fell_back = true;
	default:
		return false; /* getopt has said what it does not know */
	}
}

static int run_supervisor(const struct arguments *a, const char *home)
{
	const int fds[] = { a->fd, a->lock_fd, a->origin_fd };

	for (size_t i = 0; i < PM_COUNT(fds); i++) {
		if (fds[i] < 0) {
			(void)fprintf(stderr, "pmd: --supervisor is not for people\n");
			return 2;
		}
		(void)fcntl(fds[i], F_SETFD, FD_CLOEXEC);
	}
	(void)prctl(PR_SET_NAME, "pmd");
	keeper_promote_prepare(a->origin_fd, a->keeper.foreground, as_pm2);
	return supervisor_run(home, a->keeper.foreground, a->fd, a->lock_fd);
}

static int run(struct arguments *a)
{
	static char home[PM_PATH_MAX]; /* keeper and supervisor borrow it for good */
	struct pm_error err;

	if (pm_home_resolve(a->home, as_pm2, home, sizeof(home), &err) < 0) {
		(void)fprintf(stderr, "pmd: %s\n", err.what);
		return pm_code_exit_status(err.code);
	}
	pm_failpoint_arm_from_env();
	if (a->supervisor)
		return run_supervisor(a, home);
	a->keeper.home = home;
	return keeper_run(&a->keeper);
}

int agent_main(int argc, char **argv)
{
	struct arguments a = { .keeper = { .restore_fd = -1, .fallback_fd = -1 },
		               .fd = -1,
		               .lock_fd = -1,
		               .origin_fd = -1 };
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take_option(&a, opt))
			return usage(stderr);
	if (optind < argc) {
		(void)fprintf(stderr, "pmd: unexpected argument %s\n", argv[optind]);
		return usage(stderr);
	}
	as_pm2 = a.keeper.as_pm2;
	if (a.help)
		return usage(stdout);
	if (a.version) {
		(void)puts(PM_VERSION);
		return 0;
	}
	/* That it could be executed, linked and got here is the check. */
	if (a.self_check)
		return 0;
	return run(&a);
}
