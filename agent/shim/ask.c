#include "agent/shim/shim_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int server_fd = -1;
static uint64_t server_inode;

void shim_ask_init(const char *env)
{
	char *end;
	long fd;

	if (env == NULL)
		return;
	fd = strtol(env, &end, 10);
	if (end == env || *end != ':' || fd < 0 || fd > 1 << 20)
		return;
	server_inode = strtoull(end + 1, &end, 10);
	server_fd = *end == '\0' && server_inode != 0 ? (int)fd : -1;
}

/* The program may have closed it, and opened something else there. */
bool shim_is_on(void)
{
	return server_fd >= 0 && shim_inode(server_fd) == server_inode;
}

static uint64_t now_ms(void)
{
	struct timespec ts = { 0, 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* System calls: libc's functions are points where a thread may be cancelled, bind() is not. */
static bool send_request(const struct shim_request *r, int reply_end, uint64_t deadline)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct shim_request copy = *r;
	struct iovec iov = { &copy, sizeof(copy) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (reply_end >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &reply_end, sizeof(reply_end));
	}
	do {
		/* Blocks for SHIM_WAIT_MS at most: pmd has set SO_SNDTIMEO. */
		if (syscall(SYS_sendmsg, server_fd, &msg, MSG_NOSIGNAL) == (long)sizeof(*r))
			return true;
	} while (errno == EINTR && now_ms() < deadline);
	return false;
}

static int take_fd(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int fd = -1;

	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* Returns as shim_ask(); *again: pmd died with the question in its hands. */
static int read_reply(int end, uint64_t deadline, int *fd, bool *again)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct shim_reply r;
	struct iovec iov = { &r, sizeof(r) };
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = control,
		              .msg_controllen = sizeof(control) };
	long n;

	for (;;) {
		uint64_t now = now_ms();
		struct timeval wait;

		if (now >= deadline)
			return SHIM_OWN;
		wait.tv_sec = (time_t)((deadline - now) / 1000);
		wait.tv_usec = (suseconds_t)((deadline - now) % 1000) * 1000;
		if (setsockopt(end, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)
			return SHIM_OWN;
		n = syscall(SYS_recvmsg, end, &msg, MSG_CMSG_CLOEXEC);
		if (n >= 0 || errno != EINTR)
			break;
	}
	*again = n == 0;
	if (n <= 0)
		return SHIM_OWN;
	*fd = take_fd(&msg);
	if (n != (long)sizeof(r) || r.magic != SHIM_MAGIC || r.version != SHIM_VERSION)
		r.error = SHIM_OWN;
	return r.error;
}

int shim_ask(const struct shim_request *r, int *fd)
{
	uint64_t deadline = now_ms() + SHIM_WAIT_MS;
	int error = SHIM_OWN, ends[2];
	bool again = true;

	*fd = -1;
	while (again && now_ms() < deadline && shim_is_on()) {
		again = false;
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
			return SHIM_OWN;
		if (send_request(r, ends[1], deadline)) {
			(void)syscall(SYS_close, ends[1]);
			error = read_reply(ends[0], deadline, fd, &again);
		} else {
			(void)syscall(SYS_close, ends[1]);
		}
		(void)syscall(SYS_close, ends[0]);
	}
	if (error != 0 && *fd >= 0) {
		(void)syscall(SYS_close, *fd);
		*fd = -1;
	}
	return error;
}

void shim_tell(const struct shim_request *r)
{
	if (shim_is_on())
		(void)send_request(r, -1, now_ms() + SHIM_WAIT_MS);
}
