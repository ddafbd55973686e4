/* child.h - runs a program of the user's for its output, under a deadline. */
#ifndef PM_CLI_CHILD_H
#define PM_CLI_CHILD_H

#include <stdbool.h>

#include "proto/buf.h"
#include "proto/error.h"

struct child_order {
	const char *const *argv; /* argv[0] is an absolute path; ends with NULL */
	const char *cwd;         /* NULL: ours */
	int out_fd; /* the child's descriptor whose bytes are wanted: 1, or 3 and above */
	int time_ms;
	bool quiet; /* its stderr goes nowhere */
};

/*
 * Run it to its end. Its stdin is empty; when out_fd is not 1, its stdout goes to our stderr. At
 * the end, and when time or room run out, its whole process group is killed.
 *
 * out      what it wrote; its max bounds that
 * status   as waitpid(2) gives it
 * errors   PM_DEADLINE, PM_LIMIT, PM_NOT_FOUND (cannot be executed), PM_INTERNAL
 */
PM_MUST_CHECK int child_run(const struct child_order *order, struct pm_buf *out, int *status,
                            struct pm_error *err);

#endif
