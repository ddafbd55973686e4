#include "agent/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/app.h"
#include "agent/cluster.h"
#include "agent/events.h"
#include "agent/instance_priv.h"
#include "agent/order.h"
#include "agent/process.h"
#include "agent/reload_plan.h"
#include "agent/store.h"
#include "agent/worker.h"
#include "proto/failpoint.h"
#include "proto/log.h"

enum phase {
	PHASE_STARTING, /* next is hidden: it starts and proves itself */
	PHASE_RETIRING, /* old is hidden: it finishes */
	PHASE_FAILED,   /* next is hidden, and being ended */
};

struct reload {
	struct super *su;
	struct app *app;
	struct instance *old, *next; /* borrowed; NULL: gone, or never there */
	uv_timer_t timer;            /* owned */
	enum phase phase;
	uint64_t began_ms, ready_ms;
	bool late;
	struct retire retire;
	/* Who asked for it: borrowed, NULL when nobody waits. Not among the waiters of the
	 * instance, which hear what becomes of its own process. */
	struct order *order;
	uint32_t at;
	/* What is answered when the failed one has gone. */
	enum pm_code code;
	char what[256], hint[160];
	char *tail; /* owned */
	size_t tail_len;
	/* Another is to follow. */
	bool again;
	struct instance_order again_order;
	char again_who[16];
};

static void on_timer(uv_timer_t *timer);

static void look_after(struct reload *r, uint64_t ms)
{
	(void)uv_timer_start(&r->timer, on_timer, ms, 0); /* fails only while closing */
}

static struct reload *reload_new(struct app *app, struct instance *old, struct instance *next)
{
	struct reload *r = pm_calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->su = app->su;
	r->app = app;
	r->old = old;
	r->next = next;
	r->began_ms = pm_now_ms();
	(void)uv_timer_init(app->su->loop, &r->timer); /* never fails */
	r->timer.data = r;
	if (old != NULL)
		old->reload = r;
	if (next != NULL)
		next->reload = r;
	return r;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct reload *r = handle->data;

	free(r->tail);
	free(r);
}

static void release(struct reload *r)
{
	if (r->old != NULL)
		r->old->reload = NULL;
	if (r->next != NULL)
		r->next->reload = NULL;
	if (!uv_is_closing((uv_handle_t *)&r->timer))
		uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}

/* What it runs with may be another spec than the one that it is to be started with. */
bool reload_is_possible(const struct instance *inst)
{
	return cluster_can_share(inst->app->spec) && inst->core.life.state == LIFE_UP &&
	       inst->core.role == ROLE_NORMAL && inst->core.heirs == 0 && inst->process != NULL &&
	       inst->process->worker != NULL;
}

/* ---- the order that waits ---- */

/* The log tail is taken. */
static void answer(struct reload *r, struct instance *shown, const struct order_outcome *out)
{
	struct order *order = PM_STEAL(r->order);

	if (order != NULL)
		order_settled(order, r->at, shown, out);
	else
		free(out->log_tail);
}

static void answer_words(struct reload *r, struct instance *shown, enum pm_code code,
                         const char *words)
{
	const struct order_outcome out = { .code = code, .text = words, .hint = "" };

	answer(r, shown, &out);
}

/* ---- orders to the hidden ones ---- */

static void order_hidden(struct instance *inst, enum life_event event, enum cause cause)
{
	const struct instance_order order = { .event = event, .cause = cause, .who = "agent" };

	if (event == EV_START || !inst->closing)
		instance_give_order(inst, &order);
}

/* ---- the successor ---- */

/* It is what the other is, in the other generation, and has not run. */
static void make_successor(struct instance *next, const struct instance *old)
{
	next->core.role = ROLE_SUCCESSOR;
	next->core.generation = old->core.generation ^ 1u;
	next->core.spawns = old->core.spawns;
	next->core.restarts = old->core.restarts + 1;
	next->core.created_wall_ms = old->core.created_wall_ms;
	next->core.watching = old->core.watching;
	next->core.n_exits = old->core.n_exits;
	memcpy(next->record->exits, old->record->exits, sizeof(next->record->exits));
	inst_commit(next);
}

int reload_begin(struct instance *old, const struct instance_order *o, struct pm_error *err)
{
	struct app *app = old->app;
	const struct instance_order start = {
		.event = EV_START, .cause = o->cause, .uid = o->uid, .who = o->who
	};
	struct instance *next;
	struct reload *r;

	if (instance_create(app, old->core.pm_id, old->core.instance, &next, err) < 0)
		return -1;
	make_successor(next, old);
	if (app_add_hidden(app, next, err) < 0) {
		instance_close(next, true);
		return -1;
	}
	(void)PM_FAIL_POINT("reload.after_hidden");
	r = reload_new(app, old, next);
	if (r == NULL) {
		app_remove_instance(app, next);
		instance_close(next, true);
		return pm_fail(err, PM_NO_MEMORY, "reload");
	}
	r->order = o->order;
	r->at = o->at;
	inst_settle(old, PM_OK, false); /* what is up was started, if not for long */
	pm_log(PM_LOG_INFO, "reload.begin", "app=%s pm_id=%u pid=%d cause=%s", app->spec->name,
	       old->core.pm_id, old->core.pid, cause_word(o->cause));
	inst_note(old, "reloading: its successor is starting");
	(void)PM_FAIL_POINT("reload.before_start");
	instance_give_order(next, &start);
	look_after(r, 0);
	return 0;
}

static const char replaced_words[] = "a later order replaced this one";

/* What was to follow is not to any more. */
static void cancel_again(struct reload *r, struct instance *inst)
{
	const struct order_outcome replaced = { .code = PM_FAILED,
		                                .text = replaced_words,
		                                .hint = "" };
	struct order *order = PM_STEAL(r->again_order.order);

	r->again = false;
	if (order != NULL)
		order_settled(order, r->again_order.at, inst, &replaced);
}

void reload_again(struct instance *inst, const struct instance_order *o)
{
	struct reload *r = inst->reload;

	if (r->again && r->again_order.event == EV_DELETE && o->event != EV_DELETE) {
		inst_refuse(inst, o, PM_NOT_FOUND, "it is being deleted");
		return;
	}
	if (r->again && o->order == NULL && o->event != EV_DELETE)
		return; /* what waits does the same, and somebody may want to hear of it */
	cancel_again(r, inst);
	r->again = true;
	r->again_order = *o;
	(void)snprintf(r->again_who, sizeof(r->again_who), "%s", o->who);
	r->again_order.who = r->again_who;
}

void reload_drop_order(struct instance *inst, const struct order *order)
{
	struct reload *r = inst->reload;

	if (r == NULL)
		return;
	if (r->order == order)
		r->order = NULL;
	if (r->again_order.order == order)
		r->again_order.order = NULL;
}

/* The successor has to go; nothing else changes. */
static void fail(struct reload *r, enum pm_code code, const char *what, const char *hint)
{
	r->phase = PHASE_FAILED;
	r->code = code;
	(void)snprintf(r->what, sizeof(r->what), "%s", what);
	(void)snprintf(r->hint, sizeof(r->hint), "%s", hint);
	pm_log(PM_LOG_ERROR, "reload.fail", "app=%s pm_id=%u %s", r->app->spec->name,
	       r->next->core.pm_id, what);
	r->tail = inst_log_tail(r->next, &r->tail_len);
	(void)PM_FAIL_POINT("reload.before_fail");
	order_hidden(r->next, EV_DELETE, CAUSE_RELOAD);
	(void)PM_FAIL_POINT("reload.after_fail");
}

static void fail_by_itself(struct reload *r)
{
	const char *why = r->next->why != NULL ? r->next->why : "it did not get ready";
	char words[240];

	(void)snprintf(words, sizeof(words), "the new process failed: %.170s; the old one%s", why,
	               r->old != NULL && r->old->core.life.state == LIFE_UP ? " serves on"
	                                                                    : " is not running");
	fail(r, PM_FAILED, words, r->next->hint != NULL ? r->next->hint : "");
}

/* From its record: whoever goes on with it after us gives it no more time. */
static void retire(struct reload *r)
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
	look_after(r, 0);
}

/* The successor takes the place of the old one. */
static void swap(struct reload *r)
{
	struct instance *old = r->old, *next = r->next;

	(void)PM_FAIL_POINT("reload.before_swap");
	next->core.role = ROLE_NORMAL;
	inst_commit(next);
	(void)PM_FAIL_POINT("reload.between_roles");
	old->core.role = ROLE_RETIREE;
	inst_commit(old);
	app_swap_hidden(r->app, next, old);
	cluster_refresh(next); /* first: there is always somebody */
	cluster_refresh(old);
	(void)PM_FAIL_POINT("reload.after_swap");
	/* A start that came while the old one was down is answered, too: it is up. */
	next->waiters = PM_STEAL(old->waiters);
	orders_retarget(r->su, old, next, true);
	inst_settle(next, PM_OK, false);
	inst_note(old, "");
	inst_write_pid_file(next);
	pm_log(PM_LOG_INFO, "reload.swap", "app=%s pm_id=%u pid=%d replaces pid=%d",
	       r->app->spec->name, next->core.pm_id, next->core.pid, old->core.pid);
	events_tell(r->su, next, "online", false);
	events_tell(r->su, next, "reload", true);
	store_touched(r->su->store);
	retire(r);
	if (!life_has_process(&old->core.life)) /* or its restart would be due */
		order_hidden(old, EV_DELETE, CAUSE_RELOAD);
}

static void look_at_successor(struct reload *r)
{
	struct reload_facts facts = {
		.old = r->old != NULL ? r->old->core.life.state : LIFE_DOWN,
		.next = r->next->core.life.state,
		.began_ms = r->began_ms,
		.prove_ms = r->app->spec->min_uptime_ms,
		.late = r->late,
		.unfit = (r->next->core.said & SAID_UNFIT) != 0,
	};
	char words[INSTANCE_NOTE_MAX];
	struct reload_step step;
	uint64_t now = pm_now_ms();

	if (r->old == NULL) {
		fail(r, PM_NOT_FOUND, "it was deleted meanwhile", "");
		return;
	}
	if (facts.next == LIFE_UP && r->ready_ms == 0)
		r->ready_ms = now;
	facts.ready_ms = r->ready_ms;
	step = reload_plan(&facts, now);
	switch (step.verdict) {
	case RELOAD_WAIT:
		if (step.wait_ms > 0)
			look_after(r, step.wait_ms);
		break;
	case RELOAD_SWAP:
		swap(r);
		break;
	case RELOAD_FAIL:
		if (facts.unfit && facts.next == LIFE_UP)
			inst_fail_words(r->next, PM_FAILED, instance_note(r->next, words), "");
		fail_by_itself(r);
		break;
	}
}

/* ---- the one that goes ---- */

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
	order_hidden(old, EV_DELETE,
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

static void look_at_retiree(struct reload *r)
{
	struct instance *old = r->old;
	unsigned connections = 0;
	struct retire_step step;
	struct pm_error err;

	if (life_is_ending(&old->core.life))
		return;
	if (!life_has_process(&old->core.life)) {
		order_hidden(old, EV_DELETE, CAUSE_RELOAD);
		return;
	}
	if (r->retire.told && pm_now_ms() < r->su->connections_ms) {
		look_after(r, r->su->connections_ms - pm_now_ms());
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
		look_after(r, step.wait_ms);
		break;
	case RETIRE_WAIT:
		look_after(r, step.wait_ms);
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
			release(r);
		return pm_fail(err, PM_NO_MEMORY, "let an instance go");
	}
	inst->core.role = ROLE_RETIREE;
	inst->core.cause = o->cause;
	inst_commit(inst);
	(void)PM_FAIL_POINT("reload.after_retire");
	cluster_refresh(inst);
	retire(r);
	return 0;
}

/* ---- what happens meanwhile ---- */

static void on_timer(uv_timer_t *timer)
{
	struct reload *r = timer->data;

	switch (r->phase) {
	case PHASE_STARTING:
		look_at_successor(r);
		break;
	case PHASE_RETIRING:
		if (r->old != NULL)
			look_at_retiree(r);
		break;
	case PHASE_FAILED:
		break;
	}
}

void reload_poke(struct instance *inst)
{
	struct reload *r = inst->reload;

	if (r == NULL || r->phase == PHASE_FAILED)
		return;
	/* While retiring what the successor does is nobody's business here. */
	if (r->phase == PHASE_STARTING || inst == r->old)
		look_after(r, 0);
}

bool reload_listened(const struct instance *inst)
{
	const struct reload *r = inst->reload;

	return r != NULL && r->old != NULL && (r->old->core.said & SAID_LISTENING) != 0;
}

uint32_t reload_spawns(const struct instance *inst)
{
	const struct reload *r = inst->reload;
	const struct instance *other = r == NULL ? NULL : inst == r->old ? r->next : r->old;

	return other == NULL ? 0 : other->core.spawns;
}

void reload_not_ready(struct instance *inst)
{
	if (inst->reload == NULL)
		return; /* it is being ended */
	inst->reload->late = true;
	look_after(inst->reload, 0);
}

void reload_give_up(struct instance *inst)
{
	struct reload *r = inst->reload;

	if (r->phase != PHASE_STARTING || inst != r->old)
		return;
	inst_note(inst, "");
	answer_words(r, inst, PM_FAILED, replaced_words);
	fail(r, PM_FAILED, replaced_words, "");
}

void reload_hurry(struct instance *inst)
{
	struct reload *r = inst->reload;

	if (r->phase == PHASE_STARTING) {
		reload_give_up(inst);
	} else if (r->phase == PHASE_RETIRING && inst == r->next && r->old != NULL) {
		answer_words(r, inst, PM_OK, ""); /* it was replaced, and the rest is cut short */
		order_hidden(r->old, EV_DELETE, CAUSE_RELOAD);
	}
}

void reload_interrupt(struct instance *inst)
{
	if (inst->reload == NULL)
		return;
	cancel_again(inst->reload, inst);
	reload_hurry(inst);
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
			order_hidden(app->hidden[i - 1], EV_DELETE, CAUSE_STOP);
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

/* ---- the end ---- */

/* What was to follow. */
static void go_on(struct reload *r, struct instance *shown)
{
	const struct instance_order o = r->again_order;
	char who[16];

	memcpy(who, r->again_who, sizeof(who));
	release(r); /* r stays in memory until the loop has closed its timer */
	if (r->again && shown != NULL)
		instance_give_order(shown, &(struct instance_order){
						   .event = o.event,
						   .cause = o.cause,
						   .uid = o.uid,
						   .who = who,
						   .order = o.order,
						   .at = o.at,
						   .settle = o.settle,
						   .gated = o.event == EV_RESTART,
					   });
}

static void successor_gone(struct reload *r)
{
	struct instance *old = r->old;
	const struct order_outcome outcome = { .code = r->code,
		                               .text = r->what,
		                               .hint = r->hint,
		                               .log_tail = PM_STEAL(r->tail),
		                               .log_tail_len = r->tail_len };

	r->next->reload = NULL;
	r->next = NULL;
	if (old == NULL) {
		free(outcome.log_tail);
	} else {
		inst_note(old, "");
		answer(r, old, &outcome);
	}
	go_on(r, old);
}

static void answer_retired(struct reload *r, struct instance *next)
{
	char words[200];

	if (next->core.life.state == LIFE_UP) {
		answer_words(r, next, PM_OK, "");
		return;
	}
	(void)snprintf(words, sizeof(words),
	               "replaced, but the new process is not up any more: %.120s",
	               next->why != NULL ? next->why : life_state_word(next->core.life.state));
	answer_words(r, next, PM_FAILED, words);
}

static void retiree_gone(struct reload *r)
{
	struct instance *old = r->old, *next = r->next;

	old->reload = NULL;
	r->old = NULL;
	pm_log(PM_LOG_INFO, "reload.done", "app=%s pm_id=%u after %llu ms", r->app->spec->name,
	       old->core.pm_id, (unsigned long long)(pm_now_ms() - r->began_ms));
	cluster_sweep_late(r->app, old->core.instance, old->core.generation);
	if (next != NULL)
		answer_retired(r, next);
	go_on(r, next);
}

void reload_forget(struct instance *inst)
{
	struct reload *r = inst->reload;

	if (r == NULL)
		return;
	if (r->phase == PHASE_RETIRING && inst == r->old) {
		retiree_gone(r);
	} else if (r->phase != PHASE_RETIRING && inst == r->next) {
		successor_gone(r);
	} else { /* the one that commands see; the hidden one is being ended */
		inst->reload = NULL;
		*(inst == r->old ? &r->old : &r->next) = NULL;
		r->order = r->again_order.order = NULL; /* orders_forget() answers them */
	}
}

void reload_close(struct instance *inst)
{
	struct reload *r = inst->reload;

	if (r != NULL)
		release(r);
}

/* ---- after a death ---- */

static void resume_one(struct app *app, struct instance *hidden)
{
	struct instance *shown = app_find_shown(app, hidden->core.pm_id);
	struct reload *r;

	if (hidden->reload != NULL)
		return;
	if (hidden->core.role == ROLE_SUCCESSOR && (shown == NULL || shown->reload != NULL)) {
		order_hidden(hidden, EV_DELETE, CAUSE_RELOAD);
		return;
	}
	r = hidden->core.role == ROLE_SUCCESSOR
	            ? reload_new(app, shown, hidden)
	            : reload_new(app, hidden,
	                         shown != NULL && shown->reload == NULL ? shown : NULL);
	if (r == NULL) {
		order_hidden(hidden, EV_DELETE, CAUSE_RELOAD);
		return;
	}
	pm_log(PM_LOG_INFO, "reload.resume", "app=%s pm_id=%u role=%u", app->spec->name,
	       hidden->core.pm_id, hidden->core.role);
	if (hidden->core.role == ROLE_SUCCESSOR)
		look_after(r, 0);
	else
		retire(r);
	if (hidden->core.role == ROLE_RETIREE && shown != NULL)
		inst_write_pid_file(shown); /* the swap may not have got to that */
}

void reload_resume(struct app *app)
{
	/* Ordering one to go may take it out of the list at once. */
	for (size_t i = app->n_hidden; i > 0; i--)
		if (i <= app->n_hidden)
			resume_one(app, app->hidden[i - 1]);
}
