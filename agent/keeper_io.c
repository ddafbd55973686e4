#include "agent/keeper_io.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

int keeper_msg_take(struct keeper_msg *m, size_t index)
{
	return index < m->n_fds ? PM_STEAL_FD(m->fds[index]) : -1;
}

void keeper_msg_close(struct keeper_msg *m)
{
	for (size_t i = 0; i < m->n_fds; i++)
		pm_closep(&m->fds[i]);
	m->n_fds = 0;
}

int keeper_send(int sock, const struct keeper_record *r, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * KEEPER_MSG_FDS)];
	} control;
	struct keeper_record copy = *r;
	struct iovec iov = { &copy, sizeof(copy) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fds > KEEPER_MSG_FDS)
		return E2BIG;
	copy.proto = KEEPER_PROTO;
	if (n_fds > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ENOBUFS ? EAGAIN : errno;
	return 0;
}

static void take_fds(struct keeper_msg *m, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		n = PM_MIN(n, KEEPER_MSG_FDS - m->n_fds);
		memcpy(m->fds + m->n_fds, CMSG_DATA(c), n * sizeof(int));
		m->n_fds += n;
	}
}

int keeper_recv(int sock, struct keeper_msg *m)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * KEEPER_MSG_FDS)];
	} control;
	struct iovec iov = { &m->r, sizeof(m->r) };
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = control.bytes,
		              .msg_controllen = sizeof(control.bytes) };
	ssize_t n;

	m->n_fds = 0;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return 0;
	take_fds(m, &msg);
	m->fds_lost = (msg.msg_flags & MSG_CTRUNC) != 0;
	if (n != (ssize_t)sizeof(m->r) || (msg.msg_flags & MSG_TRUNC) != 0 ||
	    m->r.proto != KEEPER_PROTO) {
		keeper_msg_close(m);
		return -EBADMSG;
	}
	m->r.name[sizeof(m->r.name) - 1] = '\0';
	return 1;
}

static int wait_for(int sock, short events, uint64_t deadline_ms)
{
	uint64_t now = pm_now_ms();
	struct pollfd p = { .fd = sock, .events = events };

	if (now >= deadline_ms)
		return -ETIMEDOUT;
	if (poll(&p, 1, (int)PM_MIN(deadline_ms - now, 60000u)) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

int keeper_recv_until(int sock, struct keeper_msg *m, uint64_t deadline_ms)
{
	for (;;) {
		int rc = keeper_recv(sock, m);

		if (rc != -EAGAIN)
			return rc;
		rc = wait_for(sock, POLLIN, deadline_ms);
		if (rc < 0)
			return rc;
	}
}

int keeper_send_until(int sock, const struct keeper_record *r, const int *fds, size_t n_fds,
                      uint64_t deadline_ms)
{
	for (;;) {
		int rc = keeper_send(sock, r, fds, n_fds);

		if (rc == ETOOMANYREFS) {
			/* The socket is writable: only the peer's reading helps, so look again
			 * soon. */
			(void)poll(NULL, 0, 5);
			rc = pm_now_ms() < deadline_ms ? EAGAIN : ETIMEDOUT;
		}
		if (rc != EAGAIN)
			return rc;
		rc = wait_for(sock, POLLOUT, deadline_ms);
		if (rc < 0)
			return -rc;
	}
}

size_t keeper_fds_pack(const int fds[KEEPER_FD_COUNT], uint32_t *mask, int *out)
{
	size_t n = 0;

	*mask = 0;
	for (unsigned role = 0; role < KEEPER_FD_COUNT; role++) {
		if (fds[role] < 0)
			continue;
		*mask |= 1u << role;
		out[n++] = fds[role];
	}
	return n;
}

size_t keeper_mask_count(uint32_t mask)
{
	return (size_t)__builtin_popcount(mask & ((1u << KEEPER_FD_COUNT) - 1));
}
