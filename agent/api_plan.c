/* api_plan.c - what a command would do, app by app, without doing it (Command.dry_run). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api_internal.h"
#include "agent/app.h"
#include "agent/app_deps.h"
#include "agent/cluster.h"
#include "agent/reload.h"
#include "agent/spec_diff.h"
#include "agent/targets.h"
#include "proto/ops.h"
#include "proto/spec.h"

/* How many instances of an app. */
struct deeds {
	size_t reload, restart, start, stop, remove, add, held;
	bool apart; /* of restart: where a reload was asked for */
	bool gone;  /* remove: the app goes with them */
};

struct plan_app {
	struct app *app;   /* borrowed; NULL: there is none */
	Pm__AppSpec *spec; /* owned; what it would have, NULL: what it has */
	struct spec_hash hash;
	const char *name; /* borrowed from either */
	struct deeds deeds;
	struct pm_buf text;
	struct pm_error refused; /* code PM_OK: it is not */
};

struct plan {
	const struct request *r;
	struct plan_app *apps;
	size_t n, cap;
};

static void plan_finish(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		spec_free(p->apps[i].spec);
		pm_buf_finish(&p->apps[i].text);
	}
	free(p->apps);
}

static struct plan_app *add_app(struct plan *p, struct app *app, const char *name,
                                struct pm_error *err)
{
	if (p->n == p->cap) {
		size_t cap = p->cap == 0 ? 8 : p->cap * 2;
		struct plan_app *more = pm_realloc(p->apps, cap * sizeof(*more));

		if (more == NULL) {
			pm_fail(err, PM_NO_MEMORY, "plan");
			return NULL;
		}
		p->apps = more;
		p->cap = cap;
	}
	p->apps[p->n] = (struct plan_app){
		.app = app != NULL && app->n > 0 ? app : NULL, /* else the rest of it ends */
		.name = name,
	};
	return &p->apps[p->n++];
}

/* ---- what is done to instances ---- */

typedef void count_fn(const struct plan *p, struct plan_app *a, const struct instance *inst);

static const Pm__AppSpec *spec_then(const struct plan_app *a)
{
	return a->spec != NULL ? a->spec : a->app->spec;
}

static void count_restart(const struct plan *p, struct plan_app *a, const struct instance *inst)
{
	bool gated = api_is_gated(p->r);

	if (!life_has_process(&instance_core(inst)->life)) {
		a->deeds.start++;
	} else if (gated && reload_is_possible(inst) && cluster_can_share(spec_then(a))) {
		a->deeds.reload++;
	} else {
		a->deeds.restart++;
		a->deeds.apart |= gated && !cluster_can_share(spec_then(a));
	}
}

/* As many instances as the spec says. */
static void count_fit(const struct plan *p, struct plan_app *a, size_t want)
{
	for (size_t i = 0; i < PM_MIN(want, a->app->n); i++)
		count_restart(p, a, a->app->instances[i]);
	a->deeds.add = want - PM_MIN(want, a->app->n);
	a->deeds.remove = a->app->n - PM_MIN(want, a->app->n);
}

static void count_new(const struct plan *p, struct plan_app *a)
{
	size_t n = a->spec->instances;

	a->deeds.add = a->spec->autostart ? n - PM_MIN(n, (size_t)p->r->cmd->n_held) : 0;
	a->deeds.held = n - a->deeds.add;
}

static void count_start(const struct plan *p, struct plan_app *a, const struct instance *inst)
{
	(void)p;
	a->deeds.start += !life_is_wanted(&instance_core(inst)->life);
}

static void count_stop(const struct plan *p, struct plan_app *a, const struct instance *inst)
{
	const struct life *life = &instance_core(inst)->life;

	(void)p;
	a->deeds.stop += life_is_wanted(life) || life_has_process(life);
}

static void count_delete(const struct plan *p, struct plan_app *a, const struct instance *inst)
{
	(void)p;
	(void)inst;
	a->deeds.remove++;
	a->deeds.gone = a->deeds.remove == a->app->n;
}

/* ---- words ---- */

static void tell(struct pm_buf *out, const char *what, size_t n, const char *more)
{
	if (n > 0)
		pm_buf_printf(out, "%s%s %zu instance%s%s", out->len == 0 ? "" : ", ", what, n,
		              n == 1 ? "" : "s", more);
}

static void tell_deeds(const struct plan_app *a, struct pm_buf *out)
{
	const struct deeds *d = &a->deeds;

	tell(out, "reloads", d->reload, "");
	tell(out, "restarts", d->restart, d->apart ? ": it cannot share its socket" : "");
	tell(out, "starts", d->start + d->add, "");
	tell(out, "stops", d->stop, "");
	tell(out, d->gone ? "deletes" : "removes", d->remove, "");
	tell(out, "declares", d->held, " as stopped");
}

/* The version that it would have, and what of it is another. */
static int tell_app(struct plan_app *a, struct pm_error *err)
{
	PM_BUF deeds = { 0 };

	if (a->refused.code != PM_OK)
		return 0;
	tell_deeds(a, &deeds);
	if (a->app == NULL && a->spec != NULL)
		pm_buf_str(&a->text, "new");
	if (a->spec != NULL && spec_hash_make(a->spec, &a->hash, err) < 0)
		return -1;
	if (a->spec != NULL && a->app != NULL &&
	    spec_diff(a->app->spec, a->spec, &a->text, err) < 0)
		return -1;
	if (a->text.len == 0 && a->spec != NULL && deeds.len > 0)
		pm_buf_str(&a->text, "settings unchanged");
	if (deeds.len > 0)
		pm_buf_printf(&a->text, "%s%.*s", a->text.len == 0 ? "" : "; ", (int)deeds.len,
		              deeds.bytes);
	if (a->text.len == 0)
		pm_buf_str(&a->text, "no change");
	pm_buf_char(&a->text, '\0');
	if (deeds.failed || a->text.failed)
		return pm_fail(err, PM_NO_MEMORY, "plan");
	return 0;
}

static bool has_changes(const struct plan_app *a)
{
	const struct deeds *d = &a->deeds;

	return a->refused.code == PM_OK &&
	       (d->reload + d->restart + d->start + d->stop + d->remove + d->add + d->held > 0 ||
	        (a->spec != NULL && (a->app == NULL || !spec_hash_equal(&a->hash, &a->app->hash))));
}

/* ---- the kinds of commands ---- */

/* An app with settings that came along. */
static int plan_spec(struct plan *p, const Pm__AppSpec *spec, struct pm_error *err)
{
	const Pm__Command *cmd = p->r->cmd;
	struct app *app = cmd->force ? NULL : app_find_name(p->r->su, spec->name);
	struct plan_app *a = add_app(p, app, spec->name, err);

	if (a == NULL)
		return -1;
	if (app != NULL && cmd->verb == PM__VERB__VERB_START && api_any_up(app))
		return (void)pm_fail(&a->refused, PM_EXISTS, "it is running already"), 0;
	if (app != NULL && api_may_take_spec(p->r, app, &a->refused) < 0)
		return 0;
	if (spec_clone(spec, &a->spec, err) < 0)
		return -1;
	if (a->app == NULL)
		count_new(p, a);
	else
		count_fit(p, a, spec->instances);
	return 0;
}

static int plan_staged(struct plan *p, struct pm_error *err)
{
	struct staged *st = api_staged(p->r->session);

	if (st == NULL || st->n == 0)
		return pm_fail(err, PM_USAGE, "nothing to start");
	for (size_t i = 0; i < st->n; i++)
		if (api_check_spec(st->specs[i], err) < 0)
			return -1;
	if (app_deps_check(p->r->su, st->specs, st->n, err) < 0)
		return -1;
	for (size_t i = 0; i < st->n; i++)
		if (plan_spec(p, st->specs[i], err) < 0)
			return -1;
	return 0;
}

static struct plan_app *app_of(struct plan *p, struct app *app, struct pm_error *err)
{
	const Pm__Command *cmd = p->r->cmd;
	struct plan_app *a;

	for (size_t i = p->n; i > 0; i--)
		if (p->apps[i - 1].app == app)
			return &p->apps[i - 1];
	a = add_app(p, app, app->spec->name, err);
	if (a == NULL || (cmd->patch == NULL && !cmd->update_env))
		return a;
	if (api_may_take_spec(p->r, app, err) < 0 || api_patched_spec(p->r, app, &a->spec, err) < 0)
		return NULL;
	return a;
}

static int plan_targets(struct plan *p, count_fn *count, struct pm_error *err)
{
	const Pm__Command *cmd = p->r->cmd;
	PM_FREE struct instance **list = NULL;
	size_t n;

	if (targets_resolve(p->r->su, cmd->targets, cmd->n_targets, &list, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct plan_app *a = app_of(p, instance_app(list[i]), err);

		if (a == NULL)
			return -1;
		count(p, a, list[i]);
	}
	return 0;
}

static int plan_scale(struct plan *p, struct pm_error *err)
{
	struct plan_app *a;
	struct app *app;
	uint32_t want;

	if (api_scale_target(p->r, &app, &want, err) < 0)
		return -1;
	a = add_app(p, app, app->spec->name, err);
	if (a == NULL || spec_clone(app->spec, &a->spec, err) < 0)
		return -1;
	a->spec->instances = want;
	a->deeds.add = want - PM_MIN((size_t)want, app->n);
	a->deeds.remove = app->n - PM_MIN((size_t)want, app->n);
	return 0;
}

static void count_reversion(const struct plan *p, struct plan_app *a, const struct reversion *v)
{
	size_t want = spec_then(a)->instances, more = want - PM_MIN(want, a->app->n);

	*(api_is_stopped(a->app) ? &a->deeds.held : &a->deeds.add) = more;
	a->deeds.remove = a->app->n - PM_MIN(want, a->app->n);
	for (size_t i = 0; i < PM_MIN(want, a->app->n); i++)
		if (api_revert_deed(a->app->instances[i], v) == REVERT_REPLACE)
			count_restart(p, a, a->app->instances[i]);
}

static int plan_reversion(struct plan *p, const Pm__SpecRef *ref, struct pm_error *err)
{
	PM_CLEANUP(reversion_finish) struct reversion v = { 0 };
	struct plan_app *a;

	if (api_find_reversion(p->r, ref, &v, err) < 0)
		return -1;
	a = add_app(p, v.app, ref->name, err);
	if (a == NULL)
		return -1;
	a->spec = PM_STEAL(v.spec);
	if (a->app != NULL && v.gone) {
		a->deeds.remove = a->app->n;
		a->deeds.gone = true;
	} else if (a->app != NULL) {
		count_reversion(p, a, &v);
	} else if (a->spec != NULL) {
		count_new(p, a);
	}
	return 0;
}

static int plan_revert(struct plan *p, struct pm_error *err)
{
	const Pm__Command *cmd = p->r->cmd;

	if (cmd->n_specs == 0)
		return pm_fail(err, PM_USAGE, "revert: to which version of which app");
	for (size_t i = 0; i < cmd->n_specs; i++)
		if (plan_reversion(p, cmd->specs[i], err) < 0)
			return -1;
	return 0;
}

static int plan_all(struct plan *p, struct pm_error *err)
{
	static const struct {
		Pm__Verb verb;
		bool staged;     /* it takes settings that were sent along */
		count_fn *count; /* and targets; NULL: not */
	} kinds[] = {
		{ PM__VERB__VERB_START, true, count_start },
		{ PM__VERB__VERB_START_OR_RESTART, true, count_start },
		{ PM__VERB__VERB_START_OR_RELOAD, true, count_start },
		{ PM__VERB__VERB_RESTART, true, count_restart },
		{ PM__VERB__VERB_RELOAD, true, count_restart },
		{ PM__VERB__VERB_STOP, false, count_stop },
		{ PM__VERB__VERB_DELETE, false, count_delete },
	};
	const Pm__Command *cmd = p->r->cmd;

	if (cmd->verb == PM__VERB__VERB_SCALE)
		return plan_scale(p, err);
	if (cmd->verb == PM__VERB__VERB_REVERT)
		return plan_revert(p, err);
	for (size_t i = 0; i < PM_COUNT(kinds); i++) {
		if (kinds[i].verb != cmd->verb)
			continue;
		if (kinds[i].staged && cmd->use_staged)
			return plan_staged(p, err);
		if (kinds[i].count == count_start && cmd->n_targets == 0)
			return pm_fail(err, PM_USAGE, "nothing to start");
		return plan_targets(p, kinds[i].count, err);
	}
	return pm_fail(err, PM_UNSUPPORTED, "%s: there is no plan of it, it is done or not",
	               pm_verb_name(cmd->verb));
}

/* ---- the answer ---- */

static char empty[] = "";

static uint32_t count_running(const struct app *app)
{
	uint32_t n = 0;

	for (size_t i = 0; app != NULL && i < app->n; i++)
		n += instance_is_online(app->instances[i]);
	return n;
}

static void fill_versions(struct plan_app *a, Pm__Outcome *o)
{
	if (a->app != NULL) {
		o->existed = true;
		o->spec_from.data = a->app->hash.bytes;
		o->spec_from.len = SPEC_HASH_BYTES;
		o->version_from = a->app->spec->version;
	}
	if (a->deeds.gone || (a->spec == NULL && a->app == NULL))
		return;
	if (a->spec == NULL)
		a->hash = a->app->hash;
	o->spec_to.data = a->hash.bytes;
	o->spec_to.len = SPEC_HASH_BYTES;
	o->version_to = spec_then(a)->version;
	o->rollout = spec_then(a)->rollout;
	o->n_rollout = spec_then(a)->n_rollout;
}

static void fill(struct plan_app *a, Pm__Outcome *o)
{
	pm__outcome__init(o);
	o->name = (char *)(uintptr_t)a->name; /* packing does not write */
	o->code = (uint32_t)a->refused.code;
	o->text = a->refused.code != PM_OK ? a->refused.what : a->text.bytes;
	o->hint = a->refused.code != PM_OK ? a->refused.hint : empty;
	o->n_running = count_running(a->app);
	o->changes = has_changes(a);
	if (a->refused.code == PM_OK)
		fill_versions(a, o);
}

static int answer(struct plan *p, struct pm_error *err)
{
	PM_FREE Pm__Outcome *outcomes = pm_calloc(p->n + 1, sizeof(*outcomes));
	PM_FREE Pm__Outcome **list = pm_calloc(p->n + 1, sizeof(*list));
	Pm__Result result = PM__RESULT__INIT;

	if (outcomes == NULL || list == NULL)
		return pm_fail(err, PM_NO_MEMORY, "plan");
	for (size_t i = 0; i < p->n; i++) {
		if (tell_app(&p->apps[i], err) < 0)
			return -1;
		fill(&p->apps[i], &outcomes[i]);
		list[i] = &outcomes[i];
		if (result.code == PM_OK)
			result.code = outcomes[i].code;
	}
	result.outcomes = list;
	result.n_outcomes = p->n;
	session_reply_result(p->r->session, p->r->id, &result);
	return 0;
}

int api_plan(const struct request *r, struct pm_error *err)
{
	PM_CLEANUP(plan_finish) struct plan p = { .r = r };

	if (session_is_pm2(r->session)) /* what its verbs mean is another matter */
		return pm_fail(err, PM_UNSUPPORTED, "a plan is pmctl's");
	if (plan_all(&p, err) < 0 || answer(&p, err) < 0)
		return -1;
	if (r->cmd->use_staged)
		api_staged_clear(api_staged(r->session));
	return 0;
}
