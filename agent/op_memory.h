/*
 * op_memory.h - which commands were carried out for the fleet, and what came of them.
 *
 * A command carries 16 bytes that its sender made for it once; a repeat of them, after a cut or a
 * restart of either side, is answered from here and not carried out again (P10).  Of PM_OPS_KEPT of
 * them the oldest is forgotten.  In a file of the home that is appended to before anything is done,
 * so that it also knows what was begun when we were killed.  It is not flushed to the disk: after a
 * power cut a repeat may be carried out again, on a machine whose apps all started anew.
 */
#ifndef PM_AGENT_OP_MEMORY_H
#define PM_AGENT_OP_MEMORY_H

#include "proto/error.h"

#define PM_HOME_OPS "state/fleet.ops"
#define OP_ID_BYTES 16

struct op_memory;

enum op_found {
	OP_UNHEARD, /* of */
	OP_BEGUN,   /* by us, and is under way */
	OP_CUT,     /* begun by a supervisor that was killed: nobody knows what came of it */
	OP_DONE,
};

/* What of the file is damaged is forgotten.  errors PM_NO_MEMORY, PM_DENIED, the system's */
PM_MUST_CHECK int op_memory_open(const char *home, struct op_memory **out, struct pm_error *err);
void op_memory_close(struct op_memory *m); /* NULL is fine */

/* result     OP_DONE: what op_memory_done() was given, borrowed until the next call that is not
 * this */
enum op_found op_memory_find(const struct op_memory *m, const uint8_t id[OP_ID_BYTES],
                             const uint8_t **result, size_t *len);

/* Before it is carried out.  errors: the system's; then it must not be carried out */
PM_MUST_CHECK int op_memory_begin(struct op_memory *m, const uint8_t id[OP_ID_BYTES],
                                  struct pm_error *err);
/* len        PM_OP_RESULT_MAX at most */
PM_MUST_CHECK int op_memory_done(struct op_memory *m, const uint8_t id[OP_ID_BYTES],
                                 const uint8_t *result, size_t len, struct pm_error *err);

#endif
