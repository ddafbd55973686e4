/* api_apps.c - the commands that start, stop and change apps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api_internal.h"
#include "agent/app.h"
#include "agent/app_deps.h"
#include "agent/cluster.h"
#include "agent/cron_job.h"
#include "agent/reload.h"
#include "agent/remote_policy.h"
#include "agent/sample.h"
#include "agent/store.h"
#include "agent/targets.h"
#include "agent/user.h"
#include "proto/log.h"
#include "proto/spec.h"

/* PM2's: one after another when there are few, else two at a time. */
static uint32_t default_parallel(size_t n)
{
	return n <= 2 ? 1 : 2;
}

/* An eighth of many: each holds its place until it has settled, and two at a time would take a
 * minute for 200 apps. */
static uint32_t restart_parallel(size_t n)
{
	return PM_MAX(default_parallel(n), (uint32_t)PM_MIN(n / 8, 16u));
}

static enum cause cause_of(Pm__Verb verb)
{
	return verb == PM__VERB__VERB_RELOAD ? CAUSE_RELOAD : CAUSE_RESTART;
}

const char *api_by(const struct request *r, char out[API_BY_MAX])
{
	char user[64];

	if (session_is_remote(r->session)) {
		(void)snprintf(out, API_BY_MAX, REMOTE_DECLARER "%.80s", session_who(r->session));
		return out;
	}
	user_name(session_uid(r->session), user, sizeof(user));
	(void)snprintf(out, API_BY_MAX, "%s (%.40s)", user, session_who(r->session));
	return out;
}

/* ---- declared apps ---- */

int api_check_spec(const Pm__AppSpec *spec, struct pm_error *err)
{
	struct user user;

	if (cluster_can_share(spec) && spec->instances > SOCKETS_SEATS_MAX)
		return pm_fail(err, PM_LIMIT, "%s: instances that share a socket: at most %d",
		               spec->name, SOCKETS_SEATS_MAX);
	if (cron_job_check(spec, err) < 0)
		return pm_wrap(err, "%s: cron_restart", spec->name);
	return user_lookup(spec->uid, spec->gid, &user, err);
}

/* More or fewer instances, as the new spec says; the surplus is added to the order as deletions. */
int api_fit_instances(struct order *o, struct app *app, uint32_t want, struct pm_error *err)
{
	struct instance *inst;

	while (app->n < want)
		if (app_add_instance(app, super_take_pm_id(app->su), app_free_number(app), &inst,
		                     err) < 0)
			return -1;
	for (size_t i = want; i < app->n; i++)
		if (order_add(o, app->instances[i], EV_DELETE, CAUSE_SCALE, true, err) < 0)
			return -1;
	return 0;
}

/* An app of that name is there: take the new spec, restart it (or start what is down). */
static bool can_reload(const struct app *app)
{
	for (size_t i = 0; i < app->n; i++)
		if (reload_is_possible(app->instances[i]))
			return true;
	return false;
}

bool api_is_gated(const struct request *r)
{
	return r->cmd->verb == PM__VERB__VERB_RELOAD ||
	       r->cmd->verb == PM__VERB__VERB_START_OR_RELOAD ||
	       r->cmd->verb == PM__VERB__VERB_REVERT;
}

int api_may_take_spec(const struct request *r, const struct app *app, struct pm_error *err)
{
	if (app->former == NULL || !api_is_gated(r) || r->cmd->force)
		return 0;
	pm_fail(err, PM_LOCKED, "a reload of %.100s with other settings is under way",
	        app->spec->name);
	pm_hint(err, "wait for it, or give it up with --force");
	return -1;
}

/* spec is taken. A reload that fails shall have changed nothing. */
void api_take_spec(const struct request *r, struct app *app, Pm__AppSpec *spec)
{
	char by[API_BY_MAX];

	if (api_is_gated(r) && cluster_can_share(spec) && can_reload(app))
		app_try_spec(app, spec, api_by(r, by));
	else
		app_set_spec(app, spec, api_by(r, by));
}

static int update_app(const struct request *r, struct order *o, struct app *app,
                      Pm__AppSpec **spec_at, struct pm_error *err)
{
	Pm__AppSpec *spec = *spec_at;
	bool is_new = app->n == 0; /* deleted, and something of it still ends */
	bool pm2 = session_is_pm2(r->session) && !is_new;
	uint32_t want = pm2 ? (uint32_t)app->n : spec->instances;

	if (pm2) { /* PM2 keeps what a running app is: its script, place and number */
		spec->instances = app->spec->instances;
		spec->exec_mode = app->spec->exec_mode;
	}
	if (api_may_take_spec(r, app, err) < 0 || (!is_new && order_about(o, app, err) < 0))
		return -1;
	api_take_spec(r, app, PM_STEAL(*spec_at));
	if (api_fit_instances(o, app, want, err) < 0)
		return -1;
	for (size_t i = 0; i < PM_MIN(want, app->n); i++)
		if (order_add(o, app->instances[i], is_new ? EV_START : EV_RESTART,
		              is_new                                           ? CAUSE_START
		              : r->cmd->verb == PM__VERB__VERB_START_OR_RELOAD ? CAUSE_RELOAD
		                                                               : CAUSE_RESTART,
		              !is_new, err) < 0)
			return -1;
	return 0;
}

bool api_any_up(const struct app *app)
{
	for (size_t i = 0; i < app->n; i++)
		if (life_has_process(&instance_core(app->instances[i])->life))
			return true;
	return false;
}

int api_declare(const struct request *r, struct order *o, Pm__AppSpec **spec, struct pm_error *err)
{
	char by[API_BY_MAX];
	struct app *app;
	size_t n_up;

	if (app_create(r->su, *spec, api_by(r, by), &app, err) < 0)
		return -1;
	*spec = NULL;
	app_refresh_triggers(app);
	n_up = app->spec->autostart ? app->n - PM_MIN(app->n, (size_t)r->cmd->n_held) : 0;
	for (size_t i = 0; i < n_up; i++)
		if (order_add(o, app->instances[i], EV_START, CAUSE_START, false, err) < 0)
			return -1;
	for (size_t i = n_up; i < app->n; i++)
		if (order_add(o, app->instances[i], EV_STOP, CAUSE_STOP, false, err) < 0)
			return -1;
	return 0;
}

static int start_app(const struct request *r, struct order *o, Pm__AppSpec **spec,
                     struct pm_error *err)
{
	struct app *app = r->cmd->force ? NULL : app_find_name(r->su, (*spec)->name);
	struct pm_error exists;

	if (app != NULL && r->cmd->verb == PM__VERB__VERB_START && api_any_up(app)) {
		pm_fail(&exists, PM_EXISTS, "%s is running already", (*spec)->name);
		pm_hint(&exists,
		        "'pmctl restart %.60s' takes the new settings; --force starts a second one",
		        (*spec)->name);
		return order_add_done(o, (*spec)->name, instance_core(app->instances[0])->pm_id,
		                      true, &exists, err);
	}
	if (app != NULL)
		return update_app(r, o, app, spec, err);
	return api_declare(r, o, spec, err);
}

static int start_staged(const struct request *r, struct pm_error *err)
{
	struct staged *st = api_staged(r->session);
	struct order *o;

	if (st == NULL || st->n == 0)
		return pm_fail(err, PM_USAGE, "nothing to start");
	for (size_t i = 0; i < st->n; i++)
		if (api_check_spec(st->specs[i], err) < 0)
			return -1;
	if (app_deps_check(r->su, st->specs, st->n, err) < 0 ||
	    api_new_order(r, r->cmd->parallel, true, &o, err) < 0)
		return -1;
	for (size_t i = 0; i < st->n; i++) {
		struct pm_error failed;

		if (start_app(r, o, &st->specs[i], &failed) < 0 &&
		    order_add_done(o, st->specs[i] != NULL ? st->specs[i]->name : "", 0, false,
		                   &failed, err) < 0)
			break; /* out of memory: run what could be added */
	}
	sample_refresh(r->su->sampler);
	order_run(o);
	return 0;
}

/* ---- existing ones ---- */

static void order_list(struct order *o, struct instance *const *list, size_t n,
                       enum life_event event, enum cause cause)
{
	struct pm_error err;

	for (size_t i = 0; i < n; i++)
		if (order_add(o, list[i], event, cause, true, &err) < 0)
			break; /* out of memory: run what could be added */
	order_run(o);
}

static int order_targets(const struct request *r, enum life_event event, enum cause cause,
                         uint32_t parallel, bool settle, struct pm_error *err)
{
	PM_FREE struct instance **list = NULL;
	struct order *o;
	size_t n;

	if (targets_resolve(r->su, r->cmd->targets, r->cmd->n_targets, &list, &n, err) < 0)
		return -1;
	if (parallel == 0 && event == EV_RESTART)
		parallel = restart_parallel(n);
	if (api_new_order(r, parallel, settle, &o, err) < 0)
		return -1;
	order_list(o, list, n, event, cause);
	return 0;
}

static void set_watching(const struct request *r, bool on)
{
	PM_FREE struct instance **list = NULL;
	struct pm_error err;
	size_t n;

	if (targets_resolve(r->su, r->cmd->targets, r->cmd->n_targets, &list, &n, &err) < 0)
		return; /* the command itself says so */
	for (size_t i = 0; i < n; i++)
		instance_set_watching(list[i], on && instance_spec(list[i])->watch);
	for (struct app *app = r->su->apps; app != NULL; app = app->next)
		app_refresh_triggers(app);
}

int api_start(const struct request *r, struct pm_error *err)
{
	int rc;

	if (r->cmd->use_staged) {
		rc = start_staged(r, err);
		api_staged_clear(api_staged(r->session));
		return rc;
	}
	if (r->cmd->n_targets == 0)
		return pm_fail(err, PM_USAGE, "nothing to start");
	if (!session_is_pm2(r->session))
		set_watching(r, true); /* PM2 leaves it off after a stop */
	/* PM2's start restarts what runs; ours leaves it alone and says so. */
	if (session_is_pm2(r->session))
		return order_targets(r, EV_RESTART, CAUSE_RESTART, r->cmd->parallel, true, err);
	return order_targets(r, EV_START, CAUSE_START, r->cmd->parallel, true, err);
}

int api_stop(const struct request *r, struct pm_error *err)
{
	set_watching(r, false);
	return order_targets(r, EV_STOP, CAUSE_STOP, r->cmd->parallel, false, err);
}

int api_delete(const struct request *r, struct pm_error *err)
{
	return order_targets(r, EV_DELETE, CAUSE_DELETE, r->cmd->parallel, false, err);
}

int api_replace_shell(Pm__AppSpec *spec, Pm__EnvVar *const *vars, size_t n, bool marked,
                      struct pm_error *err)
{
	size_t kept = 0;

	for (size_t i = 0; i < spec->n_env; i++)
		if (spec->env[i]->origin == PM__ENV_ORIGIN__ENV_SHELL)
			pm__env_var__free_unpacked(spec->env[i], NULL);
		else
			spec->env[kept++] = spec->env[i];
	spec->n_env = kept;
	for (size_t i = 0; i < n; i++)
		if ((!marked || vars[i]->origin == PM__ENV_ORIGIN__ENV_SHELL) &&
		    spec_find_env(spec->env, spec->n_env, vars[i]->name) == NULL &&
		    spec_put_env(&spec->env, &spec->n_env, vars[i]->name, vars[i]->value,
		                 PM__ENV_ORIGIN__ENV_SHELL, err) < 0)
			return -1;
	return 0;
}

int api_patched_spec(const struct request *r, const struct app *app, Pm__AppSpec **out,
                     struct pm_error *err)
{
	const Pm__Command *cmd = r->cmd;
	PM_SPEC *spec = NULL;

	if (spec_clone(app->spec, &spec, err) < 0)
		return -1;
	if (cmd->patch != NULL && cmd->patch->spec != NULL &&
	    spec_patch(spec, cmd->patch->spec, cmd->patch->set, cmd->patch->n_set, err) < 0)
		return -1;
	if (cmd->update_env &&
	    api_replace_shell(spec, cmd->shell_env, cmd->n_shell_env, false, err) < 0)
		return -1;
	if (spec_validate(spec, err) < 0 || api_check_spec(spec, err) < 0 ||
	    app_deps_check(app->su, &spec, 1, err) < 0)
		return -1;
	*out = PM_STEAL(spec);
	return 0;
}

static int patch_app(const struct request *r, struct app *app, struct pm_error *err)
{
	PM_SPEC *spec = NULL;

	if (api_may_take_spec(r, app, err) < 0)
		return -1;
	app_decide_spec(app); /* which of the two it is that is changed */
	if (api_patched_spec(r, app, &spec, err) < 0)
		return -1;
	api_take_spec(r, app, PM_STEAL(spec));
	return 0;
}

static int patch_list(const struct request *r, struct order *o, struct instance *const *list,
                      size_t n, struct pm_error *err)
{
	struct app *last = NULL;

	if (r->cmd->patch == NULL && !r->cmd->update_env)
		return 0;
	for (size_t i = 0; i < n; i++) {
		struct app *app = instance_app(list[i]);

		if (app != last && (order_about(o, app, err) < 0 || patch_app(r, app, err) < 0))
			return pm_wrap(err, "%s", app->spec->name);
		last = app;
	}
	for (size_t i = 0; i < n; i++)
		if (r->cmd->patch != NULL)
			instance_set_watching(list[i], instance_spec(list[i])->watch);
	sample_refresh(r->su->sampler);
	return 0;
}

int api_restart(const struct request *r, struct pm_error *err)
{
	PM_FREE struct instance **list = NULL;
	struct order *o;
	uint32_t parallel;
	size_t n;
	int rc;

	if (r->cmd->use_staged) {
		rc = start_staged(r, err);
		api_staged_clear(api_staged(r->session));
		return rc;
	}
	/* Found once: the options may give the app another name. */
	if (targets_resolve(r->su, r->cmd->targets, r->cmd->n_targets, &list, &n, err) < 0)
		return -1;
	parallel = r->cmd->parallel != 0 ? r->cmd->parallel
	           : api_is_gated(r)     ? default_parallel(n)
	                                 : restart_parallel(n);
	if (api_new_order(r, parallel, true, &o, err) < 0)
		return -1;
	if (patch_list(r, o, list, n, err) < 0) {
		order_cancel(o);
		return -1;
	}
	order_list(o, list, n, EV_RESTART, cause_of(r->cmd->verb));
	return 0;
}

/* ---- scale ---- */

static int scale_to(const struct request *r, struct app *app, size_t want, struct pm_error *err)
{
	bool pm2 = session_is_pm2(r->session);
	size_t have = app->n;
	struct instance *inst;
	char by[API_BY_MAX];
	struct order *o;

	if (api_new_order(r, 0, true, &o, err) < 0)
		return -1;
	if (order_about(o, app, err) < 0) {
		order_cancel(o);
		return -1;
	}
	app_set_count(app, (uint32_t)want, api_by(r, by));
	for (size_t i = have; i < want; i++) {
		struct pm_error failed;

		if (app_add_instance(app, super_take_pm_id(r->su), app_free_number(app), &inst,
		                     &failed) < 0) {
			if (order_add_done(o, app->spec->name, 0, false, &failed, err) < 0)
				break;
			continue;
		}
		if (order_add(o, inst, EV_START, CAUSE_SCALE, false, err) < 0)
			break;
	}
	/* The newest go first; PM2 takes the oldest. */
	for (size_t i = want; i < have; i++)
		if (order_add(o, app->instances[pm2 ? i - want : i], EV_DELETE, CAUSE_SCALE, true,
		              err) < 0)
			break;
	order_run(o);
	return 0;
}

int api_scale_target(const struct request *r, struct app **out, uint32_t *want_out,
                     struct pm_error *err)
{
	PM_FREE struct instance **list = NULL;
	struct app *app;
	int64_t want;
	size_t n;

	if (r->cmd->n_targets != 1)
		return pm_fail(err, PM_USAGE, "scale takes one app");
	if (targets_resolve(r->su, r->cmd->targets, 1, &list, &n, err) < 0)
		return -1;
	if (n == 0)
		return pm_fail(err, PM_NOT_FOUND, "%.100s: no such app", r->cmd->targets[0]->text);
	app = instance_app(list[0]);
	for (size_t i = 1; i < n; i++)
		if (instance_app(list[i]) != app)
			return pm_fail(err, PM_USAGE,
			               "scale takes one app, and %.60s means several",
			               r->cmd->targets[0]->text);
	want = r->cmd->relative ? (int64_t)app->n + r->cmd->count : r->cmd->count;
	if (want < 1 || want > PM_SLOTS_MAX)
		return pm_fail(err, PM_USAGE, "scale: from 1 to %d instances; use delete for none",
		               PM_SLOTS_MAX);
	if (want > SOCKETS_SEATS_MAX && cluster_can_share(app->spec))
		return pm_fail(err, PM_LIMIT, "%s: instances that share a socket: at most %d",
		               app->spec->name, SOCKETS_SEATS_MAX);
	*out = app;
	*want_out = (uint32_t)want;
	return 0;
}

int api_scale(const struct request *r, struct pm_error *err)
{
	struct app *app;
	uint32_t want;

	return api_scale_target(r, &app, &want, err) < 0 ? -1 : scale_to(r, app, want, err);
}
