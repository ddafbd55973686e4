/* rollout_start.h - a verb over hosts as a rollout: its options, planned or begun, and watched. */
#ifndef PM_CLI_ROLLOUT_START_H
#define PM_CLI_ROLLOUT_START_H

#include "cli/act.h"

/* Whether the command is to go to its hosts some at a time. */
bool rollout_is_meant(const struct ctx *ctx);

/* Options of a rollout without hosts.  errors PM_USAGE */
PM_MUST_CHECK int rollout_check_local(const struct ctx *ctx, struct pm_error *err);

/*
 * Begin the command as a rollout and watch it, or plan it: ctx->fleet->roll_status is set.
 *
 * errors     PM_USAGE (its options), those of rollout_ask_start()
 */
PM_MUST_CHECK int rollout_send(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
                               struct pm_error *err);

/* --apply PLAN: begin what was planned and watch it.  Returns the exit status or -1 */
int rollout_apply(struct ctx *ctx, struct pm_error *err);

#endif
