/* instance_gate.c - when an instance that has started counts as online. */
#include <stdio.h>
#include <string.h>

#include "agent/app.h"
#include "agent/checks.h"
#include "agent/cluster.h"
#include "agent/instance_priv.h"
#include "agent/reload.h"

/* An order to start is answered when the app has stayed up so long, or for min_uptime if that is
 * less. */
#define SETTLE_MS 500

enum gate {
	GATE_NONE,   /* it runs, and that is enough */
	GATE_READY,  /* it says so itself */
	GATE_LISTEN, /* it listens, as the one that it is to replace does */
	GATE_ALIVE,  /* it listens, or has been up for min_uptime without */
	GATE_CHECK, /* it passes its checks; and has said that it is ready, and listens, if it is to
	             */
};

/* As the one before it does. */
static bool is_to_listen(const struct instance *inst)
{
	return inst->core.role == ROLE_SUCCESSOR &&
	       cluster_way(instance_spec(inst)) != CLUSTER_NOT &&
	       (reload_listened(inst) || reload_had_asked(inst));
}

/* Of the one before it nothing more was heard either. */
static bool listens(const struct instance *inst)
{
	return (inst->core.said & SAID_LISTENING) != 0 ||
	       (!reload_listened(inst) && reload_had_asked(inst) && cluster_has_asked(inst));
}

static enum gate gate_of(const struct instance *inst)
{
	const Pm__AppSpec *spec = instance_spec(inst);
	bool successor = inst->core.role == ROLE_SUCCESSOR;

	if (check_gates(spec))
		return GATE_CHECK;
	if (check_wants_ready(spec))
		return GATE_READY;
	if (cluster_way(spec) == CLUSTER_NOT)
		return successor ? GATE_ALIVE : GATE_NONE;
	return is_to_listen(inst) ? GATE_LISTEN : GATE_ALIVE;
}

static bool passes_checks(const struct instance *inst)
{
	uint32_t said = inst->core.said;

	if (check_wants_ready(instance_spec(inst)) && (said & SAID_READY) == 0)
		return false;
	if (is_to_listen(inst) && !listens(inst))
		return false;
	return inst->checks != NULL && checks_passed(inst->checks);
}

static bool is_open(const struct instance *inst, enum gate gate)
{
	switch (gate) {
	case GATE_NONE:
		return true;
	case GATE_READY:
		return (inst->core.said & SAID_READY) != 0;
	case GATE_LISTEN:
		return listens(inst);
	case GATE_ALIVE:
		return (inst->core.said & SAID_LISTENING) != 0;
	case GATE_CHECK:
		return passes_checks(inst);
	}
	return false;
}

/* It said so itself: nothing more to wait for. */
static void pass(struct instance *inst)
{
	inst_step(inst, EV_READY);
	if (inst->core.life.state == LIFE_UP)
		inst_settle(inst, PM_OK, false);
}

void inst_arm_gate(struct instance *inst)
{
	const Pm__AppSpec *spec = instance_spec(inst);
	enum gate gate = gate_of(inst);
	uint32_t ms = spec->listen_timeout_ms;

	if (gate == GATE_NONE) {
		inst_step(inst, EV_READY);
		if (inst->core.life.state == LIFE_UP && inst->waiters != NULL)
			inst_arm(inst, PM_MIN(SETTLE_MS, spec->min_uptime_ms));
		return;
	}
	if (is_open(inst, gate)) { /* faster than the keeper's answer */
		pass(inst);
		return;
	}
	if (gate == GATE_ALIVE)
		ms = PM_MIN(ms, spec->min_uptime_ms);
	inst->core.deadline_ms = pm_now_ms() + ms;
	inst_commit(inst);
	inst_arm(inst, ms);
}

/* What it still lacks, and what can be done about it. */
static void late_words(const struct instance *inst, enum gate gate, const char **what,
                       const char **hint)
{
	uint32_t said = inst->core.said;
	const char *check = inst->checks != NULL ? checks_why(inst->checks) : "";

	*what = "it did not listen";
	*hint = "raise listen_timeout, if it needs longer to start";
	if (gate == GATE_READY || (gate == GATE_CHECK && check_wants_ready(instance_spec(inst)) &&
	                           (said & SAID_READY) == 0)) {
		*what = "it runs, but did not say so";
		*hint = "raise listen_timeout, or send 'ready' earlier";
	} else if (gate == GATE_CHECK && check[0] != '\0') {
		*what = check;
	} else if (gate == GATE_CHECK && (inst->checks == NULL || !checks_passed(inst->checks))) {
		*what = "its check has not been answered";
	}
}

static void say_late(struct instance *inst, enum gate gate, uint64_t ms, bool by_setting)
{
	const char *what, *hint;
	char words[240];

	late_words(inst, gate, &what, &hint);
	(void)snprintf(words, sizeof(words), "not ready in time: %.160s within %llu ms", what,
	               (unsigned long long)ms);
	inst_fail_words(inst, PM_FAILED, words, by_setting ? hint : "");
}

void inst_gate_late(struct instance *inst, uint64_t ms)
{
	enum gate gate = gate_of(inst);

	if (is_open(inst, gate))
		inst_fail_words(inst, PM_FAILED, "it was ready too late to prove itself", "");
	else
		say_late(inst, gate, ms, false);
}

/* When the gate was armed the one before it did not listen yet, and little time was given. */
static bool has_more_time(struct instance *inst)
{
	uint64_t now = pm_now_ms(),
		 end_ms = inst->core.started_ms + instance_spec(inst)->listen_timeout_ms;

	if (now >= end_ms)
		return false;
	inst->core.deadline_ms = end_ms;
	inst_commit(inst);
	inst_arm(inst, end_ms - now);
	return true;
}

void inst_gate_over(struct instance *inst)
{
	enum gate gate = gate_of(inst);

	if (gate == GATE_NONE || gate == GATE_ALIVE) {
		pass(inst);
		return;
	}
	if (has_more_time(inst))
		return;
	say_late(inst, gate, instance_spec(inst)->listen_timeout_ms, true);
	if (inst->core.role == ROLE_SUCCESSOR) {
		reload_not_ready(inst);
		return;
	}
	inst_mark_unfit(inst);
	inst_step(inst, EV_READY_TIMEOUT);
}

void inst_try_gate(struct instance *inst)
{
	enum gate gate = gate_of(inst);

	if (inst->core.life.state == LIFE_UP_WAIT && gate != GATE_NONE && is_open(inst, gate))
		pass(inst);
}

void inst_say(struct instance *inst, uint32_t what)
{
	inst->core.said |= what;
	inst_commit(inst);
	cluster_refresh(inst);
	inst_try_gate(inst);
}

void instance_on_listening(struct instance *inst, const char *address)
{
	(void)address;
	inst_say(inst, SAID_LISTENING);
}

void instance_on_given(struct instance *inst)
{
	cluster_refresh(inst);
	inst_try_gate(inst);
}

void instance_on_message(struct instance *inst, const char *line, size_t len)
{
	static const char ready[] = "\"ready\"";

	if (len == sizeof(ready) - 1 && memcmp(line, ready, len) == 0)
		inst_say(inst, SAID_READY);
	else
		super_on_message(inst->su, inst, line, len);
}
