/* env_files.h - the variables of an app's env_files, read anew at each start and kept nowhere
 * (S-15). */
#ifndef PM_AGENT_ENV_FILES_H
#define PM_AGENT_ENV_FILES_H

#include "proto/envfile.h"

/*
 * Call fn for each variable of one file. What was read is wiped before this returns.
 *
 * A file that others may read is used, and that is logged: it is no secret then.
 *
 * errors  PM_CONFIG (missing, unreadable, not a regular file, over PM_ENVFILE_MAX, malformed; the
 *         file is named), PM_NO_MEMORY, and what fn returns
 */
PM_MUST_CHECK int env_file_read(const char *path, envfile_fn *fn, void *arg, struct pm_error *err);

#endif
