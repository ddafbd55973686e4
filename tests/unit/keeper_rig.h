/*
 * keeper_rig.h - a real keeper in a private home, with the test in the supervisor's place (through
 * tests/helpers/relay_supervisor.c).  Every wait has a deadline; nothing outlives rig_finish().
 */
#ifndef PM_TESTS_KEEPER_RIG_H
#define PM_TESTS_KEEPER_RIG_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/keeper_io.h"
#include "agent/spawn_plan.h"

#define RIG_MS 20000 /* long enough for a loaded machine; nothing waits for it to pass */

struct rig {
	char dir[64], home[80], relay[80], build[256];
	int listen_fd;
	pid_t keeper;        /* 0 when it was reaped */
	int sock;            /* the supervisor's end */
	int relay_fd;        /* to the process that stands for the supervisor */
	pid_t relay_pid;     /* its pid */
	struct keeper_msg m; /* the last message */
	char note[KEEPER_NAME_MAX];
};

static inline uint64_t rig_deadline(void)
{
	return pm_now_ms() + RIG_MS;
}

static inline void rig_init(struct rig *r)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	ssize_t n;

	memset(r, 0, sizeof(*r));
	r->sock = r->relay_fd = -1;
	(void)snprintf(r->dir, sizeof(r->dir), "/tmp/pmd-keeper-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	(void)snprintf(r->home, sizeof(r->home), "%s/home", r->dir);
	(void)snprintf(r->relay, sizeof(r->relay), "%s/relay", r->dir);
	n = readlink("/proc/self/exe", r->build, sizeof(r->build) - 1);
	assert_true(n > 0);
	for (int i = 0; i < 2; i++) /* BUILD/unit/test_x */
		*strrchr(r->build, '/') = '\0';
	r->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", r->relay);
	assert_int_equal(bind(r->listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(r->listen_fd, 8), 0);
}

static inline void rig_path(const struct rig *r, const char *name, char *out, size_t size)
{
	(void)snprintf(out, size, "%s/%s", r->build, name);
}

/* Start `pmd agent` with one more option (or NULL) and fail points (or NULL). */
static inline pid_t rig_agent(const struct rig *r, const char *option, const char *fail)
{
	char pmd[300], relay[300];
	pid_t pid;

	rig_path(r, "pmd", pmd, sizeof(pmd));
	rig_path(r, "helpers/relay_supervisor", relay, sizeof(relay));
	pid = fork();
	assert_true(pid >= 0);
	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nothing behind */
	(void)setenv("PMD_SUPERVISOR", relay, 1);
	(void)setenv("PMD_TEST_RELAY", r->relay, 1);
	if (fail != NULL)
		(void)setenv("PMD_FAIL", fail, 1);
	/* A quiet test: the refusals are wanted. */
	(void)dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
	(void)execl(pmd, "pmd", "agent", "--home", r->home, option, (char *)NULL);
	_exit(126);
}

static inline int rig_wait(pid_t pid)
{
	uint64_t by = rig_deadline();
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), status;
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	assert_true(pidfd >= 0);
	while (poll(&p, 1, (int)(by - pm_now_ms())) < 0)
		assert_int_equal(errno, EINTR);
	assert_true(p.revents != 0);
	(void)close(pidfd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static inline int rig_status(pid_t pid)
{
	int status = rig_wait(pid);

	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Take the place of the supervisor that the keeper has just started. */
static inline void rig_accept(struct rig *r)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	int pid = 0;
	struct iovec iov = { &pid, sizeof(pid) };
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = control.bytes,
		              .msg_controllen = sizeof(control.bytes) };
	struct pollfd p = { .fd = r->listen_fd, .events = POLLIN };

	pm_closep(&r->sock);
	pm_closep(&r->relay_fd);
	assert_int_equal(poll(&p, 1, RIG_MS), 1);
	r->relay_fd = accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(r->relay_fd >= 0);
	assert_int_equal(recvmsg(r->relay_fd, &msg, MSG_CMSG_CLOEXEC), (ssize_t)sizeof(pid));
	assert_non_null(CMSG_FIRSTHDR(&msg));
	memcpy(&r->sock, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(r->sock));
	r->relay_pid = pid;
}

/* The next signal that reached the supervisor. */
static inline int rig_signal(struct rig *r)
{
	struct pollfd p = { .fd = r->relay_fd, .events = POLLIN };
	int number = 0;

	assert_int_equal(poll(&p, 1, RIG_MS), 1);
	assert_int_equal(read(r->relay_fd, &number, sizeof(number)), (ssize_t)sizeof(number));
	return number;
}

/* The supervisor dies. */
static inline void rig_kill_supervisor(struct rig *r)
{
	assert_int_equal(kill(r->relay_pid, SIGKILL), 0);
	pm_closep(&r->sock);
	r->sock = -1;
}

/* The supervisor leaves as it was told. */
static inline void rig_leave(struct rig *r)
{
	const int zero = 0;

	pm_closep(&r->sock);
	r->sock = -1;
	assert_int_equal(write(r->relay_fd, &zero, sizeof(zero)), (ssize_t)sizeof(zero));
}

static inline void rig_send(struct rig *r, const struct keeper_record *record, const int *fds,
                            size_t n)
{
	assert_int_equal(keeper_send_until(r->sock, record, fds, n, rig_deadline()), 0);
}

static inline void rig_say(struct rig *r, enum keeper_op op, uint32_t slot)
{
	const struct keeper_record record = { .op = op, .slot = slot };

	rig_send(r, &record, NULL, 0);
}

/* The next message; its descriptors are closed with the one after it, unless taken. */
static inline uint32_t rig_next(struct rig *r)
{
	keeper_msg_close(&r->m);
	assert_int_equal(keeper_recv_until(r->sock, &r->m, rig_deadline()), 1);
	return r->m.r.op;
}

static inline void rig_want(struct rig *r, enum keeper_op op, uint32_t slot)
{
	assert_int_equal(rig_next(r), op);
	assert_int_equal(r->m.r.slot, slot);
}

/* HELLO, and an empty table. */
static inline void rig_hello_empty(struct rig *r)
{
	rig_say(r, KEEPER_HELLO, 0);
	rig_want(r, KEEPER_WELCOME, 0);
	rig_want(r, KEEPER_END, 0);
}

static inline void rig_start(struct rig *r, const char *fail)
{
	rig_init(r);
	r->keeper = rig_agent(r, NULL, fail);
	rig_accept(r);
	rig_hello_empty(r);
	assert_int_equal(r->m.n_fds, 0);
	rig_say(r, KEEPER_READY, 0);
}

static inline struct spawn_plan rig_plan(const char *const *argv)
{
	static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };

	return (struct spawn_plan){ .path = argv[0],
		                    .argv = argv,
		                    .envp = env,
		                    .uid = (uid_t)-1,
		                    .gid = (gid_t)-1,
		                    .umask = -1 };
}

/* Spawn argv into the slot with one held descriptor (role OUT; -1: none). No answer is read. */
static inline void rig_spawn(struct rig *r, uint32_t slot, const char *const *argv, int held,
                             bool is_job)
{
	const struct spawn_plan plan = rig_plan(argv);
	struct keeper_record record = { .op = KEEPER_SPAWN, .slot = slot, .is_job = is_job };
	struct pm_error err;
	int fds[2] = { -1, held };

	record.user[0] = slot + 100;
	record.fd_mask = held >= 0 ? 1u << KEEPER_FD_OUT : 0;
	assert_int_equal(spawn_plan_write(&plan, &fds[0], &err), 0);
	rig_send(r, &record, fds, held >= 0 ? 2 : 1);
	(void)close(fds[0]);
}

/* A process that stays until it is killed. Returns its pid. */
static inline pid_t rig_spawn_sleeper(struct rig *r, uint32_t slot, int held)
{
	rig_spawn(r, slot, (const char *[]){ "/bin/sleep", "1000", NULL }, held, false);
	rig_want(r, KEEPER_SPAWNED, slot);
	assert_int_equal(r->m.r.error, 0);
	assert_int_equal(r->m.n_fds, 1);
	return r->m.r.pid;
}

/* KEEPER_STOP, and the keeper leaves with 0. */
static inline void rig_stop(struct rig *r)
{
	rig_say(r, KEEPER_STOP, 0);
	rig_leave(r);
	assert_int_equal(rig_status(r->keeper), 0);
	r->keeper = 0;
}

static inline void rig_remove(const char *dir)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)execl("/bin/rm", "rm", "-rf", dir, (char *)NULL);
		_exit(1);
	}
	assert_int_equal(rig_status(pid), 0);
}

static inline void rig_finish(struct rig *r)
{
	keeper_msg_close(&r->m);
	if (r->keeper > 0) {
		(void)kill(r->keeper, SIGKILL);
		(void)waitpid(r->keeper, NULL, 0);
	}
	pm_closep(&r->sock);
	pm_closep(&r->relay_fd); /* the relay sees it and leaves */
	(void)close(r->listen_fd);
	rig_remove(r->dir);
}

#endif
