#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/keeper_int.h"
#include "proto/paths.h"

#define TAKEOVER_TRY_MS 10000

/*
 * An open file description's lock: it lives as long as any copy of the descriptor, so the
 * supervisor, which inherits it, keeps the home locked when we are dead (and may become the
 * keeper). Returns 1: ours, 0: somebody else's, or a negative errno.
 */
static int try_lock(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &l) == 0)
		return 1;
	return errno == EAGAIN || errno == EACCES ? 0 : -errno;
}

/* The holder's pid, for people: F_OFD_GETLK does not know it, so the file's text has it. */
static long holder(int fd)
{
	char text[24] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		return 0;
	return strtol(text, NULL, 10);
}

static void write_text(int fd, const char *text)
{
	size_t len = strlen(text);

	/* Nothing depends on it. */
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, len, 0) != (ssize_t)len)
		return;
}

void keeper_home_write_pid(struct keeper *k)
{
	char text[24], temp[40];
	const char *name = pm_home_pid_name(k->opt.as_pm2);
	PM_CLOSE int fd = -1;

	(void)snprintf(text, sizeof(text), "%d\n", (int)getpid());
	write_text(k->lock_fd, text);
	(void)snprintf(temp, sizeof(temp), "%s.new", name);
	fd = openat(k->home_fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	write_text(fd, text);
	if (renameat(k->home_fd, temp, k->home_fd, name) < 0)
		(void)unlinkat(k->home_fd, temp, 0);
}

void keeper_home_remove_pid(struct keeper *k)
{
	(void)unlinkat(k->home_fd, pm_home_pid_name(k->opt.as_pm2), 0);
}

/* Whom systemd has started becomes the keeper, so that systemd supervises the right process. */
static bool takes_over(const struct keeper *k)
{
	const char *exec_pid = getenv("SYSTEMD_EXEC_PID");

	if (k->opt.takeover)
		return true;
	/* INVOCATION_ID and NOTIFY_SOCKET are inherited by everything below a service, a shell of
	 * the user's in it too; this one names the process it was meant for. */
	return exec_pid != NULL && getenv("NOTIFY_SOCKET") != NULL &&
	       strtol(exec_pid, NULL, 10) == (long)getpid();
}

static int refused(const struct pm_error *err)
{
	(void)fprintf(stderr, "pmd: %s\n", err->what);
	if (err->hint[0] != '\0')
		(void)fprintf(stderr, "pmd: %s\n", err->hint);
	return pm_code_exit_status(err->code);
}

static int locked(struct keeper *k)
{
	long pid = holder(k->lock_fd);

	if (pid > 0)
		(void)fprintf(stderr, "pmd: %s: an agent has this home already, pid %ld\n",
		              k->opt.home, pid);
	else
		(void)fprintf(stderr, "pmd: %s: an agent has this home already\n", k->opt.home);
	return pm_code_exit_status(PM_LOCKED);
}

/* It may be between two keepers just now (the old one dead, its supervisor about to promote
 * itself), so try for a while. */
static int take_over(struct keeper *k)
{
	uint64_t deadline = pm_now_ms() + TAKEOVER_TRY_MS;
	const struct timespec pause = { 0, 50 * 1000000 };
	struct pm_error err;

	for (;;) {
		int got = try_lock(k->lock_fd);

		if (got > 0)
			return 0;
		if (takeover_ask(k, &err) == 0)
			return 0;
		if (pm_now_ms() >= deadline) {
			(void)fprintf(stderr, "pmd: take over %s: %s\n", k->opt.home, err.what);
			return locked(k);
		}
		(void)nanosleep(&pause, NULL);
	}
}

int keeper_home_take(struct keeper *k)
{
	struct pm_error err;
	int got;

	if (pm_home_open(k->opt.home, &k->home_fd, &err) < 0)
		return refused(&err);
	k->lock_fd =
		openat(k->home_fd, PM_HOME_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (k->lock_fd < 0) {
		pm_fail_errno(&err, errno, "open %s/" PM_HOME_LOCK, k->opt.home);
		return refused(&err);
	}
	got = try_lock(k->lock_fd);
	if (got > 0)
		return 0;
	if (got < 0) {
		pm_fail_errno(&err, -got, "lock %s/" PM_HOME_LOCK, k->opt.home);
		return refused(&err);
	}
	return takes_over(k) ? take_over(k) : locked(k);
}
