/*
 * notify_socket.h - where apps say how they do: NOTIFY_SOCKET of sd_notify(3).
 *
 * One datagram socket for the agent, made when the first app asks for it, and held by the keeper,
 * so that what is said while the supervisor is away is read by the next one. Its name is abstract:
 * the home is for the agent's user alone, and apps may run as others, or elsewhere in the file
 * system; they have to be in the agent's network name space. Everybody there can send to it. So
 * nothing in a datagram says who speaks: the kernel names the sender's process (SCM_CREDENTIALS),
 * which must be the instance's main process, or carry its tag (tree.h) and run as the app's user,
 * as ours or as root. Everything else is dropped.
 *
 * A sender that has ended by the time it is looked at is nobody; systemd-notify(1) waits for that
 * long (BARRIER=1: it waits until its descriptor is closed here).
 */
#ifndef PM_AGENT_NOTIFY_SOCKET_H
#define PM_AGENT_NOTIFY_SOCKET_H

#include "agent/super.h"

/* Make it, unless it is there. errors: PM_INTERNAL, PM_NO_MEMORY, those of keeper_client_hold() */
PM_MUST_CHECK int notify_socket_open(struct super *su, struct pm_error *err);
/* What NOTIFY_SOCKET is to be: "@pmd-..."; NULL: it is not there. */
const char *notify_socket_name(const struct super *su);
/* Read what has come, and tell the instances. */
void notify_socket_read(struct super *su);

/* A former supervisor's; fd is taken. */
void notify_socket_restore(struct super *su, int fd);
/* To hand to a keeper that we become; -1: none. */
int notify_socket_fd(const struct super *su);
void notify_socket_close(struct super *su);

/* Its name in the keeper. */
#define NOTIFY_SOCKET_HELD "notify"

#endif
