/*
 * cgroup.h - a control group of its own for each process's tree, where systemd has delegated us one
 * (Delegate=yes).
 *
 * Then killing all is one write, and what an app uses is accounted to it. Where nothing is
 * delegated this module does nothing, and the tags of tree.h do the work alone.
 */
#ifndef PM_AGENT_CGROUP_H
#define PM_AGENT_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"

/* The delegated group we live in; path[0] is NUL when there is none. */
struct cgroup_base {
	char path[PATH_MAX];
};

/*
 * Find it: cgroup v2, not the root, ours to write, and marked as delegated by systemd.
 *
 * source  systemd.resource-control(5) Delegate=; the attribute user.delegate (trusted.delegate for
 * root)
 */
void cgroup_find(struct cgroup_base *base);

/* Make the group of one process. out is its directory; "" when there is none. errors: the system's
 */
PM_MUST_CHECK int cgroup_make(const struct cgroup_base *base, uint32_t pm_id, uint32_t slot,
                              char *out, size_t size, struct pm_error *err);

/* The path that cgroup_make() gave, without making it. */
void cgroup_path(const struct cgroup_base *base, uint32_t pm_id, uint32_t slot, char *out,
                 size_t size);

/* SIGKILL to all in it (Linux 5.14; false on older ones). */
bool cgroup_kill(const char *path);

/* Whether anything lives in it. */
bool cgroup_is_populated(const char *path);

/* Remove an empty one; it and what is not there are no errors. */
void cgroup_remove(const char *path);

#endif
