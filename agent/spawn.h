/*
 * spawn.h - starts one process from its plan, in the keeper.
 *
 * The child shares our memory until it executes (CLONE_VM), so a failure comes back as a stage and
 * an errno in that memory: no pipe, no descriptor, no copy of page tables. Unlike vfork we wait for
 * the exec with a time limit, on the word that the kernel clears then (CLONE_CHILD_CLEARTID):
 * an executable on a dead network file system, or a user who stops the child between its change of
 * user and its exec, costs the keeper seconds, not its life. The child shares our table of
 * descriptors too until its first step, which leaves it only the ones it is to get, so a spawn
 * costs the same with 10 and with 10,000 descriptors held.
 */
#ifndef PM_AGENT_SPAWN_H
#define PM_AGENT_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/keeper_proto.h"
#include "agent/origin.h"
#include "agent/spawn_plan.h"

/* Among plan->envp, and in memory that can be written: the child puts its pid there (LISTEN_PID of
 * sd_listen_fds(3)). */
#define SPAWN_LISTEN_PID "LISTEN_PID=          "

/* Longest wait for one exec; then the child is killed and the spawn fails with ETIMEDOUT. */
#define SPAWN_WAIT_MS 5000

/* A plan mapped from its memfd: plan points into the mapping. */
struct spawn_mapped {
	struct spawn_plan plan;
	void *map; /* owned, size bytes */
	size_t size;
};

/* Map and check a plan. Returns 0 or an errno: EINVAL for what spawn_plan_write() did not write. */
int spawn_plan_map(int fd, struct spawn_mapped *out);
void spawn_plan_unmap(struct spawn_mapped *m);

struct spawn_request {
	const struct spawn_plan *plan;
	const int *fds;              /* plan->n_child_fds of them, borrowed */
	int exec_fd;                 /* execute this descriptor; -1: plan->path */
	const struct origin *origin; /* limits and oom_score_adj to go back to; NULL: keep ours */
};

struct spawn_result {
	int error; /* errno, 0: it executes */
	enum spawn_stage stage;
	pid_t pid;
	int pidfd; /* the caller's; -1 on failure */
	uint64_t start_ticks;
	bool tagged; /* false: the kernel did not let us set the tag */
};

/* Reserve the descriptor numbers that spawning uses. Once, before anything else is spawned.
 * Returns 0 or an errno. */
int spawn_init(void);
/* Is the number one of those? What is inherited there must move before spawn_init(). */
bool spawn_fd_is_reserved(int fd);

void spawn_child(const struct spawn_request *request, struct spawn_result *result);

/* Field 22 of /proc/PID/stat; 0 when there is no such process. */
uint64_t spawn_start_ticks(pid_t pid);

#endif
