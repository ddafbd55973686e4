/* log_merge.h - lines of many sources in the order of their times, as far as they come in time.
 * Pure.
 *
 * A line waits for others for at most the window.  Lines of one source stay in their order,
 * whatever their clock says.  A line that is older than what has gone on already goes at once and
 * is marked late.  Nothing is dropped: over the limit of bytes the oldest lines go on early.
 */
#ifndef PM_CLI_LOG_MERGE_H
#define PM_CLI_LOG_MERGE_H

#include <stdbool.h>

#include "proto/base.h"
#include "proto/error.h"

struct log_merge;

struct log_merge_line {
	unsigned source; /* the caller's number, from 0 on */
	int64_t at_ms;   /* when it was written, by one clock for all; 0: not known */
	int64_t wall_ms; /* the caller's */
	uint64_t file, offset, monotonic_ms; /* the caller's, too */
	bool partial, live;
	const char *text; /* put: borrowed for the call; next: until the next call */
	size_t len;
	bool late; /* next: it is older than a line before it */
};

/*
 * window_ms  0: in the order of arrival
 * max_bytes  of lines that wait
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int log_merge_create(uint32_t window_ms, size_t max_bytes, struct log_merge **out,
                                   struct pm_error *err);
void log_merge_destroy(struct log_merge *m); /* NULL is fine */
void log_merge_destroyp(struct log_merge **m);

/* Add a line that has come.  now_ms: monotonic, never going back.  errors PM_NO_MEMORY */
PM_MUST_CHECK int log_merge_put(struct log_merge *m, const struct log_merge_line *line,
                                uint64_t now_ms, struct pm_error *err);

/*
 * The next line that has waited long enough.
 *
 * flush      those that have not, too
 * returns    false: there is none now
 */
bool log_merge_next(struct log_merge *m, uint64_t now_ms, bool flush, struct log_merge_line *out);

/* When the next line is due; UINT64_MAX: none waits. */
uint64_t log_merge_due_ms(const struct log_merge *m);

#endif
