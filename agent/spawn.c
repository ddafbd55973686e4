#include "agent/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/failpoint.h"
#include "proto/limits.h"

/* The child's code runs in our memory while we wait: it makes system calls and nothing else, and
 * the sanitizers' own state must not see it. */
#define CHILD_CODE \
	__attribute__((no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined")))

#define STACK_BYTES (32u << 10)
/* A child that does not even die of SIGKILL (an executable on a dead network file system) keeps its
 * stack; so many may hang before spawns fail with EAGAIN. */
#define SEATS 4

/* Descriptors for the child wait here, where they are below everything else that we hold and above
 * every number that a child may ask for. */
#define FD_BASE SPAWN_FD_NUMBER_MAX
#define FD_EXEC (FD_BASE + SPAWN_FDS_MAX) /* the executable, where it is a descriptor */
#define FD_NULL (FD_EXEC + 1)             /* fills the places while they are empty */

#ifdef PM_SANITIZED
/* The thread sanitizer's clone() keeps what the child needs on the stack of the parent, which goes
 * on meanwhile; this is libc's own. */
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
#define clone __clone
#endif

struct seat {
	uint32_t busy; /* the kernel clears it when the child has left our memory */
	const struct spawn_plan *plan;
	char *listen_pid; /* where the child writes its pid; NULL */
	int exec_fd;
	size_t n_fds;
	int order[SPAWN_FDS_MAX]; /* indices of plan->child_fds by ascending number */
	struct spawn_limit limits[RLIM_NLIMITS];
	size_t n_limits;
	bool set_oom;
	char oom[16];
	size_t oom_len;
	char cgroup_procs[PM_PATH_MAX + 16];
	/* the child's answer */
	volatile enum spawn_stage step; /* where it is */
	volatile enum spawn_stage stage;
	volatile int error;
	volatile bool untagged;
	_Alignas(64) char stack[STACK_BYTES];
};

static struct seat seats[SEATS]; /* untouched pages cost nothing */

bool spawn_fd_is_reserved(int fd)
{
	return fd >= FD_BASE && fd <= FD_NULL;
}

int spawn_init(void)
{
	PM_CLOSE int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno;
	for (int to = FD_BASE; to <= FD_NULL; to++)
		if (dup3(fd, to, O_CLOEXEC) < 0)
			return errno;
	return 0;
}

/* ---- in the child ---- */

CHILD_CODE static bool child_failed(struct seat *s)
{
	s->error = errno;
	s->stage = s->step;
	return false;
}

CHILD_CODE static bool child_fds(struct seat *s)
{
	const int *numbers = s->plan->child_fds;
	unsigned next = 0; /* lowest number not dealt with yet */

	s->step = SPAWN_STAGE_FDS;
	/* From here on the table is our own, with the lowest numbers only. */
	if (syscall(SYS_close_range, FD_NULL, ~0u, CLOSE_RANGE_UNSHARE) < 0)
		return child_failed(s);
	for (size_t i = 0; i < s->n_fds; i++) {
		int from = FD_BASE + s->order[i], to = numbers[s->order[i]];

		if ((unsigned)to > next && syscall(SYS_close_range, next, to - 1, 0) < 0)
			return child_failed(s);
		if (syscall(SYS_dup3, from, to, 0) < 0)
			return child_failed(s);
		next = (unsigned)to + 1;
	}
	/* What remains is close-on-exec; closed here so that nothing depends on it. */
	if (syscall(SYS_close_range, next, s->exec_fd >= 0 ? FD_EXEC - 1u : ~0u, 0) < 0)
		return child_failed(s);
	return true;
}

CHILD_CODE static bool child_write(const char *path, const char *text, size_t len)
{
	long fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
	long n;
	int error;

	if (fd < 0)
		return false;
	n = syscall(SYS_write, fd, text, len);
	error = errno;
	(void)syscall(SYS_close, fd);
	errno = error;
	return n == (long)len;
}

CHILD_CODE static bool child_resources(struct seat *s)
{
	const struct spawn_plan *p = s->plan;

	s->step = SPAWN_STAGE_CGROUP;
	if (s->cgroup_procs[0] != '\0' && !child_write(s->cgroup_procs, "0\n", 2))
		return child_failed(s);
	s->step = SPAWN_STAGE_LIMITS;
	for (size_t i = 0; i < s->n_limits; i++) {
		uint64_t l[2] = { s->limits[i].soft, s->limits[i].hard };

		if (syscall(SYS_prlimit64, 0, s->limits[i].resource, l, NULL) < 0)
			return child_failed(s);
	}
	if (p->tag != 0) {
		uint64_t l[2] = { p->tag, p->tag };

		/* Refused inside an app of another agent without privileges: its tag stays. */
		s->untagged = syscall(SYS_prlimit64, 0, RLIMIT_RTTIME, l, NULL) < 0;
	}
	if (p->nice_set && syscall(SYS_setpriority, PRIO_PROCESS, 0, p->nice) < 0)
		return child_failed(s);
	if (s->set_oom && !child_write("/proc/self/oom_score_adj", s->oom, s->oom_len) &&
	    p->oom_score_adj_set)
		return child_failed(s);
	if (p->umask >= 0)
		(void)syscall(SYS_umask, p->umask);
	return true;
}

CHILD_CODE static bool child_user(struct seat *s)
{
	const struct spawn_plan *p = s->plan;

	/* System calls, not libc's functions: those would tell our other threads, of which there
	 * are none, through memory that is not the child's. */
	s->step = SPAWN_STAGE_GROUPS;
	if (p->uid != (uid_t)-1 && syscall(SYS_setgroups, p->n_groups, p->groups) < 0)
		return child_failed(s);
	if (p->gid != (gid_t)-1 && syscall(SYS_setresgid, p->gid, p->gid, p->gid) < 0)
		return child_failed(s);
	s->step = SPAWN_STAGE_USER;
	if (p->uid != (uid_t)-1 && syscall(SYS_setresuid, p->uid, p->uid, p->uid) < 0)
		return child_failed(s);
	if (p->no_new_privs && syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return child_failed(s);
	s->step = SPAWN_STAGE_CWD;
	/* As the user, so that a directory only root may enter is refused. */
	if (p->cwd != NULL && syscall(SYS_chdir, p->cwd) < 0)
		return child_failed(s);
	return true;
}

/* Into the blanks of SPAWN_LISTEN_PID, which hold the largest number there is. */
CHILD_CODE static void child_listen_pid(char *at)
{
	unsigned pid = (unsigned)syscall(SYS_getpid), rest = pid;

	do {
		at++;
		rest /= 10;
	} while (rest != 0);
	*at = '\0';
	for (; pid != 0; pid /= 10)
		*--at = (char)('0' + pid % 10);
}

CHILD_CODE static int child_main(void *arg)
{
	struct seat *s = arg;
	const struct spawn_plan *p = s->plan;
	/* The kernel's struct sigaction, all zero: SIG_DFL.  SIGPIPE is all that we ignore, and
	 * what we handle an exec resets by itself. */
	const unsigned long dispositions[8] = { 0 }, mask[2] = { 0 };

	(void)syscall(SYS_setsid); /* a new process leads no group, so this cannot fail */
	if (!child_fds(s) || !child_resources(s) || !child_user(s))
		syscall(SYS_exit_group, 127);
	if (s->listen_pid != NULL)
		child_listen_pid(s->listen_pid);
	(void)syscall(SYS_rt_sigaction, SIGPIPE, dispositions, NULL, _NSIG / 8);
	/* Empty, not the one we were started with: an inherited blocked SIGTERM is a classic. */
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, NULL, _NSIG / 8);
	s->step = SPAWN_STAGE_EXEC;
	if (s->exec_fd >= 0)
		(void)syscall(SYS_execveat, FD_EXEC, "", p->argv, p->envp, AT_EMPTY_PATH);
	else
		(void)syscall(SYS_execve, p->path, p->argv, p->envp);
	(void)child_failed(s);
	syscall(SYS_exit_group, 127);
	__builtin_unreachable();
}

/* ---- in the keeper ---- */

static void add_limit(struct seat *s, int resource, uint64_t soft, uint64_t hard)
{
	for (size_t i = 0; i < s->n_limits; i++) {
		if (s->limits[i].resource == resource) {
			s->limits[i].soft = soft;
			s->limits[i].hard = hard;
			return;
		}
	}
	if (s->n_limits < PM_COUNT(s->limits))
		s->limits[s->n_limits++] = (struct spawn_limit){ resource, soft, hard };
}

static void plan_limits(struct seat *s, const struct origin *origin)
{
	s->n_limits = 0;
	for (int i = 0; origin != NULL && i < (int)RLIM_NLIMITS; i++) {
		struct rlimit now;

		if (i == RLIMIT_RTTIME || prlimit(0, (enum __rlimit_resource)i, NULL, &now) < 0)
			continue;
		if (now.rlim_cur != origin->limits[i].soft ||
		    now.rlim_max != origin->limits[i].hard)
			add_limit(s, i, origin->limits[i].soft, origin->limits[i].hard);
	}
	for (size_t i = 0; i < s->plan->n_limits; i++)
		add_limit(s, s->plan->limits[i].resource, s->plan->limits[i].soft,
		          s->plan->limits[i].hard);
}

static void sort_fds(struct seat *s)
{
	const int *numbers = s->plan->child_fds;

	s->n_fds = s->plan->n_child_fds;
	for (size_t i = 0; i < s->n_fds; i++) {
		size_t at = i;

		for (; at > 0 && numbers[s->order[at - 1]] > numbers[i]; at--)
			s->order[at] = s->order[at - 1];
		s->order[at] = (int)i;
	}
}

static char *find_listen_pid(const struct spawn_plan *p)
{
	for (const char *const *e = p->envp; *e != NULL; e++)
		if (strcmp(*e, SPAWN_LISTEN_PID) == 0)
			return (char *)(uintptr_t)*e + strlen("LISTEN_PID=");
	return NULL;
}

static int prepare(struct seat *s, const struct spawn_request *r)
{
	const struct spawn_plan *p = r->plan;
	int oom = p->oom_score_adj_set || r->origin == NULL ? p->oom_score_adj
	                                                    : r->origin->oom_score_adj;

	s->plan = p;
	s->listen_pid = find_listen_pid(p);
	s->exec_fd = r->exec_fd;
	s->stage = SPAWN_STAGE_NONE;
	s->step = SPAWN_STAGE_FORK;
	s->error = 0;
	s->untagged = false;
	s->set_oom =
		r->origin != NULL && (p->oom_score_adj_set || oom != r->origin->own_oom_score_adj);
	s->oom_len = (size_t)snprintf(s->oom, sizeof(s->oom), "%d", oom);
	s->cgroup_procs[0] = '\0';
	if (p->cgroup != NULL &&
	    snprintf(s->cgroup_procs, sizeof(s->cgroup_procs), "%s/cgroup.procs", p->cgroup) >=
	            (int)sizeof(s->cgroup_procs))
		return ENAMETOOLONG;
	plan_limits(s, r->origin);
	sort_fds(s);
	return 0;
}

/* Put the child's descriptors where it finds them.  Returns 0 or an errno. */
static int seat_fds(const struct spawn_request *r)
{
	for (size_t i = 0; i < r->plan->n_child_fds; i++)
		if (dup3(r->fds[i], FD_BASE + (int)i, O_CLOEXEC) < 0)
			return errno == EBADF ? EMFILE : errno; /* our limit was lowered */
	if (r->exec_fd >= 0 && dup3(r->exec_fd, FD_EXEC, O_CLOEXEC) < 0)
		return errno == EBADF ? EMFILE : errno;
	return 0;
}

/* And away again, or we would keep the write ends of pipes open. */
static void unseat_fds(const struct spawn_request *r)
{
	for (size_t i = 0; i < r->plan->n_child_fds; i++)
		(void)dup3(FD_NULL, FD_BASE + (int)i, O_CLOEXEC);
	if (r->exec_fd >= 0)
		(void)dup3(FD_NULL, FD_EXEC, O_CLOEXEC);
}

/* Wait until the child has left our memory: it executes or is gone. */
static bool wait_seat(struct seat *s, uint64_t deadline_ms)
{
	while (__atomic_load_n(&s->busy, __ATOMIC_ACQUIRE) != 0) {
		uint64_t now = pm_now_ms();
		struct timespec ts;

		if (now >= deadline_ms)
			return false;
		ts.tv_sec = (time_t)((deadline_ms - now) / 1000);
		ts.tv_nsec = (long)((deadline_ms - now) % 1000) * 1000000;
		(void)syscall(SYS_futex, &s->busy, FUTEX_WAIT, 1, &ts, NULL, 0);
	}
	return true;
}

static struct seat *free_seat(void)
{
	for (size_t i = 0; i < SEATS; i++)
		if (__atomic_load_n(&seats[i].busy, __ATOMIC_ACQUIRE) == 0)
			return &seats[i];
	return NULL;
}

static void fail_with(struct spawn_result *r, enum spawn_stage stage, int error)
{
	r->stage = stage;
	r->error = error;
}

/* Clone and wait.  All signals are blocked. */
static void run_child(struct seat *s, struct spawn_result *r)
{
	siginfo_t info;

	__atomic_store_n(&s->busy, 1, __ATOMIC_RELEASE);
	r->pid = clone(child_main, s->stack + STACK_BYTES,
	               CLONE_VM | CLONE_FILES | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD, s,
	               &r->pidfd, NULL, &s->busy);
	if (r->pid < 0) {
		int error = errno;

		__atomic_store_n(&s->busy, 0, __ATOMIC_RELEASE);
		r->pidfd = -1;
		fail_with(r, SPAWN_STAGE_FORK, error);
		return;
	}
	if (!wait_seat(s, pm_now_ms() + SPAWN_WAIT_MS)) {
		(void)syscall(SYS_pidfd_send_signal, r->pidfd, SIGKILL, NULL, 0);
		/* Its seat comes free when it goes, and the loop reaps it as nobody's child. */
		(void)wait_seat(s, pm_now_ms() + 100);
		fail_with(r, s->step, ETIMEDOUT);
	} else if (s->stage != SPAWN_STAGE_NONE) {
		fail_with(r, s->stage, s->error);
		(void)waitid((idtype_t)P_PIDFD, (id_t)r->pidfd, &info, WEXITED);
	}
	r->tagged = s->plan->tag != 0 && !s->untagged;
	if (r->error != 0) {
		pm_closep(&r->pidfd);
		r->pidfd = -1;
	}
}

static void restore_ourselves(const struct spawn_request *r)
{
	/* The kernel gives oom_score_adj to everybody who shares the memory, and a change of user
	 * makes that memory undumpable: take both back. */
	if (r->origin != NULL && (r->plan->oom_score_adj_set ||
	                          r->origin->oom_score_adj != r->origin->own_oom_score_adj))
		(void)origin_set_oom(r->origin->own_oom_score_adj);
	if (r->plan->uid != (uid_t)-1)
		(void)prctl(PR_SET_DUMPABLE, 1);
}

void spawn_child(const struct spawn_request *request, struct spawn_result *result)
{
	struct seat *s = free_seat();
	sigset_t all, before;
	int error;

	*result = (struct spawn_result){ .pidfd = -1 };
	error = PM_FAIL_POINT("keeper.fork");
	if (s == NULL || error != 0) {
		fail_with(result, SPAWN_STAGE_FORK, error != 0 ? error : EAGAIN);
		return;
	}
	error = prepare(s, request);
	if (error != 0) {
		fail_with(result, SPAWN_STAGE_PLAN, error);
		return;
	}
	error = seat_fds(request);
	if (error != 0) {
		fail_with(result, SPAWN_STAGE_FDS, error);
	} else {
		(void)sigfillset(&all);
		(void)sigprocmask(SIG_BLOCK, &all, &before);
		run_child(s, result);
		(void)sigprocmask(SIG_SETMASK, &before, NULL);
		restore_ourselves(request);
	}
	unseat_fds(request);
	/* RLIMIT_NPROC of the new user shows at execve(2): the machine's fault, as at fork. */
	if (result->stage == SPAWN_STAGE_EXEC && result->error == EAGAIN)
		result->stage = SPAWN_STAGE_FORK;
	if (result->error == 0)
		result->start_ticks = spawn_start_ticks(result->pid);
}

uint64_t spawn_start_ticks(pid_t pid)
{
	char path[32], text[512], *at;
	PM_CLOSE int fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	at = strrchr(text, ')'); /* the name before may hold anything */
	for (int field = 2; at != NULL && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at == NULL ? 0 : strtoull(at + 1, NULL, 10);
}
