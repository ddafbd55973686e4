#include "coordinator/store_int.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

struct fleet_store {
	const struct store_backend *backend;
	void *impl;      /* the back end's */
	uv_async_t wake; /* owned */
	bool closing;
	size_t n_waiting; /* submitted and not answered; the loop's */
	store_mode_fn *on_mode;
	void *arg;
	enum store_mode told;

	pthread_mutex_t lock; /* over what follows */
	struct store_call *done, **done_end;
	enum store_mode mode;
	char why[256];
};

/* ---- calls ---- */

static void call_free(struct store_call *call)
{
	if (call == NULL)
		return;
	pm_arena_finish(&call->memory);
	free(call);
}

void *store_alloc(struct store_call *call, size_t size)
{
	return pm_arena_alloc(&call->memory, size);
}

enum store_status store_say(struct store_call *call, enum store_status status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(call->why, sizeof(call->why), fmt, ap);
	va_end(ap);
	call->result.why = call->why;
	call->result.status = status;
	return status;
}

bool store_op_writes(enum store_op op)
{
	return op >= STORE_AUDIT;
}

int fleet_store_submit(struct fleet_store *s, const struct store_request *request, store_fn *fn,
                       void *arg, struct pm_error *err)
{
	struct store_call *call;

	if (s->n_waiting >= PM_STORE_QUEUE_MAX)
		return pm_fail(err, PM_LIMIT, "the store has %d operations waiting",
		               PM_STORE_QUEUE_MAX);
	call = pm_calloc(1, sizeof(*call));
	if (call == NULL)
		return pm_fail(err, PM_NO_MEMORY, "ask the store");
	call->store = s;
	call->req = *request;
	call->fn = fn;
	call->arg = arg;
	if (store_copy(call, err) < 0) {
		call_free(call);
		return -1;
	}
	s->n_waiting++;
	s->backend->submit(s->impl, call);
	return 0;
}

void store_done(struct store_call *call)
{
	struct fleet_store *s = call->store;
	bool first;

	call->next = NULL;
	(void)pthread_mutex_lock(&s->lock); /* never fails: it is ours, and a plain one */
	first = s->done == NULL;
	*s->done_end = call;
	s->done_end = &call->next;
	(void)pthread_mutex_unlock(&s->lock);
	if (first)
		(void)uv_async_send(&s->wake); /* fails only for a closed handle */
}

void store_front_mode(struct fleet_store *s, enum store_mode mode, const char *why)
{
	bool changed;

	(void)pthread_mutex_lock(&s->lock);
	changed = s->mode != mode;
	s->mode = mode;
	(void)snprintf(s->why, sizeof(s->why), "%s", why);
	(void)pthread_mutex_unlock(&s->lock);
	if (changed)
		(void)uv_async_send(&s->wake);
}

static void tell_mode(struct fleet_store *s)
{
	enum store_mode mode;
	char why[256];

	(void)pthread_mutex_lock(&s->lock);
	mode = s->mode;
	memcpy(why, s->why, sizeof(why));
	(void)pthread_mutex_unlock(&s->lock);
	if (mode == s->told)
		return;
	s->told = mode;
	if (s->on_mode != NULL)
		s->on_mode(s->arg, mode, why);
}

static void on_wake(uv_async_t *handle)
{
	struct fleet_store *s = handle->data;
	struct store_call *call;

	(void)pthread_mutex_lock(&s->lock);
	call = s->done;
	s->done = NULL;
	s->done_end = &s->done;
	(void)pthread_mutex_unlock(&s->lock);
	tell_mode(s);
	while (call != NULL) {
		struct store_call *next = call->next;

		s->n_waiting--;
		if (!s->closing) /* one callback may close the store: the others are not called */
			call->fn(call->arg, &call->result);
		call_free(call);
		call = next;
	}
}

/* ---- life ---- */

static void on_closed(uv_handle_t *handle)
{
	struct fleet_store *s = handle->data;

	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

int store_front_create(uv_loop_t *loop, const struct store_options *options,
                       const struct store_backend *backend, struct fleet_store **out,
                       struct pm_error *err)
{
	struct fleet_store *s = pm_calloc(1, sizeof(*s));
	int rc;

	if (s == NULL)
		return pm_fail(err, PM_NO_MEMORY, "open the store");
	s->backend = backend;
	s->on_mode = options->on_mode;
	s->arg = options->arg;
	s->done_end = &s->done;
	(void)pthread_mutex_init(&s->lock, NULL); /* never fails on Linux */
	rc = uv_async_init(loop, &s->wake, on_wake);
	if (rc < 0) {
		(void)pthread_mutex_destroy(&s->lock);
		free(s);
		return pm_fail(err, PM_LIMIT, "open the store: %s", uv_strerror(rc));
	}
	s->wake.data = s;
	*out = s;
	return 0;
}

void store_front_attach(struct fleet_store *s, void *impl)
{
	s->impl = impl;
}

void fleet_store_close(struct fleet_store *s)
{
	struct store_call *call;

	if (s == NULL || s->closing)
		return;
	s->closing = true;
	if (s->impl != NULL)
		s->backend->close(s->impl);
	while ((call = s->done) != NULL) { /* nobody else is left to touch it */
		s->done = call->next;
		call_free(call);
	}
	uv_close((uv_handle_t *)&s->wake, on_closed);
}
