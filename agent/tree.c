#include "agent/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The tag: 2 bits "10", 26 of the home's nonce, 20 of pm_id, 16 of the serial.  The top bits make
 * it a time of at least 2^63 microseconds (292,000 years), never RLIM_INFINITY, which has all bits
 * set, and far from where the kernel's rounding of it could overflow.
 */
#define NONCE_BITS  26
#define ID_BITS     20
#define SERIAL_BITS 16
#define MASK(bits)  ((UINT64_C(1) << (bits)) - 1)

_Static_assert(2 + NONCE_BITS + ID_BITS + SERIAL_BITS == 64, "the tag is full");

uint64_t tree_tag(uint32_t home_nonce, uint32_t pm_id, uint32_t serial)
{
	return UINT64_C(2) << 62 | (home_nonce & MASK(NONCE_BITS)) << (ID_BITS + SERIAL_BITS) |
	       (pm_id & MASK(ID_BITS)) << SERIAL_BITS | (serial & MASK(SERIAL_BITS));
}

bool tree_tag_is_ours(uint64_t tag, uint32_t home_nonce)
{
	return tag >> (ID_BITS + SERIAL_BITS) ==
	       (UINT64_C(2) << NONCE_BITS | (home_nonce & MASK(NONCE_BITS)));
}

uint32_t tree_tag_pm_id(uint64_t tag)
{
	return (uint32_t)(tag >> SERIAL_BITS & MASK(ID_BITS));
}

int tree_home_nonce(const char *home, uint32_t *nonce, struct pm_error *err)
{
	struct stat st;
	uint64_t h;

	if (stat(home, &st) < 0)
		return pm_fail_errno(err, errno, "look at %s", home);
	/* The finaliser of MurmurHash3: neighbouring inodes end up far apart. */
	h = (uint64_t)st.st_dev * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)st.st_ino;
	h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
	h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	*nonce = (uint32_t)((h ^ h >> 33) & MASK(NONCE_BITS));
	return 0;
}

/* ---- one process ---- */

/* A whole small file of /proc/PID, as a string. */
static bool read_file(int proc_fd, pid_t pid, const char *name, char *text, size_t size)
{
	char path[32];
	PM_CLOSE int fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%d/%s", (int)pid, name);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, size - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
}

/* The same limit as text, which everybody may read. */
static bool read_tag_text(int proc_fd, pid_t pid, uint64_t *tag)
{
	static const char key[] = "Max realtime timeout";
	char text[4096];
	const char *line;
	unsigned long long hard;

	if (!read_file(proc_fd, pid, "limits", text, sizeof(text)))
		return false;
	line = strstr(text, key);
	if (line == NULL || sscanf(line + sizeof(key) - 1, "%*s %llu", &hard) != 1)
		return false; /* "unlimited" */
	*tag = hard;
	return true;
}

/*
 * prlimit(2) answers for processes of our own user, and to CAP_SYS_RESOURCE, which root in a
 * container mostly lacks.  thorough: for others ask the slower way, so that a set-user-ID program
 * is found too.
 */
static bool read_tag(int proc_fd, pid_t pid, bool thorough, uint64_t *tag)
{
	struct rlimit l;

	if (prlimit(pid, RLIMIT_RTTIME, NULL, &l) == 0) {
		*tag = l.rlim_max;
		return true;
	}
	return errno == EPERM && thorough && read_tag_text(proc_fd, pid, tag);
}

bool tree_tag_of(pid_t pid, uint64_t *tag)
{
	PM_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return proc >= 0 && read_tag(proc, pid, true, tag) && *tag >> 62 == 2;
}

/* Field numbers as in proc(5); the name in field 2 may hold anything, so count from its end. */
static bool parse_stat(const char *text, struct tree_process *p)
{
	enum {
		PPID = 4,
		UTIME = 14,
		STIME = 15,
		STARTTIME = 22,
		RSS = 24
	};
	static uint64_t page_bytes;
	const char *at = strrchr(text, ')');
	uint64_t fields[RSS + 1] = { 0 };

	if (page_bytes == 0)
		page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	if (at == NULL || at[1] != ' ' || at[2] == '\0')
		return false;
	p->state = at[2];
	at += 3;
	for (int field = PPID; field <= RSS; field++) {
		char *end;

		fields[field] = strtoull(at, &end, 10); /* some are negative, none of ours */
		if (end == at)
			return false;
		at = end;
	}
	p->ppid = (pid_t)fields[PPID];
	p->cpu_ticks = fields[UTIME] + fields[STIME];
	p->start_ticks = fields[STARTTIME];
	p->rss_bytes = fields[RSS] * page_bytes; /* as ps and PM2 show it */
	return true;
}

static bool read_usage(int proc_fd, struct tree_process *p)
{
	char text[1024];

	return read_file(proc_fd, p->pid, "stat", text, sizeof(text)) && parse_stat(text, p);
}

/* ---- all of them ---- */

static pid_t pid_of(const char *name)
{
	char *end;
	long pid;

	if (name[0] < '1' || name[0] > '9')
		return 0;
	pid = strtol(name, &end, 10);
	return *end == '\0' && pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

typedef void pid_fn(void *arg, int proc_fd, pid_t pid, uint64_t tag);

static int each_tagged(bool thorough, pid_fn *fn, void *arg, struct pm_error *err)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (proc == NULL)
		return pm_fail_errno(err, errno, "open /proc");
	while ((entry = readdir(proc)) != NULL) {
		pid_t pid = pid_of(entry->d_name);
		uint64_t tag;

		if (pid != 0 && read_tag(dirfd(proc), pid, thorough, &tag) && tag >> 62 == 2)
			fn(arg, dirfd(proc), pid, tag);
	}
	(void)closedir(proc);
	return 0;
}

struct walk {
	uint32_t nonce;
	bool usage;
	tree_fn *fn;
	void *arg;
	int n;
};

static void walk_one(void *arg, int proc_fd, pid_t pid, uint64_t tag)
{
	struct walk *w = arg;
	struct tree_process p = { .pid = pid, .tag = tag };

	if (!tree_tag_is_ours(tag, w->nonce))
		return;
	if (w->usage && (!read_usage(proc_fd, &p) || p.state == 'Z' || p.state == 'X'))
		return; /* gone meanwhile, or a zombie that its parent has not reaped */
	w->n++;
	w->fn(w->arg, &p);
}

int tree_walk(uint32_t home_nonce, bool usage, tree_fn *fn, void *arg, struct pm_error *err)
{
	struct walk w = { home_nonce, usage, fn, arg, 0 };

	/* Without privileges other users' processes are not worth a read of a file each. */
	return each_tagged(geteuid() == 0, walk_one, &w, err) < 0 ? -1 : w.n;
}

/* ---- signals ---- */

static bool out_of_descriptors(void)
{
	return errno == EMFILE || errno == ENFILE || errno == ENOMEM;
}

/* Returns whether a live process with the tag is there; the signal goes to that one or to none. */
static bool signal_one(int proc_fd, pid_t pid, uint64_t tag, int signal)
{
	PM_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct tree_process p;
	char text[1024];
	uint64_t now;

	/* The tag is read after the pidfd is open: while the process behind it lives, the number
	 * means that process. */
	if (pidfd < 0)
		return out_of_descriptors(); /* then it counts as alive, until we can look */
	if (!read_tag(proc_fd, pid, true, &now) || now != tag)
		return false;
	errno = 0;
	if (!read_file(proc_fd, pid, "stat", text, sizeof(text)))
		return out_of_descriptors();
	if (!parse_stat(text, &p) || p.state == 'Z' || p.state == 'X')
		return false;
	/* ESRCH: it died just now.  EPERM: it changed its user; alive all the same. */
	if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 && errno == ESRCH)
		return false;
	if (signal != 0 && p.state == 'T')
		(void)syscall(SYS_pidfd_send_signal, pidfd, SIGCONT, NULL, 0); /* or it is gone */
	return true;
}

bool tree_signal_one(pid_t pid, uint64_t tag, int signal)
{
	PM_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return proc < 0 ? out_of_descriptors() : signal_one(proc, pid, tag, signal);
}

struct pids {
	tree_pid_fn *fn;
	void *arg;
};

static void pid_one(void *arg, int proc_fd, pid_t pid, uint64_t tag)
{
	const struct pids *p = arg;

	(void)proc_fd;
	p->fn(p->arg, pid, tag);
}

int tree_pids(tree_pid_fn *fn, void *arg, struct pm_error *err)
{
	struct pids p = { fn, arg };

	return each_tagged(true, pid_one, &p, err);
}

struct kill_tree {
	uint64_t tag;
	pid_t main_pid;
	int signal, n_alive;
};

static void kill_one(void *arg, int proc_fd, pid_t pid, uint64_t tag)
{
	struct kill_tree *t = arg;

	if (tag == t->tag && pid != t->main_pid && signal_one(proc_fd, pid, tag, t->signal))
		t->n_alive++;
}

int tree_signal(uint64_t tag, pid_t main_pid, int signal, int *n_alive, struct pm_error *err)
{
	struct kill_tree t = { tag, main_pid, signal, 0 };

	if (each_tagged(true, kill_one, &t, err) < 0)
		return -1;
	if (main_pid > 0) {
		PM_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		t.n_alive += proc >= 0 && signal_one(proc, main_pid, tag, signal);
	}
	*n_alive = t.n_alive;
	return 0;
}

struct signal_programs {
	uint64_t tag;
	const char *name;
	int signal;
};

static void signal_program(void *arg, int proc_fd, pid_t pid, uint64_t tag)
{
	const struct signal_programs *s = arg;
	char path[32], target[PATH_MAX];
	const char *slash;
	ssize_t n;

	if (tag != s->tag)
		return;
	(void)snprintf(path, sizeof(path), "%d/exe", (int)pid);
	n = readlinkat(proc_fd, path, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	slash = strrchr(target, '/');
	if (slash != NULL && strncmp(slash + 1, s->name, strlen(s->name)) == 0)
		(void)signal_one(proc_fd, pid, tag, s->signal);
}

int tree_signal_programs(uint64_t tag, const char *name, int signal, struct pm_error *err)
{
	struct signal_programs s = { tag, name, signal };

	return each_tagged(true, signal_program, &s, err);
}
