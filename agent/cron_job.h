/* cron_job.h - restarts an app at the times of its cron expression. */
#ifndef PM_AGENT_CRON_JOB_H
#define PM_AGENT_CRON_JOB_H

#include "agent/app.h"

struct cron_job;

/* errors PM_CONFIG (expression or zone) */
PM_MUST_CHECK int cron_job_start(struct app *app, struct cron_job **out, struct pm_error *err);
void cron_job_stop(struct cron_job *job);

#endif
