#include "agent/env_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"
#include "proto/log.h"

/* Up to size bytes; a file may shrink or grow meanwhile. Returns -1 with errno. */
static ssize_t read_whole(int fd, char *bytes, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, bytes + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

/* Its descriptor, or -1: a fifo or a device would make us wait for ever. */
static int open_file(const char *path, struct stat *st, struct pm_error *err)
{
	PM_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fstat(fd, st) < 0)
		return pm_fail(err, PM_CONFIG, "env_file %.180s: %s", path, strerror(errno));
	if (!S_ISREG(st->st_mode))
		return pm_fail(err, PM_CONFIG, "env_file %.180s: not a regular file", path);
	if (st->st_size > (off_t)PM_ENVFILE_MAX)
		return pm_fail(err, PM_CONFIG, "env_file %.180s: larger than %u bytes", path,
		               PM_ENVFILE_MAX);
	return PM_STEAL_FD(fd);
}

int env_file_read(const char *path, envfile_fn *fn, void *arg, struct pm_error *err)
{
	PM_CLOSE int fd = -1;
	struct stat st;
	size_t size;
	char *bytes;
	ssize_t n;
	int rc;

	fd = open_file(path, &st, err);
	if (fd < 0)
		return -1;
	if ((st.st_mode & (S_IROTH | S_IWOTH)) != 0)
		pm_log(PM_LOG_WARN, "env_file.open",
		       "%s can be read or written by others; chmod o= it", path);
	size = (size_t)st.st_size + 1;
	bytes = pm_calloc(size, 1);
	if (bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "env_file %.180s", path);
	n = read_whole(fd, bytes, size - 1);
	if (n < 0)
		rc = pm_fail(err, PM_CONFIG, "env_file %.180s: %s", path, strerror(errno));
	else if (envfile_parse(bytes, (size_t)n, fn, arg, err) < 0)
		rc = pm_wrap(err, "env_file %.180s", path);
	else
		rc = 0;
	explicit_bzero(bytes, size);
	free(bytes);
	return rc;
}
