/*
 * tree.h - every process of an instance, however it forked: found, measured and killed.
 *
 * Processes carry a tag: the RLIMIT_RTTIME that the keeper sets before exec. It is inherited over
 * fork, setsid, double fork and exec, cannot be raised back, has no effect on a process that is not
 * real-time scheduled (its value is over a hundred thousand years), and one prlimit(2) call reads
 * it. So a process that has cut every other tie to its app (parent, session, group, environment) is
 * still found, without cgroups.
 */
#ifndef PM_AGENT_TREE_H
#define PM_AGENT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/error.h"

/* The tag of instance pm_id's process number `serial` of the home with this nonce. Never 0. Pure.
 */
uint64_t tree_tag(uint32_t home_nonce, uint32_t pm_id, uint32_t serial);
/* In the place of pm_id: of no instance, a check that runs. It is more than there are instances. */
#define TREE_ID_CHECK 0xfffffu
bool tree_tag_is_ours(uint64_t tag, uint32_t home_nonce);
uint32_t tree_tag_pm_id(uint64_t tag);
/* A number for the home, the same at every start of its agent: from the device and inode of the
 * directory. */
PM_MUST_CHECK int tree_home_nonce(const char *home, uint32_t *nonce, struct pm_error *err);

/* The tag that a process carries. false: none, or it is gone, or not ours to look at. */
bool tree_tag_of(pid_t pid, uint64_t *tag);

/* What one process uses, read once. */
struct tree_process {
	pid_t pid;
	pid_t ppid;
	uint64_t tag;
	uint64_t rss_bytes;
	uint64_t cpu_ticks; /* user + system, in clock ticks */
	uint64_t start_ticks;
	char state; /* 'R', 'S', 'D', 'T', 'Z' */
};

/*
 * Walk /proc once and hand every live process that carries a tag of this home to fn.
 * usage false: only pid and tag are filled (one prlimit a process), and zombies may be among them.
 * Without privileges, processes that changed their user are left out.
 *
 * returns  how many, -1 without /proc
 */
typedef void tree_fn(void *arg, const struct tree_process *p);
int tree_walk(uint32_t home_nonce, bool usage, tree_fn *fn, void *arg, struct pm_error *err);

/*
 * Send a signal to every live process with this tag, the main process (0: none) last; each through
 * a pidfd whose tag was checked, so never to a stranger.
 *
 * returns  how many live processes (zombies do not count) carried the tag: 0 means that nothing is
 * left
 */
PM_MUST_CHECK int tree_signal(uint64_t tag, pid_t main_pid, int signal, int *n_alive,
                              struct pm_error *err);

/*
 * Send a signal to every live process with this tag whose program has a name that begins so; to
 * none whose program is not ours to see.
 */
PM_MUST_CHECK int tree_signal_programs(uint64_t tag, const char *name, int signal,
                                       struct pm_error *err);

/* Every process, zombies too, that carries a tag of any home. */
typedef void tree_pid_fn(void *arg, pid_t pid, uint64_t tag);
PM_MUST_CHECK int tree_pids(tree_pid_fn *fn, void *arg, struct pm_error *err);

/*
 * Send a signal (0: none) to one process if it lives and carries the tag, never to a stranger. One
 * that is stopped is continued, so that it gets to see the signal.
 *
 * returns  whether it lives
 */
bool tree_signal_one(pid_t pid, uint64_t tag, int signal);

#endif
