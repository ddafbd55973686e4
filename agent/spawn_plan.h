/* spawn_plan.h - everything about one process to start, as one block that a memfd carries to the
 * keeper. */
#ifndef PM_AGENT_SPAWN_PLAN_H
#define PM_AGENT_SPAWN_PLAN_H

#include <stdbool.h>
#include <sys/types.h>

#include "proto/error.h"

#define SPAWN_FDS_MAX    16
#define SPAWN_GROUPS_MAX 256
#define SPAWN_LIMITS_MAX 16
/* Descriptor numbers in the child are below this. */
#define SPAWN_FD_NUMBER_MAX 32

struct spawn_limit {
	int resource; /* RLIMIT_* */
	uint64_t soft, hard;
};

struct spawn_plan {
	const char *path;        /* executable, absolute */
	const char *const *argv; /* NULL-terminated */
	const char *const *envp; /* NULL-terminated */
	const char *cwd;
	uid_t uid; /* (uid_t)-1: unchanged */
	gid_t gid; /* (gid_t)-1: unchanged */
	const gid_t *groups;
	size_t n_groups; /* supplementary groups; set only when uid is */
	int umask;       /* -1: unchanged */
	const struct spawn_limit *limits;
	size_t n_limits;
	int nice;
	bool nice_set;
	int oom_score_adj;
	bool oom_score_adj_set; /* unset: reset to the value the agent was started with */
	bool no_new_privs;
	uint64_t tag;                 /* 0: none */
	int child_fds[SPAWN_FDS_MAX]; /* descriptor numbers in the child, in the order they are
	                                 attached */
	size_t n_child_fds;
	const char *cgroup; /* directory of its own cgroup, made by the supervisor; NULL: none */
};

/*
 * Write the plan into a new sealed memfd.
 *
 * ownership  *fd is the caller's
 * errors     PM_CONFIG (arguments and environment over 2 MiB), PM_LIMIT, PM_NO_MEMORY, PM_INTERNAL
 */
PM_MUST_CHECK int spawn_plan_write(const struct spawn_plan *plan, int *fd, struct pm_error *err);

#endif
