#include "cli/startup.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/startup_plan.h"
#include "cli/startup_unit.h"
#include "proto/paths.h"

/* For a shell: within single quotes where it has to be. */
static void print_word(FILE *out, const char *word)
{
	if (word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                      "0123456789_-./:+,@%")] == '\0') {
		(void)fputs(word, out);
		return;
	}
	(void)fputc('\'', out);
	for (const char *p = word; *p != '\0'; p++)
		if (*p == '\'')
			(void)fputs("'\\''", out);
		else
			(void)fputc(*p, out);
	(void)fputc('\'', out);
}

static int need_root(const struct startup_plan *p, const char *verb, FILE *out,
                     struct pm_error *err)
{
	if (p->as_pm2)
		(void)fprintf(out,
		              "[PM2] Init System found: systemd\n"
		              "[PM2] To %s the Startup Script, copy/paste the following "
		              "command:\n",
		              strcmp(verb, "startup") == 0 ? "setup" : "unsetup");
	else
		(void)fprintf(out, "This changes the machine's systemd: run this as root\n");
	(void)fputs("sudo env PATH=$PATH ", out);
	if (p->home_given) {
		(void)fputs(p->as_pm2 ? "PM2_HOME=" : "PMD_HOME=", out);
		print_word(out, p->home);
		(void)fputc(' ', out);
	}
	print_word(out, p->as_pm2 ? "pm2" : p->pmctl);
	(void)fprintf(out, " %s systemd -u ", verb);
	print_word(out, p->user);
	if (!p->home_given) {
		(void)fputs(" --hp ", out);
		print_word(out, p->user_home);
	}
	(void)fputc('\n', out);
	(void)fflush(out);
	(void)pm_fail(err, PM_DENIED, "%s: not root", verb);
	pm_hint(err, "run the line above, or '%s --user' for a unit of your own", verb);
	return -1;
}

/* Run a program and wait. It has time limits of its own, and is interrupted with us. */
static int run(const char *const *argv, FILE *out, struct pm_error *err)
{
	char *args[8] = { NULL };
	int status, rc;
	size_t n = 0;
	pid_t pid;

	(void)fputc('$', out);
	for (; argv[n] != NULL && n + 1 < PM_COUNT(args); n++) {
		(void)fprintf(out, " %s", argv[n]);
		memcpy(&args[n], &argv[n],
		       sizeof(args[n])); /* posix_spawn does not write to them */
	}
	(void)fputc('\n', out);
	(void)fflush(out);
	rc = posix_spawnp(&pid, args[0], NULL, NULL, args, environ);
	if (rc != 0)
		return pm_fail_errno(err, rc, "run %s", argv[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return pm_fail_errno(err, errno, "wait for %s", argv[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return pm_fail(err, PM_FAILED, "%s %s: status %d", argv[0], argv[1],
		               WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 0;
}

static int systemctl(const struct startup_plan *p, const char *verb, const char *unit, FILE *out,
                     struct pm_error *err)
{
	const char *const system[] = { "systemctl", verb, unit, NULL };
	const char *const user[] = { "systemctl", "--user", verb, unit, NULL };

	return run(p->user_unit ? user : system, out, err);
}

/* Make the directories on the way, which a new account does not have. */
static int make_dirs(const char *path, struct pm_error *err)
{
	char part[PM_PATH_MAX];

	(void)snprintf(part, sizeof(part), "%s", path); /* came from a buffer of this size */
	for (char *slash = part + 1;; *slash++ = '/') {
		slash = strchr(slash, '/');
		if (slash != NULL)
			*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return pm_fail_errno(err, errno, "make %.150s", part);
		if (slash == NULL)
			return 0;
	}
}

/* A crash must leave the old unit or the new one, whole: it is read at the next boot. */
static int write_unit(const struct startup_plan *p, const char *unit, const struct pm_buf *text,
                      struct pm_error *err)
{
	PM_CLOSE int dir = -1, fd = -1;
	char tmp[sizeof(p->service) + 24];

	if (make_dirs(p->unit_dir, err) < 0)
		return -1;
	dir = open(p->unit_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return pm_fail_errno(err, errno, "open %.150s", p->unit_dir);
	(void)snprintf(tmp, sizeof(tmp), ".%s.tmp", unit);
	if (unlinkat(dir, tmp, 0) < 0 && errno != ENOENT)
		return pm_fail_errno(err, errno, "remove %.100s", tmp);
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return pm_fail_errno(err, errno, "make %.100s in %.100s", tmp, p->unit_dir);
	/* fchmod, because systemd wants to read it whatever the caller's umask is. */
	if (fchmod(fd, 0644) < 0 || pm_write_all(fd, text->bytes, text->len) < 0 || fsync(fd) < 0 ||
	    renameat(dir, tmp, dir, unit) < 0 || fsync(dir) < 0) {
		int saved = errno;

		(void)unlinkat(dir, tmp, 0); /* the error before is the one to tell */
		return pm_fail_errno(err, saved, "write %.100s in %.100s", unit, p->unit_dir);
	}
	return 0;
}

/* A unit of root that runs a program which somebody else can replace is a way to become root. */
static void warn_of_owner(const struct startup_plan *p)
{
	struct stat st;

	if (p->user_unit || p->uid != 0 || stat(p->pmd, &st) < 0)
		return;
	if (st.st_uid != 0 || (st.st_mode & 022) != 0)
		(void)fprintf(stderr,
		              "warning: root will run %s at boot, and others than root can "
		              "change that file\n",
		              p->pmd);
}

static void linger(const struct startup_plan *p, FILE *out)
{
	const char *const argv[] = { "loginctl", "enable-linger", p->user, NULL };
	struct pm_error err;

	if (run(argv, out, &err) == 0)
		return;
	(void)fprintf(
		stderr,
		"warning: %s; until root runs 'loginctl enable-linger %s', the unit starts at "
		"your first login and not at boot\n",
		err.what, p->user);
}

/* ---- the verbs ---- */

static int install_unit(const struct startup_plan *p, const char *unit, FILE *out,
                        struct pm_error *err)
{
	const struct startup_unit u = {
		.user = p->user,
		.home = p->home,
		.path = getenv("PATH"),
		.pmd = p->pmd,
		.pmctl = p->pmctl,
		.user_unit = p->user_unit,
		.as_pm2 = p->as_pm2,
	};
	PM_BUF text = { 0 };

	if (startup_unit_text(&u, &text, err) < 0)
		return -1;
	if (p->as_pm2)
		(void)fprintf(out,
		              "[PM2] Init System found: systemd\nPlatform systemd\n"
		              "Template\n%s\nTarget path\n%s/%s\n"
		              "[PM2] Writing init configuration in %s/%s\n"
		              "[PM2] Making script booting at startup...\n",
		              text.bytes, p->unit_dir, unit, p->unit_dir, unit);
	else
		(void)fprintf(out, "Writing %s/%s:\n\n%s\n", p->unit_dir, unit, text.bytes);
	(void)fflush(out);
	return write_unit(p, unit, &text, err);
}

int startup_install(const struct startup_options *o, FILE *out, struct pm_error *err)
{
	char unit[sizeof(((struct startup_plan *)0)->service) + 16];
	struct startup_plan p;
	bool running;

	if (startup_plan_make(&p, o, err) < 0)
		return pm_wrap(err, "startup");
	if (!p.user_unit && geteuid() != 0)
		return need_root(&p, "startup", out, err);
	(void)snprintf(unit, sizeof(unit), "%s.service", p.service);
	running = startup_agent_runs(&p);
	warn_of_owner(&p);
	if (install_unit(&p, unit, out, err) < 0 ||
	    systemctl(&p, "daemon-reload", NULL, out, err) < 0 ||
	    systemctl(&p, "enable", unit, out, err) < 0)
		return pm_wrap(err, "startup");
	if (p.user_unit)
		linger(&p, out);
	if (p.as_pm2) { /* PM2 starts nothing here */
		(void)fprintf(out, "[PM2] [v] Command successfully executed.\n"
		                   "+---------------------------------------+\n"
		                   "[PM2] Freeze a process list on reboot via:\n$ pm2 save\n\n"
		                   "[PM2] Remove init script via:\n$ pm2 unstartup systemd\n");
		return 0;
	}
	if (systemctl(&p, "start", unit, out, err) < 0)
		return pm_wrap(err, "startup");
	if (running)
		(void)fprintf(out,
		              "%s is running and starts at boot. It has taken over the agent that "
		              "ran before; the apps went on.\n",
		              unit);
	else
		(void)fprintf(out, "%s is running and starts at boot.\n", unit);
	return 0;
}

int startup_remove(const struct startup_options *o, FILE *out, struct pm_error *err)
{
	char unit[sizeof(((struct startup_plan *)0)->service) + 16], path[PM_PATH_MAX];
	struct startup_plan p;

	if (startup_plan_make(&p, o, err) < 0)
		return pm_wrap(err, "unstartup");
	if (!p.user_unit && geteuid() != 0)
		return need_root(&p, "unstartup", out, err);
	(void)snprintf(unit, sizeof(unit), "%s.service", p.service);
	if (pm_home_file(p.unit_dir, unit, path, sizeof(path), err) < 0)
		return -1;
	if (p.as_pm2)
		(void)fputs("[PM2] Init System found: systemd\n", out);
	if (access(path, F_OK) < 0)
		return pm_fail(err, PM_NOT_FOUND, "unstartup: there is no %.200s", path);
	if ((p.as_pm2 && systemctl(&p, "stop", unit, out, err) < 0) || /* as PM2 does */
	    systemctl(&p, "disable", unit, out, err) < 0)
		return pm_wrap(err, "unstartup");
	(void)fprintf(out, "$ rm %s\n", path);
	if (unlink(path) < 0)
		return pm_fail_errno(err, errno, "unstartup: remove %.200s", path);
	if (systemctl(&p, "daemon-reload", NULL, out, err) < 0)
		return pm_wrap(err, "unstartup");
	if (p.as_pm2)
		(void)fputs("[PM2] Init file disabled.\n", out);
	else
		(void)fprintf(out, "%s is gone; an agent that runs now goes on.\n", unit);
	return 0;
}
