/* log_names.c - where an instance's output and pid go: PM2's names. */
#include <stdio.h>
#include <string.h>

#include "agent/logs.h"
#include "proto/limits.h"
#include "proto/paths.h"

/* The app's name as a file name has it: [A-Za-z0-9.-] and what is not ASCII, which tells names
 * apart that PM2 writes into one file; all else is a '-'. */
static void file_name_of(const char *name, char *out, size_t size)
{
	size_t i;

	for (i = 0; name[i] != '\0' && i + 1 < size; i++) {
		char c = name[i];
		bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		            (c >= '0' && c <= '9') || c == '.' || c == '-' ||
		            ((unsigned char)c & 0x80) != 0;

		out[i] = kept ? c : '-';
	}
	out[i] = '\0';
}

/* path with "-<id>" before its suffix; as it is when it ends otherwise. */
static int with_id(const char *path, const char *suffix, uint32_t pm_id, char *out, size_t size,
                   struct pm_error *err)
{
	size_t len = strlen(path), cut = strlen(suffix);
	int n;

	if (len >= cut && strcmp(path + len - cut, suffix) == 0)
		n = snprintf(out, size, "%.*s-%u%s", (int)(len - cut), path, pm_id, suffix);
	else
		n = snprintf(out, size, "%s", path);
	if (n < 0 || (size_t)n >= size)
		return pm_fail(err, PM_LIMIT, "file name too long: %.100s...", path);
	return 0;
}

static bool is_none(const char *given)
{
	return strcmp(given, "/dev/null") == 0 || strcmp(given, "NULL") == 0;
}

/*
 * One name: the given path, or the default <home>/<dir>/<name><suffix>.
 * merged: no -<id>.
 */
static int make_one(const char *given, const char *default_path, const char *suffix, bool merged,
                    uint32_t pm_id, char *out, struct pm_error *err)
{
	const char *path = given == NULL || given[0] == '\0' ? default_path : given;

	if (path[0] != '/')
		return pm_fail(err, PM_CONFIG, "%.100s: expected an absolute path", path);
	if (merged)
		suffix = "/"; /* no path ends so */
	return with_id(path, suffix, pm_id, out, PM_PATH_MAX, err);
}

static int default_path(const char *home, const char *dir, const char *name, const char *suffix,
                        char *out, struct pm_error *err)
{
	char file[PM_NAME_MAX + 1];
	int n;

	if (strlen(name) > PM_NAME_MAX)
		return pm_fail(err, PM_LIMIT, "app name longer than %d bytes", PM_NAME_MAX);
	file_name_of(name, file, sizeof(file));
	n = snprintf(out, PM_PATH_MAX, "%s/%s/%s%s", home, dir, file, suffix);
	if (n < 0 || n >= PM_PATH_MAX)
		return pm_fail(err, PM_LIMIT, "home's path is too long");
	return 0;
}

static int make_combined(const char *home, const Pm__AppSpec *spec, uint32_t pm_id, char *out,
                         struct pm_error *err)
{
	const char *given = spec->log_file;
	char path[PM_PATH_MAX];

	if (given == NULL || given[0] == '\0' || is_none(given) || spec->disable_logs) {
		out[0] = '\0';
		return 0;
	}
	if (default_path(home, PM_HOME_LOGS_DIR, spec->name, ".log", path, err) < 0)
		return -1;
	if (strcmp(given, "*") == 0)
		given = "";
	return make_one(given, path, ".log", spec->merge_logs, pm_id, out, err);
}

static int make_stream(const char *home, const Pm__AppSpec *spec, uint32_t pm_id, const char *given,
                       const char *suffix, char *out, struct pm_error *err)
{
	char path[PM_PATH_MAX];

	if (spec->disable_logs || (given != NULL && is_none(given))) {
		memcpy(out, "/dev/null", sizeof("/dev/null"));
		return 0;
	}
	if (default_path(home, PM_HOME_LOGS_DIR, spec->name, suffix, path, err) < 0)
		return -1;
	return make_one(given, path, ".log", spec->merge_logs, pm_id, out, err);
}

int log_names_make(const char *home, const Pm__AppSpec *spec, uint32_t pm_id, struct log_names *out,
                   struct pm_error *err)
{
	char path[PM_PATH_MAX];

	if (make_stream(home, spec, pm_id, spec->out_file, "-out.log", out->out, err) < 0 ||
	    make_stream(home, spec, pm_id, spec->error_file, "-error.log", out->err, err) < 0 ||
	    make_combined(home, spec, pm_id, out->combined, err) < 0)
		return pm_wrap(err, "log files of %s", spec->name);
	if (default_path(home, PM_HOME_PIDS_DIR, spec->name, ".pid", path, err) < 0 ||
	    make_one(spec->pid_file, path, ".pid", false, pm_id, out->pid, err) < 0)
		return pm_wrap(err, "pid file of %s", spec->name);
	return 0;
}
