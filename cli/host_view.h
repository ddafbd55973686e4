/* host_view.h - what hosts did, as lines: each for itself, the odd ones, or by equal answers. Pure.
 *
 *   1 to 20 hosts    a line each
 *   21 to 200        a line for each that did not do it
 *   more             equal failures together
 */
#ifndef PM_CLI_HOST_VIEW_H
#define PM_CLI_HOST_VIEW_H

#include "cli/color.h"
#include "cli/hosts.h"

#define HOST_VIEW_EACH 20
#define HOST_VIEW_ODD  200

struct host_view {
	const char *done; /* "restarted" */
	unsigned width;   /* columns that names are padded to */
	unsigned columns; /* of the terminal; 0: no limit */
	bool color, verbose;
	int64_t now_wall_ms;
};

/* The columns of the longest name, within reason. */
unsigned host_view_width(const struct hosts *h);

/* One host's line. */
void host_view_line(const struct host_view *v, const struct host *h, struct pm_buf *out);

/* What is to be said when a host is done, by how many there are; it may be nothing. */
void host_view_progress(const struct host_view *v, const struct hosts *all, const struct host *h,
                        struct pm_buf *out);

/*
 * After the last host: those of which no line came, failures in full as far as that is of use, the
 * account.
 *
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int host_view_end(const struct host_view *v, const struct hosts *all,
                                struct pm_buf *out, struct pm_error *err);

/* "[12/40] ####------ 3 FAILED  0:42  eta 1:20", without a new line. */
void host_view_bar(const struct hosts_account *a, uint64_t run_ms, bool utf8, struct pm_buf *out);

/* "2m ago", or nothing when it is not known. */
void host_view_seen(int64_t seen_wall_ms, int64_t now_wall_ms, struct pm_buf *out);

#endif
