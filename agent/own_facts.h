/* own_facts.h - what only the agent can say of itself: its limits, its control group, its program.
 */
#ifndef PM_AGENT_OWN_FACTS_H
#define PM_AGENT_OWN_FACTS_H

#include "proto/limits.h"
#include "proto/pm.pb-c.h"

struct super;

struct own_facts {
	Pm__AgentFacts msg; /* borrows from what follows, and from the supervisor */
	char program[PM_PATH_MAX];
};

/*
 * Look now: some small files of the kernel, and the program's inode.
 *
 * out        stays where it is while its message is used
 */
void own_facts_look(struct super *su, struct own_facts *out);

#endif
