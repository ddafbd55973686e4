/* job.h - this program's own short-lived helpers, run as children of the keeper: compression,
 * self-checks. */
#ifndef PM_AGENT_JOB_H
#define PM_AGENT_JOB_H

#include "agent/super.h"

struct job;

/* status: the exit code, 128 + signal, or -errno when it could not be run. Called once, from the
 * loop.
 */
typedef void job_done_fn(void *arg, int status);

/*
 * Run a program at low priority with stdin, stdout and stderr on /dev/null.
 *
 * path        absolute
 * argv        NULL-terminated; copied
 * timeout_ms  then it is killed; 0: none
 */
PM_MUST_CHECK int job_run(struct super *su, const char *path, const char *const *argv,
                          uint32_t timeout_ms, job_done_fn *done, void *arg, struct pm_error *err);

/* The keeper's answers; false: the slot is not a job's. */
bool job_on_spawned(struct super *su, const struct keeper_record *r, int pidfd);
bool job_on_exited(struct super *su, const struct keeper_record *r);
bool job_has_slot(const struct super *su, uint32_t slot);
/* Forget them all without a word: the supervisor leaves, and the keeper kills what runs. */
void job_abandon_all(struct super *su);

#endif
