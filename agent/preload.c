#include "agent/preload.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base.h"

#ifndef PM_LIB_FROM_BIN
#error "CMake says where libraries are installed, seen from the programs"
#endif

static bool has_mode(const char *path, mode_t type, mode_t mode)
{
	struct stat st;

	return stat(path, &st) == 0 && (st.st_mode & S_IFMT) == type && (st.st_mode & mode) == mode;
}

/* May everybody read the file, and go through the folders that it is in? */
static bool is_public(const char *path)
{
	char folder[PATH_MAX];

	for (const char *end = strchr(path + 1, '/'); end != NULL; end = strchr(end + 1, '/')) {
		memcpy(folder, path, (size_t)(end - path));
		folder[end - path] = '\0';
		if (!has_mode(folder, S_IFDIR, S_IXOTH))
			return false;
	}
	return has_mode(path, S_IFREG, S_IROTH);
}

bool preload_find(const char *program, const char *name, bool for_others, char *out, size_t size)
{
	static const char *const places[] = { "", PM_LIB_FROM_BIN "/" };
	const char *end = strrchr(program, '/');

	for (size_t i = 0; end != NULL && i < PM_COUNT(places); i++) {
		char path[PATH_MAX];
		int len = snprintf(path, sizeof(path), "%.*s/%s%s", (int)(end - program), program,
		                   places[i], name);

		if (len < 0 || (size_t)len >= PM_MIN(sizeof(path), size))
			continue;
		if (for_others ? is_public(path) : has_mode(path, S_IFREG, S_IRUSR)) {
			memcpy(out, path, (size_t)len + 1);
			return true;
		}
	}
	return false;
}

bool preload_is_refused(const char *options)
{
	return options != NULL && (strstr(options, "--permission") != NULL ||
	                           strstr(options, "--experimental-permission") != NULL);
}

bool preload_node_options(const char *path, const char *theirs, struct pm_buf *out)
{
	if (preload_is_refused(theirs) || strpbrk(path, "\n\r") != NULL)
		return false;
	/* node(1): a value with spaces is put in double quotes, where a backslash escapes. */
	pm_buf_str(out, "--require \"");
	for (const char *at = path; *at != '\0'; at++) {
		if (*at == '"' || *at == '\\')
			pm_buf_char(out, '\\');
		pm_buf_char(out, *at);
	}
	pm_buf_char(out, '"');
	if (theirs != NULL && theirs[0] != '\0')
		pm_buf_printf(out, " %s", theirs);
	return !out->failed;
}
