/* job.h - short-lived helpers, run as children of the keeper: compression, self-checks, and
 * programs that check apps. */
#ifndef PM_AGENT_JOB_H
#define PM_AGENT_JOB_H

#include "agent/super.h"

struct job;

/* status: the exit code, 128 + signal, or -errno when it could not be run. Called once, from the
 * loop.
 */
typedef void job_done_fn(void *arg, int status);
/* Or this: it was killed because its time was over. */
#define JOB_TIMED_OUT 1000

/*
 * Run a program of ours at low priority with stdin, stdout and stderr on /dev/null.
 *
 * path        absolute
 * argv        NULL-terminated; copied
 * timeout_ms  then it is killed; 0: none
 */
PM_MUST_CHECK int job_run(struct super *su, const char *path, const char *const *argv,
                          uint32_t timeout_ms, job_done_fn *done, void *arg, struct pm_error *err);

/*
 * Run somebody else's in the same way, with whatever else the plan says; its descriptors are none
 * but those three. What it leaves behind when it ends is killed, if it has a tag.
 *
 * *out  borrowed, until done
 */
PM_MUST_CHECK int job_start(struct super *su, const struct spawn_plan *plan, uint32_t timeout_ms,
                            job_done_fn *done, void *arg, struct job **out, struct pm_error *err);
/*
 * A part of ours that stays, in a process of its own and at the agent's own priority.  It does not
 * survive this supervisor.
 *
 * fd         its descriptor 3; borrowed for the call
 * *out       borrowed, until done
 */
PM_MUST_CHECK int job_start_part(struct super *su, const char *path, const char *const *argv,
                                 int fd, job_done_fn *done, void *arg, struct job **out,
                                 struct pm_error *err);
/* SIGKILL to all of it; done comes when it has gone. */
void job_kill(struct job *job);
pid_t job_pid(const struct job *job); /* 0: not known yet */

/* The keeper's answers; false: the slot is not a job's. */
bool job_on_spawned(struct super *su, const struct keeper_record *r, int pidfd);
bool job_on_exited(struct super *su, const struct keeper_record *r);
bool job_has_slot(const struct super *su, uint32_t slot);
/* Forget them all without a word: the supervisor leaves, and the keeper kills what runs. */
void job_abandon_all(struct super *su);

#endif
