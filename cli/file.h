/* file.h - whole files: read up to a limit, replaced in one step. */
#ifndef PM_CLI_FILE_H
#define PM_CLI_FILE_H

#include "proto/buf.h"
#include "proto/error.h"

/*
 * Replace a file, or make it, with mode 0600: a crash leaves the old one or the new one, whole.
 *
 * errors     what the system says; the file is untouched then
 */
PM_MUST_CHECK int file_replace(const char *path, const char *bytes, size_t len,
                               struct pm_error *err);

/*
 * Append a regular file's bytes.
 *
 * errors     PM_NOT_FOUND: there is none; PM_CONFIG: it is no regular file; PM_LIMIT: over max
 *            bytes; PM_NO_MEMORY; else what the system says
 */
PM_MUST_CHECK int file_read(const char *path, size_t max, struct pm_buf *bytes,
                            struct pm_error *err);

#endif
