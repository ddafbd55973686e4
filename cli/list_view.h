/* list_view.h - the apps of many hosts: a line for each host and app, or equal ones folded.  Pure.
 */
#ifndef PM_CLI_LIST_VIEW_H
#define PM_CLI_LIST_VIEW_H

#include "cli/hosts.h"

#define LIST_VIEW_EACH 20  /* so many hosts get a line for each of their apps */
#define LIST_VIEW_SETS 200 /* of more, the names of those that are as most are not shown */

struct list_view {
	bool color, verbose;
	bool diff;      /* only what differs from what most hosts say */
	bool named;     /* apps were named: a host without them is worth a line */
	bool chosen;    /* rows were chosen: a host without any is worth none */
	unsigned width; /* columns that names are padded to */
	int64_t now_wall_ms;
	bool titled; /* the line of titles was written */
};

/* Append lines of the hosts, each for itself; the first call begins with the titles. */
void list_view_rows(struct list_view *v, const struct host *const *hosts, size_t n,
                    struct pm_buf *out);

/*
 * Append blocks of the hosts, by app and equal answer, the largest first.
 *
 * n_all      hosts of the whole command: what is left out goes by it
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int list_view_groups(const struct list_view *v, const struct host *const *hosts,
                                   size_t n, size_t n_all, struct pm_buf *out,
                                   struct pm_error *err);

/* Append the account: "1000 hosts: 998 same, 1 different, 1 unreachable".  errors PM_NO_MEMORY */
PM_MUST_CHECK int list_view_account(const struct hosts *all, struct pm_buf *out,
                                    struct pm_error *err);

#endif
