#include "cli/dump_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/config_parse.h"
#include "cli/file.h"
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

int dump_save(const struct dump_paths *paths, const struct pm_buf *text, struct pm_error *err)
{
	PM_BUF before = { .max = DUMP_BYTES_MAX };

	if (text->failed)
		return pm_fail(err, PM_NO_MEMORY, "save");
	if (text->len > DUMP_BYTES_MAX)
		return pm_fail(err, PM_LIMIT, "the list takes more than %u bytes", DUMP_BYTES_MAX);
	if (file_read(paths->dump, DUMP_BYTES_MAX, &before, err) == 0) {
		if (file_replace(paths->bak, before.len == 0 ? "" : before.bytes, before.len, err) <
		    0)
			return -1;
	} else if (err->code != PM_NOT_FOUND) {
		return -1;
	}
	return file_replace(paths->dump, text->bytes, text->len, err);
}

int dump_read(const char *path, struct doc *doc, const struct doc_node **root, struct pm_error *err)
{
	PM_BUF bytes = { .max = DUMP_BYTES_MAX };
	struct config_place place = { 0 };

	if (file_read(path, DUMP_BYTES_MAX, &bytes, err) < 0)
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
		(void)pm_write_all(fd, "{}", 2);
}
