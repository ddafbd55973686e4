#include "agent/version_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "agent/state.h"
#include "proto/failpoint.h"

#define DIRECTORY "specs" /* in home/state */
#define NAME_SIZE 96      /* a file's with its suffixes */
/* From so many files on the file system is flushed once, and not each file. */
#define MANY 8

int version_job_apply(const struct version_job *job, struct versions *v, struct pm_error *err)
{
	/* What it had is kept even if nobody wrote it down when it was declared. */
	if (job->before.len > 0 && versions_add(v, &job->before, true, err) < 0)
		return -1;
	return job->after.len > 0 ? versions_add(v, &job->after, false, err) : 0;
}

void version_file_name(const char *app, char out[VERSION_FILE_NAME])
{
	uint8_t digest[(VERSION_FILE_NAME - 1) / 2];

	/* An error only for lengths out of range, and ours are constants. */
	(void)crypto_generichash(digest, sizeof(digest), (const uint8_t *)app, strlen(app), NULL,
	                         0);
	(void)sodium_bin2hex(out, VERSION_FILE_NAME, digest, sizeof(digest));
}

/* An errno that a fail point asks for becomes the result of the call it stands before. */
static int injected(int errnum)
{
	if (errnum == 0)
		return 0;
	errno = errnum;
	return -1;
}
#define STEP(name, call) (injected(PM_FAIL_POINT(name)) < 0 ? -1 : (call))

static int open_dir(const char *home, int *fd, struct pm_error *err)
{
	PM_CLOSE int state = -1;

	if (state_dir_open(home, &state, err) < 0)
		return -1;
	if (mkdirat(state, DIRECTORY, 0700) < 0 && errno != EEXIST)
		return pm_fail_errno(err, errno, "make state/" DIRECTORY);
	*fd = openat(state, DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	if (errno == ELOOP || errno == ENOTDIR)
		return pm_fail(err, PM_DENIED, "state/" DIRECTORY ": not a directory of ours");
	return pm_fail_errno(err, errno, "open state/" DIRECTORY);
}

/* ---- reading ---- */

/* *len 0: there is no such file. */
static int read_bytes(int dir, const char *name, uint8_t **out, size_t *len, struct pm_error *err)
{
	PM_CLOSE int fd =
		openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	*len = 0;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 && errno == ELOOP)
		return pm_fail(err, PM_DENIED, "%s: a symbolic link", name);
	if (fd < 0 || STEP("specs.read", fstat(fd, &st)) < 0)
		return pm_fail_errno(err, errno, "read %s", name);
	if (!S_ISREG(st.st_mode))
		return pm_fail(err, PM_DENIED, "%s: not a regular file", name);
	if (st.st_size > (off_t)PM_VERSIONS_FILE_MAX)
		return pm_fail(err, PM_CORRUPT, "over %u KiB", PM_VERSIONS_FILE_MAX >> 10);
	*out = pm_calloc(1, (size_t)st.st_size + 1);
	if (*out == NULL)
		return pm_fail(err, PM_NO_MEMORY, "read %s", name);
	while (*len < (size_t)st.st_size) {
		ssize_t n = read(fd, *out + *len, (size_t)st.st_size - *len);

		if (n < 0 && errno != EINTR)
			return pm_fail_errno(err, errno, "read %s", name);
		if (n == 0)
			break;
		*len += n > 0 ? (size_t)n : 0;
	}
	/* An empty one is a file all the same, and none that we wrote. */
	return *len > 0 ? 0 : pm_fail(err, PM_CORRUPT, "it is empty");
}

static void put_aside(int dir, const char *name, const char *app, const char *why,
                      char damaged[VERSION_DAMAGE_MAX])
{
	time_t now = (time_t)(pm_wall_ms() / 1000);
	char aside[NAME_SIZE], date[32];
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	(void)strftime(date, sizeof(date), "%Y%m%dT%H%M%S", &tm);
	(void)snprintf(aside, sizeof(aside), "%s.corrupt-%s", name, date);
	(void)snprintf(damaged, VERSION_DAMAGE_MAX, "versions of %.40s: %.50s; kept as specs/%.60s",
	               app, why, renameat(dir, name, dir, aside) < 0 ? name : aside);
}

static int read_app(int dir, const char *app, struct versions *out,
                    char damaged[VERSION_DAMAGE_MAX], struct pm_error *err)
{
	char name[VERSION_FILE_NAME];
	PM_FREE uint8_t *bytes = NULL;
	size_t len;
	int rc;

	damaged[0] = '\0';
	*out = (struct versions){ .n = 0 };
	version_file_name(app, name);
	rc = read_bytes(dir, name, &bytes, &len, err);
	if (rc == 0 && len > 0)
		rc = versions_decode(bytes, len, out, err);
	if (rc == 0 || err->code != PM_CORRUPT)
		return rc < 0 ? pm_wrap(err, "versions of %.60s", app) : 0;
	put_aside(dir, name, app, err->what, damaged);
	return 0;
}

int version_files_read(const char *home, const char *app, struct versions *out,
                       char damaged[VERSION_DAMAGE_MAX], struct pm_error *err)
{
	PM_CLOSE int dir = -1;

	return open_dir(home, &dir, err) < 0 ? -1 : read_app(dir, app, out, damaged, err);
}

/* ---- writing ---- */

static int write_tmp(int dir, const char *tmp, const struct pm_buf *bytes, bool flush,
                     struct pm_error *err)
{
	PM_CLOSE int fd = -1;

	if (unlinkat(dir, tmp, 0) < 0 && errno != ENOENT)
		return pm_fail_errno(err, errno, "remove %s", tmp);
	fd = STEP("specs.open",
	          openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
	if (fd < 0)
		return pm_fail_errno(err, errno, "make %s", tmp);
	if (STEP("specs.write", pm_write_all(fd, (const uint8_t *)bytes->bytes, bytes->len)) < 0)
		return pm_fail_errno(err, errno, "write %s", tmp);
	if (flush && STEP("specs.fsync", fsync(fd)) < 0)
		return pm_fail_errno(err, errno, "flush %s", tmp);
	return 0;
}

struct writing {
	int dir;
	struct version_job *jobs;
	struct version_report *report;
	bool many;
};

static void say(struct writing *w, const char *words)
{
	if (w->report->words[0] == '\0')
		(void)snprintf(w->report->words, sizeof(w->report->words), "%.190s", words);
}

static bool is_same_app(const struct version_job *a, const struct version_job *b)
{
	return strcmp(a->app, b->app) == 0;
}

/* All jobs of one app, from its first on, into the file that is to take the place of the other. */
static int write_app(struct writing *w, const struct version_job *first, struct pm_error *err)
{
	PM_CLEANUP(versions_finish) struct versions v = { .n = 0 };
	char name[VERSION_FILE_NAME], tmp[NAME_SIZE], damaged[VERSION_DAMAGE_MAX];
	PM_BUF bytes = { 0 };

	if (read_app(w->dir, first->app, &v, damaged, err) < 0)
		return -1;
	if (damaged[0] != '\0')
		say(w, damaged);
	for (const struct version_job *job = first; job != NULL; job = job->next)
		if (is_same_app(job, first) && version_job_apply(job, &v, err) < 0)
			return -1;
	version_file_name(first->app, name);
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", name);
	if (versions_encode(&v, &bytes, err) < 0 ||
	    write_tmp(w->dir, tmp, &bytes, !w->many, err) < 0) {
		(void)unlinkat(w->dir, tmp, 0); /* it is written anew the next time */
		return pm_wrap(err, "versions of %.60s", first->app);
	}
	return 0;
}

static bool is_first(const struct version_job *jobs, const struct version_job *job)
{
	while (jobs != job && !is_same_app(jobs, job))
		jobs = jobs->next;
	return jobs == job;
}

static void mark(struct version_job *first, bool done)
{
	for (struct version_job *job = first; job != NULL; job = job->next)
		if (is_same_app(job, first))
			job->done = done;
}

/* Everything beside; only then, and flushed, is it put in place. */
static void write_all(struct writing *w)
{
	struct pm_error err;

	for (struct version_job *job = w->jobs; job != NULL; job = job->next) {
		if (!is_first(w->jobs, job))
			continue;
		if (write_app(w, job, &err) < 0)
			say(w, err.what);
		else
			mark(job, true);
	}
	if (w->many && STEP("specs.fsync", syncfs(w->dir)) < 0) {
		(void)pm_fail_errno(&err, errno, "flush state/" DIRECTORY);
		say(w, err.what);
		for (struct version_job *job = w->jobs; job != NULL; job = job->next)
			job->done = false;
	}
}

static void rename_all(struct writing *w)
{
	char name[VERSION_FILE_NAME], tmp[NAME_SIZE];
	struct pm_error err;

	for (struct version_job *job = w->jobs; job != NULL; job = job->next) {
		if (!job->done || !is_first(w->jobs, job))
			continue;
		version_file_name(job->app, name);
		(void)snprintf(tmp, sizeof(tmp), "%s.tmp", name);
		if (STEP("specs.rename", renameat(w->dir, tmp, w->dir, name)) == 0)
			continue;
		(void)pm_fail_errno(&err, errno, "rename %s", tmp);
		say(w, err.what);
		mark(job, false);
	}
	if (fsync(w->dir) < 0) {
		(void)pm_fail_errno(&err, errno, "flush state/" DIRECTORY);
		say(w, err.what);
	}
}

/* ---- limits ---- */

struct found {
	char name[NAME_SIZE];
	bool live;
	int64_t mtime_ms;
	uint64_t bytes;
};

static int first_to_go(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->live != y->live)
		return x->live ? 1 : -1;
	return x->mtime_ms < y->mtime_ms ? -1 : x->mtime_ms > y->mtime_ms;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void closedirp(DIR **dir)
{
	if (*dir != NULL)
		(void)closedir(*dir); /* read only: nothing to lose */
}

static size_t list_files(int dir_fd, struct found **out, char (*live)[VERSION_FILE_NAME],
                         size_t n_live, uint64_t *bytes)
{
	PM_CLEANUP(closedirp) DIR *dir = NULL;
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n = 0, cap = 0;
	struct dirent *entry;
	struct stat st;

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL)
		pm_closep(&fd);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		size_t len = strlen(entry->d_name);

		if (len >= NAME_SIZE || entry->d_name[0] == '.' ||
		    fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (n == cap) {
			size_t more = cap == 0 ? 64 : cap * 2;
			struct found *grown = pm_realloc(*out, more * sizeof(**out));

			if (grown == NULL)
				break; /* those that were seen have to do */
			*out = grown;
			cap = more;
		}
		(*out)[n] = (struct found){
			.live = n_live > 0 && bsearch(entry->d_name, live, n_live, sizeof(*live),
			                              by_name) != NULL,
			.mtime_ms =
				(int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000,
			.bytes = (uint64_t)st.st_size,
		};
		memcpy((*out)[n].name, entry->d_name, len + 1);
		*bytes += (*out)[n++].bytes;
	}
	return n;
}

static void thin_out(int dir, char (*live)[VERSION_FILE_NAME], size_t n_live)
{
	PM_FREE struct found *files = NULL;
	uint64_t bytes = 0;
	size_t n = list_files(dir, &files, live, n_live, &bytes), left = n;

	if (n <= PM_VERSIONS_FILES_MAX && bytes <= PM_VERSIONS_BYTES_MAX)
		return;
	qsort(files, n, sizeof(*files), first_to_go);
	for (size_t i = 0; i < n && (left > PM_VERSIONS_FILES_MAX || bytes > PM_VERSIONS_BYTES_MAX);
	     i++) {
		if (unlinkat(dir, files[i].name, 0) < 0)
			continue; /* the next time, then */
		left--;
		bytes -= files[i].bytes;
	}
}

void version_files_write(const char *home, struct version_job *jobs,
                         char (*live)[VERSION_FILE_NAME], size_t n_live,
                         struct version_report *report)
{
	PM_CLOSE int dir = -1;
	struct writing w = { .jobs = jobs, .report = report };
	struct pm_error err;
	size_t n = 0;

	*report = (struct version_report){ 0 };
	for (struct version_job *job = jobs; job != NULL; job = job->next)
		n++;
	w.many = n > MANY;
	if (open_dir(home, &dir, &err) < 0) {
		say(&w, err.what);
	} else {
		w.dir = dir;
		write_all(&w);
		rename_all(&w);
		thin_out(dir, live, n_live);
	}
	for (struct version_job *job = jobs; job != NULL; job = job->next)
		report->n_failed += !job->done;
}
