/* audit_walk.h - inside of audit_file: the files of a log in order, and the walk through them. */
#ifndef PM_PROTO_AUDIT_WALK_H
#define PM_PROTO_AUDIT_WALK_H

#include "proto/audit_file.h"
#include "proto/limits.h"

#define AUDIT_FILE_NAME 40

/* Earlier files, oldest first, without audit.log. */
struct audit_files {
	char (*names)[AUDIT_FILE_NAME]; /* owned */
	size_t n;
};

/* The name of a file that ends with entry seq. */
void audit_file_name(uint64_t seq, char out[AUDIT_FILE_NAME]);

PM_MUST_CHECK int audit_files_find(int dir, struct audit_files *out, struct pm_error *err);
void audit_files_finish(struct audit_files *files);

/* The head on the disk; -1 with errno when it cannot be read. */
PM_MUST_CHECK int audit_heads_load(int dir, struct audit_head *out);

/* audit_file_verify() in an open directory. */
PM_MUST_CHECK int audit_walk(int dir, const struct audit_head *seen, audit_entry_fn *fn, void *arg,
                             struct audit_report *report, struct pm_error *err);

#endif
