/* answers.h - what many hosts said, equal answers folded into one with the names as ranges.  Pure.
 */
#ifndef PM_CLI_ANSWERS_H
#define PM_CLI_ANSWERS_H

#include "proto/buf.h"
#include "proto/error.h"

/* Answers of different kinds never fold, whatever their texts; all borrowed. */
struct answer {
	const char *host;
	unsigned kind;
	const char *text;
	const void *user;
};

struct answer_group {
	const struct answer *answers; /* borrowed: n of the list, by host */
	size_t n;
	struct pm_buf hosts; /* owned: the names, folded */
};

struct answer_groups {
	struct answer_group *list; /* owned; the largest first, then as they are sorted */
	size_t n;
};

void answer_groups_finish(struct answer_groups *g);
#define PM_GROUPS PM_CLEANUP(answer_groups_finish) struct answer_groups

/*
 * Fold the list, which is sorted in doing so.
 *
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int answers_fold(struct answer *list, size_t n, struct answer_groups *out,
                               struct pm_error *err);

#endif
