/* triggers.h - what restarts an app by itself: its cron and its watched files. */
#ifndef PM_AGENT_TRIGGERS_H
#define PM_AGENT_TRIGGERS_H

#include "agent/app.h"

/* Start, stop or leave alone, as the spec and the instances want it now. */
void triggers_refresh(struct app *app);
void triggers_stop(struct app *app);

/* Restart every instance of the app that runs (cron: that is not errored), because of cause. */
void triggers_fire(struct app *app, enum cause cause);

#endif
