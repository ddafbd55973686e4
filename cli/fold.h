/* fold.h - many hosts' answers as few: equal ones under one folded list of hosts (F-08). Pure.
 *
 * Answers are equal when their result, their code and their text are; never by text alone.
 */
#ifndef PM_CLI_FOLD_H
#define PM_CLI_FOLD_H

#include <stdbool.h>

#include "proto/error.h"

struct pm_buf;

enum fold_result {
	FOLD_OK,
	FOLD_FAILED,      /* it did not do it */
	FOLD_UNREACHABLE, /* nothing was sent, or it never came back with a connection */
	FOLD_SKIPPED,     /* left out on purpose: drained, not permitted, aborted before its turn */
	FOLD_UNKNOWN,     /* sent, and never confirmed */
	FOLD_RESULTS
};

/* Hosts with one answer. */
struct fold_group {
	enum fold_result result;
	enum pm_code code;
	const char *text;         /* borrowed from the fold */
	const char *const *hosts; /* borrowed, in the order of their names */
	size_t n;
	bool majority; /* the largest of those that are FOLD_OK, when it is more than half of all */
};

struct fold;

/* errors: PM_NO_MEMORY */
PM_MUST_CHECK int fold_create(struct fold **out, struct pm_error *err);
void fold_destroy(struct fold *f); /* NULL is fine */
void fold_destroyp(struct fold **f);

/*
 * Add a host's answer. A second one of the same host takes the place of the first, as when a late
 * answer comes after "unreachable".
 *
 * errors     PM_NO_MEMORY, PM_LIMIT (PM_HOSTS_MAX): the fold is as it was
 */
PM_MUST_CHECK int fold_add(struct fold *f, const char *host, enum fold_result result,
                           enum pm_code code, const char *text, struct pm_error *err);

size_t fold_count(const struct fold *f); /* hosts */

/*
 * The groups, the largest first; of equal size the better result, then the first host.
 *
 * ownership  the fold's, until the next add
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int fold_groups(struct fold *f, const struct fold_group **out, size_t *n,
                              struct pm_error *err);

/*
 * Append the lines of a text that the majority's has not ("+ "), and those that only the majority's
 * has ("- "), in their order (F-09). At most PM_FOLD_DIFF_MAX lines, then a line that counts the
 * rest.
 *
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int fold_diff(const char *majority, const char *text, struct pm_buf *out,
                            struct pm_error *err);

#endif
