/* rollout_view.h - a rollout as lines: how it begins, each host, how it ends.  Pure.
 *
 *   1 to 20 hosts    a line each
 *   21 to 200        a line for each that did not do it
 *   more             equal failures together
 */
#ifndef PM_CLI_ROLLOUT_VIEW_H
#define PM_CLI_ROLLOUT_VIEW_H

#include "cli/rollout_copy.h"
#include "proto/buf.h"

#define ROLLOUT_VIEW_EACH 20
#define ROLLOUT_VIEW_ODD  200

struct rollout_view {
	unsigned width; /* of the terminal; 0: no limit */
	unsigned rows;  /* likewise */
	bool color, utf8;
	bool live;           /* what goes on is seen in lines that are drawn again and again */
	uint64_t run_ms;     /* since the rollout began; 0: not known */
	uint64_t watched_ms; /* since somebody looks */
	size_t ended_before; /* hosts that had ended then */
};

/* "rollout r-7f3a  reload api  40 hosts in 3 batches (1,4,35)  max-fail 0  on-failure pause" */
void rollout_view_header(const struct rollout_view *v, const struct rollout_copy *c,
                         struct pm_buf *out);

/* Columns for the names of the hosts, within reason. */
unsigned rollout_view_name_width(const struct rollout_copy *c);
/* "web01  FAILED  not ready after 60s", without a new line. */
void rollout_view_host(const struct rollout_view *v, const Pm__RolloutStep *s, unsigned name_width,
                       struct pm_buf *out);
/* Whether it is neither done nor on its way. */
bool rollout_view_is_odd(const Pm__RolloutStep *s);

/*
 * Equal failures together, the largest group first; one line each.
 *
 * most       so many groups at most, then a line for the rest; 0: all
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int rollout_view_groups(const struct rollout_view *v, const struct rollout_copy *c,
                                      size_t most, struct pm_buf *out, struct pm_error *err);

/* "50 new, 950 old, 0 down" */
void rollout_view_account(const struct rollout_account *a, struct pm_buf *out);
/* What failed first in full, as much as is of use, and how many more there are. */
void rollout_view_failures(const struct rollout_view *v, const struct rollout_copy *c, size_t most,
                           struct pm_buf *out);

/* "the first batch is looked at, for 5m"; nothing where it does not hold. */
void rollout_view_hold(const struct rollout_view *v, const struct rollout_copy *c,
                       struct pm_buf *out);

/*
 * When the user looks no longer: failures, why it stands, the account, what can be done next.
 *
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int rollout_view_end(const struct rollout_view *v, const struct rollout_copy *c,
                                   struct pm_buf *out, struct pm_error *err);

#endif
