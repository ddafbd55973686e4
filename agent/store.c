#include "agent/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/app.h"
#include "proto/log.h"
#include "proto/spec.h"

/* A failed write is tried again so often. */
#define RETRY_MS 30000

struct store {
	struct super *su;
	uv_timer_t soon; /* owned */
	uv_work_t work;  /* the write under way */
	bool published;  /* the keeper has the present state */
	bool dirty;      /* the disk has not */
	bool writing;
	bool frozen;
	bool closing;
	uint64_t generation;
	struct pm_buf bytes; /* of the write under way */
	int specs_fd;        /* owned, -1: what the keeper has */
	struct pm_buf last;  /* frozen: what is to be on disk at the end */
	int result;
	struct pm_error error; /* of the last write */
};

/* ---- from the apps to messages ---- */

struct saved {
	Pm__SavedApp *apps;
	Pm__SavedApp **list;
	Pm__SavedInstance *instances;
	Pm__SavedInstance **instance_list;
	size_t n;
};

static void saved_finish(struct saved *s)
{
	free(s->apps);
	free(s->list);
	free(s->instances);
	free(s->instance_list);
}

static void save_instance(Pm__SavedInstance *out, const struct inst_core *core)
{
	pm__saved_instance__init(out);
	out->pm_id = core->pm_id;
	out->instance = core->instance;
	out->wanted = life_is_wanted(&core->life);
	out->errored = core->life.state == LIFE_FAILED;
	out->restarts = core->restarts;
	out->unstable_restarts = core->restart.short_runs;
	out->created_wall_ms = core->created_wall_ms;
}

static int saved_make(struct super *su, struct saved *s, struct pm_error *err)
{
	size_t n_apps = 0, n_inst = 0, at = 0;

	for (struct app *app = su->apps; app != NULL; app = app->next) {
		n_apps++;
		n_inst += app->n;
	}
	*s = (struct saved){
		.apps = pm_calloc(n_apps + 1, sizeof(Pm__SavedApp)),
		.list = pm_calloc(n_apps + 1, sizeof(Pm__SavedApp *)),
		.instances = pm_calloc(n_inst + 1, sizeof(Pm__SavedInstance)),
		.instance_list = pm_calloc(n_inst + 1, sizeof(Pm__SavedInstance *)),
	};
	if (s->apps == NULL || s->list == NULL || s->instances == NULL ||
	    s->instance_list == NULL) {
		saved_finish(s);
		return pm_fail(err, PM_NO_MEMORY, "save the apps");
	}
	for (struct app *app = su->apps; app != NULL; app = app->next) {
		Pm__SavedApp *out = &s->apps[s->n];

		pm__saved_app__init(out);
		out->spec = app->spec;
		out->serial = app->serial;
		out->n_instances = app->n;
		out->instances = s->instance_list + at;
		for (size_t i = 0; i < app->n; i++, at++) {
			save_instance(&s->instances[at], instance_core(app->instances[i]));
			s->instance_list[at] = &s->instances[at];
		}
		s->list[s->n++] = out;
	}
	return 0;
}

static int encode(struct store *s, struct pm_buf *out, struct pm_error *err)
{
	struct saved saved;
	int rc;

	if (saved_make(s->su, &saved, err) < 0)
		return -1;
	rc = state_encode((const Pm__SavedApp *const *)saved.list, saved.n, s->su->next_pm_id,
	                  ++s->generation, pm_wall_ms(), out, err);
	saved_finish(&saved);
	return rc;
}

/* ---- to the keeper ---- */

static int publish_bytes(struct store *s, const struct pm_buf *bytes, struct pm_error *err)
{
	PM_CLOSE int fd = memfd_create("pmd-specs", MFD_CLOEXEC);
	size_t done = 0;

	if (fd < 0)
		return pm_fail_errno(err, errno, "memory for the apps");
	while (done < bytes->len) {
		ssize_t n = write(fd, bytes->bytes + done, bytes->len - done);

		if (n <= 0)
			return pm_fail_errno(err, errno, "memory for the apps");
		done += (size_t)n;
	}
	if (keeper_client_hold(s->su->keeper, "specs", fd, err) < 0)
		return -1;
	pm_closep(&s->specs_fd);
	s->specs_fd = PM_STEAL_FD(fd);
	return 0;
}

void store_publish(struct store *s)
{
	PM_BUF bytes = { 0 };
	struct pm_error err;

	if (s->published)
		return;
	s->published = true;
	if (encode(s, &bytes, &err) < 0 || publish_bytes(s, &bytes, &err) < 0) {
		s->published = false;
		pm_log(PM_LOG_ERROR, "store.publish", "%s", err.what);
	}
}

/* ---- to disk ---- */

static void on_soon(uv_timer_t *timer);

static void write_now(uv_work_t *work) /* on a worker: touches only what it was handed */
{
	struct store *s = work->data;

	s->result = state_write(s->su->home, STATE_AUTOSAVE, (const uint8_t *)s->bytes.bytes,
	                        s->bytes.len, &s->error);
}

static void on_written(uv_work_t *work, int status)
{
	struct store *s = work->data;

	(void)status; /* nobody cancels it */
	s->writing = false;
	pm_buf_finish(&s->bytes);
	if (s->result < 0) {
		s->dirty = true;
		super_degraded(s->su, "state", s->error.what);
		if (!s->closing)
			(void)uv_timer_start(&s->soon, on_soon, RETRY_MS, 0);
		return;
	}
	super_degraded(s->su, "state", NULL);
	if (s->dirty && !s->closing)
		(void)uv_timer_start(&s->soon, on_soon, 0, 0);
}

static void on_soon(uv_timer_t *timer)
{
	struct store *s = timer->data;
	struct pm_error err;

	store_publish(s);
	if (!s->dirty || s->writing || s->frozen)
		return;
	s->dirty = false;
	if (encode(s, &s->bytes, &err) < 0) {
		super_degraded(s->su, "state", err.what);
		return;
	}
	s->writing = true;
	s->work.data = s;
	if (uv_queue_work(s->su->loop, &s->work, write_now, on_written) < 0) {
		write_now(&s->work);
		on_written(&s->work, 0);
	}
}

void store_changed(struct store *s)
{
	s->published = false;
	s->dirty = true;
	if (!s->frozen && !s->closing && !s->writing)
		(void)uv_timer_start(&s->soon, on_soon, 0, 0);
}

int store_specs_fd(const struct store *s)
{
	return s->specs_fd;
}

void store_freeze(struct store *s)
{
	struct pm_error err;

	if (s->frozen)
		return;
	s->frozen = true;
	if ((s->dirty || s->writing) && encode(s, &s->last, &err) < 0)
		pm_log(PM_LOG_ERROR, "store.freeze", "%s", err.what);
}

/* What is not yet on disk, after the loop has ended. */
static int write_last(struct store *s, struct pm_error *err)
{
	if (!s->frozen && s->dirty && encode(s, &s->last, err) < 0)
		return -1;
	if (s->last.len == 0)
		return 0;
	return state_write(s->su->home, STATE_AUTOSAVE, (const uint8_t *)s->last.bytes, s->last.len,
	                   err);
}

int store_save(struct store *s, bool empty, struct pm_error *err)
{
	PM_BUF bytes = { 0 };

	if (empty) {
		if (state_encode(NULL, 0, 0, ++s->generation, pm_wall_ms(), &bytes, err) < 0)
			return -1;
	} else if (encode(s, &bytes, err) < 0) {
		return -1;
	}
	return state_write(s->su->home, STATE_SAVED, (const uint8_t *)bytes.bytes, bytes.len, err);
}

/* ---- from messages to apps ---- */

static int restore_app(struct super *su, const Pm__SavedApp *saved, struct pm_error *err)
{
	uint32_t serial = saved->serial != 0 ? saved->serial : su->next_app_serial;
	PM_SPEC *spec = NULL;
	struct instance *inst;
	struct app *app;

	if (spec_clone(saved->spec, &spec, err) < 0 ||
	    app_create_empty(su, spec, serial, &app, err) < 0)
		return -1;
	spec = NULL; /* the app's */
	for (size_t i = 0; i < saved->n_instances; i++) {
		const Pm__SavedInstance *in = saved->instances[i];

		if (app_add_instance(app, in->pm_id, in->instance, &inst, err) < 0)
			return -1;
		instance_restore(inst, in);
	}
	return 0;
}

int store_restore(struct super *su, const struct state_set *set, struct pm_error *err)
{
	for (size_t i = 0; i < set->n_apps; i++)
		if (restore_app(su, set->apps[i], err) < 0)
			return pm_wrap(err, "restore %s", set->apps[i]->spec->name);
	su->next_pm_id = PM_MAX(su->next_pm_id, set->next_id);
	return 0;
}

/* ---- life time ---- */

int store_create(struct super *su, struct store **out, struct pm_error *err)
{
	struct store *s = pm_calloc(1, sizeof(*s));

	if (s == NULL)
		return pm_fail(err, PM_NO_MEMORY, "state");
	s->su = su;
	(void)uv_timer_init(su->loop, &s->soon); /* never fails */
	s->soon.data = s;
	s->published = true;
	s->specs_fd = -1;
	/* Generations go on after whatever wrote the files: the time makes them grow over restarts.
	 */
	s->generation = (uint64_t)pm_wall_ms();
	*out = s;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void store_close(struct store *s)
{
	struct pm_error err;

	if (s == NULL)
		return;
	s->closing = true;
	while (s->writing)
		(void)uv_run(s->su->loop, UV_RUN_ONCE);
	if (write_last(s, &err) < 0)
		pm_log(PM_LOG_ERROR, "store.close", "%s", err.what);
	pm_buf_finish(&s->last);
	pm_closep(&s->specs_fd);
	uv_close((uv_handle_t *)&s->soon, on_closed);
}
