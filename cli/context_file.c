#include "cli/context_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/file.h"

static const char *set_variable(const char *name)
{
	const char *value = getenv(name);

	return value == NULL || value[0] == '\0' ? NULL : value;
}

int context_file_path(char *out, struct pm_error *err)
{
	const char *given = set_variable("PMCTL_CONFIG"), *base = set_variable("XDG_CONFIG_HOME");
	const char *home = set_variable("HOME"), *middle = "";
	int n;

	if (given != NULL) {
		n = snprintf(out, PM_PATH_MAX, "%s", given);
	} else {
		if (base == NULL || base[0] != '/') {
			const struct passwd *pw = home == NULL ? getpwuid(geteuid()) : NULL;

			base = home != NULL ? home : pw == NULL ? NULL : pw->pw_dir;
			middle = "/.config";
		}
		if (base == NULL)
			return pm_fail(err, PM_CONFIG, "no home directory is known; set HOME");
		n = snprintf(out, PM_PATH_MAX, "%s%s/pmctl/contexts", base, middle);
	}
	if (n < 0 || n >= PM_PATH_MAX)
		return pm_fail(err, PM_LIMIT, "the path of the contexts is too long");
	return 0;
}

/* The directory that the file is in, with its slash. */
static int directory(char *out, struct pm_error *err)
{
	char *slash;

	if (context_file_path(out, err) < 0)
		return -1;
	slash = strrchr(out, '/');
	if (slash == NULL)
		(void)snprintf(out, PM_PATH_MAX, "./");
	else
		slash[1] = '\0';
	return 0;
}

int context_file_load(struct contexts *out, struct pm_error *err)
{
	PM_BUF text = { 0 };
	char path[PM_PATH_MAX];

	if (context_file_path(path, err) < 0)
		return -1;
	if (file_read(path, PM_CONTEXTS_FILE_MAX, &text, err) < 0) {
		if (err->code != PM_NOT_FOUND)
			return -1;
		*out = (struct contexts){ 0 };
		return 0;
	}
	if (contexts_parse(text.len == 0 ? "" : text.bytes, text.len, out, err) < 0)
		return pm_wrap(err, "%.150s", path);
	return 0;
}

/* Each directory of a path that ends with a slash; ours are nobody else's business. */
static int make_directories(const char *path, struct pm_error *err)
{
	char part[PM_PATH_MAX];

	for (const char *slash = strchr(path + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		(void)snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return pm_fail_errno(err, errno, "make %.150s", part);
	}
	return 0;
}

int context_file_lock(int *fd, struct pm_error *err)
{
	char path[PM_PATH_MAX];
	PM_CLOSE int dir = -1;

	if (directory(path, err) < 0 || make_directories(path, err) < 0)
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || flock(dir, LOCK_EX) < 0)
		return pm_fail_errno(err, errno, "lock %.150s", path);
	*fd = PM_STEAL_FD(dir);
	return 0;
}

int context_file_save(const struct contexts *c, struct pm_error *err)
{
	PM_BUF text = { 0 };
	char path[PM_PATH_MAX];

	if (context_file_path(path, err) < 0 || contexts_format(c, &text, err) < 0)
		return -1;
	return file_replace(path, text.bytes, text.len, err);
}

int context_file_key_path(const struct context *one, char *out, struct pm_error *err)
{
	size_t len = 0;

	out[0] = '\0';
	if (one->key[0] != '/') {
		if (directory(out, err) < 0)
			return -1;
		len = strlen(out);
	}
	if (len + strlen(one->key) >= PM_PATH_MAX)
		return pm_fail(err, PM_LIMIT, "the key's path is too long");
	(void)snprintf(out + len, PM_PATH_MAX - len, "%s", one->key);
	return 0;
}

static int no_such(const struct contexts *c, const char *name, struct pm_error *err)
{
	const char *near = contexts_nearest(c, name);

	pm_fail(err, PM_NOT_FOUND, "%.100s: no such context", name);
	if (near != NULL)
		pm_hint(err, "did you mean '%s'?", near);
	else
		pm_hint(err, "run 'pmctl context list' to see their names");
	return -1;
}

int context_choose(const char *asked, struct context *out, struct pm_error *err)
{
	PM_CONTEXTS c = { 0 };
	const struct context *found;

	if (context_file_load(&c, err) < 0)
		return -1;
	if (c.n == 0) {
		pm_fail(err, PM_UNREACHABLE, "no coordinator is configured for this user");
		pm_hint(err,
		        "without one, name apps of this machine; 'pmctl login' makes one known");
		return -1;
	}
	if (asked == NULL)
		asked = set_variable("PMCTL_CONTEXT");
	if (asked == NULL && c.current[0] != '\0')
		asked = c.current;
	if (asked == NULL && c.n == 1)
		asked = c.list[0].name;
	if (asked == NULL) {
		pm_fail(err, PM_CONFIG, "there are %zu contexts and none is chosen", c.n);
		pm_hint(err, "run 'pmctl context use NAME', or give --context NAME");
		return -1;
	}
	found = contexts_find(&c, asked);
	if (found == NULL)
		return no_such(&c, asked, err);
	*out = *found;
	return 0;
}
