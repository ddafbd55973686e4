/* path.h - paths as text, and programs in PATH. */
#ifndef PM_CLI_PATH_H
#define PM_CLI_PATH_H

#include <stdbool.h>

#include "proto/base.h"
#include "proto/error.h"

/*
 * The absolute form of a path, as path.resolve() of node: "." and ".." and double slashes are
 * worked out in the text, "~" at the start is home.
 *
 * base       absolute; what a relative path starts from
 * home       NULL: "~" is an ordinary character
 * ownership  *out is the caller's
 * errors     PM_LIMIT (PM_PATH_MAX), PM_NO_MEMORY
 */
PM_MUST_CHECK int path_resolve(const char *base, const char *home, const char *path, char **out,
                               struct pm_error *err);

/*
 * The absolute path of an executable file in one of the directories of path_list (as PATH); empty
 * and relative directories in it are passed over. NULL with errno ENOENT if there is none, ENOMEM
 * without memory. The caller's to free.
 */
char *path_which(const char *path_list, const char *program);

/* The value of a variable in an environment as environ(7), borrowed; NULL if there is none. */
const char *path_getenv(char *const *environment, const char *name);

const char *path_base(const char *path);      /* what is behind the last slash */
const char *path_extension(const char *path); /* ".js", or "" ; of the last part */

#endif
