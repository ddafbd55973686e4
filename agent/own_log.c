#include "agent/own_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"
#include "proto/log.h"
#include "proto/paths.h"

static char log_path[PM_PATH_MAX];
static int log_fd = -1;
static const char *log_who;

static int open_log(void)
{
	return open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY,
	            0600);
}

int own_log_open(const char *home, bool as_pm2, const char *who, bool tee, struct pm_error *err)
{
	if (pm_home_file(home, pm_home_log_name(as_pm2), log_path, sizeof(log_path), err) < 0)
		return -1;
	log_fd = open_log();
	if (log_fd < 0)
		return pm_fail_errno(err, errno, "open %s", log_path);
	log_who = who;
	pm_log_to(log_fd, who);
	pm_log_tee(tee ? STDERR_FILENO : -1);
	return 0;
}

static void replace(int fd)
{
	/* Under the same number: pm_log() and our callers have it. */
	if (fd < 0)
		return; /* goes on into the old file */
	(void)dup3(fd, log_fd, O_CLOEXEC);
	(void)close(fd);
}

void own_log_check(void)
{
	struct stat mine, named;
	char old[PM_PATH_MAX + 4];

	if (log_fd < 0 || fstat(log_fd, &mine) < 0)
		return;
	if (stat(log_path, &named) < 0 || named.st_ino != mine.st_ino ||
	    named.st_dev != mine.st_dev) {
		replace(open_log());
		return;
	}
	if (mine.st_size < (off_t)PM_OWN_LOG_MAX)
		return;
	(void)snprintf(old, sizeof(old), "%s.1", log_path);
	if (rename(log_path, old) == 0)
		replace(open_log());
}

int own_log_fd(void)
{
	return log_fd;
}
