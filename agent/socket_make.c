#include "agent/socket_make.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- whose rights ---- */

struct rights {
	bool changed;
	uid_t uid;
	gid_t gid;
	int n_groups;
	gid_t groups[SOCKETS_GROUPS_MAX];
};

/* System calls, not libc's functions: those would change the rights of the thread pool too, which
 * may be writing a file of ours right now. */
static int take_rights(const struct sockets_owner *owner, struct rights *ours)
{
	ours->changed = false;
	if (owner == NULL || owner->uid == (uid_t)-1 || owner->uid == geteuid())
		return 0;
	ours->uid = geteuid();
	ours->gid = getegid();
	ours->n_groups = getgroups((int)PM_COUNT(ours->groups), ours->groups);
	if (ours->n_groups < 0)
		return errno;
	if (syscall(SYS_setgroups, owner->n_groups, owner->groups) < 0)
		return errno;
	ours->changed = true;
	if ((owner->gid != (gid_t)-1 && syscall(SYS_setresgid, -1, owner->gid, -1) < 0) ||
	    syscall(SYS_setresuid, -1, owner->uid, -1) < 0)
		return errno;
	return 0;
}

static void drop_rights(const struct rights *ours)
{
	if (!ours->changed)
		return;
	/* Our real and saved ids never changed, so this cannot fail; going on as somebody else
	 * would be worse than a restart. */
	if (syscall(SYS_setresuid, -1, ours->uid, -1) < 0 ||
	    syscall(SYS_setresgid, -1, ours->gid, -1) < 0 ||
	    syscall(SYS_setgroups, ours->n_groups, ours->groups) < 0)
		abort();
	/* Changing ids made our memory undumpable, and /proc/self root's. */
	(void)prctl(PR_SET_DUMPABLE, 1);
}

/* ---- addresses ---- */

static int unix_place(const struct socket_key *key, struct socket_place *place)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = strnlen(key->address, sizeof(key->address));

	/* Relative to which directory? The asker's is not ours. */
	if (len < 2 || len >= sizeof(un.sun_path) ||
	    (key->address[0] != '/' && key->address[0] != '@'))
		return EINVAL;
	memcpy(un.sun_path, key->address, len);
	if (key->address[0] == '@')
		un.sun_path[0] = '\0'; /* the abstract name space */
	memcpy(&place->addr, &un, sizeof(un));
	place->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
	                         (key->address[0] == '/'));
	return 0;
}

static int inet_place(const struct socket_key *key, int family, struct socket_place *place)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		                  .ai_family = family,
		                  .ai_socktype = key->type };
	struct addrinfo *found;
	char port[8];

	(void)snprintf(port, sizeof(port), "%u", (unsigned)key->port);
	if (getaddrinfo(key->address[0] == '\0' ? NULL : key->address, port, &hints, &found) != 0)
		return EINVAL;
	memcpy(&place->addr, found->ai_addr, found->ai_addrlen);
	place->len = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static bool is_path(const struct socket_key *key)
{
	return key->family == AF_UNIX && key->address[0] == '/';
}

/* ---- making ---- */

static int make(const struct socket_key *key, int family, int *fd)
{
	const int only = !key->dual;

	*fd = socket(family, key->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return errno;
	if (family == AF_INET6 &&
	    setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) < 0)
		return errno;
	return 0;
}

static int set(int fd, int option)
{
	const int on = 1;

	return setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on)) < 0 ? errno : 0;
}

static int bind_inet(const struct socket_key *key, bool shares, int fd, struct socket_place *place)
{
	int error = 0;

	/* For TCP: connections of a former listener may linger. For UDP it would share the port. */
	if (key->type == SOCK_STREAM)
		error = set(fd, SO_REUSEADDR);
	if (error == 0 && shares)
		error = set(fd, SO_REUSEPORT);
	if (error == 0 && bind(fd, (struct sockaddr *)&place->addr, place->len) < 0)
		error = errno;
	if (error == 0)
		error = set(fd, SO_REUSEPORT);
	place->len = sizeof(place->addr);
	if (error == 0 && getsockname(fd, (struct sockaddr *)&place->addr, &place->len) < 0)
		error = errno;
	return error;
}

/* Whether the path is a socket that nobody listens on any more. */
static bool is_stale(const struct socket_key *key, const struct socket_place *place)
{
	PM_CLOSE int fd = -1;
	struct stat st;

	if (lstat(key->address, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, key->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* A full queue (EAGAIN) and another type (EPROTOTYPE) are signs of life. */
	return fd >= 0 && connect(fd, (const struct sockaddr *)&place->addr, place->len) < 0 &&
	       errno == ECONNREFUSED;
}

static int bind_unix(const struct socket_key *key, const struct sockets_owner *owner, int fd,
                     struct socket_place *place)
{
	mode_t mask = owner == NULL ? 022 : owner->umask;
	int rc = bind(fd, (struct sockaddr *)&place->addr, place->len);
	struct stat st;

	if (rc < 0 && errno == EADDRINUSE && is_path(key) && is_stale(key, place) &&
	    unlink(key->address) == 0)
		rc = bind(fd, (struct sockaddr *)&place->addr, place->len);
	if (rc < 0)
		return errno;
	if (!is_path(key))
		return 0;
	/* Our own umask lets nobody in; the app's is what its clients count on. */
	if (chmod(key->address, 0777 & ~mask) < 0 ||
	    (key->declared && owner != NULL && owner->uid != (uid_t)-1 &&
	     lchown(key->address, owner->uid, owner->gid) < 0) ||
	    lstat(key->address, &st) < 0)
		return errno;
	place->dev = st.st_dev;
	place->ino = st.st_ino;
	return 0;
}

static int make_first(const struct socket_key *key, int family, const struct sockets_owner *owner,
                      bool shares, int *fd, struct socket_place *place)
{
	struct rights ours;
	int error = family == AF_UNIX ? unix_place(key, place) : inet_place(key, family, place);

	/* The socket itself is ours: the kernel lets only sockets of one user share a port, and so
	 * no worker of another user can slip into the group. */
	if (error == 0)
		error = make(key, family, fd);
	if (error != 0)
		return error;
	error = take_rights(key->declared ? NULL : owner, &ours);
	if (error == 0)
		error = family == AF_UNIX ? bind_unix(key, owner, *fd, place)
		                          : bind_inet(key, shares, *fd, place);
	drop_rights(&ours);
	return error;
}

int socket_make_first(const struct socket_key *key, const struct sockets_owner *owner, bool shares,
                      int *fd, struct socket_place *place)
{
	PM_CLOSE int made = -1;
	int error;

	memset(place, 0, sizeof(*place));
	error = make_first(key, key->family, owner, shares, &made, place);
	/* "Any address" on a machine without IPv6. */
	if (key->dual && key->address[0] == '\0' &&
	    (error == EAFNOSUPPORT || error == EADDRNOTAVAIL)) {
		pm_closep(&made);
		made = -1;
		error = make_first(key, AF_INET, owner, shares, &made, place);
	}
	if (error == 0)
		*fd = PM_STEAL_FD(made);
	return error;
}

int socket_make_next(const struct socket_key *key, const struct socket_place *place, int *fd)
{
	PM_CLOSE int made = -1;
	int error = make(key, place->addr.ss_family, &made);

	if (error == 0 && key->type == SOCK_STREAM)
		error = set(made, SO_REUSEADDR);
	if (error == 0)
		error = set(made, SO_REUSEPORT);
	if (error == 0 && bind(made, (const struct sockaddr *)&place->addr, place->len) < 0)
		error = errno;
	if (error == 0)
		*fd = PM_STEAL_FD(made);
	return error;
}

int socket_make_listen(const struct socket_key *key, int fd)
{
	int backlog = key->backlog > 0 ? key->backlog : SOCKETS_BACKLOG;

	return key->type != SOCK_DGRAM && listen(fd, backlog) < 0 ? errno : 0;
}

bool socket_place_is_ours(const struct socket_key *key, const struct socket_place *place)
{
	struct stat st;

	return !is_path(key) || (lstat(key->address, &st) == 0 && st.st_dev == place->dev &&
	                         st.st_ino == place->ino);
}

void socket_place_remove(const struct socket_key *key, const struct sockets_owner *owner,
                         const struct socket_place *place)
{
	struct rights ours;

	if (!is_path(key))
		return;
	if (take_rights(key->declared ? NULL : owner, &ours) == 0 &&
	    socket_place_is_ours(key, place))
		(void)unlink(key->address); /* what cannot be removed is stale next time */
	drop_rights(&ours);
}
