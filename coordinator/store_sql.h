/* store_sql.h - the little that our SQL needs: statements by their text, bound and read in order.
 */
#ifndef PM_COORDINATOR_STORE_SQL_H
#define PM_COORDINATOR_STORE_SQL_H

#include <sqlite3.h>

#include "coordinator/store_int.h"

#define SQL_STATEMENTS_MAX 128

/* One connection; only one thread uses it. */
struct sql {
	sqlite3 *db; /* owned */
	int rc;      /* of what failed last; SQLITE_OK: nothing has since sql_begin_call() */
	char what[200];
	struct {
		const char *text; /* a literal: found by its address */
		sqlite3_stmt *st; /* owned */
	} cache[SQL_STATEMENTS_MAX];
	size_t n;
};

/* Open a connection to an existing file; its pragmas are set.  errors: PM_CORRUPT, the system's */
PM_MUST_CHECK int sql_open(struct sql *q, const char *path, bool reader, struct pm_error *err);
void sql_close(struct sql *q);

/* What SQLite said last, as an error. */
int sql_fail(const struct sql *q, const char *what, struct pm_error *err);

/*
 * Prepare and bind.  types has a letter for each parameter:
 *   t const char *   i int64_t   b const void *, size_t   d struct store_id *   k struct store_key
 * *
 *
 * returns    the statement, reset when sql_step() says that it has ended; NULL: q->rc is set
 */
sqlite3_stmt *sql_query(struct sql *q, const char *text, const char *types, ...);

/* The next row; false: there is none, or q->rc is set. */
bool sql_step(struct sql *q, sqlite3_stmt *st);
/* Leave a statement before its end. */
void sql_leave(sqlite3_stmt *st);

/* Run a statement without rows; how many rows it changed, -1: q->rc is set. */
int sql_run(struct sql *q, const char *text, const char *types, ...);

/* Columns of a row; texts are copied into the call, and "" when memory ran out (q->rc is set). */
int64_t sql_int(sqlite3_stmt *st, int column);
const char *sql_text(struct sql *q, struct store_call *call, sqlite3_stmt *st, int column);
const uint8_t *sql_blob(struct sql *q, struct store_call *call, sqlite3_stmt *st, int column,
                        size_t *len);
void sql_bytes(sqlite3_stmt *st, int column, void *out, size_t len); /* zeros when it differs */

/* Whether the last failure was that something exists, or that what is referred to does not. */
bool sql_is_conflict(const struct sql *q);
bool sql_is_foreign(const struct sql *q);
/* Whether it is the disk that is full or fails, or the file that is damaged. */
bool sql_is_disk(const struct sql *q);
bool sql_is_damage(const struct sql *q);

#endif
