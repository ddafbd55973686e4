/* rollout_ask.h - what pmctl asks a coordinator about rollouts, and orders of them. */
#ifndef PM_CLI_ROLLOUT_ASK_H
#define PM_CLI_ROLLOUT_ASK_H

#include "cli/fleet.h"
#include "cli/rollout_copy.h"

/*
 * Begin one, or plan it.
 *
 * patience_ms  what it may wait for before the coordinator answers, besides the hosts' plans
 * out          empty; as it was begun, with its steps when it is only planned
 * errors       the coordinator's refusal (PM_LOCKED, PM_USAGE...): nothing was done; PM_UNKNOWN:
 *              the session ended before it had answered
 */
PM_MUST_CHECK int rollout_ask_start(struct ctx *ctx, struct fleet *f, Pm__RolloutStart *start,
                                    uint32_t patience_ms, struct rollout_copy *out,
                                    struct pm_error *err);

/* All that is known of one.  id: or the beginning of one.  errors PM_NOT_FOUND, PM_USAGE (several)
 */
PM_MUST_CHECK int rollout_ask_show(struct ctx *ctx, struct fleet *f, const char *id,
                                   struct rollout_copy *out, struct pm_error *err);

/* Order something.  text: why, or NULL.  errors PM_USAGE: not in this state */
PM_MUST_CHECK int rollout_ask_change(struct ctx *ctx, struct fleet *f, Pm__RolloutVerb verb,
                                     const char *id, const char *text, struct rollout_copy *out,
                                     struct pm_error *err);

/* One of a list: without steps and story; valid during the call. */
typedef int rollout_ask_fn(void *arg, const struct rollout_copy *c, struct pm_error *err);
/* ended: those that are over, too. */
PM_MUST_CHECK int rollout_ask_list(struct ctx *ctx, struct fleet *f, bool ended, rollout_ask_fn *fn,
                                   void *arg, struct pm_error *err);

#endif
