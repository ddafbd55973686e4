/* api_revert.c - the way back: which versions of an app there are, and to one of them. */
#include <stdlib.h>
#include <string.h>

#include "agent/api_internal.h"
#include "agent/app.h"
#include "agent/app_deps.h"
#include "agent/history.h"
#include "agent/sample.h"
#include "agent/targets.h"
#include "proto/spec.h"

static char *text(const char *s)
{
	return (char *)(uintptr_t)s; /* protobuf-c has no const; packing does not write */
}

/* Of several of one name, and of one that is only ending, as everywhere. */
static struct app *find_app(struct super *su, const char *name)
{
	struct app *app = app_find_name(su, name);

	return app != NULL && app->n > 0 ? app : NULL;
}

/* ---- history ---- */

struct history_page {
	Pm__SpecVersion versions[PM_STORE_SPECS_KEPT + 1], *list[PM_STORE_SPECS_KEPT + 1];
	Pm__SavedVersion *saved[PM_STORE_SPECS_KEPT]; /* owned */
	size_t n, n_saved;
};

static void page_finish(struct history_page *p)
{
	for (size_t i = 0; i < p->n_saved; i++)
		pm__saved_version__free_unpacked(p->saved[i], NULL);
}

static uint32_t count_running(const struct app *app, const struct spec_hash *hash)
{
	uint32_t n = 0;

	for (size_t i = 0; app != NULL && i < app->n; i++)
		n += instance_is_online(app->instances[i]) &&
		     spec_hash_equal(instance_hash(app->instances[i]), hash);
	return n;
}

static Pm__SpecVersion *page_add(struct history_page *p, const struct app *app,
                                 const struct spec_hash *hash)
{
	Pm__SpecVersion *out = &p->versions[p->n];

	pm__spec_version__init(out);
	out->hash.data = (uint8_t *)(uintptr_t)hash->bytes;
	out->hash.len = SPEC_HASH_BYTES;
	out->present = app != NULL && spec_hash_equal(&app->hash, hash);
	out->n_running = count_running(app, hash);
	p->list[p->n++] = out;
	return out;
}

static int page_fill(struct history_page *p, const struct app *app, const struct versions *v,
                     struct pm_error *err)
{
	/* What nobody has written down yet is the newest. */
	if (app != NULL && versions_find(v, &app->hash) == NULL)
		page_add(p, app, &app->hash)->version = app->spec->version;
	for (size_t i = 0; i < v->n && p->n < PM_STORE_SPECS_KEPT; i++) {
		Pm__SavedVersion **saved = &p->saved[p->n_saved];
		Pm__SpecVersion *out;

		if (version_unpack(&v->list[i], saved, err) < 0)
			return -1;
		p->n_saved++;
		out = page_add(p, app, &v->list[i].hash);
		out->wall_ms = (*saved)->wall_ms;
		out->by = (*saved)->by;
		out->what = (*saved)->what;
		if ((*saved)->spec != NULL)
			out->version = (*saved)->spec->version;
	}
	return 0;
}

/* An id or a path may mean an app that is there; one that was deleted has but its name. */
static const char *name_of(const struct request *r)
{
	PM_FREE struct instance **list = NULL;
	struct pm_error err;
	size_t n;

	if (app_find_name(r->su, r->cmd->targets[0]->text) == NULL &&
	    targets_resolve(r->su, r->cmd->targets, 1, &list, &n, &err) == 0 && n > 0)
		return instance_app(list[0])->spec->name;
	return r->cmd->targets[0]->text;
}

int api_history(const struct request *r, struct pm_error *err)
{
	PM_CLEANUP(versions_finish) struct versions v = { .n = 0 };
	PM_CLEANUP(page_finish) struct history_page page = { .n = 0 };
	Pm__Result result = PM__RESULT__INIT;
	const char *name;

	if (r->cmd->n_targets != 1)
		return pm_fail(err, PM_USAGE, "history takes one app");
	name = name_of(r);
	if (history_read(r->su->history, name, &v, err) < 0 ||
	    page_fill(&page, find_app(r->su, name), &v, err) < 0)
		return -1;
	if (page.n == 0) {
		pm_fail(err, PM_NOT_FOUND, "%.100s: no such app, and none of that name is known",
		        name);
		pm_hint(err, "run 'pmctl list' to see the names");
		return -1;
	}
	result.text = text(name);
	result.versions = page.list;
	result.n_versions = page.n;
	session_reply_result(r->session, r->id, &result);
	return 0;
}

/* ---- to which ---- */

void reversion_finish(struct reversion *v)
{
	spec_free(v->spec);
	v->spec = NULL;
}

static int find_version(const struct request *r, const Pm__SpecRef *ref, Pm__AppSpec **out,
                        struct pm_error *err)
{
	PM_CLEANUP(versions_finish) struct versions v = { .n = 0 };
	const struct version *found;
	Pm__SavedVersion *saved;
	struct spec_hash hash;

	memcpy(hash.bytes, ref->hash.data, SPEC_HASH_BYTES);
	if (history_read(r->su->history, ref->name, &v, err) < 0)
		return -1;
	found = versions_find(&v, &hash);
	if (found == NULL) {
		pm_fail(err, PM_NOT_FOUND, "%.100s: that version of its settings is not kept here",
		        ref->name);
		pm_hint(err, "'pmctl history %.60s' lists those that are", ref->name);
		return -1;
	}
	if (version_unpack(found, &saved, err) < 0)
		return -1;
	*out = PM_STEAL(saved->spec);
	pm__saved_version__free_unpacked(saved, NULL);
	return 0;
}

static bool has_it(const struct app *app, const Pm__SpecRef *ref)
{
	return app != NULL && memcmp(app->hash.bytes, ref->hash.data, SPEC_HASH_BYTES) == 0;
}

int api_find_reversion(const struct request *r, const Pm__SpecRef *ref, struct reversion *out,
                       struct pm_error *err)
{
	PM_CLEANUP(reversion_finish)
	struct reversion v = { .ref = ref,
		               .app = find_app(r->su, ref->name),
		               .gone = ref->hash.len == 0 };

	if (ref->hash.len != 0 && ref->hash.len != SPEC_HASH_BYTES)
		return pm_fail(err, PM_PROTOCOL, "%.100s: a version's name has %d bytes", ref->name,
		               SPEC_HASH_BYTES);
	if (!v.gone && v.app != NULL && api_may_take_spec(r, v.app, err) < 0)
		return -1;
	/* What came from a shell is not of a version: it stays as the app has it now. */
	if (!v.gone && !has_it(v.app, ref) &&
	    (find_version(r, ref, &v.spec, err) < 0 ||
	     (v.app != NULL &&
	      api_replace_shell(v.spec, v.app->spec->env, v.app->spec->n_env, true, err) < 0) ||
	     spec_validate(v.spec, err) < 0 || api_check_spec(v.spec, err) < 0 ||
	     app_deps_check(r->su, &v.spec, 1, err) < 0))
		return -1;
	*out = v;
	v.spec = NULL;
	return 0;
}

enum revert_deed api_revert_deed(const struct instance *inst, const struct reversion *v)
{
	const struct inst_core *core = instance_core(inst);

	if (core->life.state == LIFE_DOWN)
		return REVERT_LATER;
	if (life_has_process(&core->life) && life_is_wanted(&core->life) &&
	    memcmp(instance_hash(inst)->bytes, v->ref->hash.data, SPEC_HASH_BYTES) == 0)
		return REVERT_HAS;
	return REVERT_REPLACE;
}

bool api_is_stopped(const struct app *app)
{
	for (size_t i = 0; i < app->n; i++)
		if (instance_core(app->instances[i])->life.state != LIFE_DOWN)
			return false;
	return true;
}

/* ---- back to it ---- */

static int remove_app(struct order *o, const struct reversion *v, struct pm_error *err)
{
	struct pm_error words;

	if (v->app == NULL) {
		pm_fail(&words, PM_OK, "not there, as before");
		return order_add_done(o, v->ref->name, 0, false, &words, err);
	}
	for (size_t i = 0; i < v->app->n; i++)
		if (order_add(o, v->app->instances[i], EV_DELETE, CAUSE_DELETE, true, err) < 0)
			return -1;
	return 0;
}

static int revert_instance(struct order *o, struct instance *inst, const struct reversion *v,
                           struct pm_error *err)
{
	switch (api_revert_deed(inst, v)) {
	case REVERT_HAS:
		instance_keep_spec(inst);
		return order_add_settled(o, inst, "has it already", err);
	case REVERT_LATER:
		return order_add_settled(o, inst, "stopped; has it from its next start on", err);
	case REVERT_REPLACE:
		break;
	}
	return order_add(o, inst, EV_RESTART, CAUSE_RELOAD, true, err);
}

static int revert_app(const struct request *r, struct order *o, struct reversion *v,
                      struct pm_error *err)
{
	struct app *app = v->app;
	size_t want, had = app->n;
	bool all_stopped = api_is_stopped(app);

	if (order_about(o, app, err) < 0)
		return -1;
	if (v->spec != NULL)
		api_take_spec(r, app, PM_STEAL(v->spec));
	want = app->spec->instances;
	if (api_fit_instances(o, app, (uint32_t)want, err) < 0)
		return -1;
	for (size_t i = 0; i < PM_MIN(want, had); i++)
		if (revert_instance(o, app->instances[i], v, err) < 0)
			return -1;
	/* More of what runs run; more of what was stopped do not. */
	for (size_t i = had; i < want; i++)
		if (order_add(o, app->instances[i], all_stopped ? EV_STOP : EV_START, CAUSE_SCALE,
		              false, err) < 0)
			return -1;
	return 0;
}

static int add_to_order(const struct request *r, struct order *o, struct reversion *v,
                        struct pm_error *err)
{
	if (v->gone)
		return remove_app(o, v, err);
	return v->app != NULL ? revert_app(r, o, v, err) : api_declare(r, o, &v->spec, err);
}

static void finish_all(struct reversion *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		reversion_finish(&list[i]);
}

int api_revert(const struct request *r, struct pm_error *err)
{
	size_t n = r->cmd->n_specs, n_found = 0;
	PM_FREE struct reversion *list = pm_calloc(n + 1, sizeof(*list));
	struct order *o = NULL;
	int rc = 0;

	if (list == NULL)
		return pm_fail(err, PM_NO_MEMORY, "revert");
	if (n == 0)
		return pm_fail(err, PM_USAGE, "revert: to which version of which app");
	/* All are found before anything is done. */
	while (rc == 0 && n_found < n) {
		rc = api_find_reversion(r, r->cmd->specs[n_found], &list[n_found], err);
		n_found += rc == 0;
	}
	if (rc == 0)
		rc = api_new_order(r, r->cmd->parallel == 0 ? 1 : r->cmd->parallel, true, &o, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct pm_error failed;

		if (add_to_order(r, o, &list[i], &failed) < 0 &&
		    order_add_done(o, list[i].ref->name, 0, false, &failed, err) < 0)
			break; /* out of memory: run what could be added */
	}
	if (rc == 0) {
		sample_refresh(r->su->sampler);
		order_run(o);
	}
	finish_all(list, n_found);
	return rc;
}
