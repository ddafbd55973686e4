/*
 * capture.h - one stream of one process on its way from the pipe to its files.
 *
 * Direct: nothing is put before lines and nobody else writes the file: splice from pipe to file.
 * The kernel takes from the pipe what it has put in the file, so there is no state to lose.
 *
 * Staged: splice from pipe to a memfd, whose file position tells what was taken; then lines are
 * formatted from its mapping, and each write to the files is announced before (the intent) and
 * noted after (the commit) in memory that outlives us. Whoever attaches next sees from the size of
 * a file how far an announced write had come.
 */
#ifndef PM_AGENT_CAPTURE_H
#define PM_AGENT_CAPTURE_H

#include "agent/lines.h"
#include "agent/logfile.h"

/* Bytes a stage holds: several lines of the greatest length. */
#define STAGE_SIZE (256u * 1024)
/* Formatted in one step, so that the output of all streams fits one modest buffer. */
#define STEP_MAX      (128u * 1024)

#define LOG_DESTS_MAX 2 /* its own file, the app's combined file */

/* What is in struct capture_state. All zeroes is a fresh start. */
struct capture_words {
	uint64_t consumed; /* bytes of the stage that are done with */
	uint64_t compact;  /* n + 1: the n bytes that count lie at the stage's start already */
	uint64_t line;     /* LINE_* bits */
	uint64_t phase;    /* enum capture_phase */
	uint64_t step_bytes, consumed_after, line_after; /* of the step that phase is about */
	struct {
		uint64_t ino, offset, len; /* len 0: this file gets nothing */
	} intent[LOG_DESTS_MAX];
	struct log_drops drops[LOG_DESTS_MAX];
};

enum capture_phase {
	CAPTURE_NONE,
	CAPTURE_INTENT, /* the files may have been written, wholly, partly or not */
	CAPTURE_COMMIT, /* they have been; take over the *_after values */
};

#define LINE_MID  1u /* struct lines: mid_line */
#define LINE_SKIP 2u /* the rest of a line that was dropped goes too */

struct log_stream {
	struct logs *logs;
	struct log_stream *next;
	struct capture_words *words; /* borrowed, shared memory */
	uint32_t slot, pm_id;
	bool err, json;
	char *app_name, *date_format; /* owned */
	struct log_dest dests[LOG_DESTS_MAX];
	unsigned n_dests;

	uv_poll_t poll;
	int pipe_fd;            /* owned */
	int stage_fd;           /* owned, -1: none yet */
	char *stage;            /* its mapping */
	uint64_t staged;        /* the memfd's position */
	uint64_t stage_used_ms; /* uv_now() time of the last output through it */
	uint64_t redo_bytes;    /* a former supervisor's step, to be done again for some files */
	unsigned redo_done;     /* bit i: not for dests[i] */

	bool stage_in_use; /* it may hold pages, and a tick is to look at that */
	bool direct;       /* what was written last went around the stage */
	bool polling, big_pipe;
	bool kick;    /* has staged bytes to be looked at in the next turn */
	bool blocked; /* a file's policy is to wait, or memory is short */
	bool eof, detached, finished;
	void (*done)(void *arg);
	void *done_arg;

	struct log_counts counts;
	uint64_t first_ino, first_offset; /* where in its file it began */
	bool tapped;                      /* a reader wants its lines, and there is no file */
};

/* ---- capture_stage.c ---- */

enum step {
	STEP_DONE, /* something was consumed */
	STEP_MORE, /* nothing can be done until more bytes come */
	STEP_WAIT, /* a file is full and wants us to wait, or no memory */
};

/* Make the stage ready to be spliced into.  -1: no descriptor or memory; errno says which. */
int stage_open(struct log_stream *s);
void stage_close(struct log_stream *s);
/* Finish what a former supervisor had begun; before anybody writes to the files. */
void stage_recover(struct log_stream *s);
/* Give pages back that an idle stage holds. */
void stage_tick(struct log_stream *s, uint64_t now_ms);

/* Splice from the pipe.  As splice(2); never more than there is room for. */
ssize_t stage_fill(struct log_stream *s, size_t max);
/* Work off all that is complete; with eof also what is not.  STEP_MORE or STEP_WAIT. */
enum step stage_drain(struct log_stream *s, bool eof);
static inline bool stage_is_empty(const struct log_stream *s)
{
	return s->staged == s->words->consumed;
}

/* A file cannot take bytes as they are: end it at a line's end and drop the line's rest. */
void stage_cut_line(struct log_stream *s, struct logfile *f);

#endif
