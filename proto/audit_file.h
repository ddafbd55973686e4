/*
 * audit_file.h - the audit log of one program: a file that only grows, in a directory of its own.
 *
 *   audit.log             the entries, behind a header that says which chain they go on with
 *   audit.SEQ.log         earlier files; SEQ is the number of their last entry
 *   audit.head            the number and hash of the last entry that is on the disk for sure,
 * twice: cutting off the end of audit.log does not go unseen
 *
 * Whoever can write here can also write a whole new chain; only one who was told an earlier hash
 * can tell. That is why an agent tells its coordinator.
 */
#ifndef PM_PROTO_AUDIT_FILE_H
#define PM_PROTO_AUDIT_FILE_H

#include "proto/audit.h"

struct audit_file;

struct audit_limits {
	uint64_t file_bytes; /* then a new file; 0: PM_AUDIT_FILE_MAX */
	unsigned files;      /* earlier ones kept; 0: PM_AUDIT_FILES_MAX */
};

/*
 * Open the log in a directory, made (0700) if need be, and find the end of its chain.  What a power
 * cut left of an entry at the end is cut off, and an entry says so.
 *
 * ownership  *out is the caller's, for audit_file_close(); one program at a time has it open
 * errors     PM_CORRUPT (it does not hang together: verify says where; nothing is changed),
 *            PM_LOCKED, PM_DENIED (a link, or no directory of ours), PM_NO_MEMORY, the system's
 */
PM_MUST_CHECK int audit_file_open(const char *dir, const struct audit_limits *limits,
                                  struct audit_file **out, struct pm_error *err);
void audit_file_close(
	struct audit_file *f); /* NULL is fine; what is not on the disk yet is synced */

/*
 * Append an entry in one write; e->seq is set.  It outlives us at once, the machine only after
 * audit_file_sync().
 *
 * errors     the system's, PM_NO_MEMORY: then the entry is not in the log, and the next one tries
 *            again from the same place
 */
PM_MUST_CHECK int audit_file_append(struct audit_file *f, struct audit_entry *e,
                                    struct pm_error *err);

/* Bring all entries to the disk.  Blocks on it.  errors: the system's; the next sync tries again */
PM_MUST_CHECK int audit_file_sync(struct audit_file *f, struct pm_error *err);

/* The end of the chain: to tell others, who can then tell whether it is still in there. */
void audit_file_head(const struct audit_file *f, struct audit_head *out);

struct audit_report {
	uint64_t first, last; /* numbers of the entries found; 0: none */
	uint64_t files;
	uint64_t torn_bytes;    /* of an entry that a power cut left at the end */
	struct audit_head head; /* where it ends */
};

/* One entry, in order; valid during the call.  -1 with err set ends the walk. */
typedef int audit_entry_fn(void *arg, const struct audit_entry *e, struct pm_error *err);

/*
 * Walk all files and check the chain from the oldest entry to the last.
 *
 * seen       an end of the chain known from elsewhere that must be in it; NULL: none
 * fn         called for each good entry; may be NULL
 * report     filled up to the fault, too
 * errors     PM_CORRUPT, naming the file and what is wrong: changed, left out, moved, cut off
 */
PM_MUST_CHECK int audit_file_verify(const char *dir, const struct audit_head *seen,
                                    audit_entry_fn *fn, void *arg, struct audit_report *report,
                                    struct pm_error *err);

#endif
