/* remote_policy.h - puts a request from the fleet to the policy of this machine (policy.h): which
 * apps it is about, how many of them would stay up, how often it was done. */
#ifndef PM_AGENT_REMOTE_POLICY_H
#define PM_AGENT_REMOTE_POLICY_H

#include "agent/super.h"
#include "proto/ops.h"

struct remote_policy;

/* errors PM_NO_MEMORY, the system's */
PM_MUST_CHECK int remote_policy_create(struct super *su, struct remote_policy **out,
                                       struct pm_error *err);
void remote_policy_destroy(struct remote_policy *p); /* NULL is fine */

/*
 * Whether it is allowed now, all of it.  Counts a use of each operation if it is.  The policy is
 * read anew when its file has changed.
 *
 * ops        what the message asks for
 * errors     PM_DENIED
 */
PM_MUST_CHECK int remote_policy_check(struct remote_policy *p, struct session *s,
                                      const Pm__Envelope *env, const Pm__Actor *actor, pm_ops ops,
                                      struct pm_error *err);

/* An app that a fleet has declared says so by who declared it. */
#define REMOTE_DECLARER "fleet:"

#endif
