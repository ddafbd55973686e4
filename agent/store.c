#include "agent/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/history.h"
#include "proto/failpoint.h"
#include "proto/log.h"
#include "proto/spec.h"

/* A failed write is tried again so often. */
#define RETRY_MS 30000
/* Longest that an answer waits for the disk: a stalled one must not stall commands. */
#define PATIENCE_MS 2000

struct waiter {
	struct waiter *next;
	uint64_t write; /* the number of the write that it waits for */
	store_saved_fn *fn;
	void *arg;
};

struct store {
	struct super *su;
	uv_timer_t soon;     /* owned */
	uv_timer_t patience; /* owned: runs while somebody waits */
	uv_work_t work;      /* the write under way */
	bool published;      /* the keeper has the present state */
	bool dirty;          /* the disk has not */
	bool writing;
	bool frozen;    /* the files stay as they are, but for `last` */
	bool hands_off; /* the files are not ours to write: see store_hands_off() */
	bool closing;
	bool history; /* the write under way has versions with it (history.h) */
	uint64_t generation;
	uint64_t declared;      /* counts changes of specs */
	uint64_t n_writes;      /* begun */
	uint64_t writing_mark;  /* mark() of the write under way */
	uint64_t saved_mark;    /* of the last that succeeded */
	struct waiter *waiters; /* owned */
	struct pm_buf bytes;    /* of the write under way */
	int specs_fd;           /* owned, -1: what the keeper has */
	struct pm_buf last;     /* frozen: what is to be on disk at the end */
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

static void save_instance(Pm__SavedInstance *out, const struct inst_core *core, bool intended)
{
	pm__saved_instance__init(out);
	out->pm_id = core->pm_id;
	out->instance = core->instance;
	out->wanted = life_is_wanted(&core->life) || intended;
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
		out->former = app->former;
		out->spec_no = app->spec_no;
		out->replaced = app->former != NULL && app_n_new(app) > 0;
		out->n_instances = app->n;
		out->instances = s->instance_list + at;
		for (size_t i = 0; i < app->n; i++, at++) {
			save_instance(&s->instances[at], instance_core(app->instances[i]),
			              instance_is_intended(app->instances[i]));
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
	/* Without a keeper it is ours to hand to the one that we are about to become. */
	if (keeper_client_hold(s->su->keeper, "specs", fd, err) < 0 && err->code != PM_NOT_RUNNING)
		return -1;
	pm_closep(&s->specs_fd);
	s->specs_fd = PM_STEAL_FD(fd);
	(void)PM_FAIL_POINT("store.after_publish");
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
		super_degraded(s->su, "memory of the apps", err.what);
		return;
	}
	super_degraded(s->su, "memory of the apps", NULL);
}

/* ---- who waits for the disk ---- */

static void answer_waiters(struct store *s, uint64_t up_to)
{
	struct waiter **at = &s->waiters, *due = NULL;

	while (*at != NULL) {
		struct waiter *w = *at;

		if (w->write > up_to) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->next = due;
		due = w;
	}
	if (s->waiters == NULL)
		(void)uv_timer_stop(&s->patience); /* never fails */
	while (due != NULL) { /* apart from the list: an answer may bring new waiters */
		struct waiter *w = due;

		due = w->next;
		w->fn(w->arg);
		free(w);
	}
}

static void on_patience(uv_timer_t *timer)
{
	struct store *s = timer->data;

	super_degraded(s->su, "state", "the disk does not answer");
	answer_waiters(s, UINT64_MAX);
}

/* What of the table a command changes, in a number: specs by a counter, instances by what they are
 * and whether they are to run; one that is being forgotten is gone for who waits for that. Counters
 * of restarts are not in it: nobody waits for them. */
static uint64_t mark(const struct store *s)
{
	uint64_t h = s->declared + 1;

	for (const struct app *app = s->su->apps; app != NULL; app = app->next)
		for (size_t i = 0; i < app->n; i++) {
			const struct inst_core *core = instance_core(app->instances[i]);
			bool wanted = life_is_wanted(&core->life) ||
			              instance_is_intended(app->instances[i]);

			if (instance_is_leaving(app->instances[i]))
				continue;
			h = (h ^ ((uint64_t)core->pm_id << 2 | (uint64_t)wanted << 1 |
			          (core->life.state == LIFE_FAILED))) *
			    UINT64_C(0x9e3779b97f4a7c15);
			h ^= h >> 29;
		}
	return h;
}

void store_when_saved(struct store *s, store_saved_fn *fn, void *arg)
{
	uint64_t now = mark(s);
	struct waiter *w;

	if (s->frozen || s->hands_off || s->closing || (now == s->saved_mark && !s->writing)) {
		fn(arg);
		return;
	}
	w = pm_calloc(1, sizeof(*w));
	if (w == NULL) {
		fn(arg);
		return;
	}
	*w = (struct waiter){ .next = s->waiters,
		              .write = s->n_writes + (s->writing && s->writing_mark == now ? 0 : 1),
		              .fn = fn,
		              .arg = arg };
	s->waiters = w;
	if (w->write > s->n_writes)
		store_touched(s);
	if (!uv_is_active((uv_handle_t *)&s->patience))
		(void)uv_timer_start(&s->patience, on_patience, PATIENCE_MS, 0);
}

/* ---- to disk ---- */

static void on_soon(uv_timer_t *timer);

static void retry(struct store *s)
{
	s->dirty = true;
	(void)uv_timer_start(&s->soon, on_soon, RETRY_MS, 0);
}

static void try_later(struct store *s, const char *why)
{
	s->dirty = true;
	super_degraded(s->su, "state", why);
	if (!s->closing)
		retry(s);
	answer_waiters(s, s->n_writes + 1);
}

static void write_now(uv_work_t *work) /* on a worker: touches only what it was handed */
{
	struct store *s = work->data;

	/* First: what an app had is kept before it is said that it has something else. */
	if (s->history)
		history_write(s->su->history);
	s->result = state_write(s->su->home, STATE_AUTOSAVE, (const uint8_t *)s->bytes.bytes,
	                        s->bytes.len, &s->error);
}

static void on_written(uv_work_t *work, int status)
{
	struct store *s = work->data;

	bool kept = !s->history || history_end(s->su->history);

	(void)status; /* nobody cancels it */
	s->writing = s->history = false;
	pm_buf_finish(&s->bytes);
	if (s->result < 0) {
		try_later(s, s->error.what);
		return;
	}
	super_degraded(s->su, "state", NULL);
	s->saved_mark = s->writing_mark;
	if (s->dirty && !s->closing)
		(void)uv_timer_start(&s->soon, on_soon, 0, 0);
	else if (!kept && !s->closing)
		retry(s);
	answer_waiters(s, s->n_writes);
}

static void on_soon(uv_timer_t *timer)
{
	struct store *s = timer->data;
	struct pm_error err;

	store_publish(s);
	if (!s->dirty || s->writing || s->frozen || s->hands_off)
		return;
	if (encode(s, &s->bytes, &err) < 0) {
		try_later(s, err.what);
		return;
	}
	s->dirty = false;
	s->writing = true;
	s->history = history_begin(s->su->history);
	s->n_writes++;
	s->writing_mark = mark(s);
	s->work.data = s;
	if (uv_queue_work(s->su->loop, &s->work, write_now, on_written) < 0) {
		write_now(&s->work);
		on_written(&s->work, 0);
	}
}

void store_touched(struct store *s)
{
	s->dirty = true;
	if (!s->frozen && !s->closing && !s->writing)
		(void)uv_timer_start(&s->soon, on_soon, 0, 0);
}

void store_changed(struct store *s)
{
	s->published = false;
	s->declared++;
	store_touched(s);
}

int store_specs_fd(const struct store *s)
{
	return s->specs_fd;
}

void store_take_specs(struct store *s, int fd)
{
	if (s->specs_fd < 0)
		s->specs_fd = fd;
	else
		pm_closep(&fd);
}

void store_hands_off(struct store *s)
{
	s->hands_off = true;
}

void store_freeze(struct store *s)
{
	struct pm_error err;

	if (s->frozen)
		return;
	s->frozen = true;
	if ((s->dirty || s->writing) && encode(s, &s->last, &err) < 0)
		pm_log(PM_LOG_ERROR, "store.freeze", "%s", err.what);
	answer_waiters(s, UINT64_MAX);
}

/* What is not yet on disk, after the loop has ended. */
static int write_last(struct store *s, struct pm_error *err)
{
	if (s->hands_off)
		return 0;
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

	if (spec_clone(saved->former != NULL && !saved->replaced ? saved->former : saved->spec,
	               &spec, err) < 0 ||
	    app_create_empty(su, spec, serial, &app, err) < 0)
		return -1;
	spec = NULL; /* the app's */
	app_freeze_spec(app);
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
	(void)uv_timer_init(su->loop, &s->patience);
	s->patience.data = s;
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
	struct store *s = handle->data;

	if (!uv_is_closing((uv_handle_t *)&s->soon)) {
		uv_close((uv_handle_t *)&s->soon, on_closed);
		return;
	}
	free(s);
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
	while (s->waiters != NULL) {
		struct waiter *w = s->waiters;

		s->waiters = w->next;
		free(w);
	}
	uv_close((uv_handle_t *)&s->patience, on_closed);
}
