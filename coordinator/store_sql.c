#include "coordinator/store_sql.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Another process has no business in our files; a backup tool may hold a lock for a moment. */
#define BUSY_MS 5000

static int note(struct sql *q, int rc)
{
	q->rc = rc;
	(void)snprintf(q->what, sizeof(q->what), "%s",
	               q->db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(q->db));
	return -1;
}

static enum pm_code code_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return PM_NO_MEMORY;
	case SQLITE_FULL:
		return PM_NO_SPACE;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return PM_CORRUPT;
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return PM_DENIED;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return PM_LOCKED;
	default:
		return PM_INTERNAL;
	}
}

int sql_fail(const struct sql *q, const char *what, struct pm_error *err)
{
	return pm_fail(err, code_of(q->rc), "%s: %s", what, q->what);
}

static int set_up(struct sql *q, bool reader)
{
	static const char *const pragmas[] = {
		"PRAGMA foreign_keys = ON",
		"PRAGMA trusted_schema = OFF",
		"PRAGMA cell_size_check = ON",
	};
	int rc = sqlite3_busy_timeout(q->db, BUSY_MS);

	(void)sqlite3_extended_result_codes(q->db, 1); /* fails never */
	for (size_t i = 0; rc == SQLITE_OK && i < PM_COUNT(pragmas); i++)
		rc = sqlite3_exec(q->db, pragmas[i], NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(q->db,
		                  reader ? "PRAGMA query_only = ON"
		                         : "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
		                  NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : note(q, rc);
}

int sql_open(struct sql *q, const char *path, bool reader, struct pm_error *err)
{
	int rc;

	*q = (struct sql){ 0 };
	rc = sqlite3_open_v2(path, &q->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		(void)note(q, rc);
	if (rc != SQLITE_OK || set_up(q, reader) < 0) {
		(void)sql_fail(q, path, err);
		sql_close(q);
		return -1;
	}
	return 0;
}

void sql_close(struct sql *q)
{
	for (size_t i = 0; i < q->n; i++)
		(void)sqlite3_finalize(q->cache[i].st); /* repeats an old error only */
	(void)sqlite3_close(q->db);                     /* nothing is open any more */
	*q = (struct sql){ 0 };
}

/* ---- statements ---- */

static sqlite3_stmt *find(struct sql *q, const char *text)
{
	sqlite3_stmt *st = NULL;
	int rc;

	for (size_t i = 0; i < q->n; i++)
		if (q->cache[i].text == text)
			return q->cache[i].st;
	if (q->n == SQL_STATEMENTS_MAX) {
		q->rc = SQLITE_FULL;
		(void)snprintf(q->what, sizeof(q->what), "too many statements");
		return NULL;
	}
	rc = sqlite3_prepare_v3(q->db, text, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
	if (rc != SQLITE_OK) {
		(void)note(q, rc);
		return NULL;
	}
	q->cache[q->n].text = text;
	q->cache[q->n++].st = st;
	return st;
}

/* The values live until the statement is reset: all of them are the call's, or literals. */
static int bind_all(sqlite3_stmt *st, const char *types, va_list ap)
{
	const void *bytes;
	int rc = SQLITE_OK;

	for (int i = 1; *types != '\0' && rc == SQLITE_OK; types++, i++) {
		switch (*types) {
		case 't':
			rc = sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
			break;
		case 'i':
			rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
			break;
		case 'd':
			rc = sqlite3_bind_blob(st, i, va_arg(ap, const struct store_id *),
			                       sizeof(struct store_id), SQLITE_STATIC);
			break;
		case 'k':
			rc = sqlite3_bind_blob(st, i, va_arg(ap, const struct store_key *),
			                       sizeof(struct store_key), SQLITE_STATIC);
			break;
		default: /* b; a blob of no bytes is no NULL */
			bytes = va_arg(ap, const void *);
			rc = sqlite3_bind_blob64(st, i, bytes == NULL ? "" : bytes,
			                         va_arg(ap, size_t), SQLITE_STATIC);
			break;
		}
	}
	return rc;
}

static sqlite3_stmt *query(struct sql *q, const char *text, const char *types, va_list ap)
{
	sqlite3_stmt *st = find(q, text);
	int rc;

	if (st == NULL)
		return NULL;
	rc = bind_all(st, types, ap);
	if (rc == SQLITE_OK)
		return st;
	(void)note(q, rc);
	sql_leave(st);
	return NULL;
}

sqlite3_stmt *sql_query(struct sql *q, const char *text, const char *types, ...)
{
	sqlite3_stmt *st;
	va_list ap;

	va_start(ap, types);
	st = query(q, text, types, ap);
	va_end(ap);
	return st;
}

bool sql_step(struct sql *q, sqlite3_stmt *st)
{
	int rc;

	if (st == NULL)
		return false;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		(void)note(q, rc);
	sql_leave(st);
	return false;
}

void sql_leave(sqlite3_stmt *st)
{
	(void)sqlite3_reset(st); /* repeats the error of the last step only */
	(void)sqlite3_clear_bindings(st);
}

int sql_run(struct sql *q, const char *text, const char *types, ...)
{
	sqlite3_stmt *st;
	va_list ap;
	int rc;

	va_start(ap, types);
	st = query(q, text, types, ap);
	va_end(ap);
	if (st == NULL)
		return -1;
	rc = sqlite3_step(st);
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		(void)note(q, rc);
	sql_leave(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? sqlite3_changes(q->db) : -1;
}

/* ---- columns ---- */

int64_t sql_int(sqlite3_stmt *st, int column)
{
	return sqlite3_column_int64(st, column);
}

const uint8_t *sql_blob(struct sql *q, struct store_call *call, sqlite3_stmt *st, int column,
                        size_t *len)
{
	const void *bytes = sqlite3_column_blob(st, column);
	size_t n = (size_t)sqlite3_column_bytes(st, column);
	uint8_t *copy = store_alloc(call, n + 1);

	*len = 0;
	if (copy == NULL || (bytes == NULL && n > 0)) {
		q->rc = SQLITE_NOMEM;
		(void)snprintf(q->what, sizeof(q->what), "out of memory");
		return (const uint8_t *)"";
	}
	if (n > 0)
		memcpy(copy, bytes, n);
	*len = n;
	return copy;
}

const char *sql_text(struct sql *q, struct store_call *call, sqlite3_stmt *st, int column)
{
	size_t len;

	return (const char *)sql_blob(q, call, st, column, &len);
}

void sql_bytes(sqlite3_stmt *st, int column, void *out, size_t len)
{
	const void *bytes = sqlite3_column_blob(st, column);

	memset(out, 0, len);
	if (bytes != NULL && (size_t)sqlite3_column_bytes(st, column) == len)
		memcpy(out, bytes, len);
}

/* ---- failures ---- */

bool sql_is_conflict(const struct sql *q)
{
	return q->rc == SQLITE_CONSTRAINT_UNIQUE || q->rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
	       q->rc == SQLITE_CONSTRAINT_ROWID;
}

bool sql_is_foreign(const struct sql *q)
{
	return q->rc == SQLITE_CONSTRAINT_FOREIGNKEY;
}

bool sql_is_disk(const struct sql *q)
{
	if (q->rc == SQLITE_IOERR_NOMEM)
		return false;
	switch (q->rc & 0xff) {
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return true;
	default:
		return false;
	}
}

bool sql_is_damage(const struct sql *q)
{
	return (q->rc & 0xff) == SQLITE_CORRUPT || (q->rc & 0xff) == SQLITE_NOTADB;
}
