/*
 * logfile.h - one log file: shared by the streams that name its path, rotated by rename, watched by
 * readers.
 *
 * We are its only writer, so it is opened without O_APPEND (splice refuses that) and each write
 * goes to the end as fstat shows it: a truncation from outside is noticed before the next byte. A
 * write that fails leaves the file as it was.
 */
#ifndef PM_AGENT_LOGFILE_H
#define PM_AGENT_LOGFILE_H

#include <sys/types.h>

#include "agent/logs_core.h"

struct logfile;

struct logfile_policy {
	uint64_t max_size;        /* bytes; 0: no rotation by size */
	uint64_t rotate_every_ms; /* 0: no rotation by age */
	uint64_t total_cap;       /* bytes of rotated files; 0: none */
	uint32_t keep;            /* rotated files kept */
	Pm__Compression compress;
	bool block; /* disk full: wait instead of dropping */
	bool json;  /* records, one a line */
	uid_t uid;  /* (uid_t)-1: ours */
	gid_t gid;
};

/* Dropped by policy and not yet told by a mark in the file; in memory that outlives us. */
struct log_drops {
	uint64_t lines, bytes;
};

/* A stream's membership of a file; the stream owns it. */
struct log_dest {
	struct logfile *file;     /* a reference */
	struct log_dest *next;    /* the file's */
	struct log_drops *drops;  /* borrowed */
	struct log_stream *owner; /* borrowed */
};

/* A reader's membership of a file; the reader owns it. changed() may not read or close at once. */
struct log_watch {
	struct logfile *file; /* a reference */
	struct log_watch *next;
	void (*changed)(struct log_watch *w);
};

/*
 * The file of a path, made if nobody has named it yet; nothing is opened.
 *
 * returns    a reference, NULL: no memory
 */
struct logfile *logfile_ref(struct logs *l, const char *path) PM_MUST_CHECK;
void logfile_unref(struct logfile *f); /* NULL is fine */

void logfile_join(struct log_dest *dest, const struct logfile_policy *policy);
void logfile_leave(struct log_dest *dest); /* and drops the reference */
void logfile_watch(struct log_watch *w);
void logfile_unwatch(struct log_watch *w); /* and drops the reference */

bool logfile_is_shared(const struct logfile *f); /* more than one stream writes it */
bool logfile_is_null(const struct logfile *f);   /* "/dev/null" */
bool logfile_can_splice(const struct logfile *f);
const char *logfile_path(const struct logfile *f);
const char *logfile_home(const struct logfile *f);     /* the home that the time index is in */
struct logfile *logfile_next(const struct logfile *f); /* in its bucket of struct logs */

/*
 * Open it if need be, or see whether trouble is over; cheap when all is well.
 *
 * returns    0: it can be written; an errno: not now
 */
int logfile_ready(struct logfile *f);
/* It is full and its policy is to wait. */
bool logfile_must_wait(const struct logfile *f);

/* Where the next byte goes, after a look at the file; its inode. Both after logfile_ready(). */
uint64_t logfile_end(struct logfile *f);
uint64_t logfile_ino(const struct logfile *f);
bool logfile_at_line_start(struct logfile *f);

/*
 * Move bytes from a pipe to the end.
 *
 * returns    bytes moved; 0: the pipe's end; -1: errno: EAGAIN (nothing there), EINVAL (this file
 *            system cannot: logfile_can_splice() is false from now on), else the file is in trouble
 */
ssize_t logfile_splice(struct logfile *f, int pipe_fd, size_t max);

/* As pread(2); a shorter file leaves the rest as it is. */
ssize_t logfile_read(const struct logfile *f, char *out, size_t len, uint64_t offset);

/* Append all or nothing (nothing: an errno, and the file is in trouble). */
int logfile_append(struct logfile *f, const char *bytes, size_t len);
/* Take back what logfile_append() added. */
void logfile_rollback(struct logfile *f, uint64_t end);
/*
 * Cut an unfinished line off the end.
 *
 * returns    bytes removed
 */
uint64_t logfile_cut_partial(struct logfile *f);

/* What was written since `from` is there to stay: readers and the time index learn of it. */
void logfile_committed(struct logfile *f, uint64_t from);

/* To be rotated at the next line boundary; with slack: so many bytes later. */
bool logfile_is_over(const struct logfile *f, uint64_t slack);
/* Bytes that may still be added before it is. */
uint64_t logfile_room(const struct logfile *f);
void logfile_rotate(struct logfile *f); /* at a line boundary; failures are logged */

/* Close and open by path again. */
void logfile_reopen(struct logfile *f);
void logfile_flush(struct logfile *f); /* it was truncated, or is to be: forget what was known */

/* ---- for readers ---- */

/*
 * The file's generation: one more with each new file under the path; its truncations.  A reader
 * compares with what it knows.
 */
uint64_t logfile_generation(const struct logfile *f);
uint64_t logfile_truncations(const struct logfile *f);
/*
 * Where a generation that was current while it was watched is now.
 *
 * returns    false: not known; path: without the suffix of compression, borrowed
 */
bool logfile_rotated(const struct logfile *f, uint64_t generation, const char **path,
                     uint64_t *bytes);

#endif
