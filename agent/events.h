/* events.h - tells those who follow that something happened to an instance. */
#ifndef PM_AGENT_EVENTS_H
#define PM_AGENT_EVENTS_H

#include "agent/instance.h"

/* "start", "online", "exit", "restart", "stop", "delete"; the streams that asked for events get it.
 */
void events_tell(struct super *su, const struct instance *inst, const char *event, bool manually);

/* A process is about to start: log readers that follow its app read its files too. */
void events_started(struct super *su, const struct instance *inst);

#endif
