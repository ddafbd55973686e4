/*
 * socket_make.h - makes one listening socket: addresses, options, whose rights, stale unix paths.
 */
#ifndef PM_AGENT_SOCKET_MAKE_H
#define PM_AGENT_SOCKET_MAKE_H

#include "agent/sockets.h"

/* Where a group is bound: what its first socket got. */
struct socket_place {
	struct sockaddr_storage addr;
	socklen_t len;
	uint64_t dev, ino; /* of the path of a unix socket */
};

/*
 * Make and bind the first socket of a group. It does not share its port while it binds, so that a
 * port another program, or another app of ours, listens on is EADDRINUSE; afterwards it does
 * (SO_REUSEPORT). A unix path is taken over only from a dead socket.
 *
 * owner    whose rights bind() has; NULL: ours
 * shares   whoever has the port is known to be the same app (TCP)
 * returns  0 with *fd and *place, or an errno
 */
int socket_make_first(const struct socket_key *key, const struct sockets_owner *owner, bool shares,
                      int *fd, struct socket_place *place);

/* One more beside it. Returns 0 with *fd, or an errno. */
int socket_make_next(const struct socket_key *key, const struct socket_place *place, int *fd);

/* Listen; nothing to do for datagrams. Returns 0 or an errno. */
int socket_make_listen(const struct socket_key *key, int fd);

/* Does the path of a unix socket still lead to it? true for all others. */
bool socket_place_is_ours(const struct socket_key *key, const struct socket_place *place);
/* Remove it, if it does. */
void socket_place_remove(const struct socket_key *key, const struct sockets_owner *owner,
                         const struct socket_place *place);

#endif
