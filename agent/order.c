#include "agent/order.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/app.h"
#include "agent/order_about.h"
#include "agent/order_deps.h"
#include "agent/order_words.h"
#include "agent/reload.h"
#include "agent/status.h"
#include "agent/store.h"
#include "proto/failpoint.h"
#include "proto/log.h"

/* After a command on this many instances the heap is given back to the system. */
#define TRIM_FROM 64

enum item_state {
	ITEM_WAITING,
	ITEM_RUNNING,
	ITEM_DONE,
};

struct item {
	struct instance *inst; /* borrowed until it has settled */
	uint32_t pm_id, app_serial;
	bool has_id, existed;
	bool was_up; /* a start found it running */
	char name[PM_NAME_MAX + 1];
	enum life_event event;
	enum cause cause;
	enum item_state state;
	enum pm_code code;
	char *text, *hint, *tail; /* owned */
	size_t tail_len;
	uint32_t pid;
	Pm__LifeState shown;
};

struct order {
	struct super *su;
	struct order *next;      /* in su->orders */
	struct session *session; /* a reference; NULL: nobody waits */
	uint64_t id;
	uint32_t parallel;
	bool no_wait, settle, gated, force, gives_up;
	uid_t uid;
	char who[16];
	struct item *items; /* owned */
	size_t n, cap;
	size_t n_running, n_done;
	size_t first_waiting;      /* those before it wait no more */
	struct order_deps *deps;   /* owned; NULL: nothing here depends on anything */
	struct order_about *about; /* owned; NULL: no app of it was there before */
	uint64_t started_ms;
	uv_timer_t *deadline; /* owned; NULL: none */
	uv_timer_t *patience; /* owned; runs while an item may wait too long for a dependency */
	bool running;         /* order_run() is on the stack: do not free */
	bool wake;            /* items were taken from it: it goes on or is done */
	bool changes;         /* something is to be done: the answer waits until it is on disk */
	bool saving;          /* that it does */
	bool answered;        /* before it was done, as nobody wanted to wait */
};

static uv_timer_t *make_timer(struct order *o)
{
	uv_timer_t *timer = pm_calloc(1, sizeof(*timer));

	if (timer == NULL)
		return NULL;
	(void)uv_timer_init(o->su->loop, timer); /* never fails */
	timer->data = o;
	return timer;
}

int order_create(const struct order_config *config, struct order **out, struct pm_error *err)
{
	struct order *o = pm_calloc(1, sizeof(*o));

	if (o == NULL)
		return pm_fail(err, PM_NO_MEMORY, "carry out the command");
	o->su = config->su;
	o->id = config->id;
	o->parallel = config->parallel == 0 ? UINT32_MAX : config->parallel;
	o->no_wait = config->no_wait;
	o->settle = config->settle;
	o->gated = config->gated;
	o->force = config->force;
	o->gives_up = config->gives_up;
	(void)snprintf(o->who, sizeof(o->who), "agent");
	if (config->session != NULL) {
		o->session = session_ref(config->session);
		o->uid = session_uid(config->session);
		(void)snprintf(o->who, sizeof(o->who), "%.15s", session_who(config->session));
	}
	if (config->timeout_ms != 0) {
		o->deadline = make_timer(o);
		if (o->deadline == NULL) {
			session_unref(o->session);
			free(o);
			return pm_fail(err, PM_NO_MEMORY, "carry out the command");
		}
		uv_update_time(o->su->loop);
		(void)uv_timer_start(o->deadline, order_on_deadline, config->timeout_ms, 0);
	}
	o->next = o->su->orders;
	o->su->orders = o;
	*out = o;
	return 0;
}

static struct item *add_item(struct order *o, struct pm_error *err)
{
	if (o->n == o->cap) {
		size_t cap = o->cap == 0 ? 8 : o->cap * 2;
		struct item *more = pm_realloc(o->items, cap * sizeof(struct item));

		if (more == NULL) {
			pm_fail(err, PM_NO_MEMORY, "carry out the command");
			return NULL;
		}
		o->items = more;
		o->cap = cap;
	}
	memset(&o->items[o->n], 0, sizeof(struct item));
	return &o->items[o->n++];
}

int order_about(struct order *o, const struct app *app, struct pm_error *err)
{
	return order_about_add(&o->about, app, err);
}

int order_add(struct order *o, struct instance *inst, enum life_event event, enum cause cause,
              bool existed, struct pm_error *err)
{
	struct item *it;

	if (existed && order_about(o, instance_app(inst), err) < 0)
		return -1;
	it = add_item(o, err);
	if (it == NULL)
		return -1;
	it->inst = inst;
	it->pm_id = instance_core(inst)->pm_id;
	it->app_serial = instance_core(inst)->app_serial;
	it->has_id = true;
	it->existed = existed;
	it->was_up = event == EV_START && instance_is_online(inst);
	it->event = event;
	it->cause = cause;
	if (event == EV_START || event == EV_RESTART)
		instance_intend(inst);
	(void)snprintf(it->name, sizeof(it->name), "%s", instance_spec(inst)->name);
	return 0;
}

static void item_done(struct order *o, struct item *it, enum pm_code code, const char *text,
                      const char *hint)
{
	it->state = ITEM_DONE;
	it->code = code;
	it->text = pm_strdup(text);
	it->hint = pm_strdup(hint);
	o->n_done++;
}

int order_add_done(struct order *o, const char *name, uint32_t pm_id, bool has_id,
                   const struct pm_error *outcome, struct pm_error *err)
{
	struct item *it = add_item(o, err);

	if (it == NULL)
		return -1;
	it->pm_id = pm_id;
	it->has_id = has_id;
	(void)snprintf(it->name, sizeof(it->name), "%s", name);
	item_done(o, it, outcome->code, outcome->what, outcome->hint);
	return 0;
}

int order_add_settled(struct order *o, struct instance *inst, const char *words,
                      struct pm_error *err)
{
	struct item *it;

	if (order_about(o, instance_app(inst), err) < 0)
		return -1;
	it = add_item(o, err);
	if (it == NULL)
		return -1;
	it->pm_id = instance_core(inst)->pm_id;
	it->app_serial = instance_core(inst)->app_serial;
	it->has_id = it->existed = true;
	it->event = EV_RESTART;
	it->pid = (uint32_t)instance_core(inst)->pid;
	it->shown = status_life(instance_core(inst)->life.state);
	(void)snprintf(it->name, sizeof(it->name), "%s", instance_spec(inst)->name);
	item_done(o, it, PM_OK, words, "");
	return 0;
}

/* ---- answers ---- */

static char empty[] = "";

static void fill_outcome(const struct item *it, Pm__Outcome *out)
{
	pm__outcome__init(out);
	out->pm_id = it->pm_id;
	out->has_id = it->has_id;
	out->name = (char *)(uintptr_t)it->name;
	out->code = it->code;
	out->text = it->text != NULL ? it->text : empty;
	out->hint = it->hint != NULL ? it->hint : empty;
	out->pid = it->pid;
	out->state = it->shown;
	out->existed = it->existed;
	out->log_tail.data = (uint8_t *)it->tail;
	out->log_tail.len = it->tail_len;
}

static enum pm_code worst(const struct order *o)
{
	enum pm_code code = PM_OK;

	for (size_t i = 0; i < o->n; i++)
		if (o->items[i].code != PM_OK && (code == PM_OK || o->n == 1))
			code = o->items[i].code;
	return code == PM_OK || o->n == 1 ? code : code == PM_EXISTS ? PM_EXISTS : PM_FAILED;
}

static void answer(struct order *o)
{
	Pm__Outcome *outcomes = pm_calloc(o->n + 1, sizeof(*outcomes));
	Pm__Outcome **list = pm_calloc(o->n + 1, sizeof(*list));
	Pm__Result result = PM__RESULT__INIT;
	struct pm_error err;

	if (o->session == NULL)
		goto out;
	if (outcomes == NULL || list == NULL) {
		(void)pm_fail(&err, PM_NO_MEMORY,
		              "answer"); /* it was done; nobody can be told how */
		session_reply_error(o->session, o->id, &err);
		goto out;
	}
	for (size_t i = 0; i < o->n; i++) {
		fill_outcome(&o->items[i], &outcomes[i]);
		if (o->items[i].app_serial != 0)
			order_about_fill(o->about, o->su, o->items[i].app_serial, &outcomes[i]);
		if (o->items[i].event == EV_DELETE && o->items[i].cause == CAUSE_DELETE) {
			outcomes[i].spec_to.len = 0; /* others of the app may not be gone yet */
			outcomes[i].version_to = empty;
		}
		list[i] = &outcomes[i];
	}
	result.code = worst(o);
	result.text = empty;
	result.hint = empty;
	result.outcomes = list;
	result.n_outcomes = o->n;
	session_reply_result(o->session, o->id, &result);
out:
	free(outcomes);
	free(list);
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle);
}

static void order_free(struct order *o)
{
	struct order **at = &o->su->orders;

	while (*at != NULL && *at != o)
		at = &(*at)->next;
	if (*at != NULL)
		*at = o->next;
	for (size_t i = 0; i < o->n; i++) {
		free(o->items[i].text);
		free(o->items[i].hint);
		free(o->items[i].tail);
	}
	if (o->deadline != NULL)
		uv_close((uv_handle_t *)o->deadline, on_timer_closed);
	if (o->patience != NULL)
		uv_close((uv_handle_t *)o->patience, on_timer_closed);
	order_deps_destroy(o->deps);
	order_about_destroy(o->about);
	session_unref(o->session);
	free(o->items);
	if (o->n >= TRIM_FROM)
		(void)malloc_trim(0); /* of so many messages; whether it helped is no matter */
	free(o);
}

void order_cancel(struct order *o)
{
	order_free(o);
}

/* ---- running ---- */

static bool starts(const struct item *it)
{
	return it->event == EV_START || it->event == EV_RESTART;
}

static void start_item(struct order *o, size_t at)
{
	struct item *it = &o->items[at];
	struct instance *inst = it->inst;
	const struct instance_order order = {
		.event = it->event,
		.cause = it->cause,
		.uid = o->uid,
		.who = o->who,
		.order = o->no_wait ? NULL : o,
		.at = (uint32_t)at,
		.settle = o->settle,
		.gated = o->gated && it->event == EV_RESTART,
		.force = o->force,
	};

	if (o->no_wait) {
		it->inst = NULL;
		item_done(o, it, PM_OK, "", "");
		instance_give_order(inst, &order);
		return;
	}
	it->state = ITEM_RUNNING;
	o->n_running++;
	instance_give_order(inst, &order);
}

/* One of several is done: whoever waits hears it at once. */
static void tell(struct order *o, const struct item *it)
{
	Pm__Outcome message;

	if (o->session == NULL || o->n < 2 || o->answered)
		return;
	fill_outcome(it, &message); /* which version it came to is known at the end */
	session_reply_progress(o->session, o->id, &message);
}

static void dependency_failed(struct order *o, struct item *it, const char *need, const char *how)
{
	char text[PM_NAME_MAX + 64], hint[PM_NAME_MAX + 64];

	(void)snprintf(text, sizeof(text), "dependency %s did not start%s", need, how);
	(void)snprintf(hint, sizeof(hint), "see 'pmctl why %s'", need);
	it->inst = NULL;
	item_done(o, it, PM_FAILED, text, hint);
	tell(o, it);
	(void)order_deps_settled(o->deps, it->app_serial, false); /* the pump goes on */
}

/* Has another instance of its app yet to be replaced? */
static bool is_reloading(const struct order *o, const struct item *it)
{
	for (size_t i = 0; i < o->n; i++)
		if (o->items[i].app_serial == it->app_serial && o->items[i].state != ITEM_DONE &&
		    o->items[i].event == EV_RESTART)
			return true;
	return false;
}

/* Begin the item, or end it, or leave it waiting. Returns whether it waits no more. */
static bool try_item(struct order *o, size_t at)
{
	struct item *it = &o->items[at];
	enum deps_say say = DEPS_GO;
	const char *need = "";
	uint64_t patience_ms;

	if (o->gated && it->cause == CAUSE_SCALE && it->event == EV_DELETE && is_reloading(o, it))
		return false; /* fewer only when those that stay have been replaced */
	if (o->deps != NULL && starts(it))
		say = order_deps_ask(o->deps, o->su, instance_spec(it->inst), &need);
	switch (say) {
	case DEPS_GO:
		start_item(o, at);
		return true;
	case DEPS_FAILED:
		dependency_failed(o, it, need, "");
		return true;
	case DEPS_WAIT:
		break;
	}
	patience_ms = instance_spec(it->inst)->start_timeout_ms;
	if (patience_ms == 0 || pm_now_ms() < o->started_ms + patience_ms)
		return false;
	dependency_failed(o, it, need, " in time");
	return true;
}

static void on_saved(void *arg)
{
	struct order *o = arg;

	if (!o->answered)
		answer(o);
	order_free(o);
}

/* What became of the settings that came with a reload, where they are not simply the new ones. */
static void spec_words(struct order *o, struct app *app, enum app_settled settled)
{
	struct pm_error words, err;
	PM_FREE char *text = NULL;

	order_settled_words(app, settled, &words);
	if (o->n > 1 || o->items[0].text == NULL) {
		if (order_add_done(o, app->spec->name, 0, false, &words, &err) < 0)
			pm_log(PM_LOG_WARN, "order.words", "%s", err.what);
		return;
	}
	if (asprintf(&text, "%s; %s", o->items[0].text, words.what) < 0)
		return; /* out of memory: the rest of the answer has to do */
	free(o->items[0].text);
	o->items[0].text = PM_STEAL(text);
}

/* A reload that came with other settings is over: are they the app's? */
static void settle_specs(struct order *o)
{
	size_t n = o->n;

	for (size_t i = 0; o->gated && i < n; i++) {
		struct app *app = app_find_serial(o->su, o->items[i].app_serial);
		enum app_settled settled =
			app == NULL || !starts(&o->items[i]) ? APP_SETTLED : app_settle_spec(app);

		if (settled == APP_MIXED || settled == APP_RESTORED)
			spec_words(o, app, settled);
	}
}

static void finish_if_done(struct order *o)
{
	if (o->running || o->saving || o->n_done < o->n)
		return;
	o->saving = true;
	settle_specs(o);
	store_touched(o->su->store);
	if (o->changes && o->session != NULL && !o->answered)
		store_when_saved(o->su->store, on_saved, o);
	else
		on_saved(o);
}

/* One pass over what waits. Returns whether anything changed, so that another may help. */
static bool pump_once(struct order *o)
{
	bool changed = false, waits = false;

	for (size_t i = o->first_waiting; i < o->n && o->n_running < o->parallel; i++) {
		if (o->items[i].state == ITEM_WAITING && try_item(o, i))
			changed = true;
		waits |= o->items[i].state == ITEM_WAITING;
		if (!waits)
			o->first_waiting = i + 1;
	}
	return changed && waits;
}

static void pump(struct order *o)
{
	if (o->running)
		return;
	o->running = true;
	while (pump_once(o))
		continue;
	/* A cycle that got past the check, as in a file of an older version: better than never. */
	for (size_t i = o->first_waiting; i < o->n && o->n_running == 0 && o->n_done < o->n; i++)
		if (o->items[i].state == ITEM_WAITING)
			start_item(o, i);
	o->running = false;
	finish_if_done(o);
}

/* ---- dependencies ---- */

static void on_patience(uv_timer_t *timer)
{
	struct order *o = timer->data;
	uint64_t now = pm_now_ms(), next = 0;

	for (size_t i = o->first_waiting; i < o->n; i++) {
		const struct item *it = &o->items[i];
		uint64_t at;

		if (it->state != ITEM_WAITING || instance_spec(it->inst)->start_timeout_ms == 0)
			continue;
		at = o->started_ms + instance_spec(it->inst)->start_timeout_ms;
		if (at > now && (next == 0 || at < next))
			next = at;
	}
	if (next != 0)
		(void)uv_timer_start(timer, on_patience, next - now, 0);
	pump(o); /* may free o */
}

/* Only where something that starts here depends on something. */
static void prepare_deps(struct order *o)
{
	bool any = false;
	struct pm_error err;

	for (size_t i = 0; i < o->n && !any; i++)
		any = o->items[i].state == ITEM_WAITING && starts(&o->items[i]) &&
		      instance_spec(o->items[i].inst)->n_depends_on > 0;
	if (!any)
		return;
	o->patience = make_timer(o);
	if (o->patience == NULL || order_deps_create(o->n, &o->deps, &err) < 0) {
		pm_log(PM_LOG_WARN, "order.deps", "out of memory: all apps start at once");
		return;
	}
	for (size_t i = 0; i < o->n; i++)
		if (o->items[i].state == ITEM_WAITING && starts(&o->items[i]))
			order_deps_add(o->deps, o->items[i].app_serial);
	uv_update_time(o->su->loop);
	(void)uv_timer_start(o->patience, on_patience, 0, 0);
	if (o->no_wait) { /* the answer goes out now; the order itself has to see what happens */
		answer(o);
		if (o->deadline != NULL)
			(void)uv_timer_stop(o->deadline); /* nobody waits for it any more */
		o->answered = true;
		o->no_wait = false;
	}
}

void order_run(struct order *o)
{
	o->changes = o->n_done < o->n;
	if (o->changes) {
		(void)PM_FAIL_POINT("order.before_publish");
		store_changed(o->su->store);
		store_publish(o->su->store);
	}
	o->started_ms = pm_now_ms();
	prepare_deps(o);
	pump(o);
}

/* One instance could not be replaced: what it cannot run the others need not try. */
static void stop_reload(struct order *o, uint32_t app_serial)
{
	for (size_t i = 0; i < o->n; i++) {
		struct item *it = &o->items[i];

		if (it->state != ITEM_WAITING || it->app_serial != app_serial ||
		    (it->event != EV_RESTART && it->cause != CAUSE_SCALE))
			continue;
		it->inst = NULL;
		item_done(o, it, PM_FAILED,
		          "left as it is: the one before it could not be replaced", "");
		tell(o, it);
	}
}

void order_settled(struct order *o, uint32_t at, struct instance *inst,
                   const struct order_outcome *outcome)
{
	struct item *it = &o->items[at];
	char words[ORDER_WORDS_MAX];

	it->inst = NULL;
	it->pid = (uint32_t)instance_core(inst)->pid;
	it->shown = status_life(instance_core(inst)->life.state);
	it->tail = outcome->log_tail;
	it->tail_len = outcome->log_tail == NULL ? 0 : outcome->log_tail_len;
	item_done(o, it, outcome->code,
	          outcome->code == PM_OK && order_done_words(inst, it->event, it->cause, o->gated,
	                                                     it->was_up, words)
	                  ? words
	                  : outcome->text,
	          outcome->hint);
	o->n_running--;
	if (o->deps != NULL && starts(it))
		(void)order_deps_settled(o->deps, it->app_serial, outcome->code == PM_OK);
	tell(o, it);
	if (o->gated && outcome->code != PM_OK)
		stop_reload(o, it->app_serial);
	if (!o->running)
		pump(o);
}

void orders_retarget(struct super *su, const struct instance *from, struct instance *to,
                     bool waiting)
{
	for (struct order *o = su->orders; o != NULL; o = o->next)
		for (size_t i = 0; i < o->n; i++)
			if (o->items[i].inst == from &&
			    (waiting || o->items[i].state == ITEM_RUNNING))
				o->items[i].inst = to;
}

bool orders_start(const struct super *su, uint32_t app_serial)
{
	for (const struct order *o = su->orders; o != NULL; o = o->next)
		for (size_t i = 0; i < o->n; i++)
			if (o->items[i].state != ITEM_DONE && starts(&o->items[i]) &&
			    o->items[i].app_serial == app_serial)
				return true;
	return false;
}

static bool forget_item(struct order *o, const struct instance *inst)
{
	bool hit = false;

	for (size_t i = 0; i < o->n; i++) {
		struct item *it = &o->items[i];

		if (it->inst != inst || it->state == ITEM_DONE)
			continue;
		it->inst = NULL;
		if (it->state == ITEM_RUNNING)
			o->n_running--;
		item_done(o, it, PM_NOT_FOUND, "it was deleted meanwhile", "");
		if (o->deps != NULL && starts(it))
			(void)order_deps_settled(o->deps, it->app_serial, false);
		hit = true;
	}
	return hit;
}

void orders_forget(struct super *su, const struct instance *inst)
{
	struct order *o;

	for (o = su->orders; o != NULL; o = o->next)
		o->wake |= forget_item(o, inst);
	/* Going on with one may end others, so look from the start after each. */
	for (o = su->orders; o != NULL;) {
		if (!o->wake || o->running) {
			o = o->next;
			continue;
		}
		o->wake = false;
		pump(o);
		o = su->orders;
	}
}

/* Its turn never came: it is as it was, and not started later by a successor of ours either. */
static void give_up_item(struct order *o, struct item *it)
{
	char words[120];

	if (starts(it) && instance_take_wanted(it->inst))
		store_changed(o->su->store);
	it->inst = NULL;
	(void)snprintf(words, sizeof(words), "%s: its turn did not come in time",
	               order_undone_word(it->event, it->existed));
	item_done(o, it, PM_DEADLINE, words, "give it more time, or more at once with --parallel");
}

/* Time is up: say what is not done; what was begun goes on, unless it is to be given up. */
void order_on_deadline(uv_timer_t *timer)
{
	struct order *o = timer->data;

	o->running = true;
	for (size_t i = 0; i < o->n; i++) {
		struct item *it = &o->items[i];

		if (it->state == ITEM_WAITING) {
			give_up_item(o, it);
		} else if (it->state == ITEM_RUNNING &&
		           !(o->gives_up && reload_time_is_up(it->inst, o))) {
			instance_drop_order(it->inst, o);
			it->inst = NULL;
			o->n_running--;
			item_done(o, it, PM_DEADLINE,
			          "not done in time; it goes on in the background",
			          "see 'pmctl list'");
		}
	}
	o->running = false;
	finish_if_done(o);
}
