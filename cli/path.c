#include "cli/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/buf.h"
#include "proto/limits.h"

/* Appends the parts of path to out, an absolute path without a slash at the end. */
static void add_parts(struct pm_buf *out, const char *path)
{
	while (*path != '\0') {
		size_t len = strcspn(path, "/");

		if (len == 2 && memcmp(path, "..", 2) == 0) {
			while (out->len > 0 && out->bytes[out->len - 1] != '/')
				out->bytes[--out->len] = '\0';
			if (out->len > 0)
				out->bytes[--out->len] = '\0';
		} else if (len > 0 && !(len == 1 && *path == '.')) {
			pm_buf_char(out, '/');
			pm_buf_add(out, path, len);
		}
		path += len;
		path += strspn(path, "/");
	}
}

int path_resolve(const char *base, const char *home, const char *path, char **out,
                 struct pm_error *err)
{
	PM_BUF buf = { .max = PM_PATH_MAX - 1 };
	bool tilde = home != NULL && path[0] == '~' && (path[1] == '/' || path[1] == '\0');

	if (tilde)
		add_parts(&buf, home);
	else if (path[0] != '/')
		add_parts(&buf, base);
	add_parts(&buf, tilde ? path + 1 : path);
	if (buf.len == 0)
		pm_buf_char(&buf, '/');
	/* Without dots in it, the result is as long as its parts. */
	if (buf.failed && strlen(path) + strlen(base) + (tilde ? strlen(home) : 0) >= buf.max)
		return pm_fail(err, PM_LIMIT, "the path %.40s... is too long", path);
	*out = pm_buf_take(&buf);
	return *out == NULL ? pm_fail(err, PM_NO_MEMORY, "resolve a path") : 0;
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *path_which(const char *path_list, const char *program)
{
	char path[PM_PATH_MAX];

	for (const char *p = path_list; p != NULL && *p != '\0'; p += *p == ':') {
		size_t len = strcspn(p, ":");
		int n = snprintf(path, sizeof(path), "%.*s/%s", (int)len, p, program);

		if (*p == '/' && n > 0 && (size_t)n < sizeof(path) && is_program(path))
			return pm_strdup(path);
		p += len;
	}
	errno = ENOENT;
	return NULL;
}

const char *path_getenv(char *const *environment, const char *name)
{
	size_t len = strlen(name);

	for (; environment != NULL && *environment != NULL; environment++)
		if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
			return *environment + len + 1;
	return NULL;
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

const char *path_extension(const char *path)
{
	const char *base = path_base(path);
	const char *dot = strrchr(base, '.');

	/* A dot at the start makes a hidden file, not an extension. */
	return dot != NULL && dot != base ? dot : "";
}
