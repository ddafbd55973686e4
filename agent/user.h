/* user.h - whom an app runs as: names and numbers from the user database. */
#ifndef PM_AGENT_USER_H
#define PM_AGENT_USER_H

#include <limits.h>
#include <sys/types.h>

#include "agent/spawn_plan.h"
#include "proto/error.h"

struct user {
	uid_t uid; /* (uid_t)-1: the agent's own, nothing is changed */
	gid_t gid;
	gid_t groups[SPAWN_GROUPS_MAX];
	size_t n_groups;
	char name[64];
	char home[PATH_MAX];
	char shell[256];
};

/*
 * Look up uid and gid as written in a spec: names or numbers; "" is the agent's own user.
 *
 * errors  PM_CONFIG (no such user or group), PM_DENIED (another user's, and the agent is not root)
 */
PM_MUST_CHECK int user_lookup(const char *uid, const char *gid, struct user *out,
                              struct pm_error *err);

/* The name of a uid, or its number as text. */
void user_name(uid_t uid, char *out, size_t size);

#endif
