#include "cli/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"

/* The directory's entry must be on the disk too, before "saved" is said. */
static int sync_dir(const char *path)
{
	char dir[PM_PATH_MAX];
	char *slash;
	PM_CLOSE int fd = -1;

	(void)snprintf(dir, sizeof(dir), "%s", path); /* paths here fit */
	slash = strrchr(dir, '/');
	if (slash == NULL)
		(void)snprintf(dir, sizeof(dir), ".");
	else
		slash[slash == dir] = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -1 : fsync(fd);
}

int file_replace(const char *path, const char *bytes, size_t len, struct pm_error *err)
{
	char tmp[PM_PATH_MAX + 32];
	PM_CLOSE int fd = -1;

	/* Named after the process: two that save at once do not mix their bytes. */
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp-%d", path, (int)getpid());
	(void)unlink(tmp); /* of a process that died and had our number */
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return pm_fail_errno(err, errno, "make %.150s", tmp);
	if (pm_write_all(fd, bytes, len) < 0 || fsync(fd) < 0 || rename(tmp, path) < 0) {
		int saved = errno;

		(void)unlink(tmp); /* the error before is the one to tell */
		return pm_fail_errno(err, saved, "write %.150s", path);
	}
	return sync_dir(path) < 0 ? pm_fail_errno(err, errno, "sync %.150s", path) : 0;
}

int file_read(const char *path, size_t max, struct pm_buf *bytes, struct pm_error *err)
{
	PM_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* no pipe holds us up */
	char block[16384];
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return pm_fail(err, PM_NOT_FOUND, "there is no %.150s", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return pm_fail_errno(err, errno, "open %.150s", path);
	if (!S_ISREG(st.st_mode))
		return pm_fail(err, PM_CONFIG, "%.150s is not a file", path);
	for (;;) {
		ssize_t n = read(fd, block, sizeof(block));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pm_fail_errno(err, errno, "read %.150s", path);
		if (n == 0)
			return 0;
		if (bytes->len + (size_t)n > max)
			return pm_fail(err, PM_LIMIT, "%.150s is larger than %zu bytes", path, max);
		pm_buf_add(bytes, block, (size_t)n);
		if (bytes->failed)
			return pm_fail(err, PM_NO_MEMORY, "read %.150s", path);
	}
}
