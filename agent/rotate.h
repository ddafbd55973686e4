/* rotate.h - when a log file is rotated, under which name, and which old ones go. Pure. */
#ifndef PM_AGENT_ROTATE_H
#define PM_AGENT_ROTATE_H

#include <stdbool.h>

#include "proto/base.h"
#include "proto/error.h"

/* Files of one stream that were rotated within one second; further ones wait for the next. */
#define ROTATE_SAME_SECOND_MAX 9999
/* "2026-11-23_01-22-59" */
#define ROTATE_STAMP_LEN 19

struct rotate_config {
	uint64_t max_size;  /* bytes; 0: never by size */
	uint64_t every_ms;  /* 0: never by age */
	uint32_t keep;      /* rotated files of one stream; 0: none */
	uint64_t total_cap; /* bytes of all of them; 0: no cap */
};

/* One entry of the log file's directory. */
struct rotate_file {
	const char *name; /* borrowed; without the directory */
	uint64_t size;
	int64_t mtime_s;
};

/*
 * Whether to rotate now. An empty file never is.
 *
 * size    bytes of the current file
 * age_ms  since its first byte
 */
bool rotate_due(const struct rotate_config *c, uint64_t size, uint64_t age_ms);

/*
 * Whether name is a rotated file of the log called file: "<file without .log>__<stamp>[-n].log",
 * with ".gz" or ".zst" or nothing after it. A log without ".log" has names without it. The stamp is
 * checked digit by digit, so that "api" claims nothing of "api-2".
 */
bool rotate_is_of(const char *file, const char *name);

/*
 * The name for the current content of the log called file.
 *
 * stamp   ROTATE_STAMP_LEN characters, "YYYY-MM-DD_HH-MM-SS"
 * files   what is in the directory; a name of the same second gets the next -n, compressed or not
 * out     of size bytes, without ".gz" or ".zst": that is the compressor's
 * errors  PM_LIMIT (too many in one second), PM_INTERNAL (the name does not fit)
 */
PM_MUST_CHECK int rotate_name(const char *file, const char *stamp, const struct rotate_file *files,
                              size_t n, char *out, size_t size, struct pm_error *err);

/*
 * Which of files to delete: those of this log only, the oldest first until keep and total_cap are
 * met, and the plain one where its compressed form is there too (the compressor renames a whole
 * file into place and was then ended before it removed the plain one). Oldest is by mtime, then by
 * name. Leave out of files what some app still writes to.
 *
 * out      n indices into files; those to delete come first, in the order of deletion
 * returns  how many to delete
 */
size_t rotate_prune(const struct rotate_config *c, const char *file,
                    const struct rotate_file *files, size_t n, size_t *out);

#endif
