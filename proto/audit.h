/* audit.h - entries of an audit log, each chained to the one before it by its hash (S-14). Pure.
 *
 * The hash of an entry is BLAKE2b-256 over the hash before it, its number, its time and its texts,
 * each with its length. So nothing of the past can be changed, left out, moved or put in between
 * without changing every hash behind it; who has seen a later hash knows.
 */
#ifndef PM_PROTO_AUDIT_H
#define PM_PROTO_AUDIT_H

#include <stdbool.h>

#include "proto/error.h"

struct pm_buf;

#define AUDIT_HASH_BYTES 32

enum audit_field {
	AUDIT_ACTOR,   /* who: a key or uid, a name, a terminal */
	AUDIT_ACTION,  /* what: "app.stop", "token.create" */
	AUDIT_TARGET,  /* on what: an app, a folded list of hosts */
	AUDIT_DETAIL,  /* before and after */
	AUDIT_OUTCOME, /* "ok", or why not */
	AUDIT_FIELDS
};

struct audit_entry {
	uint64_t seq; /* 1 is the first */
	int64_t wall_ms;
	const char *field[AUDIT_FIELDS]; /* borrowed; NULL counts as "" */
};

/* The end of a chain; seq 0 and a hash of zeros: nothing yet. */
struct audit_head {
	uint64_t seq;
	uint8_t hash[AUDIT_HASH_BYTES];
};

/*
 * Make the entry the next of the chain: its seq is set and the head moves on.  A text that is
 * longer than audit_field_max() counts up to there, as audit_cut() leaves it.
 */
void audit_link(struct audit_head *head, struct audit_entry *e);

/* The most bytes that are kept of a field. */
size_t audit_field_max(enum audit_field field);

/* Cut a text that is too long and mark it; true: it was.  out holds audit_field_max() + 1 bytes. */
bool audit_cut(enum audit_field field, const char *text, char *out);

/*
 * Link the entry and append it as a line, with its newline.  Tabs stand between the parts; control
 * bytes and backslashes in them are escaped.
 *
 * errors     PM_NO_MEMORY; the head is untouched then
 */
PM_MUST_CHECK int audit_put_line(struct audit_head *head, struct audit_entry *e, struct pm_buf *out,
                                 struct pm_error *err);

/*
 * Read a line (without its newline) and check that it is the next of the chain.
 *
 * text       at least len + AUDIT_FIELDS bytes: the texts of *e live there
 * errors     PM_CORRUPT, saying what is wrong: not a line of ours, a gap, a changed entry.  The
 *            head is untouched then
 */
PM_MUST_CHECK int audit_check_line(struct audit_head *head, const char *line, size_t len,
                                   struct audit_entry *e, char *text, struct pm_error *err);

/* The first line of a file: which chain it goes on with. */
void audit_put_header(const struct audit_head *head, struct pm_buf *out);
/* errors: PM_CORRUPT, PM_UNSUPPORTED (of a later version) */
PM_MUST_CHECK int audit_read_header(const char *line, size_t len, struct audit_head *head,
                                    struct pm_error *err);

/* A hash as 64 hexadecimal digits and NUL. */
#define AUDIT_HASH_TEXT (2 * AUDIT_HASH_BYTES + 1)
void audit_hash_text(const uint8_t hash[AUDIT_HASH_BYTES], char out[AUDIT_HASH_TEXT]);

#endif
