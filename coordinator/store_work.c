/* store_work.c - what is to be done and was done: specs, desired state, commands, rollouts, locks.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/store_ops.h"
#include "proto/limits.h"

static int64_t page_most(const struct store_call *call)
{
	uint32_t most = call->req.page.most;

	return most == 0 || most > PM_STORE_ROWS_MAX ? PM_STORE_ROWS_MAX : most;
}

/* ---- specs ---- */

static enum store_status list_specs(struct sql *q, struct store_call *call)
{
	struct store_rows rows = { .size = sizeof(struct store_spec) };
	sqlite3_stmt *st =
		*call->req.page.name != '\0'
			? sql_query(q,
	                            "SELECT app, generation, content, hash, author, created_ms"
	                            " FROM specs WHERE app = ? ORDER BY generation DESC LIMIT ?",
	                            "ti", call->req.page.name, page_most(call))
			: sql_query(q,
	                            "SELECT app, max(generation), content, hash, author, created_ms"
	                            " FROM specs GROUP BY app ORDER BY app LIMIT ?",
	                            "i", page_most(call));

	while (sql_step(q, st)) {
		struct store_spec *s = store_rows_add(q, call, &rows);

		if (s == NULL) {
			sql_leave(st);
			break;
		}
		s->app = sql_text(q, call, st, 0);
		s->generation = (uint64_t)sql_int(st, 1);
		s->content = sql_blob(q, call, st, 2, &s->content_len);
		sql_bytes(st, 3, &s->hash, sizeof(s->hash));
		s->author = sql_text(q, call, st, 4);
		s->created_ms = sql_int(st, 5);
	}
	return store_rows_end(q, call, &rows);
}

static enum store_status put_spec(struct sql *q, struct store_call *call)
{
	const struct store_spec *s = &call->req.spec;
	sqlite3_stmt *st = sql_query(
		q, "SELECT coalesce(max(generation), 0) FROM specs WHERE app = ?", "t", s->app);
	int64_t newest = 0;

	while (sql_step(q, st))
		newest = sql_int(st, 0);
	if (q->rc != SQLITE_OK)
		return store_failed(q, call);
	if ((uint64_t)newest != s->generation)
		return store_say(call, STORE_CONFLICT,
		                 "%s is at generation %" PRId64 ", not %" PRIu64, s->app, newest,
		                 s->generation);
	if (sql_run(q, "INSERT INTO specs VALUES (?, ?, ?, ?, ?, ?)", "tibbti", s->app, newest + 1,
	            s->content, s->content_len, &s->hash, sizeof(s->hash), s->author,
	            call->req.now_ms) < 0)
		return store_failed(q, call);
	/* FLEET 1.1: the last 20 versions of an app can be gone back to. */
	if (sql_run(q, "DELETE FROM specs WHERE app = ? AND generation <= ?", "ti", s->app,
	            newest + 1 - PM_STORE_SPECS_KEPT) < 0)
		return store_failed(q, call);
	call->result.revision = (uint64_t)newest + 1;
	return STORE_OK;
}

/* ---- desired state ---- */

static enum store_status list_desired(struct sql *q, struct store_call *call)
{
	struct store_rows rows = { .size = sizeof(struct store_desired) };
	sqlite3_stmt *st = sql_query(q,
	                             "SELECT agent, app, generation, wanted, revision FROM desired"
	                             " WHERE revision > ? ORDER BY revision, agent, app LIMIT ?",
	                             "ii", (int64_t)call->req.page.after, page_most(call));

	while (sql_step(q, st)) {
		struct store_desired *d = store_rows_add(q, call, &rows);

		if (d == NULL) {
			sql_leave(st);
			break;
		}
		sql_bytes(st, 0, &d->agent, sizeof(d->agent));
		d->app = sql_text(q, call, st, 1);
		d->generation = (uint64_t)sql_int(st, 2);
		d->wanted = sql_text(q, call, st, 3);
		d->revision = (uint64_t)sql_int(st, 4);
	}
	return store_rows_end(q, call, &rows);
}

static enum store_status put_desired_row(struct sql *q, struct store_call *call,
                                         const struct store_desired *d, uint64_t revision)
{
	int n = d->revision == 0
	                ? sql_run(q, "INSERT INTO desired VALUES (?, ?, ?, ?, ?)", "dtiti",
	                          &d->agent, d->app, (int64_t)d->generation, d->wanted,
	                          (int64_t)revision)
	                : sql_run(q,
	                          "UPDATE desired SET generation = ?, wanted = ?, revision = ?"
	                          " WHERE agent = ? AND app = ? AND revision = ?",
	                          "itidti", (int64_t)d->generation, d->wanted, (int64_t)revision,
	                          &d->agent, d->app, (int64_t)d->revision);

	if (n > 0)
		return STORE_OK;
	if (n < 0 && sql_is_foreign(q))
		return store_say(call, STORE_NOT_FOUND, "no such agent");
	if (n == 0 || sql_is_conflict(q))
		return store_say(call, STORE_CONFLICT, "%s was changed meanwhile", d->app);
	return store_failed(q, call);
}

static enum store_status put_desired(struct sql *q, struct store_call *call)
{
	uint64_t revision =
		store_count_up(q, "UPDATE meta SET revision = revision + 1 RETURNING revision");

	if (revision == 0)
		return store_failed(q, call);
	for (size_t i = 0; i < call->req.desired.n; i++) {
		enum store_status status =
			put_desired_row(q, call, &call->req.desired.list[i], revision);

		if (status != STORE_OK)
			return status;
	}
	call->result.revision = revision;
	return STORE_OK;
}

/* ---- commands ---- */

static enum store_status list_commands(struct sql *q, struct store_call *call)
{
	static const struct store_id none;
	struct store_rows rows = { .size = sizeof(struct store_command) };
	sqlite3_stmt *st = memcmp(&call->req.id, &none, sizeof(none)) == 0
	                           ? sql_query(q,
	                                       "SELECT id, number, operator, kind, args, selector,"
	                                       " state, created_ms, deadline_ms FROM commands"
	                                       " WHERE state = 'open' ORDER BY number",
	                                       "")
	                           : sql_query(q,
	                                       "SELECT id, number, operator, kind, args, selector,"
	                                       " state, created_ms, deadline_ms FROM commands"
	                                       " WHERE id = ?",
	                                       "d", &call->req.id);

	while (sql_step(q, st)) {
		struct store_command *c = store_rows_add(q, call, &rows);

		if (c == NULL) {
			sql_leave(st);
			break;
		}
		sql_bytes(st, 0, &c->id, sizeof(c->id));
		c->number = (uint64_t)sql_int(st, 1);
		sql_bytes(st, 2, &c->operator_id, sizeof(c->operator_id));
		c->kind = sql_text(q, call, st, 3);
		c->args = sql_text(q, call, st, 4);
		c->selector = sql_text(q, call, st, 5);
		c->state = sql_text(q, call, st, 6);
		c->created_ms = sql_int(st, 7);
		c->deadline_ms = sql_int(st, 8);
	}
	return store_rows_end(q, call, &rows);
}

static enum store_status list_outcomes(struct sql *q, struct store_call *call)
{
	struct store_rows rows = { .size = sizeof(struct store_outcome) };
	sqlite3_stmt *st = sql_query(q,
	                             "SELECT agent, state, code, text, at_ms FROM outcomes"
	                             " WHERE command = ? ORDER BY agent",
	                             "d", &call->req.id);

	while (sql_step(q, st)) {
		struct store_outcome *o = store_rows_add(q, call, &rows);

		if (o == NULL) {
			sql_leave(st);
			break;
		}
		sql_bytes(st, 0, &o->agent, sizeof(o->agent));
		o->state = sql_text(q, call, st, 1);
		o->code = (uint32_t)sql_int(st, 2);
		o->text = sql_text(q, call, st, 3);
		o->at_ms = sql_int(st, 4);
	}
	return store_rows_end(q, call, &rows);
}

static enum store_status open_command(struct sql *q, struct store_call *call)
{
	const struct store_open_command *o = &call->req.open_command;
	const struct store_command *c = &o->command;
	uint64_t number = store_next_command(q);

	if (number == 0)
		return store_failed(q, call);
	if (sql_run(q, "INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?, 'open', ?, ?)", "didtttii",
	            &c->id, (int64_t)number, &c->operator_id, c->kind, c->args, c->selector,
	            call->req.now_ms, c->deadline_ms) < 0)
		return sql_is_conflict(q)
		               ? store_say(call, STORE_CONFLICT, "this command was opened before")
		               : store_failed(q, call);
	for (size_t i = 0; i < o->n_targets; i++)
		if (sql_run(q, "INSERT OR IGNORE INTO outcomes VALUES (?, ?, 'waiting', 0, '', ?)",
		            "ddi", &c->id, &o->targets[i], call->req.now_ms) < 0)
			return store_failed(q, call);
	call->result.revision = number;
	return STORE_OK;
}

static enum store_status put_outcomes(struct sql *q, struct store_call *call)
{
	const struct store_outcome_list *o = &call->req.outcomes;

	for (size_t i = 0; i < o->n; i++) {
		const struct store_outcome *row = &o->list[i];
		int n = sql_run(q,
		                "UPDATE outcomes SET state = ?, code = ?, text = ?, at_ms = ?"
		                " WHERE command = ? AND agent = ?",
		                "titidd", row->state, (int64_t)row->code, row->text,
		                call->req.now_ms, &o->command, &row->agent);

		if (n < 0)
			return store_failed(q, call);
		if (n == 0)
			return store_say(call, STORE_NOT_FOUND, "not a target of this command");
	}
	if (o->state != NULL) {
		int n = sql_run(q, "UPDATE commands SET state = ? WHERE id = ?", "td", o->state,
		                &o->command);

		if (n < 0)
			return store_failed(q, call);
		if (n == 0)
			return store_say(call, STORE_NOT_FOUND, "no such command");
	}
	return STORE_OK;
}

/* ---- rollouts ---- */

#define ROLLOUT_COLUMNS \
	"SELECT id, app, state, ended, plan, revision, created_ms, changed_ms FROM rollouts "

static enum store_status rollout_rows(struct sql *q, struct store_call *call, sqlite3_stmt *st)
{
	struct store_rows rows = { .size = sizeof(struct store_rollout) };

	while (sql_step(q, st)) {
		struct store_rollout *r = store_rows_add(q, call, &rows);

		if (r == NULL) {
			sql_leave(st);
			break;
		}
		sql_bytes(st, 0, &r->id, sizeof(r->id));
		r->app = sql_text(q, call, st, 1);
		r->state = sql_text(q, call, st, 2);
		r->ended = sql_int(st, 3) != 0;
		r->plan = sql_blob(q, call, st, 4, &r->plan_len);
		r->revision = (uint64_t)sql_int(st, 5);
		r->created_ms = sql_int(st, 6);
		r->changed_ms = sql_int(st, 7);
	}
	return store_rows_end(q, call, &rows);
}

static enum store_status list_rollouts(struct sql *q, struct store_call *call)
{
	static const struct store_id none;

	if (memcmp(&call->req.id, &none, sizeof(none)) == 0)
		return rollout_rows(
			q, call,
			sql_query(q, ROLLOUT_COLUMNS "WHERE ended = 0 ORDER BY created_ms, id",
		                  ""));
	return rollout_rows(q, call,
	                    sql_query(q, ROLLOUT_COLUMNS "WHERE id = ?", "d", &call->req.id));
}

static enum store_status list_ended(struct sql *q, struct store_call *call)
{
	return rollout_rows(
		q, call,
		sql_query(q, ROLLOUT_COLUMNS "WHERE ended = 1 ORDER BY created_ms DESC, id LIMIT ?",
	                  "i", (int64_t)call->req.page.most));
}

static enum store_status list_steps(struct sql *q, struct store_call *call)
{
	struct store_rows rows = { .size = sizeof(struct store_step) };
	sqlite3_stmt *st = sql_query(q,
	                             "SELECT agent, token, batch, state, info FROM rollout_steps"
	                             " WHERE rollout = ? ORDER BY batch, agent",
	                             "d", &call->req.id);

	while (sql_step(q, st)) {
		struct store_step *s = store_rows_add(q, call, &rows);

		if (s == NULL) {
			sql_leave(st);
			break;
		}
		sql_bytes(st, 0, &s->agent, sizeof(s->agent));
		sql_bytes(st, 1, &s->token, sizeof(s->token));
		s->batch = (uint32_t)sql_int(st, 2);
		s->state = sql_text(q, call, st, 3);
		s->info = sql_blob(q, call, st, 4, &s->info_len);
	}
	return store_rows_end(q, call, &rows);
}

static int put_rollout_row(struct sql *q, struct store_call *call, const struct store_rollout *r)
{
	if (r->revision == 0)
		return sql_run(q, "INSERT INTO rollouts VALUES (?, ?, ?, ?, ?, 1, ?, ?)", "dttibii",
		               &r->id, r->app, r->state, (int64_t)r->ended, r->plan, r->plan_len,
		               call->req.now_ms, call->req.now_ms);
	return sql_run(q,
	               "UPDATE rollouts SET state = ?1, ended = ?2,"
	               " plan = iif(length(?3) = 0, plan, ?3), changed_ms = ?4,"
	               " revision = revision + 1 WHERE id = ?5 AND revision = ?6",
	               "tibidi", r->state, (int64_t)r->ended, r->plan, r->plan_len,
	               call->req.now_ms, &r->id, (int64_t)r->revision);
}

/* What it is about to do is nobody else's to do: that is part of the commit. */
static enum store_status check_locks(struct sql *q, struct store_call *call)
{
	const struct store_put_rollout *p = &call->req.put_rollout;
	sqlite3_stmt *st;
	int64_t n = 0;

	if (p->n_locks == 0)
		return STORE_OK;
	st = sql_query(q, "SELECT count(*) FROM locks WHERE holder = ?", "d", &p->rollout.id);
	if (!sql_step(q, st))
		return store_failed(q, call);
	n = sql_int(st, 0);
	sql_leave(st);
	return (uint64_t)n >= p->n_locks
	               ? STORE_OK
	               : store_say(call, STORE_CONFLICT, "its locks were taken away");
}

static enum store_status put_rollout(struct sql *q, struct store_call *call)
{
	const struct store_put_rollout *p = &call->req.put_rollout;
	enum store_status status = check_locks(q, call);
	uint64_t number = 0;
	int n;

	if (status != STORE_OK)
		return status;
	n = put_rollout_row(q, call, &p->rollout);
	if (n == 0 || (n < 0 && sql_is_conflict(q)))
		return store_say(call, STORE_CONFLICT, "the rollout was changed meanwhile");
	if (n < 0)
		return store_failed(q, call);
	for (size_t i = 0; i < p->n_steps; i++) {
		const struct store_step *s = &p->steps[i];

		if (s->sent && number == 0)
			number = store_next_command(q);
		if (s->sent && (number == 0 || !store_number_agent(q, &s->agent, number)))
			return store_failed(q, call);
		if (sql_run(q, "INSERT OR REPLACE INTO rollout_steps VALUES (?, ?, ?, ?, ?, ?)",
		            "ddditb", &p->rollout.id, &s->agent, &s->token, (int64_t)s->batch,
		            s->state, s->info, s->info_len) < 0)
			return store_failed(q, call);
	}
	call->result.revision = p->rollout.revision + 1;
	call->result.number = number;
	return STORE_OK;
}

/* ---- locks ---- */

static void read_lock(struct sql *q, struct store_call *call, sqlite3_stmt *st,
                      struct store_lock *l)
{
	l->name = sql_text(q, call, st, 0);
	sql_bytes(st, 1, &l->holder, sizeof(l->holder));
	l->who = sql_text(q, call, st, 2);
	l->what = sql_text(q, call, st, 3);
	l->since_ms = sql_int(st, 4);
	l->expires_ms = sql_int(st, 5);
	l->number = (uint64_t)sql_int(st, 6);
}

static enum store_status list_locks(struct sql *q, struct store_call *call)
{
	struct store_rows rows = { .size = sizeof(struct store_lock) };
	sqlite3_stmt *st = sql_query(q,
	                             "SELECT name, holder, who, what, since_ms, expires_ms, number"
	                             " FROM locks ORDER BY name",
	                             "");

	while (sql_step(q, st)) {
		struct store_lock *l = store_rows_add(q, call, &rows);

		if (l == NULL) {
			sql_leave(st);
			break;
		}
		read_lock(q, call, st, l);
	}
	return store_rows_end(q, call, &rows);
}

/* Whether a name is free for us. Held by us: *number is its; by another: that is the answer. */
static enum store_status check_lock(struct sql *q, struct store_call *call, const char *name,
                                    uint64_t *number)
{
	const struct store_take_lock *t = &call->req.lock;
	struct store_rows rows = { .size = sizeof(struct store_lock) };
	struct store_lock held = { 0 }, *row;
	sqlite3_stmt *st = sql_query(q,
	                             "SELECT name, holder, who, what, since_ms, expires_ms, number"
	                             " FROM locks WHERE name = ?",
	                             "t", name);

	*number = 0;
	if (!sql_step(q, st))
		return q->rc == SQLITE_OK ? STORE_OK : store_failed(q, call);
	read_lock(q, call, st, &held);
	sql_leave(st);
	if (memcmp(&held.holder, &t->holder, sizeof(held.holder)) == 0) {
		*number = held.number;
		return STORE_OK;
	}
	if (t->steal || held.expires_ms <= call->req.now_ms)
		return STORE_OK;
	row = store_rows_add(q, call, &rows);
	if (row == NULL)
		return store_failed(q, call);
	*row = held;
	(void)store_rows_end(q, call, &rows);
	return store_say(call, STORE_CONFLICT, "%s is locked by %s: %s", name, held.who, held.what);
}

static enum store_status take_lock(struct sql *q, struct store_call *call)
{
	const struct store_take_lock *t = &call->req.lock;
	uint64_t number = 0, held;

	/* A lock that is only renewed keeps its number; for any new name all get a new one. */
	for (size_t i = 0; i < t->n_names; i++) {
		enum store_status status = check_lock(q, call, t->names[i], &held);

		if (status != STORE_OK)
			return status;
		number = i == 0 || number == held ? held : 0;
	}
	if (number == 0)
		number = store_count_up(q, "UPDATE meta SET fence = fence + 1 RETURNING fence");
	if (number == 0)
		return store_failed(q, call);
	for (size_t i = 0; i < t->n_names; i++)
		if (sql_run(q,
		            "INSERT INTO locks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
		            " ON CONFLICT (name) DO UPDATE SET"
		            " since_ms = iif(holder = ?2, since_ms, ?5), holder = ?2, who = ?3,"
		            " what = ?4, expires_ms = ?6, number = ?7",
		            "tdttiii", t->names[i], &t->holder, t->who, t->what, call->req.now_ms,
		            call->req.now_ms + (int64_t)t->ttl_ms, (int64_t)number) < 0)
			return store_failed(q, call);
	call->result.revision = number;
	return STORE_OK;
}

static enum store_status renew(struct sql *q, struct store_call *call)
{
	const struct store_renew *r = &call->req.renew;
	int n = sql_run(q, "UPDATE locks SET expires_ms = ? WHERE holder = ?", "id",
	                call->req.now_ms + (int64_t)r->ttl_ms, &r->holder);

	if (n < 0)
		return store_failed(q, call);
	call->result.revision = (uint64_t)n;
	return STORE_OK;
}

static enum store_status unlock(struct sql *q, struct store_call *call)
{
	return sql_run(q, "DELETE FROM locks WHERE holder = ?", "d", &call->req.id) < 0
	               ? store_failed(q, call)
	               : STORE_OK;
}

/* ---- upkeep ---- */

/* Entries over the limit go; the hash of the last of them says where the chain then begins. */
static int prune_audit(struct sql *q)
{
	static const char *const base =
		"UPDATE meta SET (audit_base, audit_base_hash) = (SELECT seq, hash FROM audit"
		" WHERE seq = (SELECT max(seq) FROM audit) - ?1)"
		" WHERE (SELECT max(seq) FROM audit) - ?1 >= (SELECT min(seq) FROM audit)";
	int n = sql_run(q, base, "i", (int64_t)PM_STORE_AUDIT_MAX);

	if (n <= 0)
		return n;
	return sql_run(q, "DELETE FROM audit WHERE seq <= (SELECT audit_base FROM meta)", "");
}

static enum store_status prune(struct sql *q, struct store_call *call)
{
	static const char *const tokens =
		"DELETE FROM tokens WHERE (uses_left = 0 OR expires_ms BETWEEN 1 AND ?1)"
		" AND created_ms < ?1";
	const char *const texts[] = {
		"DELETE FROM commands WHERE state <> 'open' AND created_ms < ?",
		"DELETE FROM rollouts WHERE ended = 1 AND changed_ms < ?",
		"DELETE FROM locks WHERE expires_ms < ?",
		tokens,
	};
	int n = prune_audit(q);

	for (size_t i = 0; n >= 0 && i < PM_COUNT(texts); i++) {
		call->result.revision += (uint64_t)n;
		n = sql_run(q, texts[i], "i", (int64_t)call->req.number);
	}
	if (n < 0)
		return store_failed(q, call);
	call->result.revision += (uint64_t)n;
	return STORE_OK;
}

/* ---- meta and audit ---- */

void store_read_audit_head(struct sql *q, struct audit_head *out)
{
	sqlite3_stmt *st = sql_query(q,
	                             "SELECT seq, hash FROM audit"
	                             " UNION ALL SELECT audit_base, audit_base_hash FROM meta"
	                             " ORDER BY seq DESC LIMIT 1",
	                             "");

	*out = (struct audit_head){ 0 };
	while (sql_step(q, st)) {
		out->seq = (uint64_t)sql_int(st, 0);
		sql_bytes(st, 1, out->hash, sizeof(out->hash));
	}
}

static enum store_status get_meta(struct sql *q, struct store_call *call)
{
	struct store_rows rows = { .size = sizeof(struct store_meta) };
	struct store_meta *m = store_rows_add(q, call, &rows);
	sqlite3_stmt *st;

	if (m == NULL)
		return store_failed(q, call);
	st = sql_query(q,
	               "SELECT cluster, revision, counter,"
	               " coalesce((SELECT min(seq) FROM audit), 0) FROM meta",
	               "");
	while (sql_step(q, st)) {
		sql_bytes(st, 0, &m->cluster, sizeof(m->cluster));
		m->revision = (uint64_t)sql_int(st, 1);
		m->counter = (uint64_t)sql_int(st, 2);
		m->audit_first = (uint64_t)sql_int(st, 3);
	}
	st = sql_query(q, "PRAGMA user_version", "");
	while (sql_step(q, st))
		m->schema = (uint32_t)sql_int(st, 0);
	store_read_audit_head(q, &m->audit);
	return store_rows_end(q, call, &rows);
}

static enum store_status list_audit(struct sql *q, struct store_call *call)
{
	struct store_rows rows = { .size = sizeof(struct store_audit) };
	sqlite3_stmt *st = sql_query(q,
	                             "SELECT seq, wall_ms, actor, action, target, detail, outcome,"
	                             " hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?",
	                             "ii", (int64_t)call->req.page.after, page_most(call));

	while (sql_step(q, st)) {
		struct store_audit *a = store_rows_add(q, call, &rows);

		if (a == NULL) {
			sql_leave(st);
			break;
		}
		a->entry.seq = a->head.seq = (uint64_t)sql_int(st, 0);
		a->entry.wall_ms = sql_int(st, 1);
		for (int i = 0; i < AUDIT_FIELDS; i++)
			a->entry.field[i] = sql_text(q, call, st, 2 + i);
		sql_bytes(st, 7, a->head.hash, sizeof(a->head.hash));
	}
	return store_rows_end(q, call, &rows);
}

enum store_status store_audit_append(struct sql *q, struct store_call *call,
                                     struct audit_head *head)
{
	struct audit_entry e = call->audit;
	struct audit_head next = *head;
	char *cut[AUDIT_FIELDS];

	for (size_t i = 0; i < AUDIT_FIELDS; i++) {
		cut[i] = store_alloc(call, audit_field_max((enum audit_field)i) + 1);
		if (cut[i] == NULL)
			return store_say(call, STORE_UNAVAILABLE, "out of memory");
		(void)audit_cut((enum audit_field)i, e.field[i], cut[i]);
		e.field[i] = cut[i];
	}
	audit_link(&next, &e);
	if (sql_run(q, "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?)", "iitttttb",
	            (int64_t)e.seq, e.wall_ms, cut[AUDIT_ACTOR], cut[AUDIT_ACTION],
	            cut[AUDIT_TARGET], cut[AUDIT_DETAIL], cut[AUDIT_OUTCOME], next.hash,
	            sizeof(next.hash)) < 0)
		return store_failed(q, call);
	*head = next;
	return STORE_OK;
}

store_op_fn *const store_work_ops[STORE_OPS] = {
	[STORE_GET_META] = get_meta,
	[STORE_LIST_SPECS] = list_specs,
	[STORE_LIST_DESIRED] = list_desired,
	[STORE_LIST_COMMANDS] = list_commands,
	[STORE_LIST_OUTCOMES] = list_outcomes,
	[STORE_LIST_ROLLOUTS] = list_rollouts,
	[STORE_LIST_ENDED] = list_ended,
	[STORE_LIST_STEPS] = list_steps,
	[STORE_LIST_LOCKS] = list_locks,
	[STORE_LIST_AUDIT] = list_audit,
	[STORE_PUT_SPEC] = put_spec,
	[STORE_PUT_DESIRED] = put_desired,
	[STORE_OPEN_COMMAND] = open_command,
	[STORE_PUT_OUTCOMES] = put_outcomes,
	[STORE_PUT_ROLLOUT] = put_rollout,
	[STORE_LOCK] = take_lock,
	[STORE_RENEW] = renew,
	[STORE_UNLOCK] = unlock,
	[STORE_PRUNE] = prune,
};
