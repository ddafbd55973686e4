/* capture_stage.c - from the stage to the files, so that a kill at any instruction does no harm. */
#include "agent/capture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/dayjs.h"
#include "proto/failpoint.h"
#include "proto/limits.h"
#include "proto/log.h"

/* An idle stage's pages are given back after this long. */
#define STAGE_IDLE_MS 1000
#define STAMP_MAX     192

static void put(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* ---- the memfd ---- */

static int stage_map(struct log_stream *s)
{
	void *p = mmap(NULL, STAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, s->stage_fd, 0);

	if (p == MAP_FAILED)
		return -1;
	s->stage = p;
	return 0;
}

int stage_open(struct log_stream *s)
{
	struct logs *l = s->logs;

	if (s->stage != NULL)
		return 0;
	if (s->stage_fd >= 0)
		return stage_map(s);
	s->stage_fd = memfd_create("pmd-stage", MFD_CLOEXEC);
	if (s->stage_fd < 0)
		return -1;
	if (ftruncate(s->stage_fd, STAGE_SIZE) < 0 || stage_map(s) < 0) {
		int errnum = errno;

		stage_close(s);
		errno = errnum;
		return -1;
	}
	if (l->hooks.hold != NULL)
		l->hooks.hold(l->hooks.arg, s->slot,
		              s->err ? KEEPER_FD_ERR_STAGE : KEEPER_FD_OUT_STAGE, s->stage_fd);
	return 0;
}

void stage_close(struct log_stream *s)
{
	if (s->stage != NULL)
		(void)munmap(s->stage, STAGE_SIZE);
	s->stage = NULL;
	if (s->stage_fd >= 0)
		(void)close(s->stage_fd);
	s->stage_fd = -1;
}

void stage_tick(struct log_stream *s, uint64_t now_ms)
{
	if (!s->stage_in_use)
		return;
	if (now_ms < s->stage_used_ms + STAGE_IDLE_MS) {
		logs_wake_at(s->logs, s->stage_used_ms + STAGE_IDLE_MS);
		return;
	}
	s->stage_in_use = false; /* an unfinished line keeps its pages until there is more */
	if (s->staged == 0)
		(void)fallocate(s->stage_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		                STAGE_SIZE); /* else the pages stay: no harm */
}

static void touch(struct log_stream *s)
{
	s->stage_used_ms = uv_now(s->logs->loop);
	if (!s->stage_in_use)
		logs_wake_at(s->logs, s->stage_used_ms + STAGE_IDLE_MS);
	s->stage_in_use = true;
}

ssize_t stage_fill(struct log_stream *s, size_t max)
{
	ssize_t n;

	if (s->staged >= STAGE_SIZE) {
		errno = EAGAIN;
		return -1;
	}
	do
		n = splice(s->pipe_fd, NULL, s->stage_fd, NULL, PM_MIN(max, STAGE_SIZE - s->staged),
		           SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		s->staged += (uint64_t)n;
		touch(s);
		(void)PM_FAIL_POINT("capture.after_splice");
	}
	return n;
}

/*
 * Move what still counts to the start. The copy goes where nothing counts any more, so that until
 * `compact` is set the old place is good and from then on the new one.
 */
static void compact_finish(struct log_stream *s)
{
	uint64_t rest = s->words->compact - 1;

	if (lseek(s->stage_fd, (off_t)rest, SEEK_SET) < 0)
		return; /* cannot be: a memfd, a position in range */
	s->staged = rest;
	(void)PM_FAIL_POINT("capture.mid_compact");
	put(&s->words->consumed, 0);
	put(&s->words->compact, 0);
}

static void stage_settle(struct log_stream *s)
{
	uint64_t consumed = s->words->consumed, rest = s->staged - consumed;

	if (consumed == 0 || rest > consumed || (rest > 0 && s->staged < STAGE_SIZE / 2))
		return;
	memcpy(s->stage, s->stage + consumed, (size_t)rest);
	(void)PM_FAIL_POINT("capture.before_compact");
	put(&s->words->compact, rest + 1);
	compact_finish(s);
}

/* ---- one step ---- */

static size_t count_lines(const char *bytes, size_t len)
{
	size_t n = 0;

	for (const char *p = bytes; (p = memchr(p, '\n', len - (size_t)(p - bytes))) != NULL; p++)
		n++;
	return n;
}

static void count_drop(struct log_stream *s, unsigned i, uint64_t lines, uint64_t bytes)
{
	s->words->drops[i].lines += lines;
	s->words->drops[i].bytes += bytes;
	s->counts.dropped_lines += lines;
	s->counts.dropped_bytes += bytes;
}

static void commit(struct log_stream *s)
{
	struct capture_words *w = s->words;

	put(&w->phase, CAPTURE_COMMIT);
	(void)PM_FAIL_POINT("capture.mid_commit");
	put(&w->consumed, w->consumed_after);
	put(&w->line, w->line_after);
	put(&w->phase, CAPTURE_NONE);
	(void)PM_FAIL_POINT("capture.after_commit");
}

/* Done with n bytes that go to no file. */
static void consume(struct log_stream *s, size_t n, uint64_t line_after)
{
	s->words->consumed_after = s->words->consumed + n;
	s->words->line_after = line_after;
	commit(s);
}

void stage_cut_line(struct log_stream *s, struct logfile *f)
{
	uint64_t line = s->words->line & ~(uint64_t)LINE_MID;

	if (!logfile_at_line_start(f)) {
		put(&s->words->line, line | LINE_SKIP);
		count_drop(s, 0, 1, logfile_cut_partial(f));
	} else {
		put(&s->words->line, line);
	}
}

/* Bytes of whole lines in what is there; 0: none yet. */
static size_t whole_lines(const char *in, size_t len, bool eof)
{
	const char *last = memrchr(in, '\n', len);

	if (last != NULL)
		return (size_t)(last - in) + 1;
	return eof || len >= PM_LINE_MAX ? len : 0;
}

static enum step drop_all(struct log_stream *s, const char *in, size_t len, bool eof)
{
	size_t n = whole_lines(in, len, eof);

	if (n == 0)
		return STEP_MORE;
	for (unsigned i = 0; i < s->n_dests; i++)
		count_drop(s, i, count_lines(in, n), n);
	if (in[n - 1] == '\n') {
		consume(s, n, 0);
	} else {
		for (unsigned i = 0; i < s->n_dests; i++)
			count_drop(s, i, 1, 0);
		consume(s, n, LINE_SKIP);
	}
	return STEP_DONE;
}

static enum step skip_line(struct log_stream *s, const char *in, size_t len)
{
	const char *newline = memchr(in, '\n', len);
	size_t n = newline == NULL ? len : (size_t)(newline - in) + 1;

	/* It is in the mark as a line already, and that may have been written. */
	s->counts.dropped_bytes += n;
	consume(s, n, newline == NULL ? LINE_SKIP : 0);
	return STEP_DONE;
}

/* Several streams write the file, or this one writes two that get the same lines. */
static bool is_whole(const struct log_stream *s)
{
	return s->json || s->tapped || s->n_dests > 1 || logfile_is_shared(s->dests[0].file);
}

struct stamp {
	char text[STAMP_MAX + 2];
};

static struct lines_style style_of(const struct log_stream *s, struct stamp *stamp)
{
	struct lines_style style = { .format = s->json ? LINES_JSON : LINES_TEXT,
		                     .shared = is_whole(s),
		                     .type = s->err ? "err" : "out",
		                     .app_name = s->app_name,
		                     .process_id = s->pm_id };
	size_t n;

	if (s->date_format == NULL && !s->json)
		return style;
	n = pm_dayjs(s->date_format != NULL ? s->date_format : "YYYY-MM-DDTHH:mm:ss.SSSZ",
	             pm_wall_ms(), stamp->text, STAMP_MAX);
	if (s->json) {
		style.timestamp = stamp->text;
	} else {
		memcpy(stamp->text + n, ": ", 2);
		style.prefix = stamp->text;
		style.prefix_len = n + 2;
	}
	return style;
}

/* A line begins at a line's start, whoever wrote before. 0 or what failed. */
static int ensure_line_start(struct log_stream *s, const struct lines_style *style)
{
	for (unsigned i = 0; i < s->n_dests; i++) {
		struct logfile *f = s->dests[i].file;
		bool whole = style->shared || style->format == LINES_JSON;
		int rc = 0;

		if (logfile_ready(f) != 0)
			continue;
		if (whole || (style->prefix_len > 0 && !(s->words->line & LINE_MID)))
			rc = logfile_at_line_start(f) ? 0 : logfile_append(f, "\n", 1);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static void announce(struct log_stream *s, size_t n, uint64_t line_after, size_t out_len)
{
	struct capture_words *w = s->words;

	for (unsigned i = 0; i < LOG_DESTS_MAX; i++)
		w->intent[i].len = 0;
	for (unsigned i = 0; i < s->n_dests; i++) {
		struct logfile *f = s->dests[i].file;

		if (logfile_ready(f) != 0 || (s->redo_done & 1u << i))
			continue;
		w->intent[i].offset = logfile_end(f);
		w->intent[i].ino = logfile_ino(f);
		w->intent[i].len = out_len;
	}
	w->step_bytes = n;
	w->consumed_after = w->consumed + n;
	w->line_after = line_after;
	put(&w->phase, CAPTURE_INTENT);
	(void)PM_FAIL_POINT("capture.after_intent");
}

/* Write what was announced.  false: nothing was done, it is all still staged. */
static bool write_out(struct log_stream *s, const char *in, size_t n)
{
	struct capture_words *w = s->words;
	const struct pm_buf *out = &s->logs->out;
	/* A terminal or FIFO that takes no more cannot be wound back either. */
	const bool may_drop = is_whole(s) || logfile_ino(s->dests[0].file) == 0;

	for (unsigned i = 0; i < s->n_dests; i++) {
		struct logfile *f = s->dests[i].file;

		if (s->redo_done & 1u << i)
			continue;
		if (w->intent[i].len > 0 && logfile_append(f, out->bytes, out->len) == 0)
			continue;
		if (!may_drop || logfile_must_wait(f)) {
			while (i-- > 0)
				if (w->intent[i].len > 0)
					logfile_rollback(s->dests[i].file, w->intent[i].offset);
			put(&w->phase, CAPTURE_NONE);
			return false;
		}
		w->intent[i].len = 0;
		count_drop(s, i, count_lines(in, n), n);
	}
	(void)PM_FAIL_POINT("capture.after_write");
	return true;
}

/* The files that are too large are rotated when a line has just ended, or does not end. */
static void rotate_if_due(struct log_stream *s)
{
	bool mid = (s->words->line & LINE_MID) && !is_whole(s);

	for (unsigned i = 0; i < s->n_dests; i++)
		if (logfile_is_over(s->dests[i].file, mid ? PM_LINE_MAX : 0))
			logfile_rotate(s->dests[i].file);
}

static enum step write_lines(struct log_stream *s, const char *in, size_t len, bool eof)
{
	struct pm_buf *out = &s->logs->out;
	struct lines lines = { .mid_line = (s->words->line & LINE_MID) != 0 };
	struct stamp stamp;
	struct lines_style style = style_of(s, &stamp);
	size_t n;

	if (ensure_line_start(s, &style) != 0)
		return STEP_DONE; /* in trouble now: another way next time */
	pm_buf_reset(out);
	n = lines_feed(&lines, &style, in, len, eof, out);
	if (out->failed)
		return STEP_WAIT;
	if (out->len == 0)
		return STEP_MORE;
	announce(s, n, lines.mid_line ? LINE_MID : 0, out->len);
	if (!write_out(s, in, n)) {
		if (logfile_must_wait(s->dests[0].file) ||
		    (s->n_dests > 1 && logfile_must_wait(s->dests[1].file)))
			return STEP_WAIT;
		stage_cut_line(s, s->dests[0].file);
		return STEP_DONE;
	}
	commit(s);
	s->redo_bytes = 0;
	s->redo_done = 0;
	for (unsigned i = 0; i < s->n_dests; i++)
		if (s->words->intent[i].len > 0)
			logfile_committed(s->dests[i].file, s->words->intent[i].offset);
	if (s->tapped)
		log_taps_feed(s->logs, s->pm_id, s->err, out->bytes, out->len);
	rotate_if_due(s);
	return STEP_DONE;
}

/*
 * How much to take at once: not much more than the file may still get, and to the line's end when
 * the file waits for that to be rotated.
 */
static size_t step_len(const struct log_stream *s, const char *in, size_t len)
{
	const bool whole = is_whole(s); /* then a step has to have room for any line */
	uint64_t room = logfile_room(s->dests[0].file);
	const char *newline;

	if (s->redo_bytes > 0)
		return (size_t)PM_MIN(s->redo_bytes, len);
	len = PM_MIN(len, STEP_MAX);
	if (whole || room > 0)
		return (size_t)PM_MIN(len, whole ? PM_MAX(room, PM_LINE_MAX) : room);
	newline = memchr(in, '\n', len);
	return newline == NULL ? len : (size_t)(newline - in) + 1;
}

static enum step step(struct log_stream *s, bool eof)
{
	const char *in = s->stage + s->words->consumed;
	size_t avail = (size_t)(s->staged - s->words->consumed), len = step_len(s, in, avail);
	bool any = false;

	if (s->redo_bytes > 0 && len > 0) /* the step may have been the last of its run */
		eof = in[len - 1] != '\n' && len < PM_LINE_MAX;
	else
		eof = eof && len == avail;
	if (len == 0 && !(eof && (s->words->line & LINE_MID) && is_whole(s)))
		return STEP_MORE;
	for (unsigned i = 0; i < s->n_dests; i++) {
		any |= logfile_ready(s->dests[i].file) == 0;
		if (logfile_must_wait(s->dests[i].file))
			return STEP_WAIT;
	}
	if (s->words->line & LINE_SKIP)
		return len == 0 ? STEP_MORE : skip_line(s, in, len);
	if (!any)
		return len == 0 ? STEP_MORE : drop_all(s, in, len, eof);
	return write_lines(s, in, len, eof);
}

/* A run that ended within a line: the next one's first line has a time of its own. */
static void end_stamped_line(struct log_stream *s)
{
	struct logfile *f = s->dests[0].file;

	if (s->date_format == NULL || is_whole(s) || !(s->words->line & LINE_MID))
		return;
	if (logfile_ready(f) == 0 && !logfile_at_line_start(f))
		(void)logfile_append(f, "\n", 1); /* or else the file is in trouble: no harm */
	put(&s->words->line, 0);
}

enum step stage_drain(struct log_stream *s, bool eof)
{
	enum step r;

	if (s->stage == NULL)
		return STEP_MORE;
	while ((r = step(s, eof)) == STEP_DONE)
		;
	stage_settle(s);
	if (eof && r == STEP_MORE)
		end_stamped_line(s);
	return r;
}

/* ---- after a former supervisor ---- */

/* The file with that inode: the path's, or what somebody renamed it to.  -1: gone. */
static int open_ino(const char *path, uint64_t ino)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	char dir[PM_PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct dirent *e;
	DIR *d;
	int fd = -1;

	if (slash == NULL || (size_t)(slash - path) + 1 >= sizeof(dir))
		return -1;
	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path) + 1, path);
	d = opendir(dir);
	while (d != NULL && fd < 0 && (e = readdir(d)) != NULL)
		if (e->d_ino == ino)
			fd = openat(dirfd(d), e->d_name, flags);
	if (d != NULL)
		(void)closedir(d);
	return fd;
}

enum written {
	WRITTEN_NOT,
	WRITTEN_LAST, /* and nothing after it: it can be taken back */
	WRITTEN_GOOD, /* others have written since, or nobody can tell */
};

/* The size of the file of an intent, or UINT64_MAX; *fd is opened when it is not f's present one.
 */
static uint64_t intent_size(struct log_stream *s, unsigned i, int *fd)
{
	const uint64_t ino = s->words->intent[i].ino;
	struct logfile *f = s->dests[i].file;
	struct stat st;

	if (logfile_ready(f) == 0 && logfile_ino(f) == ino)
		return logfile_end(f);
	*fd = open_ino(logfile_path(f), ino);
	return *fd >= 0 && fstat(*fd, &st) == 0 ? (uint64_t)st.st_size : UINT64_MAX;
}

static bool intent_cut(struct log_stream *s, unsigned i, int fd)
{
	if (fd >= 0)
		return ftruncate(fd, (off_t)s->words->intent[i].offset) == 0;
	logfile_rollback(s->dests[i].file, s->words->intent[i].offset);
	return true;
}

/* Did this file get its part?  Half of it is taken back; all of it, if told to. */
static enum written look_at_intent(struct log_stream *s, unsigned i, bool take_back)
{
	const uint64_t from = s->words->intent[i].offset, to = from + s->words->intent[i].len;
	PM_CLOSE int fd = -1;
	uint64_t size;

	if (s->words->intent[i].ino == 0)
		return WRITTEN_GOOD; /* no way to tell: rather nothing twice */
	size = intent_size(s, i, &fd);
	if (size == UINT64_MAX || size == from)
		return WRITTEN_NOT; /* gone with all that was in it, or not begun */
	if (size < from || size > to)
		return WRITTEN_GOOD; /* emptied since, or gone on with */
	if (size == to && !take_back)
		return WRITTEN_LAST;
	return intent_cut(s, i, fd) ? WRITTEN_NOT : WRITTEN_GOOD;
}

static void recover_intent(struct log_stream *s)
{
	struct capture_words *w = s->words;
	unsigned wanted = 0, written = 0;

	for (unsigned i = 0; i < s->n_dests; i++)
		if (w->intent[i].len > 0) {
			wanted |= 1u << i;
			if (look_at_intent(s, i, false) != WRITTEN_NOT)
				written |= 1u << i;
		}
	if (written == wanted) {
		commit(s);
		return;
	}
	/* Some did not: all anew, so that being killed here again does no harm either. */
	for (unsigned i = 0; i < s->n_dests; i++)
		if ((written & 1u << i) && look_at_intent(s, i, true) == WRITTEN_NOT)
			written &= ~(1u << i);
	s->redo_bytes = written != 0 ? w->step_bytes : 0;
	s->redo_done = written;
	(void)PM_FAIL_POINT("capture.mid_recover");
	put(&w->phase, CAPTURE_NONE);
}

void stage_recover(struct log_stream *s)
{
	struct capture_words *w = s->words;
	off_t at;

	if (s->stage_fd < 0 || stage_open(s) < 0 || (at = lseek(s->stage_fd, 0, SEEK_CUR)) < 0) {
		if (w->consumed != 0 || w->phase != CAPTURE_NONE)
			pm_log(PM_LOG_WARN, "log.stage", "slot=%u: staged output was not handed on",
			       s->slot);
		w->consumed = w->compact = w->phase = 0;
		return;
	}
	s->staged = (uint64_t)at;
	if (w->compact != 0)
		compact_finish(s);
	if (w->phase == CAPTURE_COMMIT)
		commit(s);
	else if (w->phase == CAPTURE_INTENT)
		recover_intent(s);
	if (s->staged > 0)
		touch(s);
}
