/*
 * op_journal.h - the commands that this agent was given from afar, and what became of them: so that
 * a repeat is answered and not done again, also after a kill or a power cut (P10, F-20).
 *
 * A command is written down as begun before it is done, and as ended behind it.  One that had begun
 * when we died is interrupted: it is answered so, and whoever asked decides.  The file is a chain
 * of records with check sums, appended to; when it has grown to a multiple of what it still says,
 * it is written anew beside and renamed.  It is whole at any instant: what a death leaves of a
 * record at its end counts for nothing and is cut off.
 *
 * What is appended is written at once, so that it outlives us.  What has to wait for the disk are
 * steps of their own, which may run on a worker: op_sync.h is who does that.
 */
#ifndef PM_AGENT_OP_JOURNAL_H
#define PM_AGENT_OP_JOURNAL_H

#include <stdbool.h>

#include "proto/error.h"

#define OP_ID_BYTES 16
#define OP_FILE     "fleet.ops" /* in the directory that the journal is opened in */

struct op_journal;

enum op_known {
	OP_NEW,         /* never heard of, or so long ago that it was forgotten */
	OP_BEGUN,       /* it is being done now */
	OP_INTERRUPTED, /* it had begun when an earlier life of ours ended */
	OP_ENDED,
};

struct op_result {
	enum pm_code code;
	int64_t wall_ms;      /* of its end */
	const uint8_t *bytes; /* what a repeat is answered, as the caller likes; NULL: not kept */
	size_t len;
};

struct op_journal_report {
	size_t torn_bytes; /* cut off at the end */
	bool damaged;      /* something in the middle: the file is kept as fleet.ops.corrupt-DATE */
};

/*
 * Open the journal in a directory.  Blocks on the disk where a file has to be made.
 *
 * dir        borrowed: a descriptor of the directory, valid until close
 * max        commands to remember; 0: PM_OP_JOURNAL_MAX
 * errors     PM_DENIED (a link, no file, or not ours), PM_UNSUPPORTED (of a later version),
 *            PM_LIMIT, PM_NO_MEMORY, the system's
 */
PM_MUST_CHECK int op_journal_open(int dir, size_t max, struct op_journal **out,
                                  struct op_journal_report *report, struct pm_error *err);
void op_journal_close(struct op_journal *j); /* NULL is fine */

/* What is known of a command; *out is filled for OP_ENDED, its bytes borrowed until the next call
 * that may change the journal. */
enum op_known op_journal_find(const struct op_journal *j, const uint8_t id[OP_ID_BYTES],
                              struct op_result *out);

/*
 * Write down that a command begins. It may be done when this has succeeded, and, where it must not
 * be done twice after a power cut either, when an op_journal_sync() begun since then has.
 *
 * number     the coordinator's, counted up for ever; 0: it has none
 * errors     PM_EXISTS (it is known), PM_LIMIT (all that are remembered are under way, or the file
 *            could not be written anew), PM_NO_SPACE and the system's: then it may not be done
 */
PM_MUST_CHECK int op_journal_begin(struct op_journal *j, const uint8_t id[OP_ID_BYTES],
                                   uint64_t number, struct pm_error *err);

/*
 * Write down how it ended.  A result over PM_OP_RESULT_MAX is not kept, but that there was one; of
 * more than PM_OP_RESULTS_MAX the oldest neither.
 *
 * errors     PM_NOT_FOUND (it had not begun), the system's: the result is known in this life of
 *            ours, and is written with the next one that can be
 */
PM_MUST_CHECK int op_journal_end(struct op_journal *j, const uint8_t id[OP_ID_BYTES],
                                 const struct op_result *result, struct pm_error *err);

/*
 * Forget one that has begun and was not done after all: a repeat is a new command.  In the file it
 * stays begun until that is written anew, so that another life may say that it was interrupted.
 */
void op_journal_withdraw(struct op_journal *j, const uint8_t id[OP_ID_BYTES]);

/* The highest number that was ever seen, for the coordinator to notice that it is an old copy
 * (X-50). */
uint64_t op_journal_counter(const struct op_journal *j);

/* ---- what waits for the disk: one step at a time; the calls above may be made meanwhile ---- */

/*
 * Bring what was written to the disk.  May run on a worker.
 *
 * errors     the system's.  What was written before is then trusted no more, since the system may
 *            have dropped it: it fails until the file was written anew.
 */
PM_MUST_CHECK int op_journal_sync(struct op_journal *j, struct pm_error *err);

/* Whether the file has grown enough, or is not trusted. */
bool op_journal_wants_rewrite(const struct op_journal *j);

/*
 * Write the file anew in three steps, of which only the second waits for the disk and may run on a
 * worker.  What comes meanwhile is in the old file and, when the last step has been done, in the
 * new one, which is then to be synced.  Whatever fails, the old file is whole and goes on.
 *
 * begin      takes a copy of what is remembered.  errors PM_NO_MEMORY: no other step follows
 * work       writes and flushes the copy.  errors the system's, for end()
 * end        adds what came meanwhile and puts the file in its place
 * rc         work()'s, with its *err
 */
PM_MUST_CHECK int op_journal_rewrite_begin(struct op_journal *j, struct pm_error *err);
PM_MUST_CHECK int op_journal_rewrite_work(struct op_journal *j, struct pm_error *err);
PM_MUST_CHECK int op_journal_rewrite_end(struct op_journal *j, int rc, struct pm_error *err);

#endif
