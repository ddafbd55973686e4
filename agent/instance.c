#include "agent/instance_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/checks.h"
#include "agent/cluster.h"
#include "agent/events.h"
#include "agent/order.h"
#include "agent/process.h"
#include "agent/reload.h"
#include "agent/sample.h"
#include "agent/store.h"
#include "agent/turns.h"
#include "proto/failpoint.h"
#include "proto/log.h"

/* No room to fork: the next try. */
#define SPAWN_RETRY_MS 1000
static void on_timer(uv_timer_t *timer);

void inst_arm(struct instance *inst, uint64_t ms)
{
	if (!inst->closing)
		(void)uv_timer_start(&inst->timer, on_timer, ms, 0); /* fails only while closing */
}

void inst_disarm(struct instance *inst)
{
	(void)uv_timer_stop(&inst->timer); /* never fails */
}
/* ---- the life cycle ---- */

static void on_timer(uv_timer_t *timer)
{
	struct instance *inst = timer->data;
	bool due = pm_now_ms() >= inst->core.deadline_ms;

	switch (inst->core.life.state) {
	case LIFE_BACKOFF:
	case LIFE_HELD:
		inst_step(inst, EV_DELAY_OVER);
		break;
	case LIFE_UP_WAIT:
		inst_gate_over(inst);
		break;
	case LIFE_ENDING:
	case LIFE_KILLING:
		if (due && inst->core.life.state == LIFE_KILLING)
			inst_fail_words(
				inst, PM_FAILED, "stuck: it does not end, not by SIGKILL either",
				"a process in state D waits for the kernel; it is tried again");
		if (due)
			inst_step(inst, EV_KILL_TIMEOUT);
		else
			inst_check_tree(inst);
		break;
	case LIFE_UP:
		if (inst->core.heirs != 0)
			inst_check_heirs(inst);
		if (!inst->closing && inst->core.life.state == LIFE_UP)
			inst_settle(inst, PM_OK, false);
		break;
	case LIFE_DOWN:
	case LIFE_SPAWNING:
	case LIFE_ABORTING:
	case LIFE_FAILED:
		break;
	}
}

static void arm_delay(struct instance *inst)
{
	uint64_t now = pm_now_ms();

	if (inst->core.life.state == LIFE_HELD) {
		inst->core.deadline_ms = now + SPAWN_RETRY_MS;
		inst_commit(inst);
	}
	if (inst->core.deadline_ms <= now)
		inst_step(inst, EV_DELAY_OVER);
	else
		inst_arm(inst, inst->core.deadline_ms - now);
}

static void forget(struct instance *inst)
{
	struct super *su = inst->su;
	struct app *app = inst->app;

	pm_log(PM_LOG_INFO, "instance.delete", "app=%s pm_id=%u", app->spec->name,
	       inst->core.pm_id);
	if (inst->core.role == ROLE_NORMAL || inst->core.cause == CAUSE_SCALE)
		events_tell(su, inst, "delete", true);
	reload_forget(inst);
	app_remove_instance(app, inst);
	instance_close(inst, true);
	app_settle_spec(app);
	sample_refresh(su->sampler);
	store_changed(su->store);
}

/* Stopped and deleted mean that nothing is left: who waits for that goes on waiting while a hidden
 * one is being ended, and is answered when it has. */
static bool hand_on(struct instance *inst)
{
	struct instance *other = NULL;
	struct waiter **end;

	if (inst->core.life.state == LIFE_DOWN && inst->waiters != NULL)
		other = reload_left(inst);
	if (other == NULL)
		return false;
	for (end = &other->waiters; *end != NULL;)
		end = &(*end)->next;
	*end = PM_STEAL(inst->waiters);
	orders_retarget(inst->su, inst, other, false);
	return true;
}

/* Carry out actions from the lowest bit up; see enum life_action for what may follow what. */
void inst_act(struct instance *inst, uint32_t actions)
{
	struct super *su = inst->su;

	inst->leaving = (actions & ACT_FORGET) != 0;
	if (actions & (ACT_CANCEL_DELAY | ACT_CANCEL_READY | ACT_CANCEL_KILL))
		inst_disarm(inst);
	/* Before who ordered it hears, and may listen there. */
	if (!life_has_process(&inst->core.life) && !life_is_wanted(&inst->core.life))
		cluster_rest(inst->app);
	if ((actions & ACT_REPLY_OK) && !hand_on(inst))
		inst_settle(inst, PM_OK, inst->core.life.state == LIFE_UP);
	if (actions & (ACT_REPLY_FAIL | ACT_REPORT_NOT_READY))
		inst_settle(inst, inst->why_code, false);
	if (actions & ACT_ARM_KILL) {
		inst->core.deadline_ms = pm_now_ms() + instance_spec(inst)->kill_timeout_ms;
		inst_commit(inst);
	}
	if (actions & ACT_KILL)
		inst_kill_tree(inst);
	if (actions & ACT_SIGNAL)
		inst_begin_stop(inst);
	if (actions & ACT_ARM_READY)
		inst_arm_gate(inst);
	if (actions & ACT_ARM_DELAY)
		arm_delay(inst);
	if (actions & ACT_SPAWN)
		inst_spawn(inst);
	if (actions & ACT_FORGET)
		forget(inst);
	if (su->stopping)
		super_stop_check(su);
}

/* Commit a new state, and let new connections go where it says. */
static void inst_went(struct instance *inst)
{
	if (inst->core.life.state == LIFE_UP && instance_spec(inst)->n_listen > 0)
		inst->core.said |= SAID_GIVEN;
	if (inst->core.life.state != LIFE_UP)
		inst->core.awaits = CAUSE_NONE; /* it begins anew in any case, or is not to run */
	turns_touch(inst->app);
	inst_commit(inst);
	cluster_refresh(inst);
	inst_refresh_checks(inst, false);
}

uint32_t inst_advance(struct instance *inst, enum life_event event)
{
	bool wanted = life_is_wanted(&inst->core.life);
	uint32_t actions = life_step(&inst->core.life, event);

	if (life_is_wanted(&inst->core.life) != wanted)
		store_changed(inst->su->store); /* what gave up stays down over a reboot */
	if (actions & ACT_CLEAR)
		restart_clear(&inst->core.restart);
	if (actions & ACT_COUNT_RESTART)
		inst->core.restarts++;
	/* An exit that stands for a run that was up and waited on by a start. */
	if (inst->waiters != NULL && inst->core.life.state != LIFE_UP &&
	    (event == EV_EXIT_RESTART || event == EV_EXIT_DOWN || event == EV_EXIT_GIVE_UP))
		actions |= ACT_REPLY_FAIL;
	/* That it ends is what is waited for, however it does; it is deleted then. */
	if (inst->core.role == ROLE_RETIREE)
		actions &= ~(uint32_t)ACT_REPLY_FAIL;
	if (actions & ACT_SPAWN)
		inst_prepare_spawn(inst);
	inst_went(inst);
	return actions;
}

/* After a step was carried out, perhaps the last one. */
void inst_after_step(struct instance *inst)
{
	if (inst->closing)
		return;
	reload_poke(inst);
}

void inst_step(struct instance *inst, enum life_event event)
{
	inst_act(inst, inst_advance(inst, event));
	inst_after_step(inst);
}

static bool is_start_event(enum life_event event)
{
	return event == EV_START || event == EV_RESTART;
}

/* What a successor carries out, or a quiet end. Returns whether the order was taken. */
static bool give_reload(struct instance *inst, const struct instance_order *o)
{
	bool scale = o->event == EV_DELETE && o->cause == CAUSE_SCALE;
	struct pm_error err;

	if (inst->reload != NULL && o->event == EV_START && inst->core.life.state == LIFE_UP) {
		inst_refuse(inst, o, PM_OK, ""); /* it is up, whatever becomes of the reload */
		return true;
	}
	if (inst->reload != NULL && (o->gated || scale)) {
		if (!scale && !o->force && o->order != NULL) {
			inst_refuse(inst, o, PM_LOCKED, "a reload of it is under way");
			return true;
		}
		reload_again(inst, o);
		if (scale)
			reload_give_up(inst);
		else if (o->force)
			reload_hurry(inst);
		return true;
	}
	if (o->gated && reload_is_possible(inst)) {
		if (reload_begin(inst, o, &err) < 0)
			inst_refuse(inst, o, err.code, err.what);
		return true;
	}
	if (scale && reload_is_possible(inst) && reload_retire(inst, o, &err) == 0)
		return true;
	if (o->event != EV_START)
		reload_interrupt(inst);
	return false;
}

void instance_give_order(struct instance *inst, const struct instance_order *o)
{
	struct life before = inst->core.life;
	uint32_t actions;

	if (is_start_event(o->event) && inst->su->stopping) {
		inst_refuse(inst, o, PM_LOCKED, "the agent is stopping");
		return;
	}
	if (is_start_event(o->event) && inst->core.role == ROLE_RETIREE) {
		inst_refuse(inst, o, PM_NOT_FOUND, "it is being deleted");
		return;
	}
	if (inst->core.awaits != CAUSE_NONE)
		instance_set_awaits(inst, CAUSE_NONE);
	inst->core.order_uid = o->uid;
	(void)snprintf(inst->core.order, sizeof(inst->core.order), "%s (%s)", cause_word(o->cause),
	               o->who);
	if (inst->core.role == ROLE_NORMAL && give_reload(inst, o))
		return;
	if (o->event == EV_RESTART || (o->event == EV_START && !life_is_wanted(&before)))
		inst->core.spec_no = inst->app->spec_no; /* what it crashes with it keeps */
	actions = life_step(&inst->core.life, o->event);
	/* Those who wait for a retiree to go wait on. */
	if ((actions & ACT_SUPERSEDED) && inst->core.role == ROLE_NORMAL) {
		/* What was up was started, even if it did not stay so for long. */
		inst_fail_words(inst, PM_FAILED, "a later order replaced this one", "");
		inst_settle(inst, before.state == LIFE_UP ? PM_OK : PM_FAILED, false);
	}
	if (actions & ACT_REFUSE) {
		inst_refuse(inst, o, PM_NOT_FOUND, "it is being deleted");
		return;
	}
	if (o->order != NULL && !inst_add_waiter(inst, o))
		inst_refuse(inst, o, PM_NO_MEMORY, "out of memory");
	if (life_is_ending(&inst->core.life) &&
	    (!life_is_ending(&before) || before.after != inst->core.life.after))
		inst->core.cause = o->cause;
	if (actions & ACT_CLEAR)
		restart_clear(&inst->core.restart);
	if (actions & ACT_COUNT_RESTART)
		inst->core.restarts++;
	if (actions & ACT_SPAWN)
		inst_prepare_spawn(inst);
	inst->wanted = false; /* the state says it from here on */
	inst_went(inst);
	(void)PM_FAIL_POINT("instance.after_order_commit");
	if (inst->core.life.state == LIFE_UP && o->event == EV_START && o->settle &&
	    inst->core.heirs == 0 && !uv_is_active((uv_handle_t *)&inst->timer))
		inst_arm(inst, 1); /* it is up already: answer from the loop */
	inst_act(inst, actions);
	inst_after_step(inst);
	if (!is_start_event(o->event) && inst->core.role == ROLE_NORMAL)
		reload_end_retirees(inst->app);
}

void instance_set_watching(struct instance *inst, bool on)
{
	if (inst->core.watching == on)
		return;
	inst->core.watching = on;
	inst_commit(inst);
}

void instance_reset(struct instance *inst)
{
	restart_clear(&inst->core.restart);
	inst->core.restarts = 0;
	inst->core.created_wall_ms = pm_wall_ms();
	inst_commit(inst);
}

/* ---- life time ---- */

static struct instance *instance_new(struct app *app, struct inst_record *record, uint32_t index)
{
	struct instance *inst = pm_calloc(1, sizeof(*inst));

	if (inst == NULL)
		return NULL;
	inst->su = app->su;
	inst->app = app;
	inst->record = record;
	inst->index = index;
	(void)uv_timer_init(app->su->loop, &inst->timer); /* never fails */
	inst->timer.data = inst;
	return inst;
}

int instance_create(struct app *app, uint32_t pm_id, uint32_t number, struct instance **out,
                    struct pm_error *err)
{
	uint32_t index;
	struct inst_record *record = arena_inst_take(app->su->arena, &index);
	struct instance *inst;

	if (record == NULL)
		return pm_fail(err, PM_LIMIT, "more than %d instances", PM_SLOTS_MAX);
	inst = instance_new(app, record, index);
	if (inst == NULL) {
		arena_inst_free(app->su->arena, index);
		return pm_fail(err, PM_NO_MEMORY, "a new instance");
	}
	inst->core = (struct inst_core){
		.pm_id = pm_id,
		.app_serial = app->serial,
		.instance = number,
		.slot = SLOT_NONE,
		.created_wall_ms = pm_wall_ms(),
		.spec_no = app->spec_no,
		.watching = app->spec->watch,
		/* Grows with each start; tags of processes that outlived a former agent differ from
		   ours. */
		.spawns = (uint32_t)(pm_wall_ms() / 1000),
	};
	inst_commit(inst);
	*out = inst;
	return 0;
}

int instance_adopt(struct app *app, uint32_t index, struct instance **out, struct pm_error *err)
{
	struct inst_record *record = arena_inst(app->su->arena, index);
	struct instance *inst = instance_new(app, record, index);

	if (inst == NULL)
		return pm_fail(err, PM_NO_MEMORY, "adopt an instance");
	inst->core = *inst_core_get(record);
	*out = inst;
	return 0;
}

void instance_set_process(struct instance *inst, struct process *p)
{
	inst->process = p;
	inst->core.slot = p->slot;
	inst->core.pid = p->pid;
	inst->core.start_ticks = p->start_ticks;
	if (p->tag != 0)
		inst->core.tag = p->tag;
	inst_commit(inst);
}

void instance_set_replaced(struct instance *inst)
{
	inst->core.role = ROLE_RETIREE;
	inst_commit(inst);
}

void instance_restore(struct instance *inst, const Pm__SavedInstance *saved)
{
	inst->core.restarts = saved->restarts;
	inst->core.created_wall_ms = saved->created_wall_ms;
	inst->core.life.state = saved->errored ? LIFE_FAILED : LIFE_DOWN;
	inst->wanted = saved->wanted;
	inst_commit(inst);
}

bool instance_take_wanted(struct instance *inst)
{
	bool wanted = inst->wanted;

	inst->wanted = false;
	return wanted;
}

bool instance_is_leaving(const struct instance *inst)
{
	return inst->leaving;
}

bool instance_is_intended(const struct instance *inst)
{
	return inst->wanted;
}

void instance_intend(struct instance *inst)
{
	inst->wanted = !life_has_process(&inst->core.life);
}

bool instance_never_ran(const struct instance *inst)
{
	return inst->core.life.state == LIFE_DOWN && inst->core.started_ms == 0;
}

void instance_set_up(struct instance *inst)
{
	uint64_t now = pm_now_ms();
	uint64_t began = inst->core.start_ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);

	inst->core.life.state = LIFE_UP;
	inst->core.started_ms = PM_MIN(began, now);
	inst->core.started_wall_ms = pm_wall_ms() - (int64_t)(now - inst->core.started_ms);
	inst_commit(inst);
}

static void resume_timer(struct instance *inst)
{
	uint64_t now = pm_now_ms(), at = inst->core.deadline_ms;

	inst_arm(inst, at > now ? at - now : 1);
}

void instance_resume(struct instance *inst)
{
	bool alive = inst->process != NULL;

	switch (inst->core.life.state) {
	case LIFE_DOWN:
	case LIFE_FAILED:
		break;
	case LIFE_SPAWNING:
		if (alive)
			inst_step(inst, EV_SPAWNED);
		else
			inst_spawn(inst); /* the keeper never heard of it */
		break;
	case LIFE_ABORTING:
		if (!alive)
			inst->core.slot = SLOT_NONE;
		inst_step(inst, alive ? EV_SPAWNED : EV_SPAWN_FAILED);
		break;
	case LIFE_UP_WAIT:
	case LIFE_BACKOFF:
	case LIFE_HELD:
		resume_timer(inst);
		break;
	case LIFE_ENDING:
	case LIFE_KILLING:
		inst->poll_ms = POLL_MIN_MS;
		inst_arm(inst, 1);
		break;
	case LIFE_UP:
		inst->poll_ms = POLL_MIN_MS;
		if (inst->core.heirs != 0)
			inst_arm(inst, 1);
		break;
	}
	if (inst->closing)
		return;
	cluster_refresh(inst);
	inst_refresh_checks(inst, true);
	turns_resume(inst);
	if (alive)
		inst_mend_pid_file(inst);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct instance *inst = handle->data;

	free(inst->note);
	free(inst->status);
	free(inst->why);
	free(inst->hint);
	free(inst);
}

void instance_close(struct instance *inst, bool forget_it)
{
	if (inst->closing)
		return;
	inst->closing = true;
	checks_close(PM_STEAL(inst->checks));
	reload_close(inst);
	if (forget_it)
		orders_forget(inst->su, inst);
	while (inst->waiters != NULL) {
		struct waiter *w = inst->waiters;

		inst->waiters = w->next;
		free(w);
	}
	if (inst->process != NULL) {
		inst->process->inst = NULL;
		if (forget_it)
			process_let_go(PM_STEAL(inst->process));
	}
	if (forget_it)
		arena_inst_free(inst->su->arena, inst->index);
	(void)PM_FAIL_POINT("instance.after_forget");
	uv_close((uv_handle_t *)&inst->timer, on_timer_closed);
}
