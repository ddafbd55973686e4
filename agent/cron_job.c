#include "agent/cron_job.h"

#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "agent/triggers.h"
#include "agent/tz.h"
#include "proto/cron.h"
#include "proto/log.h"

/*
 * The timer is a timerfd on the wall clock that also fires when that clock is set
 * (TFD_TIMER_CANCEL_ON_SET): then the next time is planned anew, and a slot that was served is not
 * served again.
 */
struct cron_job {
	struct app *app; /* borrowed */
	struct cron cron;
	struct tz *zone;  /* owned */
	uv_poll_t poll;   /* owned */
	int fd;           /* owned */
	int64_t served_s; /* the last slot that was served, or when the job began */
};

static int64_t next_slot(const struct cron_job *job, int64_t now_s)
{
	const struct cron_zone zone = tz_zone(job->zone);

	return cron_next(&job->cron, &zone, PM_MAX(now_s, job->served_s));
}

static void plan(struct cron_job *job)
{
	int64_t next = next_slot(job, pm_wall_ms() / 1000);
	const struct itimerspec at = { .it_value = { .tv_sec = next < 0 ? INT64_MAX : next } };

	if (timerfd_settime(job->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL) < 0)
		pm_log(PM_LOG_ERROR, "app.cron", "app=%s cannot set its timer",
		       job->app->spec->name);
}

static void on_fire(uv_poll_t *poll, int status, int events)
{
	struct cron_job *job = poll->data;
	int64_t now_s = pm_wall_ms() / 1000;
	uint64_t count;
	bool fired = read(job->fd, &count, sizeof(count)) == (ssize_t)sizeof(count);

	(void)status;
	(void)events;
	if (!fired) { /* ECANCELED: the clock was set. Set back: what was served stays served. */
		plan(job);
		return;
	}
	job->served_s = now_s;
	plan(job);
	triggers_fire(job->app, CAUSE_CRON);
}

static void on_closed(uv_handle_t *handle)
{
	struct cron_job *job = handle->data;

	(void)close(job->fd);
	tz_destroy(job->zone);
	free(job);
}

int cron_job_check(const Pm__AppSpec *spec, struct pm_error *err)
{
	struct cron cron;
	struct tz *zone;

	if (spec->cron[0] == '\0')
		return 0;
	if (cron_parse(spec->cron, &cron, err) < 0 || tz_load(spec->cron_tz, &zone, err) < 0)
		return -1;
	tz_destroy(zone);
	return 0;
}

int cron_job_start(struct app *app, struct cron_job **out, struct pm_error *err)
{
	struct cron_job *job = pm_calloc(1, sizeof(*job));

	if (job == NULL)
		return pm_fail(err, PM_NO_MEMORY, "cron");
	job->app = app;
	job->served_s = pm_wall_ms() / 1000;
	job->fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (job->fd < 0 || cron_parse(app->spec->cron, &job->cron, err) < 0 ||
	    tz_load(app->spec->cron_tz, &job->zone, err) < 0) {
		if (job->fd < 0)
			pm_fail(err, PM_LIMIT, "cron: no timer descriptor");
		pm_closep(&job->fd);
		free(job);
		return -1;
	}
	if (uv_poll_init(app->su->loop, &job->poll, job->fd) < 0) {
		(void)close(job->fd);
		tz_destroy(job->zone);
		free(job);
		return pm_fail(err, PM_INTERNAL, "cron: cannot watch its timer");
	}
	job->poll.data = job;
	(void)uv_poll_start(&job->poll, UV_READABLE, on_fire); /* a timerfd can be polled */
	plan(job);
	*out = job;
	return 0;
}

void cron_job_stop(struct cron_job *job)
{
	uv_close((uv_handle_t *)&job->poll, on_closed);
}
