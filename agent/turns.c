#include "agent/turns.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/app.h"
#include "agent/liaison.h"
#include "agent/reload.h"
#include "agent/turn.h"
#include "proto/log.h"

#define AWAY_MS 5000 /* a coordinator that starts anew is back by then */

struct turns {
	struct app *app;  /* borrowed */
	uv_timer_t timer; /* owned */
	struct turn turn;
	uint64_t floor_ms; /* since when one waits for another to be up; 0: none does */
};

static void on_timer(uv_timer_t *timer);

/* ---- its instances ---- */

static bool waits(const struct instance *inst)
{
	return instance_core(inst)->awaits != CAUSE_NONE;
}

static bool is_well(const struct instance *inst)
{
	const struct inst_core *core = instance_core(inst);

	return core->life.state == LIFE_UP && (core->said & SAID_UNFIT) == 0;
}

static void look(const struct turns *t, struct turn_facts *out)
{
	const struct app *app = t->app;
	uint64_t down_ms;

	*out = (struct turn_facts){ 0 };
	out->possible = liaison_gives_slots(app->su, &out->connected, &down_ms);
	out->away = !out->connected && down_ms >= AWAY_MS;
	for (size_t i = 0; i < app->n; i++) {
		out->n_waiting += waits(app->instances[i]);
		out->n_out += instance_is_out(app->instances[i]);
	}
}

/* ---- what is said ---- */

static const char *max_down_of(const struct app *app)
{
	const char *value = "";

	for (size_t i = 0; i < app->spec->n_rollout; i++) {
		const Pm__RolloutOption *o = app->spec->rollout[i];

		if (strcmp(o->name, "max_down") == 0 || strcmp(o->name, "max-down") == 0)
			value = o->value;
	}
	return value;
}

static enum cause why(const struct app *app)
{
	for (size_t i = 0; i < app->n; i++)
		if (waits(app->instances[i]))
			return (enum cause)instance_core(app->instances[i])->awaits;
	return CAUSE_NONE;
}

static void ask(const struct turns *t, const struct turn_facts *f, bool held)
{
	const struct app *app = t->app;
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__SlotRequest req = PM__SLOT_REQUEST__INIT;
	const char *reason = cause_word(why(app));

	req.app = app->spec->name;
	req.reason = (char *)(uintptr_t)reason; /* packing does not write, here and below */
	req.instances = (uint32_t)(f->n_waiting + f->n_out);
	req.max_down = (char *)(uintptr_t)max_down_of(app);
	req.held = held;
	env.body_case = PM__ENVELOPE__BODY_SLOT_REQUEST;
	env.slot_request = &req;
	liaison_send(app->su, &env);
	if (!held)
		pm_log(PM_LOG_INFO, "turn.ask", "app=%s instances=%zu cause=\"%s\"",
		       app->spec->name, f->n_waiting, reason);
}

static void release(const struct turns *t)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__SlotRelease rel = PM__SLOT_RELEASE__INIT;

	rel.app = t->app->spec->name;
	env.body_case = PM__ENVELOPE__BODY_SLOT_RELEASE;
	env.slot_release = &rel;
	liaison_send(t->app->su, &env);
}

/* ---- restarts ---- */

static void order(struct instance *inst, enum cause cause)
{
	const struct instance_order o = {
		.event = EV_RESTART,
		.cause = cause,
		.uid = 0,
		.who = "agent",
		.gated = true, /* where instances can be replaced, nobody notices */
	};

	instance_give_order(inst, &o);
}

/* One that is not well takes nothing away, and one that is replaced is never down. */
static bool leaves_one(const struct instance *inst)
{
	const struct app *app = instance_app(inst);
	uint32_t cause = instance_core(inst)->awaits;
	size_t n_well = 0, n_coming = 0;

	if (!is_well(inst) || reload_is_possible(inst) || cause == CAUSE_LIVE ||
	    cause == CAUSE_WATCHDOG)
		return true;
	for (size_t i = 0; i < app->n; i++) {
		const struct instance *other = app->instances[i];
		const struct life *life = &instance_core(other)->life;

		if (other == inst)
			continue;
		n_well += is_well(other);
		n_coming += life->state != LIFE_UP && life_is_wanted(life);
	}
	return turn_leaves_one(n_well, n_coming);
}

static bool may_go(struct turns *t, const struct instance *inst, uint64_t now_ms)
{
	if (leaves_one(inst))
		return true;
	if (t->floor_ms == 0)
		t->floor_ms = now_ms;
	return now_ms - t->floor_ms >= PM_BUDGET_WAIT_MS; /* it does not come up, it seems */
}

/* Returns whether any went. */
static bool go(struct turns *t, uint64_t now_ms)
{
	struct app *app = t->app;
	size_t n = 0;

	for (size_t i = 0; i < app->n; i++) {
		struct instance *inst = app->instances[i];
		enum cause cause = (enum cause)instance_core(inst)->awaits;

		if (!waits(inst) || !may_go(t, inst, now_ms))
			continue;
		instance_set_out(inst);
		n++;
		order(inst, cause);
	}
	if (n == 0)
		return false;
	t->floor_ms = 0;
	pm_log(PM_LOG_INFO, "turn.go", "app=%s instances=%zu %s waited_ms=%" PRIu64,
	       app->spec->name, n, t->turn.state == TURN_GRANTED ? "with a slot" : "without a slot",
	       t->turn.went_ms - t->turn.asked_ms);
	return true;
}

static void arm(struct turns *t, uint64_t at_ms, uint64_t now_ms)
{
	if (t->floor_ms != 0 && (at_ms == 0 || at_ms > t->floor_ms + PM_BUDGET_WAIT_MS))
		at_ms = t->floor_ms + PM_BUDGET_WAIT_MS;
	if (at_ms != 0) /* cannot fail */
		(void)uv_timer_start(&t->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 1, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct turns *t = timer->data;
	uint64_t now_ms = pm_now_ms();
	struct turn_facts f;
	struct turn_step step;

	if (t->app->su->stopping)
		return;
	look(t, &f);
	step = turn_next(&t->turn, &f, now_ms);
	if (step.acts & (TURN_ASK | TURN_CLAIM))
		ask(t, &f, (step.acts & TURN_CLAIM) != 0);
	if (step.acts & TURN_RELEASE)
		release(t);
	if (step.acts & TURN_END) {
		turns_close(t->app);
		return;
	}
	if ((step.acts & TURN_GO) != 0 && go(t, now_ms))
		turns_touch(t->app); /* to look anew */
	else
		arm(t, step.wake_ms, now_ms);
}

void turns_touch(struct app *app)
{
	if (app->turns != NULL)
		(void)uv_timer_start(&app->turns->timer, on_timer, 0, 0); /* cannot fail */
}

static bool make(struct app *app)
{
	struct turns *t = app->turns;

	if (t != NULL)
		return true;
	t = pm_calloc(1, sizeof(*t));
	if (t == NULL)
		return false;
	t->app = app;
	(void)uv_timer_init(app->su->loop, &t->timer); /* never fails */
	t->timer.data = t;
	app->turns = t;
	return true;
}

void turns_restart(struct instance *inst, enum cause cause)
{
	struct super *su = instance_super(inst);
	bool connected;
	uint64_t down_ms;

	if (waits(inst))
		return;
	if (instance_core(inst)->life.state != LIFE_UP ||
	    !liaison_gives_slots(su, &connected, &down_ms) || !make(instance_app(inst))) {
		order(inst, cause);
		return;
	}
	instance_set_awaits(inst, cause);
	turns_touch(instance_app(inst));
}

void turns_resume(struct instance *inst)
{
	const struct inst_core *core = instance_core(inst);

	if (!waits(inst))
		return;
	if (core->life.state != LIFE_UP || core->role != ROLE_NORMAL ||
	    *cause_word((enum cause)core->awaits) == '\0' || !make(instance_app(inst)))
		instance_set_awaits(inst, CAUSE_NONE);
	turns_touch(instance_app(inst));
}

void turns_forgive(struct instance *inst, enum cause cause)
{
	if (instance_core(inst)->awaits != (uint32_t)cause)
		return;
	instance_set_awaits(inst, CAUSE_NONE);
	turns_touch(instance_app(inst));
}

/* ---- from the liaison ---- */

void turns_on_session(struct super *su)
{
	for (struct app *app = su->apps; app != NULL; app = app->next)
		if (app->turns != NULL) {
			turn_new_session(&app->turns->turn);
			turns_touch(app);
		}
}

void turns_on_slot(struct super *su, const Pm__Slot *slot)
{
	struct app *app = app_find_name(su, slot->app);

	if (app == NULL || app->turns == NULL)
		return; /* an operator was quicker */
	if (slot->granted)
		turn_granted(&app->turns->turn, pm_now_ms());
	else
		turn_waits(&app->turns->turn, slot->n_before, pm_now_ms());
	turns_touch(app);
}

/* ---- the end ---- */

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void turns_close(struct app *app)
{
	struct turns *t = PM_STEAL(app->turns);

	if (t != NULL)
		uv_close((uv_handle_t *)&t->timer, on_closed);
}
