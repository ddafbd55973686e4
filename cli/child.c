#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXEC_FAILED 127
#define READ_BYTES  65536

/* These belong to a process that a node above us started; fd 3 is ours to give. */
static void drop_node_variables(void)
{
	(void)unsetenv("NODE_CHANNEL_FD");
	(void)unsetenv("NODE_CHANNEL_SERIALIZATION_MODE");
	(void)unsetenv("NODE_UNIQUE_ID");
}

/* Between fork and exec; only returns by _exit. pmctl has one thread, so libc may be used. */
__attribute__((noreturn)) static void become(const struct child_order *o, int out, pid_t parent)
{
	char *const *argv = (char *const *)(uintptr_t)o->argv;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)setpgid(0, 0);
	/* Its own group hears no Ctrl-C: it must not outlive us. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (null < 0 || getppid() != parent || (o->cwd != NULL && chdir(o->cwd) < 0))
		_exit(EXEC_FAILED);
	drop_node_variables();
	if (out == o->out_fd) {
		(void)fcntl(out, F_SETFD, 0);
	} else {
		/* `null` may sit on the number that is wanted. */
		if (null == o->out_fd)
			null = fcntl(null, F_DUPFD_CLOEXEC, o->out_fd + 1);
		if (dup2(out, o->out_fd) < 0)
			_exit(EXEC_FAILED);
	}
	if (dup2(null, 0) < 0 || (o->quiet && dup2(null, 2) < 0) ||
	    (o->out_fd != 1 && dup2(2, 1) < 0))
		_exit(EXEC_FAILED);
	(void)execv(argv[0], argv);
	_exit(EXEC_FAILED);
}

/* Takes what is there; 0: the end, or nothing for now. */
static int drain(int fd, struct pm_buf *out, bool *eof, struct pm_error *err)
{
	PM_FREE char *bytes = pm_calloc(1, READ_BYTES);

	if (bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read a child's output");
	for (;;) {
		ssize_t n = read(fd, bytes, READ_BYTES);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return pm_fail_errno(err, errno, "read a child's output");
		if (n == 0) {
			*eof = true;
			return 0;
		}
		pm_buf_add(out, bytes, (size_t)n);
		if (out->failed)
			return pm_fail(err, PM_LIMIT, "it prints over %zu bytes", out->max);
	}
}

/* Until the process has ended; a grandchild may keep the pipe open longer. */
static int collect(int fd, int pidfd, int time_ms, struct pm_buf *out, struct pm_error *err)
{
	uint64_t end_ms = pm_now_ms() + (uint64_t)time_ms;
	struct pollfd polls[2] = { { .fd = pidfd, .events = POLLIN },
		                   { .fd = fd, .events = POLLIN } };
	bool eof = false;

	for (;;) {
		uint64_t now_ms = pm_now_ms();
		int n;

		if (now_ms >= end_ms)
			return pm_fail(err, PM_DEADLINE, "not done after %d ms", time_ms);
		polls[1].fd = eof ? -1 : fd;
		n = poll(polls, 2, (int)(end_ms - now_ms));
		if (n < 0 && errno != EINTR)
			return pm_fail_errno(err, errno, "poll");
		if (n > 0 && polls[1].revents != 0 && drain(fd, out, &eof, err) < 0)
			return -1;
		if (n > 0 && polls[0].revents != 0)
			return eof ? 0 : drain(fd, out, &eof, err);
	}
}

static int watch(pid_t pid, int fd, const struct child_order *o, struct pm_buf *out, int *status,
                 struct pm_error *err)
{
	PM_CLOSE int pidfd = pidfd_open(pid, 0);
	int rc = pidfd < 0 ? pm_fail_errno(err, errno, "pidfd_open")
	                   : collect(fd, pidfd, o->time_ms, out, err);

	/* Not reaped yet, so the number of its group is still its own. */
	(void)kill(-pid, SIGKILL);
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return pm_fail_errno(err, errno, "waitpid");
	return rc;
}

int child_run(const struct child_order *order, struct pm_buf *out, int *status,
              struct pm_error *err)
{
	PM_CLOSE int reader = -1;
	PM_CLOSE int writer = -1;
	pid_t self = getpid(), pid;
	int fds[2];

	if (access(order->argv[0], X_OK) < 0)
		return pm_fail(err, PM_NOT_FOUND, "%.200s cannot be executed", order->argv[0]);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return pm_fail_errno(err, errno, "pipe");
	reader = fds[0];
	writer = fds[1];
	if (fcntl(reader, F_SETFL, O_NONBLOCK) < 0)
		return pm_fail_errno(err, errno, "pipe");
	pid = fork();
	if (pid < 0)
		return pm_fail_errno(err, errno, "fork");
	if (pid == 0)
		become(order, writer, self);
	(void)setpgid(pid, pid); /* fails once the child has executed: then it has done it */
	pm_closep(&writer);
	writer = -1;
	return watch(pid, reader, order, out, status, err);
}
