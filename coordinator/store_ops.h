/* store_ops.h - inside of the SQLite store: what each operation does, in the transaction it is
 * given. */
#ifndef PM_COORDINATOR_STORE_OPS_H
#define PM_COORDINATOR_STORE_OPS_H

#include "coordinator/store_sql.h"

/* Carry out call->req; what it changed is undone by the caller unless it answers STORE_OK. */
typedef enum store_status store_op_fn(struct sql *q, struct store_call *call);

/* By operation; NULL: it is not one of these (STORE_BACKUP, STORE_AUDIT). */
extern store_op_fn *const store_members_ops[STORE_OPS]; /* agents, operators, keys, tokens ... */
extern store_op_fn *const store_work_ops[STORE_OPS];    /* specs, desired state, commands ... */

/* What the last failure of q means for the call. */
enum store_status store_failed(struct sql *q, struct store_call *call);

/* Rows of an answer, growing in the call's memory. */
struct store_rows {
	size_t size, n, cap;
	uint8_t *list;
};

/* What a statement that must have found its row came to; n: as sql_run() says. */
enum store_status store_found(struct sql *q, struct store_call *call, int n, const char *what);

/* ---- store_keys.c: a member's keys, one after another ---- */
store_op_fn store_set_key, store_next_key, store_use_key;

/* A new last row, zeroed; NULL: no memory, or PM_STORE_ROWS_MAX are there (q->rc is set). */
void *store_rows_add(struct sql *q, struct store_call *call, struct store_rows *rows);

/* The rows become the answer, unless q has failed. */
enum store_status store_rows_end(struct sql *q, struct store_call *call,
                                 const struct store_rows *rows);

/* A counter of meta, counted up by one; 0: q->rc is set. */
uint64_t store_count_up(struct sql *q, const char *update);

/* The number of a command that is about to be sent; 0: q->rc is set. */
uint64_t store_next_command(struct sql *q);
/* An agent is sent that one; false: q->rc is set. */
bool store_number_agent(struct sql *q, const struct store_id *agent, uint64_t number);

/* The end of the audit chain as the file has it; q->rc is set when it cannot be read. */
void store_read_audit_head(struct sql *q, struct audit_head *out);

/* Append the call's entry and move the head. */
enum store_status store_audit_append(struct sql *q, struct store_call *call,
                                     struct audit_head *head);

#endif
