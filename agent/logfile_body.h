/* logfile_body.h - the body of struct logfile, for the three files that make it up. */
#ifndef PM_AGENT_LOGFILE_BODY_H
#define PM_AGENT_LOGFILE_BODY_H

#include "agent/logfile.h"

/* Generations that a slow reader can still find; older ones are a gap to it. */
#define LOGFILE_PAST_MAX 256

struct logfile_past {
	uint64_t generation, bytes;
	char *path; /* owned; NULL: renamed by somebody else */
};

enum logfile_kind {
	LOGFILE_UNKNOWN, /* not opened yet */
	LOGFILE_REGULAR,
	LOGFILE_OTHER, /* FIFO, terminal, /dev/null: no position, no rotation */
};

enum line_start {
	LINE_START_UNKNOWN,
	LINE_START_YES,
	LINE_START_NO,
};

struct logfile {
	struct logs *logs;
	struct logfile *next; /* in its bucket */
	char *path;           /* owned */
	unsigned refs;
	struct log_dest *dests;
	struct log_watch *watches;
	struct logfile_policy policy; /* of the last stream that joined */

	int fd; /* -1: closed */
	enum logfile_kind kind;
	bool no_splice;
	ino_t ino; /* of the file last opened; 0: none yet */
	uint64_t end;
	enum line_start line_start;
	uint64_t rotate_at_ms; /* uv_now() time of rotation by age; 0: not known or none */
	bool age_due;          /* old enough; at the next line's end */
	uint64_t due_end;      /* `end` when that was seen */
	uint64_t
		no_rotate_ms; /* uv_now() time until which rotation is not tried, after a failure */
	uint64_t indexed_ms;  /* uv_now() time of the last entry of the time index */

	int trouble;         /* errno of what failed, 0: all is well */
	uint64_t retry_ms;   /* uv_now() time of the next try */
	uint32_t backoff_ms; /* to be waited after a further failure */

	uint64_t generation, truncations;
	struct logfile_past *past; /* owned; LOGFILE_PAST_MAX entries, only while watched */
	bool jobs_wanted;          /* there may be something to compress */
};

/* logfile.c */
int logfile_open(struct logfile *f);
void logfile_close(struct logfile *f);
void logfile_trouble(struct logfile *f, int errnum);
void logfile_tell_watches(struct logfile *f);

/* logfile_rotate.c */
/* The generation before the present one ended at `bytes`; path NULL: somebody else renamed it. */
void logfile_past_add(struct logfile *f, char *path_taken, uint64_t bytes);
void logfile_past_free(struct logfile *f);
void logfile_plan_age(struct logfile *f);
void logfile_age_tick(struct logfile *f, uint64_t now_ms);
/* Delete and compress what the policy says; also for leftovers of a former supervisor. */
void logfile_tidy(struct logfile *f);

#endif
