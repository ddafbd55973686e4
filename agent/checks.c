#include "agent/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cluster.h"
#include "agent/notify_socket.h"
#include "agent/probe.h"
#include "proto/log.h"

/* Too many at once: the next try. */
#define AGAIN_MS 50

/* One of them. */
struct run {
	struct checks *owner;
	enum check_role role;
	Pm__HealthCheck *check; /* owned; NULL: there is none */
	struct check_target target;
	struct health_policy policy;
	struct health health;
	uv_timer_t timer; /* owned; open only with check */
	bool on, hurried;
	struct probe *probe; /* owned while it is under way, as the next */
	struct probe_exec *exec;
	uint64_t began_ms;           /* of the look under way */
	char words[PROBE_WORDS_MAX]; /* of the last failure; "": it passed */
};

struct checks {
	struct instance *inst; /* borrowed; owns us */
	struct run runs[CHECK_ROLES];
	uint32_t watchdog_ms; /* 0: none */
	uint32_t grace_ms;
	uv_timer_t watchdog_timer; /* owned */
	struct watchdog watchdog;
	unsigned open; /* handles the loop still holds */
	bool closing;
};

bool checks_are_declared(const Pm__AppSpec *spec)
{
	return check_gates(spec) || spec->live != NULL || spec->watchdog_ms != 0;
}

/* ---- looks ---- */

static void on_timer(uv_timer_t *timer);

static void look_after(struct run *r, uint64_t ms)
{
	(void)uv_timer_start(&r->timer, on_timer, ms, 0); /* fails only while closing */
}

/* A connection to a queue of ours comes about before anybody is there to accept it. */
static bool is_hollow(const struct run *r, const struct probe_result *result)
{
	const struct instance *inst = r->owner->inst;

	return r->target.kind == CHECK_CONNECT && result->aimed &&
	       cluster_way(instance_spec(inst)) != CLUSTER_NOT &&
	       instance_spec(inst)->n_listen == 0 &&
	       (instance_core(inst)->said & SAID_LISTENING) == 0;
}

static void on_done(void *arg, const struct probe_result *result)
{
	struct run *r = arg;
	struct checks *c = r->owner;
	uint64_t now = pm_now_ms();
	bool changed, ok = result->ok && !is_hollow(r, result);

	r->probe = NULL;
	r->exec = NULL;
	(void)snprintf(r->words, sizeof(r->words), "%s",
	               ok           ? ""
	               : result->ok ? "it does not listen yet"
	                            : result->words);
	changed = health_result(&r->health, &r->policy, ok, r->began_ms, now);
	if (changed)
		pm_log(r->health.state == HEALTH_OK ? PM_LOG_INFO : PM_LOG_WARN, "instance.check",
		       "app=%s pm_id=%u %s: %s", instance_spec(c->inst)->name,
		       instance_core(c->inst)->pm_id, check_role_names[r->role],
		       r->health.state == HEALTH_OK ? "ok" : r->words);
	if (r->on)
		look_after(r, health_wait_ms(&r->health, &r->policy, r->hurried, now));
	instance_on_check(c->inst, r->role, r->health.state, changed);
}

static void look(struct run *r)
{
	struct pm_error err;
	int rc;

	r->began_ms = pm_now_ms();
	health_look(&r->health, &r->policy, r->began_ms);
	rc = r->target.kind == CHECK_EXEC
	             ? probe_exec_start(r->owner->inst, r->check, on_done, r, &r->exec, &err)
	             : probe_start(r->owner->inst, r->check, &r->target, on_done, r, &r->probe,
	                           &err);
	if (rc == 0)
		return;
	if (err.code == PM_LIMIT || err.code == PM_NO_MEMORY || err.code == PM_NOT_RUNNING) {
		look_after(r, AGAIN_MS); /* not the app's fault */
	} else {
		struct probe_result result = { .ok = false };

		(void)snprintf(result.words, sizeof(result.words), "%.150s", err.what);
		on_done(r, &result);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct run *r = timer->data;

	if (r->probe == NULL && r->exec == NULL)
		look(r);
}

static void stop_run(struct run *r)
{
	r->on = false;
	probe_cancel(PM_STEAL(r->probe));
	probe_exec_cancel(PM_STEAL(r->exec));
	if (r->check != NULL)
		(void)uv_timer_stop(&r->timer); /* never fails */
}

/* The first of the looks that are not hurried: instances that a new supervisor found all at once
 * are not looked at all at once. */
static uint64_t first_wait_ms(struct run *r)
{
	uint64_t wait = health_wait_ms(&r->health, &r->policy, false, pm_now_ms());
	uint32_t spread = (instance_core(r->owner->inst)->pm_id + 1) * 0x9e3779b1u >> 8;

	return wait / 2 + spread % (wait / 2 + 1);
}

static void set_run(struct run *r, bool on, bool hurried)
{
	bool was_hurried = r->hurried;

	if (r->check == NULL)
		return;
	r->hurried = hurried;
	if (!on) {
		stop_run(r);
	} else if (!r->on) {
		r->on = true;
		r->health.due_ms = pm_now_ms();
		look_after(r, hurried ? 0 : first_wait_ms(r));
	} else if (was_hurried && !hurried && r->probe == NULL && r->exec == NULL) {
		look_after(r, first_wait_ms(r));
	}
}

void checks_run(struct checks *c, bool starting)
{
	struct run *startup = &c->runs[CHECK_STARTUP], *ready = &c->runs[CHECK_READY];
	bool started = startup->check == NULL || startup->health.state == HEALTH_OK;

	set_run(startup, starting && !started, true);
	set_run(ready, started || !starting, starting && ready->health.state != HEALTH_OK);
	set_run(&c->runs[CHECK_LIVE], !starting, false);
}

static bool has_passed(const struct run *r)
{
	return r->check == NULL || r->health.state == HEALTH_OK;
}

bool checks_passed(const struct checks *c)
{
	return has_passed(&c->runs[CHECK_STARTUP]) && has_passed(&c->runs[CHECK_READY]);
}

bool checks_state(const struct checks *c, enum check_role role, enum health_state *out)
{
	*out = c->runs[role].health.state;
	return c->runs[role].check != NULL;
}

const char *checks_words(const struct checks *c, enum check_role role)
{
	return c->runs[role].words;
}

void checks_again(struct checks *c, enum check_role role)
{
	struct run *r = &c->runs[role];

	health_again(&r->health, &r->policy, pm_now_ms());
}

const char *checks_why(const struct checks *c)
{
	enum check_role role = has_passed(&c->runs[CHECK_STARTUP]) ? CHECK_READY : CHECK_STARTUP;

	return checks_words(c, role);
}

/* ---- the watchdog ---- */

static void on_watchdog(uv_timer_t *timer)
{
	struct checks *c = timer->data;
	uint64_t now;

	notify_socket_read(instance_super(c->inst)); /* what it said may still lie there */
	if (c->closing)
		return;
	now = pm_now_ms();
	if (!watchdog_missed(&c->watchdog, c->watchdog_ms, now)) {
		(void)uv_timer_start(timer, on_watchdog, c->watchdog.until_ms - now, 0);
		return;
	}
	watchdog_begin(&c->watchdog, c->watchdog_ms, c->grace_ms, now);
	(void)uv_timer_start(timer, on_watchdog, c->watchdog.until_ms - now, 0);
	instance_on_watchdog(c->inst, "it did not say WATCHDOG=1 in time");
}

/* The timer is late by up to one interval, and then looks again: it need not be set at each word.
 */
void checks_heard_watchdog(struct checks *c)
{
	if (c->watchdog_ms == 0)
		return;
	watchdog_heard(&c->watchdog, c->watchdog_ms, pm_now_ms());
	if (uv_timer_get_due_in(&c->watchdog_timer) > c->watchdog_ms)
		(void)uv_timer_start(&c->watchdog_timer, on_watchdog, c->watchdog_ms, 0);
}

/* ---- life time ---- */

static int copy_check(const Pm__HealthCheck *from, Pm__HealthCheck **out, struct pm_error *err)
{
	size_t len = pm__health_check__get_packed_size(from);
	PM_FREE uint8_t *bytes = pm_calloc(1, len + 1);

	if (bytes == NULL)
		return pm_fail(err, PM_NO_MEMORY, "check");
	*out = pm__health_check__unpack(NULL, pm__health_check__pack(from, bytes), bytes);
	return *out != NULL ? 0 : pm_fail(err, PM_NO_MEMORY, "check");
}

/* What a former supervisor knew of one that is online. */
static enum health_state known_state(const struct instance *inst, enum check_role role)
{
	const struct inst_core *core = instance_core(inst);

	if (core->life.state != LIFE_UP || role == CHECK_LIVE)
		return HEALTH_UNKNOWN;
	return role == CHECK_READY && (core->said & SAID_UNFIT) != 0 ? HEALTH_FAILING : HEALTH_OK;
}

static int init_run(struct checks *c, enum check_role role, struct pm_error *err)
{
	const Pm__AppSpec *spec = instance_spec(c->inst);
	const Pm__HealthCheck *check = check_of(spec, role);
	struct run *r = &c->runs[role];

	r->owner = c;
	r->role = role;
	if (check == NULL)
		return 0;
	if (check_parse(check->what, &r->target, err) < 0)
		return -1;
	if (r->target.kind == CHECK_NOTIFY)
		return 0; /* it comes by itself */
	if (copy_check(check, &r->check, err) < 0)
		return -1;
	r->policy = (struct health_policy){
		.period_ms = check->period_ms,
		.timeout_ms = check->timeout_ms,
		.fail = check->fail,
		.ok = check->ok,
		.grace_ms = role == CHECK_LIVE ? spec->start_grace_ms : 0,
	};
	health_begin(&r->health, &r->policy, known_state(c->inst, role), pm_now_ms());
	(void)uv_timer_init(instance_super(c->inst)->loop, &r->timer); /* never fails */
	r->timer.data = r;
	c->open++;
	return 0;
}

static void init_watchdog(struct checks *c)
{
	const Pm__AppSpec *spec = instance_spec(c->inst);

	(void)uv_timer_init(instance_super(c->inst)->loop, &c->watchdog_timer); /* never fails */
	c->watchdog_timer.data = c;
	c->open++;
	c->watchdog_ms = spec->watchdog_ms;
	c->grace_ms = spec->start_grace_ms;
	if (c->watchdog_ms == 0)
		return;
	watchdog_begin(&c->watchdog, c->watchdog_ms, c->grace_ms, pm_now_ms());
	(void)uv_timer_start(&c->watchdog_timer, on_watchdog, c->watchdog.until_ms - pm_now_ms(),
	                     0);
}

int checks_create(struct instance *inst, struct checks **out, struct pm_error *err)
{
	struct checks *c = pm_calloc(1, sizeof(*c));

	if (c == NULL)
		return pm_fail(err, PM_NO_MEMORY, "checks");
	c->inst = inst;
	init_watchdog(c);
	for (enum check_role role = CHECK_STARTUP; role < CHECK_ROLES; role++)
		if (init_run(c, role, err) < 0) {
			checks_close(c);
			return -1;
		}
	*out = c;
	return 0;
}

static void closed(struct checks *c)
{
	if (--c->open > 0)
		return;
	for (size_t i = 0; i < CHECK_ROLES; i++)
		if (c->runs[i].check != NULL)
			pm__health_check__free_unpacked(c->runs[i].check, NULL);
	free(c);
}

static void on_run_closed(uv_handle_t *handle)
{
	struct run *r = handle->data;

	closed(r->owner);
}

static void on_watchdog_closed(uv_handle_t *handle)
{
	closed(handle->data);
}

void checks_close(struct checks *c)
{
	if (c == NULL)
		return;
	c->closing = true;
	for (size_t i = 0; i < CHECK_ROLES; i++) {
		stop_run(&c->runs[i]);
		if (c->runs[i].check != NULL)
			uv_close((uv_handle_t *)&c->runs[i].timer, on_run_closed);
	}
	uv_close((uv_handle_t *)&c->watchdog_timer, on_watchdog_closed);
}
