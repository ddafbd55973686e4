/* bridge.h - nng's threads on one side, one libuv loop on the other.  Nobody else sees the threads.
 *
 * A slot is one nng aio with at most one operation under way.  On an nng thread its callback puts
 * the slot on a list without a lock and wakes the loop, if the list was empty: wakes coalesce, and
 * only slots that are done are looked at.  The loop hands each to its owner, who then begins the
 * slot's next operation or none: one message in flight a slot is the back-pressure.
 *
 * nng is initialised by the first pm_bridge_create() and not before, so that a process that has no
 * coordinator has none of its threads.
 */
#ifndef PM_PROTO_BRIDGE_H
#define PM_PROTO_BRIDGE_H

#include <stdatomic.h>
#include <stdbool.h>

#include <nng/nng.h>
#include <uv.h>

#include "proto/error.h"

struct pm_bridge;
struct pm_slot;

/* The operation ended: nng_aio_result(slot->aio) and so on say how. */
typedef void pm_slot_fn(struct pm_slot *slot);

struct pm_slot {
	nng_aio *aio; /* owned */
	void *owner;  /* borrowed */
	/* The rest is the bridge's. */
	struct pm_bridge *bridge; /* borrowed */
	pm_slot_fn *done;
	pm_slot_fn *gone; /* called once the slot's memory is the owner's again */
	struct pm_slot *next;
	bool busy;          /* an operation is under way, or is done and not handed out */
	atomic_bool listed; /* the list has it */
	bool finished;
};

/* errors     PM_NO_MEMORY, PM_INTERNAL */
PM_MUST_CHECK int pm_bridge_create(uv_loop_t *loop, struct pm_bridge **out, struct pm_error *err);
/* After all slots have gone.  Its memory goes when the loop lets go of the handle. */
void pm_bridge_close(struct pm_bridge *b);
uv_loop_t *pm_bridge_loop(const struct pm_bridge *b);

/* A zeroed slot that was not initialised may be finished; gone() is not called then. */
PM_MUST_CHECK int pm_slot_init(struct pm_bridge *b, struct pm_slot *slot, pm_slot_fn *done,
                               pm_slot_fn *gone, void *owner, struct pm_error *err);
void pm_slot_begin(struct pm_slot *slot); /* right before the aio is given to nng */
/*
 * Stop what is under way, wait for its callback, and free the aio.  done() is not called any more;
 * gone() is called by this call or, if the list has the slot, from the loop later.
 *
 * returns    what the operation that was not handed out had produced: nng_aio_get_output(aio, 0);
 *            NULL: nothing
 */
void *pm_slot_finish(struct pm_slot *slot);

int pm_fail_nng(struct pm_error *err, int result, const char *fmt, ...) PM_PRINTF(3, 4);

#endif
