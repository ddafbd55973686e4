/* budgets.h - gives agents their slots for restarts that nobody ordered (F-27): who asks, and how
 * many hosts run an app.
 *
 * That is not known beforehand. When somebody asks, all agents that are connected are asked who
 * runs it, and again when that is old and somebody still asks; until they have said, the known ones
 * are those that asked. Nothing of it is on the disk: after a restart of ours agents ask again.
 */
#ifndef PM_COORDINATOR_BUDGETS_H
#define PM_COORDINATOR_BUDGETS_H

#include "coordinator/coord.h"

struct budgets;

/* errors: PM_NO_MEMORY */
PM_MUST_CHECK int budgets_create(struct coord *c, struct budgets **out, struct pm_error *err);
/* After the hub, whose agents are told nothing any more.  NULL is fine. */
void budgets_close(struct budgets *b);

/* What an agent says; false: this is for somebody else. */
bool budgets_on_message(struct budgets *b, struct node *node, const Pm__Envelope *env);
/* Its session is over, or it is about to be forgotten. */
void budgets_agent_gone(struct budgets *b, const struct node *node);

/* How many hosts of one app are out with a slot of ours. */
size_t budgets_n_held(const struct budgets *b, const char *app);

#endif
