/* rollout_show.h - everything about one rollout, for whoever looks afterwards.  Pure. */
#ifndef PM_CLI_ROLLOUT_SHOW_H
#define PM_CLI_ROLLOUT_SHOW_H

#include "cli/rollout_view.h"

/*
 * What it is, how it stands, each host or equal ones together, failures with their last output, the
 * story.
 *
 * now_wall_ms  for ages
 * utc          times of the story in UTC (tests), else in the zone of the machine
 * verbose      every host, however many there are
 * errors       PM_NO_MEMORY
 */
PM_MUST_CHECK int rollout_show(const struct rollout_view *v, const struct rollout_copy *c,
                               int64_t now_wall_ms, bool utc, bool verbose, struct pm_buf *out,
                               struct pm_error *err);

#endif
