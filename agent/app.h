/* app.h - what was declared: a spec and its instances, and the list of them all. */
#ifndef PM_AGENT_APP_H
#define PM_AGENT_APP_H

#include "agent/instance.h"
#include "agent/super.h"

struct app {
	struct app *next; /* in su->apps */
	struct lookup_links links;
	struct super *su;    /* borrowed */
	uint32_t serial;     /* names it to the next supervisor */
	Pm__AppSpec *spec;   /* owned; changed in place only */
	bool frozen;         /* spec is for env_pool_free() */
	uint32_t spec_no;    /* counts the specs that it has had */
	Pm__AppSpec *former; /* owned: what those run with whose spec_no is another, while a
	                        reload decides between the two; NULL: that is settled */
	bool former_frozen;
	char *tried_by;                     /* owned: who ordered that; NULL: not known */
	struct spec_hash hash, former_hash; /* of both */
	struct instance **instances;        /* owned, by pm_id */
	size_t n, cap;
	struct instance **hidden; /* owned: successors and retirees (reload.h) */
	size_t n_hidden, cap_hidden;
	struct cluster *cluster; /* owned; NULL: none of its processes ever shared a socket */
	struct cron_job *cron;   /* owned; NULL: none */
	struct watch *watch;     /* owned; NULL: not watching */
	struct turns *turns;     /* owned; NULL: no restart waits for its turn */
	int64_t created_wall_ms;
	uint32_t wave; /* when all end, those of the highest go first (app_deps.h) */
};

/*
 * Declare an app with its instances, all down; nothing is started.
 *
 * spec    taken on success; validated already
 * by      who declares it, for its history (history.h)
 * errors  PM_LIMIT, PM_NO_MEMORY
 */
PM_MUST_CHECK int app_create(struct super *su, Pm__AppSpec *spec, const char *by, struct app **out,
                             struct pm_error *err);
/* An empty one with a given serial, for adoption and state files. */
PM_MUST_CHECK int app_create_empty(struct super *su, Pm__AppSpec *spec, uint32_t serial,
                                   struct app **out, struct pm_error *err);
PM_MUST_CHECK int app_add_instance(struct app *app, uint32_t pm_id, uint32_t number,
                                   struct instance **out, struct pm_error *err);
PM_MUST_CHECK int app_attach_instance(struct app *app, struct instance *inst, struct pm_error *err);
/* The instance, hidden or not, is freed by its owner; an app without instances goes too. */
void app_remove_instance(struct app *app, struct instance *inst);

/* Add one that commands do not see. errors: PM_NO_MEMORY */
PM_MUST_CHECK int app_add_hidden(struct app *app, struct instance *inst, struct pm_error *err);
/* Take one away from what commands see. errors: PM_NO_MEMORY; it is as before then */
PM_MUST_CHECK int app_hide(struct app *app, struct instance *inst, struct pm_error *err);
/* A hidden one and one that commands see, of the same pm_id, change places. */
void app_swap_hidden(struct app *app, struct instance *hidden, struct instance *shown);
/* The one that commands see, of a pm_id; NULL: none. */
struct instance *app_find_shown(const struct app *app, uint32_t pm_id);

/* All of them, hidden ones too: the i-th of app_n_all(). */
static inline size_t app_n_all(const struct app *app)
{
	return app->n + app->n_hidden;
}
static inline struct instance *app_any(const struct app *app, size_t i)
{
	return i < app->n ? app->instances[i] : app->hidden[i - app->n];
}

void app_close(struct app *app, bool forget);

/* Take another spec (taken); running processes keep what they were started with. by: as above */
void app_set_spec(struct app *app, Pm__AppSpec *spec, const char *by);

/*
 * Take another spec (taken) for a reload, and keep the former one: when no instance could be
 * replaced, that becomes the app's again, as if nothing had been ordered. Until then each instance
 * has its own (instance_spec).
 */
void app_try_spec(struct app *app, Pm__AppSpec *spec, const char *by);
const Pm__AppSpec *app_spec_of(const struct app *app, uint32_t spec_no);
const struct spec_hash *app_hash_of(const struct app *app, uint32_t spec_no);
/* The number of instances that is declared; what runs is not touched. */
void app_set_count(struct app *app, uint32_t instances, const char *by);
/* How many instances have the app's spec, and are up. */
size_t app_n_new(const struct app *app);

enum app_settled {
	APP_SETTLED, /* there was nothing to decide, or all have the new one */
	APP_UNDECIDED,
	APP_MIXED,    /* some have the new one, which is the app's from now on */
	APP_RESTORED, /* none has: the former one is */
};
/* Decide now, because something else comes that changes the spec. */
void app_decide_spec(struct app *app);
/* Decide, unless a reload of it goes on or an order has yet to come to one of its instances. */
enum app_settled app_settle_spec(struct app *app);

/* Keep the spec in one block from now on: nothing refers to the caller's any more. */
void app_freeze_spec(struct app *app);

/* The lowest instance number that is free. */
uint32_t app_free_number(const struct app *app);

/* Start or stop cron and watch as spec and instances want it now. */
void app_refresh_triggers(struct app *app);

struct app *app_find_serial(struct super *su, uint32_t serial);
struct app *app_find_name(struct super *su, const char *name);
struct instance *super_find_id(struct super *su, uint32_t pm_id);
/* Every instance in order of pm_id; the caller frees the array. */
PM_MUST_CHECK int super_instances(struct super *su, struct instance ***out, size_t *n,
                                  struct pm_error *err);
uint32_t super_take_pm_id(struct super *su);

#endif
