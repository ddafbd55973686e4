#include "agent/trail.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/paths.h"

#define SYNC_MS 200 /* after an entry: one flush for those that come together */

struct waiting {
	struct waiting *next;
	int64_t wall_ms;
	char *field[AUDIT_FIELDS]; /* owned */
};

struct trail {
	struct audit_file *file; /* owned; the worker's while syncing */
	trail_failed_fn *failed; /* borrowed, with arg */
	void *arg;
	uv_timer_t timer;
	uv_work_t work;
	bool syncing, closing, timer_closed;
	struct waiting *first, **last; /* owned: added while the worker has the file */
	unsigned n_waiting;
	int rc; /* the worker's */
	struct pm_error err;
};

static void free_waiting(struct waiting *w)
{
	for (size_t i = 0; i < AUDIT_FIELDS; i++)
		free(w->field[i]);
	free(w);
}

static void free_when_done(struct trail *t)
{
	if (t->syncing || !t->timer_closed)
		return;
	while (t->first != NULL) {
		struct waiting *w = t->first;

		t->first = w->next;
		free_waiting(w);
	}
	free(t);
}

/* ---- on a worker ---- */

static void sync_work(uv_work_t *work)
{
	struct trail *t = work->data;

	t->rc = audit_file_sync(t->file, &t->err);
}

/* ---- on the loop ---- */

static void on_time(uv_timer_t *timer);

static int append(struct trail *t, const struct audit_entry *e, struct pm_error *err)
{
	struct audit_entry copy = *e;

	if (audit_file_append(t->file, &copy, err) < 0) {
		t->failed(t->arg, err->what);
		return pm_wrap(err, "write the audit");
	}
	if (!uv_is_active((uv_handle_t *)&t->timer) && !t->closing)
		(void)uv_timer_start(&t->timer, on_time, SYNC_MS, 0); /* cannot fail */
	return 0;
}

static void append_waiting(struct trail *t)
{
	while (t->first != NULL) {
		struct waiting *w = t->first;
		struct audit_entry e = { .wall_ms = w->wall_ms };
		struct pm_error err;

		for (size_t i = 0; i < AUDIT_FIELDS; i++)
			e.field[i] = w->field[i];
		(void)append(t, &e, &err); /* it has told whom it concerns */
		t->first = w->next;
		free_waiting(w);
	}
	t->last = &t->first;
	t->n_waiting = 0;
}

static void on_synced(uv_work_t *work, int status)
{
	struct trail *t = work->data;

	t->syncing = false;
	if (status == 0 && t->rc < 0)
		t->failed(t->arg, t->err.what);
	else if (status == 0)
		t->failed(t->arg, NULL);
	append_waiting(t);
	if (!t->closing)
		return;
	audit_file_close(t->file);
	free_when_done(t);
}

static void on_time(uv_timer_t *timer)
{
	struct trail *t = timer->data;

	if (t->syncing)
		return;
	t->work.data = t;
	t->syncing = uv_queue_work(timer->loop, &t->work, sync_work, on_synced) == 0;
}

static int wait_for_file(struct trail *t, const struct audit_entry *e, struct pm_error *err)
{
	struct waiting *w;

	if (t->n_waiting == PM_TRAIL_WAITING_MAX)
		return pm_fail(err, PM_LIMIT, "the disk does not take the audit");
	w = pm_calloc(1, sizeof(*w));
	for (size_t i = 0; w != NULL && i < AUDIT_FIELDS; i++) {
		w->field[i] = pm_strdup(e->field[i] == NULL ? "" : e->field[i]);
		if (w->field[i] == NULL) {
			free_waiting(w);
			w = NULL;
		}
	}
	if (w == NULL)
		return pm_fail(err, PM_NO_MEMORY, "write the audit");
	w->wall_ms = e->wall_ms;
	*t->last = w;
	t->last = &w->next;
	t->n_waiting++;
	return 0;
}

int trail_add(struct trail *t, const struct audit_entry *e, struct pm_error *err)
{
	return t->syncing ? wait_for_file(t, e, err) : append(t, e, err);
}

/* ---- life ---- */

int trail_create(uv_loop_t *loop, const char *home, trail_failed_fn *failed, void *arg,
                 struct trail **out, struct pm_error *err)
{
	struct trail *t = pm_calloc(1, sizeof(*t));
	char path[PM_PATH_MAX];

	if (t == NULL)
		return pm_fail(err, PM_NO_MEMORY, "open the audit");
	if (pm_home_file(home, PM_HOME_AUDIT_DIR, path, sizeof(path), err) < 0 ||
	    audit_file_open(path, &(const struct audit_limits){ 0 }, &t->file, err) < 0) {
		free(t);
		return pm_wrap(err, "open the audit");
	}
	t->failed = failed;
	t->arg = arg;
	t->last = &t->first;
	t->timer.data = t;
	(void)uv_timer_init(loop, &t->timer); /* cannot fail */
	*out = t;
	return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct trail *t = handle->data;

	t->timer_closed = true;
	free_when_done(t);
}

void trail_close(struct trail *t)
{
	if (t == NULL || t->closing)
		return;
	t->closing = true;
	if (!t->syncing)
		audit_file_close(t->file);
	uv_close((uv_handle_t *)&t->timer, on_timer_closed);
}
