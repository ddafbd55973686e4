#include "agent/triggers.h"

#include "agent/cron_job.h"
#include "agent/turns.h"
#include "agent/watch.h"
#include "proto/log.h"

void triggers_fire(struct app *app, enum cause cause)
{
	pm_log(PM_LOG_INFO, "app.trigger", "app=%s cause=%s", app->spec->name, cause_word(cause));
	for (size_t i = 0; i < app->n; i++) {
		struct instance *inst = app->instances[i];
		enum life_state state = instance_core(inst)->life.state;

		if (state == LIFE_UP || state == LIFE_UP_WAIT || state == LIFE_BACKOFF ||
		    (cause == CAUSE_CRON && (state == LIFE_DOWN || state == LIFE_FAILED)))
			turns_restart(inst, cause);
	}
}

static bool any_watching(const struct app *app)
{
	for (size_t i = 0; i < app->n; i++)
		if (instance_core(app->instances[i])->watching)
			return true;
	return false;
}

void triggers_refresh(struct app *app)
{
	struct pm_error err;

	if (*app->spec->cron != '\0' && app->cron == NULL &&
	    cron_job_start(app, &app->cron, &err) < 0)
		pm_log(PM_LOG_ERROR, "app.cron", "app=%s %s", app->spec->name, err.what);
	if (any_watching(app) && app->watch == NULL && watch_start(app, &app->watch, &err) < 0) {
		pm_log(PM_LOG_ERROR, "app.watch", "app=%s %s", app->spec->name, err.what);
		super_degraded(app->su, "watch", err.what);
	}
	if (!any_watching(app) && app->watch != NULL) {
		watch_stop(app->watch);
		app->watch = NULL;
	}
}

void triggers_stop(struct app *app)
{
	if (app->cron != NULL)
		cron_job_stop(app->cron);
	if (app->watch != NULL)
		watch_stop(app->watch);
	app->cron = NULL;
	app->watch = NULL;
}
