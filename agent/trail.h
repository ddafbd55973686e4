/* trail.h - the agent's own audit: what the fleet asked for, what was decided and what came of it.
 */
#ifndef PM_AGENT_TRAIL_H
#define PM_AGENT_TRAIL_H

#include <uv.h>

#include "proto/audit_file.h"

#define PM_HOME_AUDIT_DIR "state/audit"

struct trail;

/*
 * loop       borrowed; entries are brought to the disk from a worker, soon after they were added
 * failed     words for what is wrong with it; NULL: it is well again
 * errors     those of audit_file_open()
 */
typedef void trail_failed_fn(void *arg, const char *words);
PM_MUST_CHECK int trail_create(uv_loop_t *loop, const char *home, trail_failed_fn *failed,
                               void *arg, struct trail **out, struct pm_error *err);
/* What is not on the disk yet is synced, if nobody is doing that.  NULL is fine. */
void trail_close(struct trail *t);

/* Add an entry; its seq is set.  errors: then it is not in the log, and what it was about must not
 * be done */
PM_MUST_CHECK int trail_add(struct trail *t, const struct audit_entry *e, struct pm_error *err);

#endif
