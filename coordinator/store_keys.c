/* store_keys.c - how a key ends, and how another takes its place. */
#include <string.h>

#include "coordinator/store_ops.h"

enum store_status store_found(struct sql *q, struct store_call *call, int n, const char *what)
{
	if (n > 0)
		return STORE_OK;
	if (n == 0)
		return store_say(call, STORE_NOT_FOUND, "no such %s", what);
	return store_failed(q, call);
}

/* Whose a key is, and how it stands; false: there is none, or q->rc is set. */
struct owned {
	enum member_kind kind;
	struct store_id owner;
	enum key_state state;
	int64_t ended_ms;
};

static bool find(struct sql *q, const struct store_key *key, struct owned *out)
{
	sqlite3_stmt *st = sql_query(
		q, "SELECT agent, operator, state, ended_ms FROM keys WHERE key = ?", "k", key);
	int at;

	if (!sql_step(q, st))
		return false;
	at = sqlite3_column_type(st, 0) == SQLITE_NULL ? 1 : 0;
	out->kind = at == 0 ? MEMBER_AGENT : MEMBER_OPERATOR;
	sql_bytes(st, at, &out->owner, sizeof(out->owner));
	out->state = (enum key_state)sql_int(st, 2);
	out->ended_ms = sql_int(st, 3);
	sql_leave(st);
	return true;
}

enum store_status store_set_key(struct sql *q, struct store_call *call)
{
	const struct store_key_row *k = &call->req.set_key;
	bool ends = k->state == KEY_RETIRED || k->state == KEY_REVOKED;

	/* What it announced a moment ago, perhaps for a thief, is not to outlive it. */
	if (k->state == KEY_REVOKED &&
	    sql_run(q,
	            "UPDATE keys SET state = 4, ended_ms = ?1 WHERE state = 2 AND"
	            " coalesce(agent, operator) ="
	            " (SELECT coalesce(agent, operator) FROM keys WHERE key = ?2)",
	            "ik", call->req.now_ms, &k->key) < 0)
		return store_failed(q, call);
	/* A key that was taken away stays so: only a new one opens the door again. */
	return store_found(q, call,
	                   sql_run(q,
	                           "UPDATE keys SET state = ?1, ended_ms = ?2 WHERE key = ?3"
	                           " AND (state <> 4 OR ?1 = 4)",
	                           "iik", (int64_t)k->state, ends ? call->req.now_ms : k->ended_ms,
	                           &k->key),
	                   "key");
}

enum store_status store_next_key(struct sql *q, struct store_call *call)
{
	const struct store_next_key *k = &call->req.next_key;
	struct owned present, next;
	int64_t until_ms;

	if (!find(q, &k->present, &present) || present.state != KEY_ACTIVE)
		return q->rc != SQLITE_OK
		               ? store_failed(q, call)
		               : store_say(call, STORE_NOT_FOUND, "the present key is not active");
	/* Whoever announces again and again does not keep the present one for ever. */
	until_ms = present.ended_ms != 0 && present.ended_ms < k->until_ms ? present.ended_ms
	                                                                   : k->until_ms;
	call->result.revision = (uint64_t)until_ms;
	if (find(q, &k->next, &next))
		return next.state == KEY_NEXT &&
		                       memcmp(&next.owner, &present.owner, sizeof(next.owner)) == 0
		               ? STORE_OK
		               : store_say(call, STORE_CONFLICT, "the key is in use");
	if (q->rc != SQLITE_OK ||
	    sql_run(q, "DELETE FROM keys WHERE state = 2 AND coalesce(agent, operator) = ?", "d",
	            &present.owner) < 0 ||
	    sql_run(q, "UPDATE keys SET ended_ms = ? WHERE key = ?", "ik", until_ms, &k->present) <
	            0 ||
	    (present.kind == MEMBER_AGENT
	             ? sql_run(q, "INSERT INTO keys VALUES (?, ?, NULL, 2, ?, 0)", "kdi", &k->next,
	                       &present.owner, call->req.now_ms)
	             : sql_run(q, "INSERT INTO keys VALUES (?, NULL, ?, 2, ?, 0)", "kdi", &k->next,
	                       &present.owner, call->req.now_ms)) < 0)
		return store_failed(q, call);
	return STORE_OK;
}

enum store_status store_use_key(struct sql *q, struct store_call *call)
{
	struct owned next;

	if (!find(q, &call->req.key, &next) || next.state != KEY_NEXT)
		return q->rc != SQLITE_OK ? store_failed(q, call)
		                          : store_say(call, STORE_NOT_FOUND, "no such next key");
	/* Of those that were replaced the last one is kept, to be known as such: one row a member.
	 */
	if (sql_run(q, "DELETE FROM keys WHERE state = 3 AND coalesce(agent, operator) = ?", "d",
	            &next.owner) < 0 ||
	    sql_run(q,
	            "UPDATE keys SET state = 3, ended_ms = ? WHERE state = 1 AND"
	            " coalesce(agent, operator) = ?",
	            "id", call->req.now_ms, &next.owner) < 0 ||
	    sql_run(q, "UPDATE keys SET state = 1, ended_ms = 0 WHERE key = ?", "k",
	            &call->req.key) < 0)
		return store_failed(q, call);
	return STORE_OK;
}
