/* store_members.c - who is there: agents, operators, their keys, tokens, bindings, groups,
 * sessions. */
#include <string.h>

#include <sodium.h>

#include "coordinator/store_ops.h"
#include "proto/glob.h"
#include "proto/limits.h"

/* ---- reading ---- */

static enum store_status find_key(struct sql *q, struct store_call *call)
{
	struct store_rows rows = { .size = sizeof(struct store_identity) };
	sqlite3_stmt *st = sql_query(
		q,
		"SELECT k.state, a.id, a.name, a.state, o.id, o.name, o.state FROM keys k"
		" LEFT JOIN agents a ON a.id = k.agent LEFT JOIN operators o ON o.id = k.operator"
		" WHERE k.key = ?",
		"k", &call->req.key);
	struct store_identity *who;

	if (!sql_step(q, st))
		return q->rc != SQLITE_OK ? store_failed(q, call)
		                          : store_say(call, STORE_NOT_FOUND, "no such key");
	who = store_rows_add(q, call, &rows);
	if (who != NULL) {
		int at = sqlite3_column_type(st, 1) == SQLITE_NULL ? 4 : 1;

		who->kind = at == 1 ? MEMBER_AGENT : MEMBER_OPERATOR;
		who->key_state = (enum key_state)sql_int(st, 0);
		sql_bytes(st, at, &who->id, sizeof(who->id));
		who->name = sql_text(q, call, st, at + 1);
		who->state = (uint32_t)sql_int(st, at + 2);
	}
	sql_leave(st);
	return store_rows_end(q, call, &rows);
}

static enum store_status list_agents(struct sql *q, struct store_call *call)
{
	struct store_rows rows = { .size = sizeof(struct store_agent) };
	sqlite3_stmt *st =
		sql_query(q,
	                  "SELECT id, name, state, labels, claimed, facts, note, drained,"
	                  " epoch, enrolled_ms, last_seen_ms, enrolled_by, command"
	                  " FROM agents ORDER BY name",
	                  "");

	while (sql_step(q, st)) {
		struct store_agent *a = store_rows_add(q, call, &rows);

		if (a == NULL) {
			sql_leave(st);
			break;
		}
		sql_bytes(st, 0, &a->id, sizeof(a->id));
		a->name = sql_text(q, call, st, 1);
		a->state = (enum agent_state)sql_int(st, 2);
		a->labels = sql_text(q, call, st, 3);
		a->claimed = sql_text(q, call, st, 4);
		a->facts = sql_text(q, call, st, 5);
		a->note = sql_text(q, call, st, 6);
		a->drained = sql_int(st, 7) != 0;
		a->epoch = (uint64_t)sql_int(st, 8);
		a->enrolled_ms = sql_int(st, 9);
		a->last_seen_ms = sql_int(st, 10);
		a->enrolled_by = sql_text(q, call, st, 11);
		a->command = (uint64_t)sql_int(st, 12);
	}
	return store_rows_end(q, call, &rows);
}

static enum store_status list_operators(struct sql *q, struct store_call *call)
{
	struct store_rows rows = { .size = sizeof(struct store_operator) };
	sqlite3_stmt *st = sql_query(
		q, "SELECT id, name, state, enrolled_ms, enrolled_by FROM operators ORDER BY name",
		"");

	while (sql_step(q, st)) {
		struct store_operator *o = store_rows_add(q, call, &rows);

		if (o == NULL) {
			sql_leave(st);
			break;
		}
		sql_bytes(st, 0, &o->id, sizeof(o->id));
		o->name = sql_text(q, call, st, 1);
		o->state = (enum operator_state)sql_int(st, 2);
		o->enrolled_ms = sql_int(st, 3);
		o->enrolled_by = sql_text(q, call, st, 4);
	}
	return store_rows_end(q, call, &rows);
}

static enum store_status list_keys(struct sql *q, struct store_call *call)
{
	static const struct store_id none;
	struct store_rows rows = { .size = sizeof(struct store_key_row) };
	sqlite3_stmt *st =
		sql_query(q,
	                  "SELECT key, agent, operator, state, added_ms, ended_ms FROM keys"
	                  " WHERE ?1 = ?2 OR agent = ?1 OR operator = ?1"
	                  " ORDER BY added_ms, key",
	                  "dd", &call->req.id, &none);

	while (sql_step(q, st)) {
		struct store_key_row *k = store_rows_add(q, call, &rows);
		int at;

		if (k == NULL) {
			sql_leave(st);
			break;
		}
		at = sqlite3_column_type(st, 1) == SQLITE_NULL ? 2 : 1;
		k->kind = at == 1 ? MEMBER_AGENT : MEMBER_OPERATOR;
		sql_bytes(st, 0, &k->key, sizeof(k->key));
		sql_bytes(st, at, &k->owner, sizeof(k->owner));
		k->state = (enum key_state)sql_int(st, 3);
		k->added_ms = sql_int(st, 4);
		k->ended_ms = sql_int(st, 5);
	}
	return store_rows_end(q, call, &rows);
}

static enum store_status list_bindings(struct sql *q, struct store_call *call)
{
	struct store_rows rows = { .size = sizeof(struct store_binding) };
	sqlite3_stmt *st = sql_query(q,
	                             "SELECT id, operator, role, targets, apps, created_by,"
	                             " created_ms FROM bindings ORDER BY id",
	                             "");

	while (sql_step(q, st)) {
		struct store_binding *b = store_rows_add(q, call, &rows);

		if (b == NULL) {
			sql_leave(st);
			break;
		}
		b->id = (uint64_t)sql_int(st, 0);
		sql_bytes(st, 1, &b->operator_id, sizeof(b->operator_id));
		b->role = sql_text(q, call, st, 2);
		b->targets = sql_text(q, call, st, 3);
		b->apps = sql_text(q, call, st, 4);
		b->created_by = sql_text(q, call, st, 5);
		b->created_ms = sql_int(st, 6);
	}
	return store_rows_end(q, call, &rows);
}

static enum store_status list_tokens(struct sql *q, struct store_call *call)
{
	struct store_rows rows = { .size = sizeof(struct store_token) };
	sqlite3_stmt *st = sql_query(q,
	                             "SELECT id, kind, name_pattern, labels, role, uses_left,"
	                             " expires_ms, created_by, created_ms, used_ms, used_by"
	                             " FROM tokens"
	                             " ORDER BY created_ms, id",
	                             "");

	while (sql_step(q, st)) {
		struct store_token *t = store_rows_add(q, call, &rows);

		if (t == NULL) {
			sql_leave(st);
			break;
		}
		sql_bytes(st, 0, &t->id, sizeof(t->id));
		t->kind = (enum member_kind)sql_int(st, 1);
		t->name_pattern = sql_text(q, call, st, 2);
		t->labels = sql_text(q, call, st, 3);
		t->role = sql_text(q, call, st, 4);
		t->uses_left = (uint32_t)sql_int(st, 5);
		t->expires_ms = sql_int(st, 6);
		t->created_by = sql_text(q, call, st, 7);
		t->created_ms = sql_int(st, 8);
		t->used_ms = sql_int(st, 9);
		t->used_by = sql_text(q, call, st, 10);
	}
	return store_rows_end(q, call, &rows);
}

static enum store_status list_groups(struct sql *q, struct store_call *call)
{
	struct store_rows rows = { .size = sizeof(struct store_group) };
	sqlite3_stmt *st = sql_query(q, "SELECT name, form, text FROM groups ORDER BY name", "");

	while (sql_step(q, st)) {
		struct store_group *g = store_rows_add(q, call, &rows);

		if (g == NULL) {
			sql_leave(st);
			break;
		}
		g->name = sql_text(q, call, st, 0);
		g->form = sql_text(q, call, st, 1);
		g->text = sql_text(q, call, st, 2);
	}
	return store_rows_end(q, call, &rows);
}

/* ---- joining ---- */

static enum store_status add_key_row(struct sql *q, struct store_call *call,
                                     const struct store_key *key, enum member_kind kind,
                                     const struct store_id *owner, enum key_state state)
{
	int n = kind == MEMBER_AGENT
	                ? sql_run(q, "INSERT INTO keys VALUES (?, ?, NULL, ?, ?, 0)", "kdii", key,
	                          owner, (int64_t)state, call->req.now_ms)
	                : sql_run(q, "INSERT INTO keys VALUES (?, NULL, ?, ?, ?, 0)", "kdii", key,
	                          owner, (int64_t)state, call->req.now_ms);

	if (n >= 0)
		return STORE_OK;
	if (sql_is_conflict(q))
		return store_say(call, STORE_CONFLICT, "the key is in use");
	return store_failed(q, call);
}

static enum store_status add_agent_row(struct sql *q, struct store_call *call,
                                       const struct store_enrol *e, enum agent_state state,
                                       const char *labels, const char *by)
{
	if (sql_run(q, "INSERT INTO agents VALUES (?, ?, ?, ?, ?, ?, '', 0, 0, ?, ?, ?, 0)",
	            "dtitttiit", &e->id, e->name, (int64_t)state, labels, e->claimed, e->facts,
	            call->req.now_ms, call->req.now_ms, by) >= 0)
		return add_key_row(q, call, &e->key, MEMBER_AGENT, &e->id, KEY_ACTIVE);
	if (sql_is_conflict(q))
		return store_say(call, STORE_CONFLICT, "the name %s is in use", e->name);
	return store_failed(q, call);
}

static enum store_status add_operator_rows(struct sql *q, struct store_call *call,
                                           const struct store_enrol *e, const char *role,
                                           const char *by)
{
	enum store_status status;

	if (sql_run(q, "INSERT INTO operators VALUES (?, ?, 1, ?, ?)", "dtit", &e->id, e->name,
	            call->req.now_ms, by) < 0)
		return sql_is_conflict(q)
		               ? store_say(call, STORE_CONFLICT, "the name %s is in use", e->name)
		               : store_failed(q, call);
	status = add_key_row(q, call, &e->key, MEMBER_OPERATOR, &e->id, KEY_ACTIVE);
	if (status != STORE_OK)
		return status;
	if (sql_run(q,
	            "INSERT INTO bindings (operator, role, targets, apps, created_by, created_ms)"
	            " VALUES (?, ?, '', '', ?, ?)",
	            "dtti", &e->id, role, by, call->req.now_ms) < 0)
		return store_failed(q, call);
	return STORE_OK;
}

/* What a token gives; the texts are the call's. */
struct found_token {
	struct store_hash secret_hash;
	enum member_kind kind;
	const char *name_pattern, *labels, *role, *created_by, *used_by;
	int64_t uses_left, expires_ms;
};

static bool read_token(struct sql *q, struct store_call *call, struct found_token *t)
{
	sqlite3_stmt *st = sql_query(q,
	                             "SELECT secret_hash, kind, name_pattern, labels, role,"
	                             " created_by, used_by, uses_left, expires_ms FROM tokens"
	                             " WHERE id = ?",
	                             "b", &call->req.enrol.token, sizeof(call->req.enrol.token));

	if (!sql_step(q, st))
		return false;
	sql_bytes(st, 0, &t->secret_hash, sizeof(t->secret_hash));
	t->kind = (enum member_kind)sql_int(st, 1);
	t->name_pattern = sql_text(q, call, st, 2);
	t->labels = sql_text(q, call, st, 3);
	t->role = sql_text(q, call, st, 4);
	t->created_by = sql_text(q, call, st, 5);
	t->used_by = sql_text(q, call, st, 6);
	t->uses_left = sql_int(st, 7);
	t->expires_ms = sql_int(st, 8);
	sql_leave(st);
	return q->rc == SQLITE_OK;
}

/* The words are for our own log and audit: the peer is told only that it was refused. */
static enum store_status check_token(struct sql *q, struct store_call *call,
                                     const struct store_enrol *e, struct found_token *t)
{
	if (!read_token(q, call, t))
		return q->rc != SQLITE_OK ? store_failed(q, call)
		                          : store_say(call, STORE_NOT_FOUND, "no such token");
	if (sodium_memcmp(&t->secret_hash, &e->secret_hash, sizeof(t->secret_hash)) != 0)
		return store_say(call, STORE_NOT_FOUND, "the token's secret is wrong");
	if (t->kind != e->kind)
		return store_say(call, STORE_NOT_FOUND, "the token is for %s",
		                 t->kind == MEMBER_AGENT ? "an agent" : "an operator");
	if (t->uses_left <= 0)
		return store_say(call, STORE_NOT_FOUND, "the token was used by %s", t->used_by);
	if (t->expires_ms != 0 && t->expires_ms <= call->req.now_ms)
		return store_say(call, STORE_NOT_FOUND, "the token has expired");
	if (e->kind == MEMBER_AGENT && *t->name_pattern != '\0' &&
	    !glob_match(t->name_pattern, strlen(t->name_pattern), e->name))
		return store_say(call, STORE_NOT_FOUND, "the token is for names like %s",
		                 t->name_pattern);
	return STORE_OK;
}

static enum store_status enrol(struct sql *q, struct store_call *call)
{
	struct store_enrol taken = call->req.enrol;
	const struct store_enrol *e = &taken;
	struct store_rows rows = { .size = sizeof(struct store_identity) };
	struct store_identity *who;
	struct found_token t;
	enum store_status status = check_token(q, call, e, &t);

	if (status != STORE_OK)
		return status;
	if (e->kind == MEMBER_OPERATOR && *t.name_pattern != '\0') {
		taken.name = t.name_pattern;
		call->audit.field[AUDIT_ACTOR] = t.name_pattern;
	}
	if (sql_run(q,
	            "UPDATE tokens SET uses_left = uses_left - 1, used_ms = ?, used_by = ?"
	            " WHERE id = ?",
	            "itb", call->req.now_ms, e->name, &e->token, sizeof(e->token)) < 0)
		return store_failed(q, call);
	if (e->kind == MEMBER_AGENT)
		status = add_agent_row(q, call, e, AGENT_ACCEPTED, t.labels, t.created_by);
	else
		status = add_operator_rows(q, call, e, t.role, t.created_by);
	if (status != STORE_OK)
		return status;
	who = store_rows_add(q, call, &rows);
	if (who != NULL)
		*who = (struct store_identity){
			.kind = e->kind,
			.id = e->id,
			.name = e->name,
			.key_state = KEY_ACTIVE,
			.state = e->kind == MEMBER_AGENT ? (uint32_t)AGENT_ACCEPTED
			                                 : (uint32_t)OPERATOR_ACTIVE,
		};
	return store_rows_end(q, call, &rows);
}

static enum store_status add_agent(struct sql *q, struct store_call *call)
{
	return add_agent_row(q, call, &call->req.agent_key, AGENT_PENDING, "", "");
}

/* ---- changing ---- */

static enum store_status set_agent(struct sql *q, struct store_call *call)
{
	const struct store_set_agent *a = &call->req.set_agent;
	int n = sql_run(q,
	                "UPDATE agents SET state = coalesce(nullif(?2, 0), state),"
	                " name = coalesce(?3, name), labels = coalesce(?4, labels),"
	                " claimed = coalesce(?5, claimed), facts = coalesce(?6, facts),"
	                " note = coalesce(?7, note), drained = iif(?8 < 0, drained, ?8)"
	                " WHERE id = ?1",
	                "dittttti", &a->id, (int64_t)a->state, a->name, a->labels, a->claimed,
	                a->facts, a->note, (int64_t)a->drained);

	if (n < 0 && sql_is_conflict(q))
		return store_say(call, STORE_CONFLICT, "the name %s is in use", a->name);
	return store_found(q, call, n, "agent");
}

static enum store_status drop_agent(struct sql *q, struct store_call *call)
{
	return store_found(q, call,
	                   sql_run(q, "DELETE FROM agents WHERE id = ?", "d", &call->req.id),
	                   "agent");
}

static enum store_status seen(struct sql *q, struct store_call *call)
{
	for (size_t i = 0; i < call->req.seen.n; i++) {
		const struct store_seen *s = &call->req.seen.list[i];

		if (sql_run(q, "UPDATE agents SET last_seen_ms = ? WHERE id = ?", "id",
		            s->last_seen_ms, &s->agent) < 0)
			return store_failed(q, call);
	}
	return STORE_OK;
}

static enum store_status set_operator(struct sql *q, struct store_call *call)
{
	const struct store_set_operator *o = &call->req.set_operator;
	enum store_status status =
		store_found(q, call,
	                    sql_run(q, "UPDATE operators SET state = ? WHERE id = ?", "id",
	                            (int64_t)o->state, &o->id),
	                    "operator");

	if (status == STORE_OK && o->state == OPERATOR_REVOKED &&
	    sql_run(q, "UPDATE keys SET state = 4, ended_ms = ? WHERE operator = ? AND state <> 4",
	            "id", call->req.now_ms, &o->id) < 0)
		return store_failed(q, call);
	return status;
}

static enum store_status add_key(struct sql *q, struct store_call *call)
{
	const struct store_key_row *k = &call->req.add_key;
	enum store_status status = add_key_row(q, call, &k->key, k->kind, &k->owner, k->state);

	/* Which row is referred to is known here, so the words can say it. */
	if (status != STORE_OK && sql_is_foreign(q))
		return store_say(call, STORE_NOT_FOUND, "no such %s",
		                 k->kind == MEMBER_AGENT ? "agent" : "operator");
	return status;
}

static enum store_status put_binding(struct sql *q, struct store_call *call)
{
	const struct store_binding *b = &call->req.binding;
	int n;

	if (b->id != 0) {
		n = sql_run(q, "UPDATE bindings SET role = ?, targets = ?, apps = ? WHERE id = ?",
		            "ttti", b->role, b->targets, b->apps, (int64_t)b->id);
		call->result.revision = b->id;
		return store_found(q, call, n, "binding");
	}
	n = sql_run(q,
	            "INSERT INTO bindings (operator, role, targets, apps, created_by, created_ms)"
	            " VALUES (?, ?, ?, ?, ?, ?)",
	            "dtttti", &b->operator_id, b->role, b->targets, b->apps, b->created_by,
	            call->req.now_ms);
	if (n < 0 && sql_is_foreign(q))
		return store_say(call, STORE_NOT_FOUND, "no such operator");
	if (n < 0)
		return store_failed(q, call);
	call->result.revision = (uint64_t)sqlite3_last_insert_rowid(q->db);
	return STORE_OK;
}

static enum store_status drop_binding(struct sql *q, struct store_call *call)
{
	return store_found(
		q, call,
		sql_run(q, "DELETE FROM bindings WHERE id = ?", "i", (int64_t)call->req.number),
		"binding");
}

static enum store_status add_token(struct sql *q, struct store_call *call)
{
	const struct store_token *t = &call->req.token;

	if (sql_run(q, "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '')",
	            "bbitttiiti", &t->id, sizeof(t->id), &t->secret_hash, sizeof(t->secret_hash),
	            (int64_t)t->kind, t->name_pattern, t->labels, t->role, (int64_t)t->uses_left,
	            t->expires_ms, t->created_by, call->req.now_ms) >= 0)
		return STORE_OK;
	if (sql_is_conflict(q))
		return store_say(call, STORE_CONFLICT, "there is such a token");
	return store_failed(q, call);
}

static enum store_status drop_token(struct sql *q, struct store_call *call)
{
	return store_found(q, call,
	                   sql_run(q, "DELETE FROM tokens WHERE id = ?", "b", &call->req.token_id,
	                           sizeof(call->req.token_id)),
	                   "token");
}

static enum store_status put_group(struct sql *q, struct store_call *call)
{
	const struct store_group *g = &call->req.group;

	return sql_run(q, "INSERT OR REPLACE INTO groups VALUES (?, ?, ?)", "ttt", g->name, g->form,
	               g->text) >= 0
	               ? STORE_OK
	               : store_failed(q, call);
}

static enum store_status drop_group(struct sql *q, struct store_call *call)
{
	return store_found(
		q, call, sql_run(q, "DELETE FROM groups WHERE name = ?", "t", call->req.page.name),
		"group");
}

/* ---- sessions ---- */

static enum store_status begin_session(struct sql *q, struct store_call *call)
{
	const struct store_session *s = &call->req.session;
	sqlite3_stmt *st =
		sql_query(q, "UPDATE agents SET epoch = epoch + 1 WHERE id = ? RETURNING epoch",
	                  "d", &s->agent);
	int64_t generation = 0;

	while (sql_step(q, st))
		generation = sql_int(st, 0);
	if (q->rc != SQLITE_OK)
		return store_failed(q, call);
	if (generation == 0)
		return store_say(call, STORE_NOT_FOUND, "no such agent");
	if (sql_run(q, "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?)", "dtii", &s->agent,
	            s->coordinator, generation, call->req.now_ms) < 0)
		return store_failed(q, call);
	call->result.revision = (uint64_t)generation;
	return STORE_OK;
}

static enum store_status end_session(struct sql *q, struct store_call *call)
{
	const struct store_session *s = &call->req.session;
	int n = sql_run(q, "DELETE FROM sessions WHERE agent = ? AND generation = ?", "di",
	                &s->agent, (int64_t)s->generation);

	if (n == 0)
		return store_say(call, STORE_CONFLICT, "a newer session has begun");
	return n < 0 ? store_failed(q, call) : STORE_OK;
}

/* ---- numbers of commands ---- */

uint64_t store_count_up(struct sql *q, const char *update)
{
	sqlite3_stmt *st = sql_query(q, update, "");
	uint64_t value = 0;

	while (sql_step(q, st))
		value = (uint64_t)sql_int(st, 0);
	return q->rc == SQLITE_OK ? value : 0;
}

uint64_t store_next_command(struct sql *q)
{
	return store_count_up(q, "UPDATE meta SET counter = counter + 1 RETURNING counter");
}

bool store_number_agent(struct sql *q, const struct store_id *agent, uint64_t number)
{
	return sql_run(q, "UPDATE agents SET command = ? WHERE id = ?", "id", (int64_t)number,
	               agent) >= 0;
}

static enum store_status count_command(struct sql *q, struct store_call *call)
{
	const struct store_count *c = &call->req.count;
	uint64_t number = store_next_command(q);
	bool ok = number != 0;

	for (size_t i = 0; ok && i < c->n; i++)
		ok = store_number_agent(q, &c->agents[i], number);
	if (!ok)
		return store_failed(q, call);
	call->result.number = number;
	return STORE_OK;
}

static enum store_status raise_counter(struct sql *q, struct store_call *call)
{
	const struct store_raise *r = &call->req.raise;

	if (sql_run(q, "UPDATE meta SET counter = max(counter, ?)", "i", (int64_t)r->command) < 0)
		return store_failed(q, call);
	return store_found(
		q, call,
		sql_run(q,
	                "UPDATE agents SET epoch = max(epoch, ?), command = max(command, ?)"
	                " WHERE id = ?",
	                "iid", (int64_t)r->epoch, (int64_t)r->command, &r->agent),
		"agent");
}

store_op_fn *const store_members_ops[STORE_OPS] = {
	[STORE_FIND_KEY] = find_key,
	[STORE_LIST_AGENTS] = list_agents,
	[STORE_LIST_OPERATORS] = list_operators,
	[STORE_LIST_KEYS] = list_keys,
	[STORE_LIST_BINDINGS] = list_bindings,
	[STORE_LIST_TOKENS] = list_tokens,
	[STORE_LIST_GROUPS] = list_groups,
	[STORE_ENROL] = enrol,
	[STORE_ADD_AGENT] = add_agent,
	[STORE_SET_AGENT] = set_agent,
	[STORE_DROP_AGENT] = drop_agent,
	[STORE_SEEN] = seen,
	[STORE_SET_OPERATOR] = set_operator,
	[STORE_ADD_KEY] = add_key,
	[STORE_SET_KEY] = store_set_key,
	[STORE_NEXT_KEY] = store_next_key,
	[STORE_USE_KEY] = store_use_key,
	[STORE_PUT_BINDING] = put_binding,
	[STORE_DROP_BINDING] = drop_binding,
	[STORE_ADD_TOKEN] = add_token,
	[STORE_DROP_TOKEN] = drop_token,
	[STORE_PUT_GROUP] = put_group,
	[STORE_DROP_GROUP] = drop_group,
	[STORE_BEGIN_SESSION] = begin_session,
	[STORE_END_SESSION] = end_session,
	[STORE_COUNT] = count_command,
	[STORE_RAISE_COUNTER] = raise_counter,
};
