#include "agent/app.h"

#include <stdlib.h>
#include <string.h>

#include "agent/cluster.h"
#include "agent/env_pool.h"
#include "agent/history.h"
#include "agent/order.h"
#include "agent/store.h"
#include "agent/triggers.h"
#include "agent/turns.h"
#include "proto/log.h"
#include "proto/spec.h"

/* A spec that goes when the loop gets there: whoever called us may be looking at it. */
struct leaving {
	uv_timer_t handle;
	Pm__AppSpec *spec; /* owned */
	bool frozen;
};

static void free_spec(Pm__AppSpec *spec, bool frozen)
{
	if (frozen)
		env_pool_free(spec);
	else
		spec_free(spec);
}

static void on_spec_left(uv_handle_t *handle)
{
	struct leaving *l = handle->data;

	free_spec(l->spec, l->frozen);
	free(l);
}

static void leave_spec(struct app *app, Pm__AppSpec *spec, bool frozen)
{
	struct leaving *l = spec == NULL ? NULL : pm_calloc(1, sizeof(*l));

	if (l == NULL)
		return; /* out of memory: better to lose these bytes than to free what is in use */
	l->spec = spec;
	l->frozen = frozen;
	(void)uv_timer_init(app->su->loop, &l->handle); /* never fails */
	l->handle.data = l;
	uv_close((uv_handle_t *)&l->handle, on_spec_left);
}

static void drop_spec(struct app *app)
{
	free_spec(app->spec, app->frozen);
	app->frozen = false;
	app->spec = NULL;
}

static struct spec_hash hash_of(const Pm__AppSpec *spec)
{
	struct spec_hash hash = { 0 };
	struct pm_error err;

	if (spec_hash_make(spec, &hash, &err) < 0)
		pm_log(PM_LOG_WARN, "app.hash", "%s", err.what); /* it has no name, then */
	return hash;
}

/* One block and a share in an environment, if there is memory for that. */
static Pm__AppSpec *freeze(struct env_pool *pool, Pm__AppSpec *spec, bool *frozen)
{
	Pm__AppSpec *block;
	struct pm_error err;

	*frozen = env_pool_freeze(pool, spec, &block, &err) == 0;
	if (!*frozen)
		return spec;
	spec_free(spec);
	return block;
}

void app_freeze_spec(struct app *app)
{
	if (!app->frozen)
		app->spec = freeze(&app->su->envs, app->spec, &app->frozen);
}

int app_create_empty(struct super *su, Pm__AppSpec *spec, uint32_t serial, struct app **out,
                     struct pm_error *err)
{
	struct app *app = pm_calloc(1, sizeof(*app));

	if (app == NULL)
		return pm_fail(err, PM_NO_MEMORY, "declare %s", spec->name);
	app->su = su;
	app->spec = spec;
	app->hash = hash_of(spec);
	app->serial = serial;
	app->created_wall_ms = pm_wall_ms();
	*(su->last_app == NULL ? &su->apps : &su->last_app->next) = app;
	su->last_app = app;
	lookup_add_app(&su->lookup, app);
	if (serial >= su->next_app_serial)
		su->next_app_serial = serial + 1;
	*out = app;
	return 0;
}

/* It has its spec now, and had another; NULL: none. */
static void remember(struct app *app, const Pm__AppSpec *before, const struct spec_hash *hash,
                     const char *by)
{
	const struct declared has = { .spec = app->spec, .hash = app->hash };
	struct declared had = { .spec = before };

	if (hash != NULL)
		had.hash = *hash;
	history_add(app->su->history, app->spec->name, &had, &has, by);
}

int app_create(struct super *su, Pm__AppSpec *spec, const char *by, struct app **out,
               struct pm_error *err)
{
	struct instance *inst;
	struct app *app;

	if (app_create_empty(su, spec, su->next_app_serial, &app, err) < 0)
		return -1;
	for (uint32_t i = 0; i < spec->instances; i++)
		if (app_add_instance(app, super_take_pm_id(su), i, &inst, err) < 0) {
			app_close(app, true);
			app->spec = NULL; /* the caller's still; app itself goes with the loop */
			return -1;
		}
	app_freeze_spec(app);
	remember(app, NULL, NULL, by);
	*out = app;
	return 0;
}

/* Room for one more. */
static int grow(struct instance ***list, size_t n, size_t *cap, struct pm_error *err)
{
	size_t want = *cap == 0 ? 1 : *cap * 2;
	struct instance **more;

	if (n < *cap)
		return 0;
	more = pm_realloc(*list, want * sizeof(struct instance *));
	if (more == NULL)
		return pm_fail(err, PM_NO_MEMORY, "a new instance");
	*list = more;
	*cap = want;
	return 0;
}

int app_attach_instance(struct app *app, struct instance *inst, struct pm_error *err)
{
	uint32_t id = instance_core(inst)->pm_id;
	size_t at = app->n;

	if (grow(&app->instances, app->n, &app->cap, err) < 0)
		return -1;
	while (at > 0 && instance_core(app->instances[at - 1])->pm_id > id)
		at--;
	memmove(app->instances + at + 1, app->instances + at,
	        (app->n - at) * sizeof(struct instance *));
	app->instances[at] = inst;
	app->n++;
	lookup_add_instance(&app->su->lookup, inst);
	if (id >= app->su->next_pm_id)
		app->su->next_pm_id = id + 1;
	return 0;
}

int app_add_instance(struct app *app, uint32_t pm_id, uint32_t number, struct instance **out,
                     struct pm_error *err)
{
	if (instance_create(app, pm_id, number, out, err) < 0)
		return -1;
	if (app_attach_instance(app, *out, err) < 0) {
		instance_close(*out, true);
		return -1;
	}
	return 0;
}

/* Take it out of a list. false: it is not there. */
static bool take_out(struct instance **list, size_t *n, const struct instance *inst)
{
	for (size_t i = 0; i < *n; i++)
		if (list[i] == inst) {
			memmove(list + i, list + i + 1, (*n - i - 1) * sizeof(struct instance *));
			(*n)--;
			return true;
		}
	return false;
}

void app_remove_instance(struct app *app, struct instance *inst)
{
	if (take_out(app->instances, &app->n, inst))
		lookup_remove_instance(&app->su->lookup, inst);
	else if (take_out(app->hidden, &app->n_hidden, inst))
		lookup_remove_hidden(&app->su->lookup, inst);
	if (app->n == 0)
		triggers_stop(app);
	turns_touch(app);
	if (app_n_all(app) == 0) {
		const struct declared had = { .spec = app->spec, .hash = app->hash };
		const struct declared none = { .spec = NULL };

		history_add(app->su->history, app->spec->name, &had, &none, NULL);
		app_close(app, true);
	} else
		cluster_rest(app);
}

int app_add_hidden(struct app *app, struct instance *inst, struct pm_error *err)
{
	if (grow(&app->hidden, app->n_hidden, &app->cap_hidden, err) < 0)
		return -1;
	app->hidden[app->n_hidden++] = inst;
	lookup_add_hidden(&app->su->lookup, inst);
	return 0;
}

int app_hide(struct app *app, struct instance *inst, struct pm_error *err)
{
	if (grow(&app->hidden, app->n_hidden, &app->cap_hidden, err) < 0)
		return -1;
	if (take_out(app->instances, &app->n, inst))
		lookup_remove_instance(&app->su->lookup, inst);
	app->hidden[app->n_hidden++] = inst;
	lookup_add_hidden(&app->su->lookup, inst);
	if (app->n == 0)
		triggers_stop(app);
	return 0;
}

void app_swap_hidden(struct app *app, struct instance *hidden, struct instance *shown)
{
	struct lookup *l = &app->su->lookup;

	for (size_t i = 0; i < app->n_hidden; i++)
		if (app->hidden[i] == hidden)
			app->hidden[i] = shown;
	for (size_t i = 0; i < app->n; i++)
		if (app->instances[i] == shown)
			app->instances[i] = hidden;
	lookup_remove_hidden(l, hidden);
	lookup_remove_instance(l, shown);
	lookup_add_instance(l, hidden);
	lookup_add_hidden(l, shown);
}

struct instance *app_find_shown(const struct app *app, uint32_t pm_id)
{
	for (size_t i = 0; i < app->n; i++)
		if (instance_core(app->instances[i])->pm_id == pm_id)
			return app->instances[i];
	return NULL;
}

/* Frees the app later: an instance that is being forgotten still looks at its spec. */
static void on_closed(uv_handle_t *handle)
{
	struct app *app = handle->data;

	cluster_destroy(app->cluster, false); /* closed already, if that was wanted */
	drop_spec(app);
	if (app->former != NULL)
		free_spec(app->former, app->former_frozen);
	free(app->tried_by);
	free(app->instances);
	free(app->hidden);
	free(app);
	free(handle);
}

static void unlink_app(struct app *app)
{
	struct app **at = &app->su->apps, *before = NULL;

	while (*at != NULL && *at != app) {
		before = *at;
		at = &before->next;
	}
	if (*at != NULL)
		*at = app->next;
	if (app->su->last_app == app)
		app->su->last_app = before;
	if (app->su->apps == NULL)
		app->su->next_pm_id = 0; /* as PM2: an empty table counts from 0 again */
}

void app_close(struct app *app, bool forget)
{
	uv_timer_t *later = pm_calloc(1, sizeof(*later));

	triggers_stop(app);
	turns_close(app);
	for (size_t i = 0; i < app->n; i++) {
		lookup_remove_instance(&app->su->lookup, app->instances[i]);
		instance_close(app->instances[i], forget);
	}
	for (size_t i = 0; i < app->n_hidden; i++) {
		lookup_remove_hidden(&app->su->lookup, app->hidden[i]);
		instance_close(app->hidden[i], forget);
	}
	app->n = app->n_hidden = 0;
	cluster_destroy(PM_STEAL(app->cluster), forget);
	lookup_remove_app(&app->su->lookup, app);
	unlink_app(app);
	if (later == NULL)
		return; /* out of memory: better to lose these bytes than to free what is in use */
	(void)uv_timer_init(app->su->loop, later); /* never fails */
	later->data = app;
	uv_close((uv_handle_t *)later, on_closed);
}

/* ---- the spec ---- */

size_t app_n_new(const struct app *app)
{
	size_t n = 0;

	for (size_t i = 0; i < app->n; i++) {
		const struct inst_core *core = instance_core(app->instances[i]);

		/* What starts may be about to crash, and is in place of nothing yet. */
		n += core->spec_no == app->spec_no && core->life.state == LIFE_UP;
	}
	return n;
}

/* Those that were added for the new spec, and did not come up either. */
static void remove_added(struct app *app, uint32_t from, uint32_t spec_no)
{
	const struct instance_order remove = { .event = EV_DELETE,
		                               .cause = CAUSE_SCALE,
		                               .who = "agent" };

	for (size_t i = app->n; i > from; i--)
		if (i <= app->n && instance_core(app->instances[i - 1])->spec_no == spec_no)
			instance_give_order(app->instances[i - 1], &remove);
}

static void install(struct app *app, Pm__AppSpec *spec, bool frozen);

static enum app_settled decide(struct app *app)
{
	Pm__AppSpec *former = app->former, *tried = app->spec;
	uint32_t tried_no = app->spec_no;
	size_t n_new = app_n_new(app);

	if (n_new > 0) {
		app->former = NULL;
		remember(app, former, &app->former_hash, app->tried_by);
		leave_spec(app, former, app->former_frozen);
		store_changed(app->su->store);
		return n_new < app->n ? APP_MIXED : APP_SETTLED;
	}
	pm_log(PM_LOG_WARN, "app.restored",
	       "app=%s none could be replaced: its former settings stay", former->name);
	app->former = NULL;
	leave_spec(app, tried, app->frozen);
	app->spec_no++; /* another one again: a successor that is still being ended had that */
	install(app, former, app->former_frozen);
	/* Last: it may come back here. */
	remove_added(app, app->spec->instances, tried_no);
	return APP_RESTORED;
}

void app_decide_spec(struct app *app)
{
	if (app->former != NULL)
		(void)decide(app); /* nobody is to hear of it */
}

static bool is_undecided(const struct app *app)
{
	for (size_t i = 0; i < app->n_hidden; i++) {
		const struct inst_core *core = instance_core(app->hidden[i]);

		if (core->role == ROLE_SUCCESSOR && life_is_wanted(&core->life))
			return true;
	}
	return orders_start(app->su, app->serial);
}

enum app_settled app_settle_spec(struct app *app)
{
	if (app->former == NULL || app->n == 0)
		return APP_SETTLED;
	return is_undecided(app) ? APP_UNDECIDED : decide(app);
}

/* The app's spec is this one from now on (taken). */
static void install(struct app *app, Pm__AppSpec *spec, bool frozen)
{
	triggers_stop(app);
	lookup_remove_app(&app->su->lookup, app); /* the name may be another */
	app->spec = spec;
	app->hash = hash_of(spec);
	app->frozen = frozen;
	app_freeze_spec(app);
	lookup_add_app(&app->su->lookup, app);
	app_refresh_triggers(app);
	store_changed(app->su->store);
}

void app_set_spec(struct app *app, Pm__AppSpec *spec, const char *by)
{
	/* What was only tried, and by none yet, was never its own. */
	bool tried = app->former != NULL && app_n_new(app) == 0;
	Pm__AppSpec *had = tried ? app->former : app->spec;
	struct spec_hash hash = tried ? app->former_hash : app->hash;

	if (app->former != NULL && !tried)
		remember(app, app->former, &app->former_hash, app->tried_by);
	leave_spec(app, PM_STEAL(app->former), app->former_frozen);
	leave_spec(app, app->spec, app->frozen);
	app->spec_no++;
	install(app, spec, false);
	remember(app, had, &hash, by); /* that leaves only with the loop's turn */
}

void app_try_spec(struct app *app, Pm__AppSpec *spec, const char *by)
{
	app_decide_spec(app);
	free(app->tried_by);
	app->tried_by = pm_strdup(by);
	app->former = app->spec;
	app->former_hash = app->hash;
	app->former_frozen = app->frozen;
	app->spec_no++;
	install(app, spec, false);
}

const Pm__AppSpec *app_spec_of(const struct app *app, uint32_t spec_no)
{
	return app->former != NULL && spec_no != app->spec_no ? app->former : app->spec;
}

const struct spec_hash *app_hash_of(const struct app *app, uint32_t spec_no)
{
	return app->former != NULL && spec_no != app->spec_no ? &app->former_hash : &app->hash;
}

void app_set_count(struct app *app, uint32_t instances, const char *by)
{
	struct spec_hash before = app->hash, former = app->former_hash;
	Pm__AppSpec had = *app->spec; /* borrows all but the number */

	app->spec->instances = instances;
	app->hash = hash_of(app->spec);
	if (app->former != NULL) {
		app->former->instances = instances;
		app->former_hash = hash_of(app->former);
	}
	/* What runs has what is declared now as much as it had it before. */
	for (size_t i = 0; i < app_n_all(app); i++) {
		struct instance *inst = app_any(app, i);

		if (spec_hash_equal(&instance_core(inst)->spec_hash, &before))
			instance_set_hash(inst, &app->hash);
		else if (app->former != NULL &&
		         spec_hash_equal(&instance_core(inst)->spec_hash, &former))
			instance_set_hash(inst, &app->former_hash);
	}
	if (app->former == NULL) /* else when that is settled */
		remember(app, &had, &before, by);
}

void app_refresh_triggers(struct app *app)
{
	triggers_refresh(app);
}

uint32_t app_free_number(const struct app *app)
{
	uint8_t taken[PM_SLOTS_MAX / 8] = { 0 }; /* of more numbers than there are instances */
	uint32_t number = 0;

	for (size_t i = 0; i < app_n_all(app); i++) {
		uint32_t n = instance_core(app_any(app, i))->instance;

		if (n < PM_SLOTS_MAX)
			taken[n / 8] |= (uint8_t)(1u << n % 8);
	}
	while (number < PM_SLOTS_MAX && (taken[number / 8] >> number % 8 & 1) != 0)
		number++;
	return number;
}

struct app *app_find_serial(struct super *su, uint32_t serial)
{
	return lookup_serial(&su->lookup, serial);
}

struct app *app_find_name(struct super *su, const char *name)
{
	return lookup_name(&su->lookup, name);
}

struct instance *super_find_id(struct super *su, uint32_t pm_id)
{
	return lookup_id(&su->lookup, pm_id);
}

static int by_id(const void *a, const void *b)
{
	const struct instance *const *x = a, *const *y = b;
	uint32_t i = instance_core(*x)->pm_id, k = instance_core(*y)->pm_id;

	return i < k ? -1 : i > k;
}

int super_instances(struct super *su, struct instance ***out, size_t *n, struct pm_error *err)
{
	struct instance **list;
	bool sorted = true;
	size_t count = 0;

	for (struct app *app = su->apps; app != NULL; app = app->next)
		count += app->n;
	list = pm_calloc(count + 1, sizeof(struct instance *));
	if (list == NULL)
		return pm_fail(err, PM_NO_MEMORY, "list the instances");
	count = 0;
	for (struct app *app = su->apps; app != NULL; app = app->next)
		for (size_t i = 0; i < app->n; i++)
			list[count++] = app->instances[i];
	for (size_t i = 1; i < count && sorted; i++)
		sorted = by_id(&list[i - 1], &list[i]) < 0;
	if (!sorted)
		qsort(list, count, sizeof(struct instance *), by_id);
	*out = list;
	*n = count;
	return 0;
}

uint32_t super_take_pm_id(struct super *su)
{
	return su->next_pm_id++;
}
