#include "cli/dump_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/config_parse.h"
#include "proto/paths.h"

static int one_path(const char *home, const char *variable, const char *name, char *out,
                    struct pm_error *err)
{
	const char *given = getenv(variable);

	if (given == NULL || given[0] == '\0')
		return pm_home_file(home, name, out, PM_PATH_MAX, err);
	if (strlen(given) >= PM_PATH_MAX)
		return pm_fail(err, PM_LIMIT, "%s is too long", variable);
	(void)snprintf(out, PM_PATH_MAX, "%s", given);
	return 0;
}

int dump_paths(const char *home, struct dump_paths *out, struct pm_error *err)
{
	if (one_path(home, "PM2_DUMP_FILE_PATH", PM_HOME_PM2_DUMP, out->dump, err) < 0)
		return -1;
	return one_path(home, "PM2_DUMP_BACKUP_FILE_PATH", PM_HOME_PM2_DUMP_BAK, out->bak, err);
}

/* ---- writing ---- */

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

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

static int replace(const char *path, const char *bytes, size_t len, struct pm_error *err)
{
	char tmp[PM_PATH_MAX + 32];
	PM_CLOSE int fd = -1;

	/* Named after the process: two that save at once do not mix their bytes. */
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp-%d", path, (int)getpid());
	(void)unlink(tmp); /* of a process that died and had our number */
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return pm_fail_errno(err, errno, "make %.150s", tmp);
	if (write_all(fd, bytes, len) < 0 || fsync(fd) < 0 || rename(tmp, path) < 0) {
		int saved = errno;

		(void)unlink(tmp); /* the error before is the one to tell */
		return pm_fail_errno(err, saved, "write %.150s", path);
	}
	return sync_dir(path) < 0 ? pm_fail_errno(err, errno, "sync %.150s", path) : 0;
}

/* ---- reading ---- */

static int read_all(const char *path, struct pm_buf *bytes, struct pm_error *err)
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
		if (bytes->len + (size_t)n > DUMP_BYTES_MAX)
			return pm_fail(err, PM_LIMIT, "%.150s is larger than %u bytes", path,
			               DUMP_BYTES_MAX);
		pm_buf_add(bytes, block, (size_t)n);
		if (bytes->failed)
			return pm_fail(err, PM_NO_MEMORY, "read %.150s", path);
	}
}

int dump_save(const struct dump_paths *paths, const struct pm_buf *text, struct pm_error *err)
{
	PM_BUF before = { .max = DUMP_BYTES_MAX };

	if (text->failed)
		return pm_fail(err, PM_NO_MEMORY, "save");
	if (text->len > DUMP_BYTES_MAX)
		return pm_fail(err, PM_LIMIT, "the list takes more than %u bytes", DUMP_BYTES_MAX);
	if (read_all(paths->dump, &before, err) == 0) {
		if (replace(paths->bak, before.len == 0 ? "" : before.bytes, before.len, err) < 0)
			return -1;
	} else if (err->code != PM_NOT_FOUND) {
		return -1;
	}
	return replace(paths->dump, text->bytes, text->len, err);
}

int dump_read(const char *path, struct doc *doc, const struct doc_node **root, struct pm_error *err)
{
	PM_BUF bytes = { .max = DUMP_BYTES_MAX };
	struct config_place place = { 0 };

	if (read_all(path, &bytes, err) < 0)
		return -1;
	if (bytes.len == 0)
		return pm_fail(err, PM_CONFIG, "the file is empty");
	if (config_parse_json(bytes.bytes, bytes.len, doc, root, &place, err) == 0)
		return 0;
	return pm_wrap(err, "%u:%u", place.line, place.column);
}

void dump_put_aside(const char *path, char *aside, size_t size)
{
	time_t now = time(NULL);
	char date[32] = "";
	struct tm tm;
	int n;

	if (gmtime_r(&now, &tm) != NULL)
		(void)strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm);
	n = snprintf(aside, size, "%s.corrupt-%s", path, date);
	if (n < 0 || (size_t)n >= size || rename(path, aside) < 0)
		aside[0] = '\0';
}

void dump_make_module_conf(const char *home)
{
	char path[PM_PATH_MAX];
	struct pm_error err;
	PM_CLOSE int fd = -1;

	if (one_path(home, "PM2_MODULE_CONF_FILE", PM_HOME_PM2_MODULES, path, &err) < 0)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* There already, or not ours to write: nothing here depends on it. */
	if (fd >= 0)
		(void)write_all(fd, "{}", 2);
}
