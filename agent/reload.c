#include "agent/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/app.h"
#include "agent/cluster.h"
#include "agent/events.h"
#include "agent/order.h"
#include "agent/process.h"
#include "agent/reload_priv.h"
#include "agent/store.h"
#include "proto/failpoint.h"
#include "proto/log.h"

static void on_timer(uv_timer_t *timer);

void reload_look_after(struct reload *r, uint64_t ms)
{
	(void)uv_timer_start(&r->timer, on_timer, ms, 0); /* fails only while closing */
}

struct reload *reload_new(struct app *app, struct instance *old, struct instance *next)
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

void reload_release(struct reload *r)
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

void reload_order_hidden(struct instance *inst, enum life_event event, enum cause cause)
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

static void note_start(const struct reload *r)
{
	const struct instance *next = r->next;
	char words[INSTANCE_NOTE_MAX];

	(void)snprintf(words, sizeof(words), "reloading: its successor is %.160s",
	               next->core.life.state == LIFE_HELD && next->why != NULL ? next->why
	                                                                       : "starting");
	inst_note(r->old, words);
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
	note_start(r);
	(void)PM_FAIL_POINT("reload.before_start");
	instance_give_order(next, &start);
	reload_look_after(r, 0);
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
	reload_order_hidden(r->next, EV_DELETE, CAUSE_RELOAD);
	(void)PM_FAIL_POINT("reload.after_fail");
}

static void fail_by_itself(struct reload *r, enum pm_code code)
{
	const char *why = r->next->why != NULL ? r->next->why : "it did not get ready";
	char words[240];

	(void)snprintf(words, sizeof(words), "the new process failed: %.170s; the old one%s", why,
	               r->old != NULL && r->old->core.life.state == LIFE_UP ? " serves on"
	                                                                    : " is not running");
	/* It is not going to be tried again: the hint of one that waits would say so. */
	fail(r, code, words,
	     r->next->core.life.state == LIFE_HELD ? "free what there is not enough of, then reload"
	     : r->next->hint != NULL               ? r->next->hint
	                                           : "");
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
	reload_begin_retiring(r);
	if (!life_has_process(&old->core.life)) /* or its restart would be due */
		reload_order_hidden(old, EV_DELETE, CAUSE_RELOAD);
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
		note_start(r);
		if (step.wait_ms > 0)
			reload_look_after(r, step.wait_ms);
		break;
	case RELOAD_SWAP:
		swap(r);
		break;
	case RELOAD_FAIL:
		if (facts.unfit && facts.next == LIFE_UP)
			inst_fail_words(r->next, PM_FAILED, instance_note(r->next, words), "");
		fail_by_itself(r, PM_FAILED);
		break;
	}
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
			reload_look_at_retiree(r);
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
		reload_look_after(r, 0);
}

bool reload_listened(const struct instance *inst)
{
	const struct reload *r = inst->reload;

	return r != NULL && r->old != NULL && (r->old->core.said & SAID_LISTENING) != 0;
}

bool reload_had_asked(const struct instance *inst)
{
	const struct reload *r = inst->reload;

	return r != NULL && r->old != NULL && cluster_has_asked(r->old);
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
	reload_look_after(inst->reload, 0);
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

bool reload_time_is_up(struct instance *inst, const struct order *order)
{
	struct reload *r = inst->reload;

	if (r == NULL || r->order != order)
		return false;
	switch (r->phase) {
	case PHASE_STARTING:
		if (r->next->core.life.state != LIFE_HELD) /* that has said what it waits for */
			inst_gate_late(r->next, pm_now_ms() - r->began_ms);
		fail_by_itself(r, PM_DEADLINE);
		break;
	case PHASE_RETIRING:
		answer_words(r, inst, PM_OK, "");
		break;
	case PHASE_FAILED:
		break;
	}
	return true;
}

void reload_hurry(struct instance *inst)
{
	struct reload *r = inst->reload;

	if (r->phase == PHASE_STARTING) {
		reload_give_up(inst);
	} else if (r->phase == PHASE_RETIRING && inst == r->next && r->old != NULL) {
		answer_words(r, inst, PM_OK, ""); /* it was replaced, and the rest is cut short */
		reload_order_hidden(r->old, EV_DELETE, CAUSE_RELOAD);
	}
}

void reload_interrupt(struct instance *inst)
{
	if (inst->reload == NULL)
		return;
	cancel_again(inst->reload, inst);
	reload_hurry(inst);
}

/* ---- the end ---- */

/* What was to follow. */
static void go_on(struct reload *r, struct instance *shown)
{
	const struct instance_order o = r->again_order;
	char who[16];

	memcpy(who, r->again_who, sizeof(who));
	reload_release(r); /* r stays in memory until the loop has closed its timer */
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
		reload_release(r);
}

/* ---- after a death ---- */

static void resume_one(struct app *app, struct instance *hidden)
{
	struct instance *shown = app_find_shown(app, hidden->core.pm_id);
	struct reload *r;

	if (hidden->reload != NULL)
		return;
	if (hidden->core.role == ROLE_SUCCESSOR && (shown == NULL || shown->reload != NULL)) {
		reload_order_hidden(hidden, EV_DELETE, CAUSE_RELOAD);
		return;
	}
	r = hidden->core.role == ROLE_SUCCESSOR
	            ? reload_new(app, shown, hidden)
	            : reload_new(app, hidden,
	                         shown != NULL && shown->reload == NULL ? shown : NULL);
	if (r == NULL) {
		reload_order_hidden(hidden, EV_DELETE, CAUSE_RELOAD);
		return;
	}
	pm_log(PM_LOG_INFO, "reload.resume", "app=%s pm_id=%u role=%u", app->spec->name,
	       hidden->core.pm_id, hidden->core.role);
	if (hidden->core.role == ROLE_SUCCESSOR)
		reload_look_after(r, 0);
	else
		reload_begin_retiring(r);
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
