#include "coordinator/store_schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "proto/failpoint.h"
#include "proto/limits.h"

/* "pmdS" in the header of the file: whose it is, for file(1) and for us. */
#define APPLICATION_ID 0x706d6453

static const char *const version_1[] = {
	"CREATE TABLE meta ("
	"  one INTEGER PRIMARY KEY CHECK (one = 1), cluster BLOB NOT NULL,"
	"  revision INTEGER NOT NULL, counter INTEGER NOT NULL, fence INTEGER NOT NULL,"
	"  audit_base INTEGER NOT NULL, audit_base_hash BLOB NOT NULL) STRICT",

	"CREATE TABLE agents ("
	"  id BLOB PRIMARY KEY CHECK (length(id) = 16), name TEXT NOT NULL UNIQUE,"
	"  state INTEGER NOT NULL, labels TEXT NOT NULL, claimed TEXT NOT NULL,"
	"  facts TEXT NOT NULL, note TEXT NOT NULL, drained INTEGER NOT NULL,"
	"  epoch INTEGER NOT NULL, enrolled_ms INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL,"
	"  enrolled_by TEXT NOT NULL) STRICT",

	"CREATE TABLE operators ("
	"  id BLOB PRIMARY KEY CHECK (length(id) = 16), name TEXT NOT NULL UNIQUE,"
	"  state INTEGER NOT NULL, enrolled_ms INTEGER NOT NULL, enrolled_by TEXT NOT NULL) STRICT",

	"CREATE TABLE keys ("
	"  key BLOB PRIMARY KEY CHECK (length(key) = 32),"
	"  agent BLOB REFERENCES agents ON DELETE CASCADE,"
	"  operator BLOB REFERENCES operators ON DELETE CASCADE,"
	"  state INTEGER NOT NULL, added_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,"
	"  CHECK ((agent IS NULL) <> (operator IS NULL))) STRICT",
	"CREATE INDEX keys_agent ON keys (agent)",
	"CREATE INDEX keys_operator ON keys (operator)",

	"CREATE TABLE bindings ("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,"
	"  operator BLOB NOT NULL REFERENCES operators ON DELETE CASCADE,"
	"  role TEXT NOT NULL, targets TEXT NOT NULL, apps TEXT NOT NULL,"
	"  created_by TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT",
	"CREATE INDEX bindings_operator ON bindings (operator)",

	"CREATE TABLE tokens ("
	"  id BLOB PRIMARY KEY CHECK (length(id) = 8), secret_hash BLOB NOT NULL,"
	"  kind INTEGER NOT NULL, name_pattern TEXT NOT NULL, labels TEXT NOT NULL,"
	"  role TEXT NOT NULL, uses_left INTEGER NOT NULL CHECK (uses_left >= 0),"
	"  expires_ms INTEGER NOT NULL, created_by TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	"  used_ms INTEGER NOT NULL, used_by TEXT NOT NULL) STRICT",

	"CREATE TABLE groups ("
	"  name TEXT PRIMARY KEY, form TEXT NOT NULL, text TEXT NOT NULL) STRICT",

	"CREATE TABLE specs ("
	"  app TEXT NOT NULL, generation INTEGER NOT NULL, content BLOB NOT NULL,"
	"  hash BLOB NOT NULL, author TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	"  PRIMARY KEY (app, generation)) STRICT",

	"CREATE TABLE desired ("
	"  agent BLOB NOT NULL REFERENCES agents ON DELETE CASCADE, app TEXT NOT NULL,"
	"  generation INTEGER NOT NULL, wanted TEXT NOT NULL, revision INTEGER NOT NULL,"
	"  PRIMARY KEY (agent, app)) STRICT, WITHOUT ROWID",
	"CREATE INDEX desired_revision ON desired (revision)",

	"CREATE TABLE commands ("
	"  id BLOB PRIMARY KEY CHECK (length(id) = 16), number INTEGER NOT NULL UNIQUE,"
	"  operator BLOB NOT NULL, kind TEXT NOT NULL, args TEXT NOT NULL,"
	"  selector TEXT NOT NULL, state TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	"  deadline_ms INTEGER NOT NULL) STRICT",
	"CREATE INDEX commands_state ON commands (state, number)",

	/* No reference to agents: what was done stays known when the host has gone. */
	"CREATE TABLE outcomes ("
	"  command BLOB NOT NULL REFERENCES commands ON DELETE CASCADE, agent BLOB NOT NULL,"
	"  state TEXT NOT NULL, code INTEGER NOT NULL, text TEXT NOT NULL, at_ms INTEGER NOT NULL,"
	"  PRIMARY KEY (command, agent)) STRICT, WITHOUT ROWID",

	"CREATE TABLE rollouts ("
	"  id BLOB PRIMARY KEY CHECK (length(id) = 16), app TEXT NOT NULL, state TEXT NOT NULL,"
	"  ended INTEGER NOT NULL, plan BLOB NOT NULL, revision INTEGER NOT NULL,"
	"  created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL) STRICT",
	"CREATE INDEX rollouts_ended ON rollouts (ended, created_ms)",

	"CREATE TABLE rollout_steps ("
	"  rollout BLOB NOT NULL REFERENCES rollouts ON DELETE CASCADE, agent BLOB NOT NULL,"
	"  token BLOB NOT NULL CHECK (length(token) = 16), batch INTEGER NOT NULL,"
	"  state TEXT NOT NULL, info BLOB NOT NULL,"
	"  PRIMARY KEY (rollout, agent)) STRICT, WITHOUT ROWID",

	"CREATE TABLE sessions ("
	"  agent BLOB PRIMARY KEY REFERENCES agents ON DELETE CASCADE,"
	"  coordinator TEXT NOT NULL, generation INTEGER NOT NULL, since_ms INTEGER NOT NULL)"
	"  STRICT",

	"CREATE TABLE locks ("
	"  name TEXT PRIMARY KEY, holder BLOB NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,"
	"  since_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, number INTEGER NOT NULL) STRICT",
	"CREATE INDEX locks_holder ON locks (holder)",

	"CREATE TABLE audit ("
	"  seq INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL, actor TEXT NOT NULL,"
	"  action TEXT NOT NULL, target TEXT NOT NULL, detail TEXT NOT NULL,"
	"  outcome TEXT NOT NULL, hash BLOB NOT NULL) STRICT",
	NULL,
};

/* What each agent was sent last: an agent that has seen more tells of an old store. */
static const char *const version_2[] = {
	"ALTER TABLE agents ADD COLUMN command INTEGER NOT NULL DEFAULT 0",
	NULL,
};

const char *const *const schema_steps[] = { version_1, version_2 };
const size_t schema_n_steps = PM_COUNT(schema_steps);

/* ---- copies ---- */

static int copy_into(struct sql *q, sqlite3 *to, struct pm_error *err)
{
	sqlite3_backup *copy = sqlite3_backup_init(to, "main", q->db, "main");
	int rc;

	if (copy == NULL)
		return pm_fail(err, PM_INTERNAL, "%s", sqlite3_errmsg(to));
	/* In one step: a writer in another connection would make it begin anew each time. */
	(void)sqlite3_backup_step(copy, -1); /* finish says how it went */
	rc = sqlite3_backup_finish(copy);
	if (rc == SQLITE_OK)
		return 0;
	return pm_fail(err, (rc & 0xff) == SQLITE_FULL ? PM_NO_SPACE : PM_INTERNAL, "%s",
	               sqlite3_errmsg(to));
}

int schema_backup(struct sql *q, const char *path, struct pm_error *err)
{
	sqlite3 *to = NULL;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), rc;

	if (fd < 0 && errno == EEXIST)
		return pm_fail(err, PM_EXISTS, "copy the store: %s exists", path);
	if (fd < 0)
		return pm_fail_errno(err, errno, "copy the store to %s", path);
	pm_closep(&fd);
	if (sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK)
		rc = pm_fail(err, PM_INTERNAL, "%s", sqlite3_errmsg(to));
	else
		rc = copy_into(q, to, err);
	(void)sqlite3_close(to); /* the copy is committed, or to be removed */
	if (rc < 0) {
		(void)unlink(path); /* half a copy is none */
		return pm_wrap(err, "copy the store to %s", path);
	}
	return 0;
}

/* ---- versions ---- */

static int64_t single(struct sql *q, const char *text)
{
	sqlite3_stmt *st = sql_query(q, text, "");
	int64_t value = -1;

	if (sql_step(q, st)) {
		value = sql_int(st, 0);
		sql_leave(st);
	}
	return value;
}

static int run(struct sql *q, const char *text, struct pm_error *err)
{
	int rc = sqlite3_exec(q->db, text, NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		return 0;
	q->rc = rc;
	(void)snprintf(q->what, sizeof(q->what), "%s", sqlite3_errmsg(q->db));
	return sql_fail(q, "bring the store up to date", err);
}

/* The one row of meta, in a new file. */
static int fill(struct sql *q, struct pm_error *err)
{
	static const uint8_t zeros[AUDIT_HASH_BYTES];
	struct store_id cluster;

	randombytes_buf(&cluster, sizeof(cluster));
	if (sql_run(q, "INSERT INTO meta VALUES (1, ?, 0, 0, 0, 0, ?)", "db", &cluster, zeros,
	            sizeof(zeros)) < 0)
		return sql_fail(q, "fill the store", err);
	return 0;
}

static int step_all(struct sql *q, const char *const *const *steps, size_t from, size_t n,
                    struct pm_error *err)
{
	char version[96];

	if (run(q, "BEGIN EXCLUSIVE", err) < 0)
		return -1;
	for (size_t i = from; i < n; i++)
		for (const char *const *text = steps[i]; *text != NULL; text++)
			if (run(q, *text, err) < 0)
				return -1;
	if (from == 0 && fill(q, err) < 0)
		return -1;
	(void)PM_FAIL_POINT("store.migrate");
	(void)snprintf(version, sizeof(version),
	               "PRAGMA application_id = %d; PRAGMA user_version = %zu; COMMIT",
	               APPLICATION_ID, n);
	return run(q, version, err);
}

int schema_migrate(struct sql *q, const char *path, const char *const *const *steps, size_t n_steps,
                   struct pm_error *err)
{
	int64_t id = single(q, "PRAGMA application_id");
	int64_t version = single(q, "PRAGMA user_version");
	int64_t tables = single(q, "SELECT count(*) FROM sqlite_schema");
	char copy[PM_PATH_MAX + 32];

	if (id < 0 || version < 0 || tables < 0)
		return sql_fail(q, path, err);
	if (id != APPLICATION_ID && (id != 0 || version != 0 || tables != 0))
		return pm_fail(err, PM_CORRUPT, "%s: not a store of pmd", path);
	if ((size_t)version > n_steps) {
		(void)pm_fail(err, PM_UNSUPPORTED,
		              "%s: written by a newer pmd (schema %lld, this one knows %zu)", path,
		              (long long)version, n_steps);
		pm_hint(err, "upgrade pmd, or put back %s.before-%zu", path, n_steps);
		return -1;
	}
	if ((size_t)version == n_steps)
		return 0;
	if (version > 0) {
		(void)snprintf(copy, sizeof(copy), "%s.before-%lld", path, (long long)version);
		if (schema_backup(q, copy, err) < 0 && err->code != PM_EXISTS)
			return -1; /* one that exists is of an earlier try, from the same version */
	}
	if (step_all(q, steps, (size_t)version, n_steps, err) < 0) {
		(void)sqlite3_exec(q->db, "ROLLBACK", NULL, NULL, NULL); /* may have happened */
		return pm_wrap(err, "%s", path);
	}
	return 0;
}
