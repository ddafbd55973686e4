/* cron_job.h - restarts an app at the times of its cron expression. */
#ifndef PM_AGENT_CRON_JOB_H
#define PM_AGENT_CRON_JOB_H

#include "agent/app.h"

struct cron_job;

/* Whether it could be started; a spec without an expression is fine.  errors PM_CONFIG */
PM_MUST_CHECK int cron_job_check(const Pm__AppSpec *spec, struct pm_error *err);

/* errors PM_CONFIG (expression or zone) */
PM_MUST_CHECK int cron_job_start(struct app *app, struct cron_job **out, struct pm_error *err);
void cron_job_stop(struct cron_job *job);

#endif
