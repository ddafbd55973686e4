/* log_fold.h - the same line of many hosts as one, with their number (F-37).  Pure.
 *
 * Lines come in the order in which they are to be shown, and go on in that of the first of each
 * group.  A group takes equal lines that were written within the window, and goes on when that is
 * over.  Each line is in one group, so the counts sum up to the lines.
 */
#ifndef PM_CLI_LOG_FOLD_H
#define PM_CLI_LOG_FOLD_H

#include "cli/log_merge.h"

struct log_fold;

struct log_fold_line {
	unsigned host;   /* the caller's number, below n_hosts */
	const char *app; /* borrowed for the call; lines of different apps are different */
	bool err, agent;
	struct log_merge_line line;
};

struct log_fold_group {
	struct log_fold_line first; /* its texts are borrowed until the next call */
	uint64_t n_lines;
	size_t n_hosts;
	const uint8_t *hosts; /* likewise: a byte for each host, 1 for those that said it */
};

/*
 * window_ms  between the first line of a group and its last
 * clocked    a group goes on when so much time has passed, too, whatever has come since; else with
 *            a later line, or at the end
 * max_bytes  of groups that wait; over it the oldest go on
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int log_fold_create(uint32_t window_ms, bool clocked, size_t max_bytes,
                                  size_t n_hosts, struct log_fold **out, struct pm_error *err);
void log_fold_destroy(struct log_fold *f); /* NULL is fine */
void log_fold_destroyp(struct log_fold **f);

/* Add a line.  now_ms: monotonic, never going back.  errors PM_NO_MEMORY */
PM_MUST_CHECK int log_fold_put(struct log_fold *f, const struct log_fold_line *line,
                               uint64_t now_ms, struct pm_error *err);

/*
 * The next group that takes no more lines.
 *
 * flush      those that would, too
 * returns    false: there is none now
 */
bool log_fold_next(struct log_fold *f, uint64_t now_ms, bool flush, struct log_fold_group *out);

/* When the next group is due; UINT64_MAX: none waits for the clock. */
uint64_t log_fold_due_ms(const struct log_fold *f);

#endif
