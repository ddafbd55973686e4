/* context_file.h - the contexts on the disk: $PMCTL_CONFIG, or pmctl/contexts in the user's
 * configuration directory. */
#ifndef PM_CLI_CONTEXT_FILE_H
#define PM_CLI_CONTEXT_FILE_H

#include "cli/context.h"

/* PM_PATH_MAX bytes.  errors PM_CONFIG (no home directory is known), PM_LIMIT */
PM_MUST_CHECK int context_file_path(char *out, struct pm_error *err);

/* No file: no contexts.  errors PM_CONFIG with file and line, what the system says */
PM_MUST_CHECK int context_file_load(struct contexts *out, struct pm_error *err);

/*
 * Take the lock that changes of the file are made under, making its directory first (mode 0700).
 *
 * fd         the lock, held until it is closed
 */
PM_MUST_CHECK int context_file_lock(int *fd, struct pm_error *err);

/* Write it whole, mode 0600. */
PM_MUST_CHECK int context_file_save(const struct contexts *c, struct pm_error *err);

/* Where a context's key is; PM_PATH_MAX bytes.  errors PM_LIMIT */
PM_MUST_CHECK int context_file_key_path(const struct context *one, char *out, struct pm_error *err);

/*
 * The context that is meant: --context, $PMCTL_CONTEXT, the current one, or the only one.
 *
 * asked      NULL: not given
 * errors     PM_UNREACHABLE (there is none), PM_NOT_FOUND (no such name), PM_CONFIG
 */
PM_MUST_CHECK int context_choose(const char *asked, struct context *out, struct pm_error *err);

#endif
