/*
 * log_source.h - where a reader is in one log: first among its files, then following the last one.
 *
 * A log is a sequence of files: the rotated ones, oldest first, and the present one. The history
 * ends at the seam, the size of the present file when the reader came; what lies behind it is live.
 */
#ifndef PM_AGENT_LOG_SOURCE_H
#define PM_AGENT_LOG_SOURCE_H

#include "agent/log_filter.h"
#include "agent/log_input.h"
#include "agent/logfile.h"
#include "agent/logindex.h"

/* Text of one message: a record (PM_RECORD_MAX) less what is around it. A longer line goes out in
 * parts. */
#define LOG_PIECE_MAX (60u * 1024)
/* Lines of one message. */
#define LOG_BATCH_LINES 256

enum log_locate {
	LOCATE_AGAIN, /* one slice of work is done */
	LOCATE_DONE,
};

/* How much is looked through while the beginning is looked for. */
struct log_search {
	uint64_t bytes; /* of text */
	unsigned files; /* rotated ones */
};

struct log_source {
	struct log_reader *reader;  /* borrowed */
	struct log_reader_source s; /* strings owned */
	struct log_watch watch;     /* of its file; none when there is no file */
	struct log_source *next;
	struct log_tap *tap; /* owned by the reader; instead of a file */
	bool announced, dirty;
	bool located; /* history begins at `offset` */

	/* The history: files[0..n_files) are rotated, index n_files is the present one. */
	char **files; /* owned, without the suffix of compression */
	size_t n_files, file;
	bool listed;
	bool overfull;              /* there are more files than are listed: the oldest are not */
	uint64_t seam;              /* in the present file */
	int64_t since_ms, until_ms; /* 0: no bound */
	bool in_history;

	/* Looking for the first line, backwards. */
	uint64_t need;  /* lines still wanted */
	uint64_t low;   /* no line of this file before that offset */
	uint64_t high;  /* lines before it have not been counted; UINT64_MAX: not begun */
	uint64_t probe; /* within a very long line: where its beginning was not found; 0: not */
	uint64_t count; /* in a packed file, forward */
	bool has_share; /* `left` is set, by the owner */
	struct log_search left; /* what may still be looked through */
	struct log_search done; /* what was */
	bool bounded;           /* it begins where nothing was left; that is not told yet */

	/* Where it is. */
	struct log_input *in;      /* owned; NULL: to be opened */
	struct log_input *present; /* owned; the present file while history is at an older one */
	uint64_t offset;
	uint64_t skip;            /* lines that pass the filter and are not wanted */
	bool mid_line, mid_taken; /* the next bytes go on a line that was, or was not, shown */
	struct logindex index;    /* of the file that history is at */
	bool index_loaded;
	int64_t mtime_ms;
	uint64_t generation, truncations; /* of the logfile; what is known of it */
	ino_t ino;
	uint64_t file_id; /* of the input; 0: not looked up */
	bool resumed;     /* it goes on from where an earlier reader was */
	bool lost;    /* something is gone and that is not told yet: `gap` bytes, 0: who knows */
	uint64_t gap; /* ... as far as its bytes are known */
};

/*
 * Begin at the present end of the file.  errors: PM_NO_MEMORY
 *
 * path's file need not exist; an unreadable one is as one that does not.
 */
PM_MUST_CHECK int log_source_open(struct logs *l, struct log_source *src,
                                  const struct log_reader_source *s, struct pm_error *err);
void log_source_finish(struct log_source *src); /* NULL-safe parts; the watch must be off */

/*
 * Find where the last `lines` lines begin (0: all that are in bounds), a slice at a time.  It
 * begins later, at a line, when `left` does not reach: then `bounded` is set.
 */
void log_source_want(struct log_source *src, uint64_t lines, int64_t since_ms, int64_t until_ms);
/*
 * Begin behind what an earlier reader had, in whichever file that was; if it is not there any more,
 * with what was written since then, and a gap is told.
 *
 * returns    false: none of the n positions is of this source
 */
bool log_source_resume(struct log_source *src, Pm__LogPosition *const *list, size_t n);
enum log_locate log_source_locate(struct log_source *src, const struct log_filter *filter,
                                  char *scratch);

/* The time of the next line of history, in ms since the epoch, for merging. */
int64_t log_source_time(struct log_source *src);
/* The time of a line, 0: not known. */
int64_t log_source_time_of(const struct log_source *src, uint64_t offset);

/* Which file its lines come from: logindex_file(), or where that is not known what the file system
 * tells it by. */
uint64_t log_source_file(struct log_source *src);

/* The input it is at, opened; NULL: there is none (now). */
struct log_input *log_source_input(struct log_source *src);
/* How far bytes of the present input may be read, by history's bounds. */
uint64_t log_source_limit(struct log_source *src);
/* History: on to the next file.  false: that was the last, the seam is reached. */
bool log_source_next_file(struct log_source *src);
/* Live: nobody writes to the file it is at any more. */
bool log_source_is_over(const struct log_source *src);
/* Live, and it is over: on to the file after it.  false: there is none yet. */
bool log_source_follow(struct log_source *src);
/* Live: the file was emptied. */
void log_source_check_truncated(struct log_source *src);

#endif
