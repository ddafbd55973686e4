#include "agent/logfile_body.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "proto/failpoint.h"
#include "proto/limits.h"
#include "proto/log.h"

/* A file that cannot be opened is tried again this often, while there is output. */
#define OPEN_RETRY_MS 30000
/* A full disk is looked at after 1 s, then at growing distances. */
#define FULL_RETRY_MIN_MS 1000
#define FULL_RETRY_MAX_MS 30000
/* Room that must be there before we go on: or each freed block would make a mark of its own. */
#define ROOM_MIN (128u * 1024)

static size_t bucket_of(const char *path)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *path != '\0'; path++)
		h = (h ^ (unsigned char)*path) * 16777619u;
	return h % LOGS_BUCKETS;
}

struct logfile *logfile_ref(struct logs *l, const char *path)
{
	struct logfile **bucket = &l->files[bucket_of(path)], *f;

	for (f = *bucket; f != NULL; f = f->next)
		if (strcmp(f->path, path) == 0) {
			f->refs++;
			return f;
		}
	f = pm_calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	f->path = pm_strdup(path);
	if (f->path == NULL) {
		free(f);
		return NULL;
	}
	f->logs = l;
	f->refs = 1;
	f->fd = -1;
	f->generation = 1;
	f->next = *bucket;
	*bucket = f;
	return f;
}

static void trouble_over(struct logfile *f)
{
	struct logs *l = f->logs;

	if (f->trouble == 0)
		return;
	f->trouble = 0;
	f->backoff_ms = 0;
	if (--l->n_trouble == 0 && l->hooks.degraded != NULL)
		l->hooks.degraded(l->hooks.arg, "disk", NULL);
}

void logfile_unref(struct logfile *f)
{
	struct logfile **at;

	if (f == NULL || --f->refs > 0)
		return;
	for (at = &f->logs->files[bucket_of(f->path)]; *at != f; at = &(*at)->next)
		;
	*at = f->next;
	trouble_over(f);
	logfile_close(f);
	logfile_past_free(f);
	free(f->path);
	free(f);
}

void logfile_join(struct log_dest *dest, const struct logfile_policy *policy)
{
	struct logfile *f = dest->file;

	f->policy = *policy;
	dest->next = f->dests;
	f->dests = dest;
	if (f->fd >= 0)
		logfile_plan_age(f);
}

void logfile_leave(struct log_dest *dest)
{
	struct logfile *f = dest->file;
	struct log_dest **at;

	for (at = &f->dests; *at != dest; at = &(*at)->next)
		;
	*at = dest->next;
	dest->file = NULL;
	if (f->dests == NULL)
		logfile_close(f); /* readers have descriptors of their own */
	logfile_unref(f);
}

void logfile_watch(struct log_watch *w)
{
	w->next = w->file->watches;
	w->file->watches = w;
}

void logfile_unwatch(struct log_watch *w)
{
	struct logfile *f = w->file;
	struct log_watch **at;

	for (at = &f->watches; *at != w; at = &(*at)->next)
		;
	*at = w->next;
	w->file = NULL;
	if (f->watches == NULL)
		logfile_past_free(f);
	logfile_unref(f);
}

void logfile_tell_watches(struct logfile *f)
{
	for (struct log_watch *w = f->watches; w != NULL; w = w->next)
		w->changed(w);
}

bool logfile_is_shared(const struct logfile *f)
{
	return f->dests != NULL && f->dests->next != NULL && !logfile_is_null(f);
}

bool logfile_is_null(const struct logfile *f)
{
	return strcmp(f->path, "/dev/null") == 0;
}

bool logfile_can_splice(const struct logfile *f)
{
	return !f->no_splice;
}

const char *logfile_path(const struct logfile *f)
{
	return f->path;
}

const char *logfile_home(const struct logfile *f)
{
	return f->logs->home;
}

struct logfile *logfile_next(const struct logfile *f)
{
	return f->next;
}

uint64_t logfile_ino(const struct logfile *f)
{
	return f->kind == LOGFILE_REGULAR ? f->ino : 0;
}

uint64_t logfile_generation(const struct logfile *f)
{
	return f->generation;
}

uint64_t logfile_truncations(const struct logfile *f)
{
	return f->truncations;
}

/* ---- trouble ---- */

static bool is_full(int errnum)
{
	return errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG || errnum == EIO;
}

void logfile_trouble(struct logfile *f, int errnum)
{
	struct logs *l = f->logs;
	char words[512];

	if (f->trouble == 0) {
		l->n_trouble++;
		pm_log(PM_LOG_ERROR, "log.trouble", "file=%s error=%s", f->path, strerror(errnum));
		(void)snprintf(words, sizeof(words), "log file %.400s: %s", f->path,
		               strerror(errnum));
		if (l->hooks.degraded != NULL)
			l->hooks.degraded(l->hooks.arg, "disk", words);
	}
	f->trouble = errnum;
	if (!is_full(errnum)) {
		f->retry_ms = uv_now(l->loop) + OPEN_RETRY_MS;
		return; /* tried when there is output */
	}
	f->backoff_ms = f->backoff_ms == 0 ? FULL_RETRY_MIN_MS
	                                   : PM_MIN(f->backoff_ms * 2, FULL_RETRY_MAX_MS);
	f->retry_ms = uv_now(l->loop) + f->backoff_ms;
	logs_wake_at(l, f->retry_ms);
}

bool logfile_must_wait(const struct logfile *f)
{
	return f->policy.block && is_full(f->trouble);
}

static struct log_drops drops_of(const struct logfile *f)
{
	struct log_drops sum = { 0 };

	for (const struct log_dest *d = f->dests; d != NULL; d = d->next) {
		sum.lines += d->drops->lines;
		sum.bytes += d->drops->bytes;
	}
	return sum;
}

/* One visible line for what was dropped; 0, or the errno that says it is not over. */
static int write_mark(struct logfile *f, const char *why)
{
	const struct log_drops sum = drops_of(f);
	uint64_t from = f->end;
	char text[512], when[32];
	time_t now = time(NULL);
	struct tm tm;
	int n, rc;

	if (sum.lines == 0 && sum.bytes == 0)
		return 0;
	if (f->policy.json) {
		(void)gmtime_r(&now, &tm);
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
		n = snprintf(text, sizeof(text),
		             "{\"message\":\"-- pmd: %" PRIu64 " lines (%" PRIu64
		             " bytes) dropped: %s --\",\"timestamp\":\"%s\",\"type\":\"pmd\"}\n",
		             sum.lines, sum.bytes, why, when);
	} else {
		n = snprintf(text, sizeof(text),
		             "%s-- pmd: %" PRIu64 " lines (%" PRIu64 " bytes) dropped: %s --\n",
		             logfile_at_line_start(f) ? "" : "\n", sum.lines, sum.bytes, why);
	}
	rc = logfile_append(f, text, (size_t)n);
	if (rc != 0)
		return rc;
	for (struct log_dest *d = f->dests; d != NULL; d = d->next)
		*d->drops = (struct log_drops){ 0 };
	logfile_committed(f, from);
	return 0;
}

static bool has_room(const struct logfile *f)
{
	struct statvfs fs;

	if (f->trouble != ENOSPC || fstatvfs(f->fd, &fs) < 0)
		return true; /* nothing tells: try */
	return (uint64_t)fs.f_bavail * fs.f_frsize >= ROOM_MIN;
}

int logfile_ready(struct logfile *f)
{
	int was = f->trouble, rc;

	if (was == 0 && f->fd >= 0)
		return 0;
	if (was != 0 && uv_now(f->logs->loop) < f->retry_ms)
		return was;
	rc = f->fd >= 0 ? 0 : logfile_open(f);
	if (rc == 0 && was != 0 && !has_room(f))
		rc = was;
	if (rc == 0) {
		/* Drops of a former supervisor are told as well; it knew why, we do not. */
		rc = write_mark(f, strerror(was == 0 ? ENOSPC : was));
	}
	if (rc != 0) {
		logfile_trouble(f, rc);
		return rc;
	}
	if (was != 0)
		pm_log(PM_LOG_INFO, "log.well", "file=%s", f->path);
	trouble_over(f);
	return 0;
}

void logfiles_tick(struct logs *l, uint64_t now_ms)
{
	struct logfile *f, *next;

	for (size_t i = 0; i < LOGS_BUCKETS; i++)
		for (f = l->files[i]; f != NULL; f = next) {
			next = f->next;
			if (is_full(f->trouble)) {
				if (now_ms >= f->retry_ms)
					(void)logfile_ready(f); /* in trouble still: tried again */
				if (f->trouble != 0)
					logs_wake_at(l, f->retry_ms);
			}
			logfile_age_tick(f, now_ms);
		}
}

/* ---- opening ---- */

/* Make the folders on the way; mode 0700, the app's owner's. */
static int make_parents(const struct logfile *f)
{
	char path[PM_PATH_MAX];
	size_t len = strlen(f->path);

	if (len >= sizeof(path))
		return ENAMETOOLONG;
	memcpy(path, f->path, len + 1);
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0700) == 0) {
			if (f->policy.uid != (uid_t)-1 && geteuid() == 0 &&
			    lchown(path, f->policy.uid, f->policy.gid) < 0)
				return errno;
		} else if (errno != EEXIST) {
			return errno;
		}
		*slash = '/';
	}
	return 0;
}

static int open_new(const struct logfile *f, int flags)
{
	int fd = open(f->path, flags | O_CREAT | O_EXCL, 0600);

	if (fd < 0 && errno == ENOENT) {
		int rc = make_parents(f);

		if (rc != 0) {
			errno = rc;
			return -1;
		}
		fd = open(f->path, flags | O_CREAT | O_EXCL, 0600);
	}
	if (fd >= 0 && f->policy.uid != (uid_t)-1 && geteuid() == 0 &&
	    fchown(fd, f->policy.uid, f->policy.gid) < 0) {
		int rc = errno;

		(void)close(fd);
		errno = rc;
		return -1;
	}
	return fd;
}

/*
 * What we would write to must be what the name says: with root's rights in a folder of a user's, a
 * hard link of his to another file is not.
 */
static int check(const struct logfile *f, const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return EISDIR;
	if (S_ISREG(st->st_mode) && st->st_nlink > 1 && geteuid() == 0 &&
	    f->policy.uid != (uid_t)-1 && f->policy.uid != 0)
		return EMLINK;
	return 0;
}

static void learn(struct logfile *f, const struct stat *st)
{
	if (S_ISREG(st->st_mode)) {
		if (f->ino != 0 && f->ino != st->st_ino) {
			f->generation++;
			logfile_past_add(f, NULL, f->end);
		}
		f->ino = st->st_ino;
		f->end = (uint64_t)st->st_size;
		f->kind = LOGFILE_REGULAR;
	} else {
		f->kind = LOGFILE_OTHER;
		f->end = 0;
	}
	f->line_start = f->end == 0 ? LINE_START_YES : LINE_START_UNKNOWN;
}

int logfile_open(struct logfile *f)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	int fd, rc = PM_FAIL_POINT("logfile.open");
	struct stat st;

	if (rc != 0)
		return rc;
	/* A link in /dev is the system's; any other could be put there to have us write to its end.
	 */
	if (strncmp(f->path, "/dev/", 5) != 0)
		flags |= O_NOFOLLOW;
	fd = open(f->path, flags);
	if (fd < 0 && errno == ENOENT)
		fd = open_new(f, flags);
	if (fd < 0)
		return errno;
	if (fstat(fd, &st) < 0)
		rc = errno;
	else
		rc = check(f, &st);
	if (rc != 0) {
		(void)close(fd);
		return rc;
	}
	f->fd = fd;
	f->no_splice = false;
	learn(f, &st);
	logfile_plan_age(f);
	return 0;
}

void logfile_close(struct logfile *f)
{
	if (f->fd >= 0)
		(void)close(f->fd); /* what write() took is the kernel's; close has no say */
	f->fd = -1;
	f->rotate_at_ms = 0;
}

void logfile_reopen(struct logfile *f)
{
	if (f->dests == NULL || f->kind == LOGFILE_OTHER)
		return;
	logfile_close(f);
	f->retry_ms = 0; /* somebody may have put it right */
	if (logfile_ready(f) == 0)
		logfile_tell_watches(f);
}
