/*
 * relay_supervisor.c - stands where the supervisor stands and lets a test do its work: the socket
 * to the keeper goes to the test, over the socket named by PMD_TEST_RELAY; so do the numbers of the
 * signals that come.  A number from the test is the status to exit with; so is the test's end (0).
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	KEEPER_SOCK = 3
};

static int reach_test(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("PMD_TEST_RELAY");
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (path == NULL || strlen(path) >= sizeof(addr.sun_path))
		exit(3);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		exit(4);
	return fd;
}

static void pass_socket(int to)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	int pid = (int)getpid(), sock = KEEPER_SOCK;
	struct iovec iov = { &pid, sizeof(pid) };
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = control.bytes,
		              .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &sock, sizeof(sock));
	if (sendmsg(to, &msg, 0) != (ssize_t)sizeof(pid))
		exit(5);
	(void)close(KEEPER_SOCK); /* so that the end of it is the test's to bring about */
}

int main(void)
{
	struct signalfd_siginfo info;
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };
	sigset_t set;

	(void)sigfillset(&set);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	fds[0].fd = reach_test();
	fds[1].fd = signalfd(-1, &set, SFD_CLOEXEC);
	pass_socket(fds[0].fd);
	while (poll(fds, 2, -1) >= 0) {
		int number = 0;

		if (fds[0].revents != 0)
			return read(fds[0].fd, &number, sizeof(number)) < 0 ? 6 : number;
		if (read(fds[1].fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
			return 7;
		number = (int)info.ssi_signo;
		if (write(fds[0].fd, &number, sizeof(number)) != (ssize_t)sizeof(number))
			return 0;
	}
	return 8;
}
