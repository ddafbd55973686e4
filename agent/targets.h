/* targets.h - which instances a command means, in PM2's order of meanings. */
#ifndef PM_AGENT_TARGETS_H
#define PM_AGENT_TARGETS_H

#include "agent/app.h"

/*
 * all; a name, or the path of a script; a namespace; for a number a name of that text first, then a
 * namespace, then a pm_id. No target at all means every instance.
 *
 * out     instances in order of pm_id, each once; the caller frees the array
 * errors  PM_NOT_FOUND (naming the first target that matches nothing), PM_NO_MEMORY
 */
PM_MUST_CHECK int targets_resolve(struct super *su, Pm__Target *const *targets, size_t n_targets,
                                  struct instance ***out, size_t *n, struct pm_error *err);

#endif
