/*
 * op_sync.h - the journal of commands on the loop: a worker brings it to the disk, and writes it
 * anew when it is due, so that the loop waits for no flush.
 *
 * Each command has a ticket from its beginning; it may be done once the ticket was called.  One
 * flush calls all that came before it: a command waits for two at most, or for two and a rewrite.
 */
#ifndef PM_AGENT_OP_SYNC_H
#define PM_AGENT_OP_SYNC_H

#include <uv.h>

#include "agent/op_journal.h"

struct op_sync;

/*
 * The beginnings of all commands with this ticket or a lower one that were not called before are on
 * the disk; err: they are not, why.  Never called from within the calls below.
 */
typedef void op_sync_fn(void *arg, uint64_t ticket, const struct pm_error *err);

/*
 * loop       borrowed
 * home       its state directory is where the journal is
 * called     borrowed, with arg, until op_sync_close()
 * errors     those of op_journal_open(), the system's
 */
PM_MUST_CHECK int op_sync_create(uv_loop_t *loop, const char *home, op_sync_fn *called, void *arg,
                                 struct op_sync **out, struct pm_error *err);
/* What was written is not waited for.  NULL is fine. */
void op_sync_close(struct op_sync *o);

/* As those of op_journal. */
enum op_known op_sync_find(const struct op_sync *o, const uint8_t id[OP_ID_BYTES],
                           struct op_result *out);
PM_MUST_CHECK int op_sync_begin(struct op_sync *o, const uint8_t id[OP_ID_BYTES], uint64_t number,
                                uint64_t *ticket, struct pm_error *err);
PM_MUST_CHECK int op_sync_end(struct op_sync *o, const uint8_t id[OP_ID_BYTES],
                              const struct op_result *result, struct pm_error *err);
uint64_t op_sync_counter(const struct op_sync *o);
void op_sync_withdraw(struct op_sync *o, const uint8_t id[OP_ID_BYTES]);

#endif
