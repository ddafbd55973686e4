#include "agent/shim/shim_int.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

/*
 * Options that a listening or datagram socket has or hands on to what it accepts. Not: what decides
 * who shares the port (SO_REUSEADDR, SO_REUSEPORT, IPV6_V6ONLY), which is pmd's affair.
 */
static const struct {
	int level, name;
} options[] = {
	{ SOL_SOCKET, SO_KEEPALIVE },
	{ SOL_SOCKET, SO_OOBINLINE },
	{ SOL_SOCKET, SO_RCVLOWAT },
	{ SOL_SOCKET, SO_PRIORITY },
	{ SOL_SOCKET, SO_BROADCAST },
	{ SOL_SOCKET, SO_TIMESTAMP },
	{ SOL_SOCKET, SO_PASSCRED },
	{ SOL_SOCKET, SO_BUSY_POLL },
	{ IPPROTO_IP, IP_TOS },
	{ IPPROTO_IP, IP_TTL },
	{ IPPROTO_IP, IP_PKTINFO },
	{ IPPROTO_IP, IP_RECVTTL },
	{ IPPROTO_IP, IP_RECVTOS },
	{ IPPROTO_IP, IP_MTU_DISCOVER },
	{ IPPROTO_IPV6, IPV6_TCLASS },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO },
	{ IPPROTO_IPV6, IPV6_RECVHOPLIMIT },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS },
	{ IPPROTO_TCP, TCP_NODELAY },
	{ IPPROTO_TCP, TCP_KEEPIDLE },
	{ IPPROTO_TCP, TCP_KEEPINTVL },
	{ IPPROTO_TCP, TCP_KEEPCNT },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT },
	{ IPPROTO_TCP, TCP_FASTOPEN },
	{ IPPROTO_TCP, TCP_LINGER2 },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT },
};

/* The kernel doubles what is set here. */
static const int buffers[] = { SO_RCVBUF, SO_SNDBUF };
static const int time_limits[] = { SO_RCVTIMEO, SO_SNDTIMEO };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void copy_bytes(int from, int to, int level, int name, size_t size)
{
	char old[32], now[32];
	socklen_t old_len = (socklen_t)size, now_len = (socklen_t)size;

	if (getsockopt(from, level, name, old, &old_len) < 0 ||
	    getsockopt(to, level, name, now, &now_len) < 0 ||
	    (old_len == now_len && memcmp(old, now, old_len) == 0))
		return;
	/* What cannot be set was not set by the program either. */
	(void)setsockopt(to, level, name, old, old_len);
}

static void copy_buffer(int from, int to, int name)
{
	int old, now;
	socklen_t len = sizeof(int);

	if (getsockopt(from, SOL_SOCKET, name, &old, &len) < 0 ||
	    getsockopt(to, SOL_SOCKET, name, &now, &len) < 0 || old == now)
		return;
	old /= 2;
	(void)setsockopt(to, SOL_SOCKET, name, &old, sizeof(old));
}

static void copy_options(int from, int to)
{
	for (size_t i = 0; i < COUNT(options); i++)
		copy_bytes(from, to, options[i].level, options[i].name, sizeof(int));
	copy_bytes(from, to, SOL_SOCKET, SO_LINGER, sizeof(struct linger));
	copy_bytes(from, to, IPPROTO_TCP, TCP_CONGESTION, 16);
	for (size_t i = 0; i < COUNT(time_limits); i++)
		copy_bytes(from, to, SOL_SOCKET, time_limits[i], sizeof(struct timeval));
	for (size_t i = 0; i < COUNT(buffers); i++)
		copy_buffer(from, to, buffers[i]);
}

static int replace(int fd, int from, int fd_flags)
{
	int error = 0;

	if (fd_flags < 0 || dup3(from, fd, (fd_flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0) < 0)
		error = errno;
	(void)syscall(SYS_close, from);
	return error;
}

int shim_install(int fd, int from)
{
	int ours = -1, theirs = -1, flags = fcntl(fd, F_GETFL), now = fcntl(from, F_GETFL);
	socklen_t len = sizeof(int);

	/* On a machine without IPv6 "any address" may be IPv4, which the program does not expect.
	 */
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &theirs, &len) < 0 ||
	    getsockopt(from, SOL_SOCKET, SO_DOMAIN, &ours, &len) < 0 || ours != theirs ||
	    flags < 0 || now < 0) {
		(void)syscall(SYS_close, from);
		return EADDRNOTAVAIL;
	}
	copy_options(fd, from);
	(void)fcntl(from, F_SETFL, (now & ~O_NONBLOCK) | (flags & O_NONBLOCK));
	return replace(fd, from, fcntl(fd, F_GETFD));
}

/* A socket like fd, with its options. Returns it, or -1 with errno. */
static int fresh(int fd)
{
	int domain = -1, type = -1, protocol = 0, flags = fcntl(fd, F_GETFL), made;
	socklen_t len = sizeof(int);

	if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0)
		return -1;
	made = socket(domain, type | SOCK_CLOEXEC | (flags & O_NONBLOCK), protocol);
	if (made >= 0)
		copy_options(fd, made);
	return made;
}

int shim_retire(int fd)
{
	int dead = fresh(fd);

	return dead < 0 ? errno : replace(fd, dead, fcntl(fd, F_GETFD));
}

int shim_give_back(int fd, const struct note *note,
                   int (*bind)(int, const struct sockaddr *, socklen_t))
{
	static const int shares[] = { SO_REUSEADDR, SO_REUSEPORT };
	int own = fresh(fd), on = 1, only = 1;
	socklen_t len = sizeof(only);

	if (own < 0)
		return errno;
	if (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) == 0)
		(void)setsockopt(own, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	/* Other workers may use the port as well. */
	for (size_t i = 0; i < COUNT(shares); i++)
		(void)setsockopt(own, SOL_SOCKET, shares[i], &on, sizeof(on));
	if (bind(own, &note->addr.any, note->len) < 0) {
		int error = errno;

		(void)syscall(SYS_close, own);
		return error;
	}
	return replace(fd, own, fcntl(fd, F_GETFD));
}
