/* store_int.h - inside of the store: what its front has in common with a back end. */
#ifndef PM_COORDINATOR_STORE_INT_H
#define PM_COORDINATOR_STORE_INT_H

#include "coordinator/store.h"
#include "proto/codec.h"

/* One operation on its way: it belongs to the back end from submit until store_done(). */
struct store_call {
	struct store_call *next;
	struct fleet_store *store; /* borrowed */
	struct store_request req;  /* its texts live in `memory`, and so do the answer's */
	struct audit_entry audit;  /* req.audit points here */
	struct pm_arena memory;
	struct store_result result;
	char why[256]; /* result.why points here */
	store_fn *fn;
	void *arg;
};

struct store_backend {
	void (*submit)(void *impl, struct store_call *call);
	/* Finish all calls, then free everything.  Blocks. */
	void (*close)(void *impl);
};

/*
 * The front of a store; impl is the back end's, and closed by its close.
 *
 * errors     PM_NO_MEMORY, PM_LIMIT (descriptors)
 */
PM_MUST_CHECK int store_front_create(uv_loop_t *loop, const struct store_options *options,
                                     const struct store_backend *backend, struct fleet_store **out,
                                     struct pm_error *err);
void store_front_attach(struct fleet_store *s, void *impl);

/* From any thread: the call's result is there; its callback is called on the loop. */
void store_done(struct store_call *call);
/* From any thread; the loop's callback hears of changes only. */
void store_front_mode(struct fleet_store *s, enum store_mode mode, const char *why);

bool store_op_writes(enum store_op op);

/* Zeroed memory that lives as long as the call; NULL: no memory. */
void *store_alloc(struct store_call *call, size_t size);
/* Set the status and the words; returns the status. */
enum store_status store_say(struct store_call *call, enum store_status status, const char *fmt, ...)
	PM_PRINTF(3, 4);

/* Copy the texts and lists of a request into the call.  errors: PM_LIMIT, PM_NO_MEMORY */
PM_MUST_CHECK int store_copy(struct store_call *call, struct pm_error *err);

#endif
