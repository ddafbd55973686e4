/* logfile_rotate.c - a full log file steps aside under another name, and old ones go. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/logfile_body.h"
#include "agent/logindex.h"
#include "agent/rotate.h"
#include "proto/failpoint.h"
#include "proto/limits.h"
#include "proto/log.h"

/* A rotation that failed is tried again after this long; until then the file grows. */
#define ROTATE_RETRY_MS 60000
/* Rotated files of one log that are looked at; more are left alone, which rotation never makes. */
#define FAMILY_MAX 16384

/* ---- what readers may still ask for ---- */

void logfile_past_free(struct logfile *f)
{
	for (size_t i = 0; f->past != NULL && i < LOGFILE_PAST_MAX; i++)
		free(f->past[i].path);
	free(f->past);
	f->past = NULL;
}

void logfile_past_add(struct logfile *f, char *path_taken, uint64_t bytes)
{
	struct logfile_past *slot;

	if (f->watches != NULL && f->past == NULL)
		f->past = pm_calloc(LOGFILE_PAST_MAX, sizeof(*f->past));
	if (f->past == NULL) { /* nobody asks, or a reader will tell of a gap */
		free(path_taken);
		return;
	}
	slot = &f->past[(f->generation - 1) % LOGFILE_PAST_MAX]; /* generation is the new one */
	free(slot->path);
	*slot = (struct logfile_past){ .generation = f->generation - 1,
		                       .bytes = bytes,
		                       .path = path_taken };
}

bool logfile_rotated(const struct logfile *f, uint64_t generation, const char **path,
                     uint64_t *bytes)
{
	const struct logfile_past *slot;

	if (f->past == NULL)
		return false;
	slot = &f->past[generation % LOGFILE_PAST_MAX];
	if (slot->generation != generation)
		return false;
	*path = slot->path;
	*bytes = slot->bytes;
	return slot->path != NULL;
}

/* ---- the rotated files of one log ---- */

struct family {
	char dir[PM_PATH_MAX]; /* with its '/' */
	const char *base;      /* into the log's path */
	struct rotate_file *files;
	size_t n_files, cap;
};

static void family_finish(struct family *m)
{
	for (size_t i = 0; i < m->n_files; i++)
		free((char *)(uintptr_t)m->files[i].name); /* ours, const only for the planner */
	free(m->files);
}

static bool family_add(struct family *m, const char *name, const struct stat *st)
{
	char *copy;

	if (m->n_files == m->cap) {
		size_t cap = m->cap == 0 ? 32 : m->cap * 2;
		void *p = cap > FAMILY_MAX ? NULL : pm_realloc(m->files, cap * sizeof(*m->files));

		if (p == NULL)
			return false;
		m->files = p;
		m->cap = cap;
	}
	copy = pm_strdup(name);
	if (copy == NULL)
		return false;
	m->files[m->n_files++] = (struct rotate_file){ .name = copy,
		                                       .size = (uint64_t)st->st_size,
		                                       .mtime_s = st->st_mtim.tv_sec };
	return true;
}

/* An unfinished file of a compressor that is gone. */
static bool is_debris(const struct logfile *f, const char *base, const char *name)
{
	const size_t len = strlen(name), cut = strlen(".tmp");
	char plain[NAME_MAX + 1];

	if (f->logs->job != NULL || len <= cut || len >= sizeof(plain) ||
	    strcmp(name + len - cut, ".tmp") != 0)
		return false;
	memcpy(plain, name, len - cut);
	plain[len - cut] = '\0';
	return rotate_is_of(base, plain);
}

/* 0, or an errno; what was found so far is in it. */
static int family_list(const struct logfile *f, struct family *m)
{
	const char *slash = strrchr(f->path, '/');
	struct dirent *e;
	struct stat st;
	DIR *d;

	m->base = slash + 1;
	if ((size_t)(m->base - f->path) >= sizeof(m->dir))
		return ENAMETOOLONG;
	(void)snprintf(m->dir, sizeof(m->dir), "%.*s", (int)(m->base - f->path), f->path);
	d = opendir(m->dir);
	if (d == NULL)
		return errno;
	while ((e = readdir(d)) != NULL) {
		if (is_debris(f, m->base, e->d_name))
			(void)unlinkat(dirfd(d), e->d_name, 0); /* or next time */
		if (!rotate_is_of(m->base, e->d_name) ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		if (!family_add(m, e->d_name, &st))
			break;
	}
	(void)closedir(d);
	return 0;
}

/* dir and name together; false: too long. */
static bool family_path(const struct family *m, const char *name, char *out)
{
	int n = snprintf(out, PM_PATH_MAX, "%s%s", m->dir, name);

	return n > 0 && n < PM_PATH_MAX;
}

static const char *suffix_of(const char *name)
{
	static const char *const suffixes[] = { ".gz", ".zst" };
	size_t len = strlen(name);

	for (size_t i = 0; i < PM_COUNT(suffixes); i++) {
		size_t n = strlen(suffixes[i]);

		if (len > n && strcmp(name + len - n, suffixes[i]) == 0)
			return name + len - n;
	}
	return NULL;
}

/* ---- compression: one helper at a time; what is left to do is what lies in the folder ---- */

struct logs_job {
	struct logs *logs; /* NULL: it has closed */
};

static void next_job(struct logs *l)
{
	for (size_t i = 0; i < LOGS_BUCKETS; i++)
		for (struct logfile *f = l->files[i]; f != NULL && l->job == NULL; f = f->next)
			if (f->jobs_wanted)
				logfile_tidy(f);
}

static void on_job_done(void *arg, int status)
{
	struct logs_job *job = arg;
	struct logs *l = job->logs;

	free(job);
	if (l == NULL)
		return;
	l->job = NULL;
	if (status != 0) {
		/* Not again at once: the next rotation tries again. */
		pm_log(PM_LOG_WARN, "log.compress", "status=%d", status);
		for (size_t i = 0; i < LOGS_BUCKETS; i++)
			for (struct logfile *f = l->files[i]; f != NULL; f = f->next)
				f->jobs_wanted = false;
		return;
	}
	next_job(l);
}

static bool start_job(struct logfile *f, const char *path)
{
	struct logs *l = f->logs;
	const char *const argv[] = { "compress",
		                     f->policy.compress == PM__COMPRESSION__COMPRESSION_ZSTD
		                             ? "--zstd"
		                             : "--gzip",
		                     path, NULL };
	struct logs_job *job = pm_calloc(1, sizeof(*job));

	if (job == NULL)
		return false;
	job->logs = l;
	l->job = job;
	if (l->hooks.run_job(l->hooks.arg, argv, on_job_done, job) == 0)
		return true;
	l->job = NULL;
	free(job);
	return false;
}

void logs_job_forget(struct logs *l)
{
	if (l->job != NULL)
		l->job->logs = NULL;
}

/* Compress the oldest plain file of the family; the first n_gone of order are deleted ones. */
static void compress_one(struct logfile *f, const struct family *m, const size_t *order,
                         size_t n_gone)
{
	char path[PM_PATH_MAX];

	f->jobs_wanted = false;
	if (f->policy.compress != PM__COMPRESSION__COMPRESSION_GZIP &&
	    f->policy.compress != PM__COMPRESSION__COMPRESSION_ZSTD)
		return;
	for (size_t i = n_gone; i < m->n_files; i++) {
		const char *name = m->files[order[i]].name;

		if (suffix_of(name) != NULL || !family_path(m, name, path))
			continue;
		f->jobs_wanted = true;
		if (f->logs->job == NULL && f->logs->hooks.run_job != NULL && !start_job(f, path))
			f->jobs_wanted = false;
		return;
	}
}

static void remove_one(struct logfile *f, const struct family *m, const char *name)
{
	const char *suffix = suffix_of(name);
	char path[PM_PATH_MAX];

	if (!family_path(m, name, path))
		return;
	if (unlink(path) < 0 && errno != ENOENT) {
		pm_log(PM_LOG_WARN, "log.remove", "file=%s error=%s", path, strerror(errno));
		return;
	}
	if (suffix != NULL)
		path[strlen(path) - strlen(suffix)] = '\0';
	if (access(path, F_OK) < 0) /* its compressed form may still use the index */
		logindex_remove(f->logs->home, path);
}

static struct rotate_config config_of(const struct logfile *f)
{
	return (struct rotate_config){ .max_size = f->policy.max_size,
		                       .every_ms = f->policy.rotate_every_ms,
		                       .keep = f->policy.keep,
		                       .total_cap = f->policy.total_cap };
}

void logfile_tidy(struct logfile *f)
{
	const struct rotate_config config = config_of(f);
	PM_CLEANUP(family_finish) struct family m = { .n_files = 0 };
	PM_FREE size_t *order = NULL;
	size_t gone;

	f->jobs_wanted = false;
	if (family_list(f, &m) != 0 || m.n_files == 0)
		return;
	order = pm_calloc(m.n_files, sizeof(*order));
	if (order == NULL)
		return; /* the next rotation does it */
	gone = rotate_prune(&config, m.base, m.files, m.n_files, order);
	for (size_t i = 0; i < gone; i++) {
		(void)PM_FAIL_POINT("rotate.before_unlink");
		remove_one(f, &m, m.files[order[i]].name);
	}
	compress_one(f, &m, order, gone);
}

/* ---- rotation ---- */

void logfile_plan_age(struct logfile *f)
{
	uint64_t every = f->policy.rotate_every_ms, age = 0;
	struct statx stx;
	int64_t born;

	f->rotate_at_ms = 0;
	if (every == 0 || f->kind != LOGFILE_REGULAR || f->end == 0)
		return;
	if (statx(f->fd, "", AT_EMPTY_PATH, STATX_BTIME | STATX_MTIME, &stx) == 0) {
		const struct statx_timestamp *t =
			stx.stx_mask & STATX_BTIME ? &stx.stx_btime : &stx.stx_mtime;

		born = t->tv_sec * 1000 + t->tv_nsec / 1000000;
		age = (uint64_t)PM_MAX(pm_wall_ms() - born, 0);
	}
	f->rotate_at_ms = PM_MAX(uv_now(f->logs->loop) + (age < every ? every - age : 0), 1);
	logs_wake_at(f->logs, f->rotate_at_ms);
}

void logfile_age_tick(struct logfile *f, uint64_t now_ms)
{
	if (f->rotate_at_ms == 0)
		return;
	if (now_ms < f->rotate_at_ms) {
		logs_wake_at(f->logs, f->rotate_at_ms);
		return;
	}
	f->rotate_at_ms = 0;
	f->age_due = true; /* within a line: its end rotates */
	f->due_end = f->end;
	if (logfile_at_line_start(f))
		logfile_rotate(f);
}

static void failed(struct logfile *f, const char *why)
{
	f->no_rotate_ms = uv_now(f->logs->loop) + ROTATE_RETRY_MS;
	pm_log(PM_LOG_WARN, "log.rotate", "file=%s error=%s", f->path, why);
}

/* Without replacing what has that name; file systems without that have rename alone. */
static int step_aside(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL)
		return -1;
	if (access(to, F_OK) == 0) {
		errno = EEXIST;
		return -1;
	}
	return rename(from, to);
}

/* The name its content gets.  false: none, err says why. */
static bool new_name(const struct logfile *f, char *out, struct pm_error *err)
{
	PM_CLEANUP(family_finish) struct family m = { .n_files = 0 };
	char stamp[ROTATE_STAMP_LEN + 1], name[NAME_MAX + 1];
	time_t now = (time_t)(pm_wall_ms() / 1000);
	struct tm tm;
	int rc = family_list(f, &m);

	if (rc != 0)
		(void)pm_fail_errno(err, rc, "list the folder");
	if (rc != 0 || localtime_r(&now, &tm) == NULL ||
	    strftime(stamp, sizeof(stamp), "%Y-%m-%d_%H-%M-%S", &tm) != ROTATE_STAMP_LEN)
		return false;
	if (rotate_name(m.base, stamp, m.files, m.n_files, name, sizeof(name), err) < 0)
		return false;
	return family_path(&m, name, out);
}

void logfile_rotate(struct logfile *f)
{
	struct pm_error err = { .what = "no name" };
	char to[PM_PATH_MAX];
	struct stat st;

	if (f->fd < 0 || f->kind != LOGFILE_REGULAR || f->end == 0)
		return;
	f->age_due = false;
	if (stat(f->path, &st) < 0 || st.st_ino != f->ino) {
		logfile_reopen(f); /* somebody else has rotated it */
		return;
	}
	if (!new_name(f, to, &err)) {
		failed(f, err.what);
		return;
	}
	if (step_aside(f->path, to) < 0) {
		failed(f, strerror(errno));
		return;
	}
	(void)PM_FAIL_POINT("rotate.after_rename");
	logindex_rename(f->logs->home, f->path, to);
	f->generation++;
	logfile_past_add(f, pm_strdup(to), f->end);
	logfile_close(f);
	f->ino = 0;
	f->indexed_ms = 0;
	(void)logfile_ready(f); /* what fails is its trouble */
	(void)PM_FAIL_POINT("rotate.after_open");
	logfile_tell_watches(f);
	logfile_tidy(f);
}
