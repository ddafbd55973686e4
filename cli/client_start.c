/* Dialling the agent, and starting one when nobody answers. */
#include "cli/client_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/paths.h"

#define PAUSE_MAX_MS 20
#define START_AGAIN_MS \
	500            /* another agent holds the home but nobody answers: it may be going away */
#define STATUS_HELD  6 /* agent_main(): another agent holds the home */
#define LOG_TAIL_MAX 2048

void client_pause(unsigned ms)
{
	(void)poll(NULL, 0,
	           (int)ms); /* shorter when a signal comes: the callers look again anyway */
}

/* The socket's owner must be us or root: a home that others made could name any socket. */
static int check_owner(int fd, struct pm_error *err)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	uid_t euid = geteuid();

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return pm_fail_errno(err, errno, "find out who the agent is");
	if (peer.uid == euid || peer.uid == 0 || euid == 0)
		return 0;
	return pm_fail(err, PM_DENIED, "the agent belongs to uid %u", (unsigned)peer.uid);
}

static int fail_connect(const char *home, int errnum, struct pm_error *err)
{
	if (errnum == ENOENT || errnum == ECONNREFUSED || errnum == ENOTDIR) {
		(void)pm_fail(err, PM_NOT_RUNNING, "no agent answers in %s", home);
		pm_hint(err, "'pmctl start' starts one, 'pmd agent' runs one");
		return -1;
	}
	return pm_fail_errno(err, errnum, "connect to the agent in %s", home);
}

int client_dial(const char *home, uint64_t deadline, int *out, struct pm_error *err)
{
	PM_CLOSE int fd = -1;
	PM_CLOSE int via = -1;
	struct sockaddr_un addr;
	socklen_t len;
	unsigned pause = 1;

	if (pm_home_address(home, PM_HOME_SOCKET, &addr, &len, &via, err) < 0)
		return access(home, F_OK) < 0 ? fail_connect(home, ENOENT, err) : -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return pm_fail_errno(err, errno, "make a socket");
	while (connect(fd, (struct sockaddr *)&addr, len) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return fail_connect(home, errno, err);
		/* Its queue is full: unix(7) has no other word for it than EAGAIN. */
		if (client_left_ms(deadline) == 0)
			return pm_fail(err, PM_DEADLINE, "the agent takes no connections");
		client_pause(pause);
		pause = PM_MIN(pause * 2, PAUSE_MAX_MS);
	}
	if (check_owner(fd, err) < 0)
		return -1;
	*out = PM_STEAL_FD(fd);
	return 0;
}

/* ---- starting ---- */

struct start {
	const char *home;
	bool as_pm2;
	int dir;      /* owned: the home */
	int log;      /* owned */
	off_t log_at; /* its end before the start */
	pid_t pid;    /* 0: none is running */
	int pidfd;    /* owned; -1 where the kernel has none */
	uint64_t again_at;
};

static int open_log(struct start *st, struct pm_error *err)
{
	PM_CLOSE int fd = openat(st->dir, pm_home_log_name(st->as_pm2),
	                         O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return pm_fail_errno(err, errno, "open %s/%s", st->home,
		                     pm_home_log_name(st->as_pm2));
	/* Above the standard ones, which are about to be replaced. */
	st->log = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (st->log < 0)
		return pm_fail_errno(err, errno, "open the agent's log");
	st->log_at = lseek(st->log, 0, SEEK_END);
	return 0;
}

/* pmd beside pmctl, else the one in PATH. */
static void find_pmd(char *out, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", out, size - 1);
	char *slash;

	out[n > 0 ? n : 0] = '\0';
	slash = strrchr(out, '/');
	if (slash != NULL && (size_t)(slash - out) + sizeof("/pmd") <= size) {
		memcpy(slash, "/pmd", sizeof("/pmd"));
		if (access(out, X_OK) == 0)
			return;
	}
	(void)snprintf(out, size, "pmd");
}

/*
 * What the agent takes from the caller's environment: nothing that a caller may keep a secret in,
 * as it would stand in the agent's /proc entry for as long as it lives (S-16). Apps get theirs with
 * their specs. A name that ends in * stands for all that begin so.
 */
static bool agent_takes(const char *var)
{
	static const char *const names[] = {
		"PATH",
		"HOME",
		"USER",
		"LOGNAME",
		"SHELL",
		"LANG",
		"LANGUAGE",
		"LC_*",
		"TZ",
		"TMPDIR",
		"XDG_RUNTIME_DIR",
		"PMD_*",
		"PM2_HOME",
		"ASAN_OPTIONS",
		"UBSAN_OPTIONS",
		"TSAN_OPTIONS",
	};
	size_t len = strcspn(var, "=");

	for (size_t i = 0; i < PM_COUNT(names); i++) {
		size_t n = strlen(names[i]);
		bool prefix = names[i][n - 1] == '*';

		n -= prefix;
		if (strncmp(var, names[i], n) == 0 && (prefix || len == n))
			return true;
	}
	return false;
}

/* The list is the caller's, its strings are not. NULL: no memory. */
static char **agent_environment(void)
{
	size_t n = 0, kept = 0;
	char **list;

	while (environ[n] != NULL)
		n++;
	list = pm_calloc(n + 1, sizeof(char *));
	for (size_t i = 0; i < n && list != NULL; i++)
		if (agent_takes(environ[i]))
			list[kept++] = environ[i];
	return list;
}

static int spawn_with(posix_spawn_file_actions_t *fa, posix_spawnattr_t *attr, struct start *st,
                      struct pm_error *err)
{
	char pmd[PM_PATH_MAX], agent[] = "agent", opt[] = "--home", pm2[] = "--pm2";
	char home[PM_PATH_MAX];
	char *argv[] = { pmd, agent, opt, home, st->as_pm2 ? pm2 : NULL, NULL };
	PM_FREE char **env = agent_environment();
	sigset_t none, all;
	int rc;

	if (env == NULL)
		return pm_fail(err, PM_NO_MEMORY, "start the agent");
	(void)snprintf(home, sizeof(home), "%s", st->home); /* was opened, so it fits */
	find_pmd(pmd, sizeof(pmd));
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawnattr_setsigmask(attr, &none);
	(void)posix_spawnattr_setsigdefault(attr, &all);
	(void)posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
	                                             POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(fa, st->log, 1);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(fa, st->log, 2);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(fa, 3);
	if (rc == 0)
		rc = posix_spawn_file_actions_addchdir_np(fa, "/");
	if (rc == 0)
		rc = posix_spawnp(&st->pid, pmd, fa, attr, argv, env);
	if (rc != 0) {
		st->pid = 0;
		(void)pm_fail_errno(err, rc, "start %s", pmd);
		pm_hint(err, "pmd belongs beside pmctl or in PATH");
		return -1;
	}
	return 0;
}

/*
 * The agent becomes the leader of a session of its own and outlives us.  It stays our child until
 * we end, because only a parent learns why a start failed.
 */
static int spawn_agent(struct start *st, struct pm_error *err)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	int rc;

	rc = posix_spawn_file_actions_init(&fa);
	if (rc != 0)
		return pm_fail_errno(err, rc, "start an agent");
	rc = posix_spawnattr_init(&attr);
	if (rc != 0) {
		(void)posix_spawn_file_actions_destroy(&fa);
		return pm_fail_errno(err, rc, "start an agent");
	}
	rc = spawn_with(&fa, &attr, st, err);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&fa);
	if (rc < 0)
		return -1;
	pm_closep(&st->pidfd);
	st->pidfd = (int)syscall(SYS_pidfd_open, st->pid, 0);
	return 0;
}

/* The last line that the agent wrote since its start, made fit to print. */
static void last_line(const struct start *st, char *out, size_t size)
{
	char tail[LOG_TAIL_MAX + 1];
	off_t end = lseek(st->log, 0, SEEK_END), from;
	ssize_t n;
	char *line;

	out[0] = '\0';
	from = end - st->log_at > LOG_TAIL_MAX ? end - LOG_TAIL_MAX : st->log_at;
	n = pread(st->log, tail, LOG_TAIL_MAX, from);
	while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == '\0'))
		n--;
	if (n <= 0)
		return;
	tail[n] = '\0';
	line = strrchr(tail, '\n');
	line = line == NULL ? tail : line + 1;
	for (char *p = line; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	(void)snprintf(out, size, "%.*s", (int)size - 1, line);
}

static int fail_ended(const struct start *st, int status, struct pm_error *err)
{
	char line[160];

	last_line(st, line, sizeof(line));
	if (WIFSIGNALED(status))
		(void)pm_fail(err, PM_FAILED, "the agent was ended by signal %d%s%s",
		              WTERMSIG(status), line[0] != '\0' ? ": " : "", line);
	else
		(void)pm_fail(err, PM_FAILED, "the agent ended with status %d%s%s",
		              WEXITSTATUS(status), line[0] != '\0' ? ": " : "", line);
	pm_hint(err, "see %.80s/%s", st->home, pm_home_log_name(st->as_pm2));
	return -1;
}

/* 0: it runs, or gave way to another one; -1: it failed. */
static int look_at_child(struct start *st, struct pm_error *err)
{
	int status;

	if (st->pid == 0 || waitpid(st->pid, &status, WNOHANG) <= 0)
		return 0;
	st->pid = 0;
	if (WIFEXITED(status) && (WEXITSTATUS(status) == STATUS_HELD || WEXITSTATUS(status) == 0)) {
		st->again_at = pm_now_ms() + START_AGAIN_MS;
		return 0;
	}
	return fail_ended(st, status, err);
}

/* Sleep, but wake when the agent ends. */
static void wait_a_little(const struct start *st, unsigned ms)
{
	struct pollfd pfd = { .fd = st->pid != 0 ? st->pidfd : -1, .events = POLLIN };

	(void)poll(&pfd, 1, (int)ms); /* whatever woke us, the caller looks */
}

static int start_and_dial(struct start *st, uint64_t deadline, int *out, struct pm_error *err)
{
	unsigned pause = 1;

	if (spawn_agent(st, err) < 0)
		return -1;
	for (;;) {
		wait_a_little(st, pause);
		pause = PM_MIN(pause * 2, PAUSE_MAX_MS);
		if (client_dial(st->home, deadline, out, err) == 0)
			return 0;
		if (err->code != PM_NOT_RUNNING || look_at_child(st, err) < 0)
			return -1;
		if (client_left_ms(deadline) == 0) {
			(void)pm_fail(err, PM_DEADLINE,
			              "the agent was started but does not answer");
			pm_hint(err, "see %.80s/%s", st->home, pm_home_log_name(st->as_pm2));
			return -1;
		}
		if (st->pid == 0 && pm_now_ms() >= st->again_at && spawn_agent(st, err) < 0)
			return -1;
	}
}

int client_start_agent(const char *home, bool as_pm2, uint64_t deadline, int *fd,
                       struct pm_error *err)
{
	struct start st = { .home = home, .as_pm2 = as_pm2, .dir = -1, .log = -1, .pidfd = -1 };
	int rc;

	rc = pm_home_open(home, &st.dir, err);
	if (rc == 0)
		rc = open_log(&st, err);
	if (rc == 0)
		rc = start_and_dial(&st, deadline, fd, err);
	pm_closep(&st.dir);
	pm_closep(&st.log);
	pm_closep(&st.pidfd);
	return rc < 0 ? pm_wrap(err, "start the agent") : 0;
}
