#include "agent/reload_priv.h"

#include "agent/app.h"
#include "agent/cluster.h"
#include "agent/process.h"
#include "agent/worker.h"
#include "proto/failpoint.h"
#include "proto/log.h"

/* From its record: whoever goes on with it after us gives it no more time. */
void reload_begin_retiring(struct reload *r)
{
	struct inst_core *core = &r->old->core;

	if (core->retired_ms == 0) {
		core->retired_ms = pm_now_ms();
		inst_commit(r->old);
	}
	inst_refresh_checks(r->old, false);
	r->phase = PHASE_RETIRING;
	r->retire = (struct retire){ .began_ms = core->retired_ms,
		                     .timeout_ms = instance_spec(r->old)->drain_timeout_ms,
		                     .told = core->told != 0 };
	reload_look_after(r, 0);
}

static void tell_to_finish(struct instance *inst)
{
	struct process *p = inst->process;

	(void)PM_FAIL_POINT("reload.before_drain");
	if (p == NULL || p->worker == NULL)
		return;
	/* Before it hears: node takes a second disconnect for an end of its own channel. */
	inst->core.told = 1;
	inst_commit(inst);
	worker_drain(p->worker);
	/* An app that is ended by a message needs its channel for that. */
	if (!instance_spec(inst)->shutdown_with_message)
		(void)worker_disconnect(p->worker);
	(void)PM_FAIL_POINT("reload.after_drain");
}

static void end_retiree(struct reload *r, unsigned connections)
{
	struct instance *old = r->old;

	if (connections > 0)
		pm_log(PM_LOG_WARN, "reload.cut",
		       "app=%s pm_id=%u pid=%d: %u connections are still open after %u ms",
		       r->app->spec->name, old->core.pm_id, old->core.pid, connections,
		       r->retire.timeout_ms);
	(void)PM_FAIL_POINT("reload.before_stop");
	reload_order_hidden(old, EV_DELETE,
	                    (enum cause)old->core.cause != CAUSE_NONE ? (enum cause)old->core.cause
	                                                              : CAUSE_RELOAD);
}

/* Each time is a walk of /proc, and many may be leaving at once: not more than a fifth of our time.
 */
static int count_connections(const struct instance *inst, unsigned *n, struct pm_error *err)
{
	uint64_t began = pm_now_ms();
	int rc = cluster_connections(inst, n, err);
	uint64_t now = pm_now_ms();

	inst->su->connections_ms = now + 4 * (now - began);
	return rc;
}

/* What it is still to accept. */
static unsigned count_waiting(const struct instance *inst)
{
	const struct process *p = inst->process;

	return cluster_waiting(inst) +
	       (p == NULL || p->worker == NULL ? 0 : worker_n_given(p->worker));
}

void reload_look_at_retiree(struct reload *r)
{
	struct instance *old = r->old;
	unsigned connections = 0;
	struct retire_step step;
	struct pm_error err;

	if (life_is_ending(&old->core.life))
		return;
	if (!life_has_process(&old->core.life)) {
		reload_order_hidden(old, EV_DELETE, CAUSE_RELOAD);
		return;
	}
	if (r->retire.told && pm_now_ms() < r->su->connections_ms) {
		reload_look_after(r, r->su->connections_ms - pm_now_ms());
		return;
	}
	if (r->retire.told && count_connections(old, &connections, &err) < 0) {
		pm_log(PM_LOG_WARN, "reload.connections", "%s", err.what);
		connections = 1; /* nobody knows: it has all its time */
	}
	step = retire_plan(&r->retire, count_waiting(old), connections, pm_now_ms());
	switch (step.verdict) {
	case RETIRE_TELL:
		tell_to_finish(old);
		reload_look_after(r, step.wait_ms);
		break;
	case RETIRE_WAIT:
		reload_look_after(r, step.wait_ms);
		break;
	case RETIRE_END:
		end_retiree(r, connections);
		break;
	}
}

int reload_retire(struct instance *inst, const struct instance_order *o, struct pm_error *err)
{
	struct reload *r = reload_new(inst->app, inst, NULL);

	if (r == NULL || (o->order != NULL && !inst_add_waiter(inst, o)) ||
	    app_hide(inst->app, inst, err) < 0) {
		if (o->order != NULL)
			instance_drop_order(inst, o->order);
		if (r != NULL)
			reload_release(r);
		return pm_fail(err, PM_NO_MEMORY, "let an instance go");
	}
	inst->core.role = ROLE_RETIREE;
	inst->core.cause = o->cause;
	inst_commit(inst);
	(void)PM_FAIL_POINT("reload.after_retire");
	cluster_refresh(inst);
	reload_begin_retiring(r);
	return 0;
}

static bool is_wanted(const struct app *app)
{
	for (size_t i = 0; i < app->n; i++)
		if (life_is_wanted(&app->instances[i]->core.life))
			return true;
	return false;
}

void reload_end_retirees(struct app *app)
{
	if (is_wanted(app))
		return;
	for (size_t i = app->n_hidden; i > 0; i--)
		if (i <= app->n_hidden && app->hidden[i - 1]->core.role == ROLE_RETIREE)
			reload_order_hidden(app->hidden[i - 1], EV_DELETE, CAUSE_STOP);
}

struct instance *reload_left(const struct instance *inst)
{
	const struct app *app = inst->app;
	bool all = !is_wanted(app);

	for (size_t i = 0; i < app->n_hidden; i++) {
		struct instance *other = app->hidden[i];

		if (other != inst && life_has_process(&other->core.life) &&
		    (other->core.pm_id == inst->core.pm_id ||
		     (all && other->core.role == ROLE_RETIREE)))
			return other;
	}
	return NULL;
}
