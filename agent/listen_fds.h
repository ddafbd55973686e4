/*
 * listen_fds.h - listening sockets for programs that take them as systemd hands them out:
 * descriptors from 3 on, and LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES in the environment.
 *
 * LISTEN_PID must be the pid of the process that executes the program, which nobody knows before it
 * is there. So the environment says SPAWN_LISTEN_PID (spawn.h), and the child writes its pid over
 * the blanks in it, in the keeper's private copy of the plan, just before it executes.
 *
 * source  sd_listen_fds(3)
 */
#ifndef PM_AGENT_LISTEN_FDS_H
#define PM_AGENT_LISTEN_FDS_H

#include "agent/sockets.h"
#include "proto/limits.h"

#define LISTEN_FDS_FIRST 3

struct listen_fds {
	size_t n;
	struct socket_key keys[PM_LISTEN_MAX];
	char names[PM_LISTEN_MAX * 64]; /* as LISTEN_FDNAMES has them: "web:unknown" */
};

/* From the spec's list. errors: PM_CONFIG, PM_LIMIT */
PM_MUST_CHECK int listen_fds_init(struct listen_fds *l, char *const *listen, size_t n,
                                  struct pm_error *err);

/*
 * The sockets of a seat, to be the child's LISTEN_FDS_FIRST and following. They block, as systemd's
 * do unless NonBlocking= says otherwise.
 *
 * fds  l->n of them, borrowed from s
 */
PM_MUST_CHECK int listen_fds_get(const struct listen_fds *l, struct sockets *s, uint32_t seat,
                                 unsigned generation, int fds[PM_LISTEN_MAX], struct pm_error *err);

/* The values of LISTEN_FDS and LISTEN_PID; that of LISTEN_FDNAMES is l->names. */
void listen_fds_env(const struct listen_fds *l, char *fds, size_t fds_size, const char **pid);

#endif
