#include "proto/bridge.h"

#include <assert.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/clamp.h"

struct pm_bridge {
	uv_loop_t *loop;                /* borrowed */
	uv_async_t wake;                /* owned */
	_Atomic(struct pm_slot *) done; /* the newest first */
};

/* ---- on an nng thread ---- */

static void slot_done(void *arg) /* touches nothing but the slot's link and the bridge's list */
{
	struct pm_slot *s = arg;
	struct pm_bridge *b = s->bridge;
	struct pm_slot *head = atomic_load_explicit(&b->done, memory_order_relaxed);

	atomic_store_explicit(&s->listed, true, memory_order_relaxed);
	do
		s->next = head;
	while (!atomic_compare_exchange_weak_explicit(&b->done, &head, s, memory_order_acq_rel,
	                                              memory_order_relaxed));
	if (head == NULL)
		(void)uv_async_send(&b->wake); /* fails only for another kind of handle */
}

/* ---- on the loop ---- */

static void let_go(struct pm_slot *s)
{
	pm_slot_fn *gone = s->gone;

	*s = (struct pm_slot){ .owner = s->owner };
	gone(s);
}

static void on_wake(uv_async_t *handle)
{
	struct pm_bridge *b = handle->data;
	struct pm_slot *s = atomic_exchange_explicit(&b->done, NULL, memory_order_acquire);
	struct pm_slot *first = NULL, *next;

	for (; s != NULL; s = next) { /* in the order in which they were done */
		next = s->next;
		s->next = first;
		first = s;
	}
	for (s = first; s != NULL; s = next) {
		next = s->next;
		atomic_store_explicit(&s->listed, false, memory_order_relaxed);
		if (s->finished) {
			let_go(s);
			continue;
		}
		s->busy = false;
		s->done(s);
	}
}

/* nng starts with the first thing that is asked of it: under the clamp. */
static int start_nng(struct pm_error *err)
{
	static bool started;
	nng_aio *aio;
	int rc;

	if (started)
		return 0;
	(void)mallopt(M_ARENA_MAX, 2); /* its threads allocate little; address space is not free */
	pm_clamp_cpus(true);
	rc = nng_aio_alloc(&aio, NULL, NULL);
	pm_clamp_cpus(false);
	if (rc != 0)
		return pm_fail_nng(err, rc, "start nng");
	nng_aio_free(aio);
	started = true;
	return 0;
}

int pm_bridge_create(uv_loop_t *loop, struct pm_bridge **out, struct pm_error *err)
{
	struct pm_bridge *b;
	int rc;

	if (start_nng(err) < 0)
		return -1;
	b = pm_calloc(1, sizeof(*b));
	if (b == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	b->loop = loop;
	b->wake.data = b;
	rc = uv_async_init(loop, &b->wake, on_wake);
	if (rc < 0) {
		free(b);
		return pm_fail_errno(err, -rc, "watch the network");
	}
	*out = b;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void pm_bridge_close(struct pm_bridge *b)
{
	uv_close((uv_handle_t *)&b->wake, on_closed);
}

uv_loop_t *pm_bridge_loop(const struct pm_bridge *b)
{
	return b->loop;
}

int pm_slot_init(struct pm_bridge *b, struct pm_slot *slot, pm_slot_fn *done, pm_slot_fn *gone,
                 void *owner, struct pm_error *err)
{
	int rc = nng_aio_alloc(&slot->aio, slot_done, slot);

	if (rc != 0) {
		slot->aio = NULL;
		return pm_fail_nng(err, rc, "network operation");
	}
	slot->bridge = b;
	slot->done = done;
	slot->gone = gone;
	slot->owner = owner;
	return 0;
}

void pm_slot_begin(struct pm_slot *slot)
{
	assert(!slot->busy);
	slot->busy = true;
}

void *pm_slot_finish(struct pm_slot *slot)
{
	void *output = NULL;

	if (slot->aio == NULL)
		return NULL;
	nng_aio_stop(slot->aio); /* waits for slot_done(), which waits for nobody */
	if (slot->busy && nng_aio_result(slot->aio) == 0)
		output = nng_aio_get_output(slot->aio, 0);
	nng_aio_free(slot->aio);
	slot->aio = NULL;
	slot->finished = true;
	if (!atomic_load_explicit(&slot->listed, memory_order_relaxed))
		let_go(slot);
	return output;
}

int pm_fail_nng(struct pm_error *err, int result, const char *fmt, ...)
{
	enum pm_code code = PM_UNREACHABLE;
	char what[sizeof(err->what)];
	va_list ap;

	switch (result) {
	case NNG_ENOMEM:
		code = PM_NO_MEMORY;
		break;
	case NNG_ENOFILES:
		code = PM_LIMIT;
		break;
	case NNG_ETIMEDOUT:
		code = PM_DEADLINE;
		break;
	case NNG_EADDRINUSE:
		code = PM_EXISTS;
		break;
	case NNG_EPERM:
		code = PM_DENIED;
		break;
	case NNG_EADDRINVAL:
	case NNG_EINVAL:
	case NNG_ENOTSUP:
	case NNG_EINTERNAL:
		code = PM_INTERNAL;
		break;
	default:
		break; /* a connection that did not come about, or ended */
	}
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return pm_fail(err, code, "%.180s: %s", what, nng_strerror(result));
}
