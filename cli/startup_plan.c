#include "cli/startup_plan.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/startup_unit.h"
#include "proto/paths.h"

/* ---- which init system ---- */

static const struct {
	const char *name;
	const char *init; /* in words; NULL: systemd */
} platforms[] = {
	{ "systemd", NULL },
	{ "ubuntu", NULL },
	{ "centos", NULL },
	{ "arch", NULL },
	{ "oracle", NULL },
	{ "upstart", "upstart" },
	{ "ubuntu14", "upstart" },
	{ "ubuntu12", "upstart" },
	{ "systemv", "System V init" },
	{ "amazon", "System V init" },
	{ "centos6", "System V init" },
	{ "openrc", "OpenRC" },
	{ "launchd", "launchd" },
	{ "macos", "launchd" },
	{ "darwin", "launchd" },
	{ "rcd", "rc.d" },
	{ "freebsd", "rc.d" },
	{ "rcd-openbsd", "rc.d" },
	{ "openbsd", "rc.d" },
	{ "smf", "SMF" },
	{ "sunos", "SMF" },
	{ "solaris", "SMF" },
};

static int other_init(const char *init, struct pm_error *err)
{
	(void)pm_fail(err, PM_UNSUPPORTED, "%s is not supported, only systemd is", init);
	pm_hint(err, "let it run 'pmd agent --foreground' as the user at boot");
	return -1;
}

static int check_platform(const char *platform, struct pm_error *err)
{
	struct stat st;

	for (size_t i = 0; platform != NULL && i <= PM_COUNT(platforms); i++) {
		if (i == PM_COUNT(platforms))
			return pm_fail(err, PM_USAGE, "no such init system: %.40s", platform);
		if (strcmp(platform, platforms[i].name) != 0)
			continue;
		if (platforms[i].init != NULL)
			return other_init(platforms[i].init, err);
		break;
	}
	/* sd_booted(3): this directory exists exactly when systemd is process 1. */
	if (lstat("/run/systemd/system", &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	if (access("/sbin/openrc-run", F_OK) == 0)
		return other_init("OpenRC", err);
	(void)pm_fail(err, PM_UNSUPPORTED, "systemd does not run here");
	pm_hint(err, "let your init system run 'pmd agent --foreground' at boot");
	return -1;
}

/* ---- the plan ---- */

static int copy(char *to, size_t size, const char *from, const char *what, struct pm_error *err)
{
	if ((size_t)snprintf(to, size, "%s", from) >= size)
		return pm_fail(err, PM_CONFIG, "%s is too long", what);
	return 0;
}

static int plan_user(struct startup_plan *p, const struct startup_options *o, struct pm_error *err)
{
	const struct passwd *pw;
	const char *home_dir = o->hp;

	errno = 0;
	pw = o->user != NULL ? getpwnam(o->user) : getpwuid(geteuid());
	if (pw == NULL && o->user != NULL)
		return pm_fail(err, PM_NOT_FOUND, "no such user: %.60s", o->user);
	if (pw == NULL)
		return pm_fail(err, PM_NOT_FOUND, "user %u has no name", geteuid());
	if (home_dir == NULL && o->user == NULL)
		home_dir = getenv("HOME");
	if (home_dir == NULL || home_dir[0] == '\0')
		home_dir = pw->pw_dir;
	if (home_dir[0] != '/')
		return pm_fail(err, PM_CONFIG, "not an absolute path: %.100s", home_dir);
	p->uid = pw->pw_uid;
	if (copy(p->user, sizeof(p->user), pw->pw_name, "the user's name", err) < 0 ||
	    copy(p->user_home, sizeof(p->user_home), home_dir, "the home directory", err) < 0)
		return -1;
	return 0;
}

static int plan_home(struct startup_plan *p, const struct startup_options *o, struct pm_error *err)
{
	char usual[PM_PATH_MAX];
	struct stat st;

	if (pm_home_file(p->user_home, o->as_pm2 ? ".pm2" : ".pmd", usual, sizeof(usual), err) < 0)
		return -1;
	/* --hp names the home as PM2 does; it is more particular than an inherited PMD_HOME. */
	p->home_given = o->hp == NULL && o->home != NULL && strcmp(o->home, usual) != 0;
	if (copy(p->home, sizeof(p->home), p->home_given ? o->home : usual, "the home", err) < 0)
		return -1;
	if (stat(p->home, &st) == 0 && st.st_uid != p->uid) {
		(void)pm_fail(err, PM_CONFIG, "%.150s does not belong to %s", p->home, p->user);
		pm_hint(err, "name its owner with -u, or another home with --hp");
		return -1;
	}
	return 0;
}

/* pmd and pmctl lie in one directory: that of the program that runs now. */
static int plan_programs(struct startup_plan *p, struct pm_error *err)
{
	char exe[PM_PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;

	if (len < 0)
		return pm_fail_errno(err, errno, "find this program");
	exe[len] = '\0';
	if (copy(p->pmctl, sizeof(p->pmctl), exe, "this program's path", err) < 0)
		return -1;
	slash = strrchr(exe, '/');
	if (slash == NULL)
		return pm_fail(err, PM_INTERNAL, "this program has no directory: %.100s", exe);
	*slash = '\0';
	if (pm_home_file(exe, "pmd", p->pmd, sizeof(p->pmd), err) < 0)
		return -1;
	if (access(p->pmd, X_OK) < 0)
		return pm_fail_errno(err, errno, "%.150s", p->pmd);
	return 0;
}

static int plan_unit(struct startup_plan *p, const struct startup_options *o, struct pm_error *err)
{
	const char *prefix = o->as_pm2 ? "pm2" : "pmd";
	const char *config = getenv("XDG_CONFIG_HOME");

	if (o->service != NULL) {
		if (copy(p->service, sizeof(p->service), o->service, "the service name", err) < 0)
			return -1;
	} else if (p->user_unit) {
		(void)snprintf(p->service, sizeof(p->service), "%s", prefix);
	} else {
		(void)snprintf(p->service, sizeof(p->service), "%s-%s", prefix, p->user);
	}
	if (!startup_name_ok(p->service)) {
		(void)pm_fail(err, PM_CONFIG, "no name for a unit: %.100s", p->service);
		pm_hint(err, "give one of letters, digits and ':-_.' with --service-name");
		return -1;
	}
	if (!p->user_unit)
		return copy(p->unit_dir, sizeof(p->unit_dir), "/etc/systemd/system", "", err);
	if (config != NULL && config[0] == '/')
		return pm_home_file(config, "systemd/user", p->unit_dir, sizeof(p->unit_dir), err);
	return pm_home_file(p->user_home, ".config/systemd/user", p->unit_dir, sizeof(p->unit_dir),
	                    err);
}

int startup_plan_make(struct startup_plan *p, const struct startup_options *o, struct pm_error *err)
{
	*p = (struct startup_plan){ .user_unit = o->user_unit, .as_pm2 = o->as_pm2 };
	if (check_platform(o->platform, err) < 0 || plan_user(p, o, err) < 0 ||
	    plan_home(p, o, err) < 0 || plan_programs(p, err) < 0 || plan_unit(p, o, err) < 0)
		return -1;
	if (p->user_unit && p->uid != geteuid())
		return pm_fail(err, PM_USAGE, "--user is for the caller; run it as %s", p->user);
	return 0;
}

bool startup_agent_runs(const struct startup_plan *p)
{
	PM_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	PM_CLOSE int via = -1;
	struct sockaddr_un addr;
	struct pm_error err;
	socklen_t len;

	return fd >= 0 && pm_home_address(p->home, PM_HOME_SOCKET, &addr, &len, &via, &err) == 0 &&
	       connect(fd, (const struct sockaddr *)&addr, len) == 0;
}
