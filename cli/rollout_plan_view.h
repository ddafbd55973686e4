/* rollout_plan_view.h - what a rollout would do, as it was planned.  Pure. */
#ifndef PM_CLI_ROLLOUT_PLAN_VIEW_H
#define PM_CLI_ROLLOUT_PLAN_VIEW_H

#include "cli/rollout_view.h"

/*
 * Each host and app: from which version to which; few hosts one by one, many folded.  Then the
 * batches, what serves at any time, who is left out, and how it is begun.
 *
 * verbose    every host, however many there are
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int rollout_plan_view(const struct rollout_view *v, const struct rollout_copy *c,
                                    bool verbose, struct pm_buf *out, struct pm_error *err);

/* "v1.4.1 (3f2a0c11) -> v1.4.2 (9c1d44e0)", or one of them where nothing changes. */
void rollout_plan_versions(const struct rollout_view *v, const Pm__StepApp *app,
                           struct pm_buf *out);

#endif
