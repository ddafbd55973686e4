/* status.h - what instances look like to those who ask. */
#ifndef PM_AGENT_STATUS_H
#define PM_AGENT_STATUS_H

#include "agent/app.h"
#include "agent/session.h"

/* Answer a StatusRequest, in pages. */
void status_answer(struct super *su, struct session *s, uint64_t id, const Pm__StatusRequest *req);

/* The agent alone: version, pids, what is degraded. */
void status_answer_agent(struct super *su, struct session *s, uint64_t id);

Pm__LifeState status_life(enum life_state state);

#endif
