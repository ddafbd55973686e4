/* watch.h - restarts an app when files it is made of change: inotify, debounced, with PM2's ignore
 * rules. */
#ifndef PM_AGENT_WATCH_H
#define PM_AGENT_WATCH_H

#include "agent/app.h"

struct watch;

/* errors PM_LIMIT (inotify watches of the user), else the system's */
PM_MUST_CHECK int watch_start(struct app *app, struct watch **out, struct pm_error *err);
void watch_stop(struct watch *w);

#endif
