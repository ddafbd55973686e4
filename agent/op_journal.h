/*
 * op_journal.h - the commands that this agent was given from afar, and what became of them: so that
 * a repeat is answered and not done again, also after a kill or a power cut (P10, F-20).
 *
 * A command is written down as begun before it is done, and as ended behind it.  One that had begun
 * when we died is interrupted: it is answered so, and whoever asked decides.  The file is a chain
 * of records with check sums, appended to; when it has grown to a multiple of what it still says,
 * it is written anew beside and renamed.  It is whole at any instant: what a death leaves of a
 * record at its end counts for nothing and is cut off.
 */
#ifndef PM_AGENT_OP_JOURNAL_H
#define PM_AGENT_OP_JOURNAL_H

#include <stdbool.h>

#include "proto/error.h"

#define OP_ID_BYTES 16
#define OP_TEXT_MAX 255

struct op_journal;

enum op_known {
	OP_NEW,         /* never heard of, or so long ago that it was forgotten */
	OP_BEGUN,       /* it is being done now */
	OP_INTERRUPTED, /* it had begun when an earlier life of ours ended */
	OP_ENDED,
};

struct op_result {
	enum pm_code code;
	int64_t wall_ms; /* of its end */
	char text[OP_TEXT_MAX + 1];
};

struct op_journal_report {
	size_t torn_bytes; /* cut off at the end */
	bool damaged;      /* something in the middle: the file is kept as ops.corrupt-DATE */
};

/*
 * Open the journal in a directory.
 *
 * dir        borrowed: a descriptor of the directory, valid until close
 * max        commands to remember; 0: PM_OP_JOURNAL_MAX
 * errors     PM_DENIED (a link, or no file), PM_UNSUPPORTED (of a later version), PM_NO_MEMORY, the
 *            system's
 */
PM_MUST_CHECK int op_journal_open(int dir, size_t max, struct op_journal **out,
                                  struct op_journal_report *report, struct pm_error *err);
void op_journal_close(struct op_journal *j); /* NULL is fine */

/* What is known of a command; *out is filled for OP_ENDED. */
enum op_known op_journal_find(const struct op_journal *j, const uint8_t id[OP_ID_BYTES],
                              struct op_result *out);

/*
 * Write down that a command begins. It may be done when this has succeeded, and, where it must not
 * be done twice after a power cut either, when op_journal_sync() has.
 *
 * number     the coordinator's, counted up for ever; 0: it has none
 * errors     PM_EXISTS (it is known), PM_LIMIT (all that are remembered are under way), PM_NO_SPACE
 *            and the system's: then it may not be done
 */
PM_MUST_CHECK int op_journal_begin(struct op_journal *j, const uint8_t id[OP_ID_BYTES],
                                   uint64_t number, struct pm_error *err);

/*
 * Write down how it ended; a text that is too long is cut.
 *
 * errors     PM_NOT_FOUND (it had not begun), the system's: the result is known in this life of
 *            ours, and is written with the next one that can be
 */
PM_MUST_CHECK int op_journal_end(struct op_journal *j, const uint8_t id[OP_ID_BYTES],
                                 const struct op_result *result, struct pm_error *err);

/* Bring what was written to the disk.  Blocks on it; may be called on a worker. */
PM_MUST_CHECK int op_journal_sync(const struct op_journal *j, struct pm_error *err);

/* The highest number that was ever seen, for the coordinator to notice that it is an old copy
 * (X-50). */
uint64_t op_journal_counter(const struct op_journal *j);

#endif
