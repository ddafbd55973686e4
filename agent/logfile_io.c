/* logfile_io.c - bytes into a log file: moved from a pipe, appended, taken back. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/logfile_body.h"
#include "agent/logindex.h"
#include "proto/failpoint.h"
#include "proto/limits.h"

void logfile_flush(struct logfile *f)
{
	f->end = 0;
	f->line_start = LINE_START_YES;
	f->truncations++;
	f->indexed_ms = 0;
	logindex_remove(f->logs->home, f->path);
	logfile_tell_watches(f);
}

/*
 * Look at the file as it is now: somebody may have truncated it, or deleted it, in which case what
 * we wrote would go nowhere.
 */
static int look(struct logfile *f)
{
	struct stat st;

	if (f->kind != LOGFILE_REGULAR)
		return 0;
	if (fstat(f->fd, &st) < 0)
		return errno;
	if (st.st_nlink == 0) {
		logfile_close(f);
		int rc = logfile_open(f);

		if (rc == 0)
			logfile_tell_watches(f);
		return rc;
	}
	if ((uint64_t)st.st_size == f->end)
		return 0;
	if ((uint64_t)st.st_size < f->end)
		logfile_flush(f);
	f->end = (uint64_t)st.st_size;
	f->line_start = f->end == 0 ? LINE_START_YES : LINE_START_UNKNOWN;
	return 0;
}

uint64_t logfile_end(struct logfile *f)
{
	if (f->fd >= 0 && look(f) != 0)
		return f->end; /* the write that follows says what is wrong */
	return f->end;
}

bool logfile_at_line_start(struct logfile *f)
{
	char last;

	if (f->kind != LOGFILE_REGULAR)
		return true;
	if (f->line_start == LINE_START_UNKNOWN) {
		bool yes = f->end == 0 || pread(f->fd, &last, 1, (off_t)f->end - 1) != 1 ||
		           last == '\n';

		f->line_start = yes ? LINE_START_YES : LINE_START_NO;
	}
	return f->line_start == LINE_START_YES;
}

ssize_t logfile_splice(struct logfile *f, int pipe_fd, size_t max)
{
	loff_t at;
	ssize_t n;
	int rc = look(f);

	if (rc == 0)
		rc = PM_FAIL_POINT("logfile.splice");
	if (rc != 0)
		goto trouble;
	at = (loff_t)f->end;
	do
		n = splice(pipe_fd, NULL, f->fd, f->kind == LOGFILE_REGULAR ? &at : NULL, max,
		           SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (n > 0 && f->kind == LOGFILE_REGULAR) {
		f->end += (uint64_t)n;
		f->line_start = LINE_START_UNKNOWN;
	}
	if (n >= 0 || errno == EAGAIN)
		return n;
	if (errno == EINVAL) {
		f->no_splice = true;
		return -1;
	}
	rc = errno;
trouble:
	logfile_trouble(f, rc);
	errno = rc;
	return -1;
}

/* Write it all; returns what was written, and in *errnum why not more. */
static size_t write_all(struct logfile *f, const char *bytes, size_t len, int *errnum)
{
	size_t done = 0, part = len;
	ssize_t n;

	*errnum = PM_FAIL_POINT("logfile.write");
	while (done < len && *errnum == 0) {
#ifdef PM_FAILPOINTS
		part = done == 0 ? (len + 1) / 2 : len - done; /* so that a test can kill us amid */
#endif
		n = f->kind == LOGFILE_REGULAR
		            ? pwrite(f->fd, bytes + done, part, (off_t)(f->end + done))
		            : write(f->fd, bytes + done, part);
		if (n >= 0) {
			done += (size_t)n;
			part = len - done;
			*errnum = n == 0 ? ENOSPC : PM_FAIL_POINT("capture.mid_write");
		} else if (errno != EINTR) {
			*errnum = errno;
		}
	}
	return done;
}

int logfile_append(struct logfile *f, const char *bytes, size_t len)
{
	size_t done;
	int rc = look(f);

	if (len == 0)
		return 0;
	if (rc == 0) {
		done = write_all(f, bytes, len, &rc);
		if (rc != 0 && done > 0 && f->kind == LOGFILE_REGULAR)
			logfile_rollback(f, f->end);
		/* A terminal or FIFO keeps what it took; the rest is lost to it. */
		if (rc == EAGAIN)
			return EAGAIN;
	}
	if (rc != 0) {
		logfile_trouble(f, rc);
		return rc;
	}
	if (f->kind == LOGFILE_REGULAR) {
		f->end += len;
		f->line_start = bytes[len - 1] == '\n' ? LINE_START_YES : LINE_START_NO;
	}
	return 0;
}

ssize_t logfile_read(const struct logfile *f, char *out, size_t len, uint64_t offset)
{
	return pread(f->fd, out, len, (off_t)offset);
}

void logfile_rollback(struct logfile *f, uint64_t end)
{
	if (f->kind != LOGFILE_REGULAR)
		return;
	while (ftruncate(f->fd, (off_t)end) < 0 && errno == EINTR)
		;
	f->end = end;
	f->line_start = LINE_START_UNKNOWN;
}

uint64_t logfile_cut_partial(struct logfile *f)
{
	char tail[4096];
	uint64_t end = f->end, at, stop;
	const char *newline;

	if (f->kind != LOGFILE_REGULAR || f->fd < 0 || logfile_at_line_start(f))
		return 0;
	stop = end > PM_LINE_MAX ? end - PM_LINE_MAX : 0;
	for (at = end; at > stop;) {
		size_t n = (size_t)PM_MIN(at - stop, sizeof(tail));

		if (pread(f->fd, tail, n, (off_t)(at - n)) != (ssize_t)n)
			return 0;
		newline = memrchr(tail, '\n', n);
		at -= n;
		if (newline != NULL) {
			at += (uint64_t)(newline - tail) + 1;
			break;
		}
	}
	if (at == stop && stop > 0)
		return 0; /* a very long line: what is there of it stays */
	logfile_rollback(f, at);
	return end - at;
}

void logfile_committed(struct logfile *f, uint64_t from)
{
	uint64_t now_ms = uv_now(f->logs->loop);

	if (f->kind != LOGFILE_REGULAR || f->end == from)
		return;
	if (f->indexed_ms == 0 || now_ms - f->indexed_ms >= LOGINDEX_EVERY_MS) {
		logindex_append(f->logs->home, f->path, f->ino, pm_wall_ms(), from);
		f->indexed_ms = PM_MAX(now_ms, 1);
	}
	if (f->rotate_at_ms == 0 && f->policy.rotate_every_ms != 0 && !f->age_due)
		logfile_plan_age(f);
	logfile_tell_watches(f);
}

uint64_t logfile_room(const struct logfile *f)
{
	if (f->kind != LOGFILE_REGULAR || uv_now(f->logs->loop) < f->no_rotate_ms)
		return UINT64_MAX;
	if (f->age_due)
		return 0;
	if (f->policy.max_size == 0)
		return UINT64_MAX;
	return f->policy.max_size > f->end ? f->policy.max_size - f->end : 0;
}

bool logfile_is_over(const struct logfile *f, uint64_t slack)
{
	uint64_t since = f->age_due ? f->due_end : f->policy.max_size;

	return logfile_room(f) == 0 && f->end >= since && f->end - since >= slack;
}
