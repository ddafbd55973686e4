/* instance_health.c - what its health checks, and what it says of itself, do to an instance. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/app.h"
#include "agent/checks.h"
#include "agent/cluster.h"
#include "agent/instance_priv.h"
#include "agent/notify_msg.h"
#include "agent/reload.h"
#include "agent/turns.h"
#include "proto/log.h"

static bool is_up(const struct instance *inst)
{
	enum life_state state = inst->core.life.state;

	/* One that goes is left alone: a look would be one more connection to wait for. */
	return !inst->closing && inst->process != NULL && inst->core.heirs == 0 &&
	       inst->core.role != ROLE_RETIREE && (state == LIFE_UP || state == LIFE_UP_WAIT);
}

void inst_refresh_checks(struct instance *inst, bool adopted)
{
	bool begins = adopted || inst->core.life.state == LIFE_UP_WAIT;
	struct pm_error err;

	if (!is_up(inst)) {
		checks_close(PM_STEAL(inst->checks));
		return;
	}
	if (inst->checks == NULL && (!begins || !checks_are_declared(instance_spec(inst))))
		return;
	if (inst->checks == NULL && checks_create(inst, &inst->checks, &err) < 0) {
		pm_log(PM_LOG_ERROR, "instance.check", "app=%s pm_id=%u %s",
		       instance_spec(inst)->name, inst->core.pm_id, err.what);
		return;
	}
	checks_run(inst->checks, inst->core.life.state == LIFE_UP_WAIT);
}

/* ---- what follows ---- */

static void set_said(struct instance *inst, uint32_t what, bool on)
{
	uint32_t said = on ? inst->core.said | what : inst->core.said & ~what;

	if (said == inst->core.said)
		return;
	inst->core.said = said;
	inst_commit(inst);
	cluster_refresh(inst);
}

/* By a successor beside it, where it can have one. */
static void replace(struct instance *inst, enum cause cause, const char *why)
{
	if (inst->core.role != ROLE_NORMAL || inst->core.life.state != LIFE_UP ||
	    instance_is_replaced(inst) || inst->core.awaits != CAUSE_NONE)
		return; /* it goes, or comes, or that is being done */
	pm_log(PM_LOG_WARN, "instance.unhealthy", "app=%s pm_id=%u pid=%d %s: %s",
	       instance_spec(inst)->name, inst->core.pm_id, inst->core.pid, cause_word(cause), why);
	turns_restart(inst, cause);
}

void instance_on_check(struct instance *inst, enum check_role role, enum health_state state,
                       bool changed)
{
	if (inst->core.life.state == LIFE_UP_WAIT) {
		checks_run(inst->checks, true); /* the next one, when this has passed */
		inst_try_gate(inst);
		return;
	}
	if (role == CHECK_READY && state != HEALTH_UNKNOWN) {
		set_said(inst, SAID_UNFIT, state == HEALTH_FAILING);
		if (changed)
			reload_poke(inst);
	} else if (role == CHECK_LIVE && changed && state == HEALTH_FAILING) {
		char why[160];

		(void)snprintf(why, sizeof(why), "%s", checks_words(inst->checks, CHECK_LIVE));
		checks_again(inst->checks, CHECK_LIVE); /* before what closes them */
		replace(inst, CAUSE_LIVE, why);
	} else if (role == CHECK_LIVE && state == HEALTH_OK) {
		turns_forgive(inst, CAUSE_LIVE);
	}
}

/* It goes on as it is, and gets no connections that another can have. */
void inst_mark_unfit(struct instance *inst)
{
	enum health_state state;

	if (instance_health(inst, CHECK_READY, &state) && state != HEALTH_OK)
		inst->core.said |= SAID_UNFIT; /* committed with the step that follows */
}

void instance_on_watchdog(struct instance *inst, const char *why)
{
	replace(inst, CAUSE_WATCHDOG, why);
}

void instance_on_notify(struct instance *inst, const struct notify_msg *m)
{
	if (!life_has_process(&inst->core.life))
		return;
	if (m->has_status) {
		free(inst->status);
		inst->status = m->status[0] == '\0' ? NULL : pm_strdup(m->status);
	}
	if (m->stopping)
		set_said(inst, SAID_STOPPING, true);
	if (m->watchdog && inst->checks != NULL)
		checks_heard_watchdog(inst->checks);
	if (m->ready)
		inst_say(inst, SAID_READY);
	if (m->trigger && instance_spec(inst)->watchdog_ms != 0)
		instance_on_watchdog(inst, "it said WATCHDOG=trigger");
}

/* ---- words ---- */

bool instance_health(const struct instance *inst, enum check_role role, enum health_state *out)
{
	return inst->checks != NULL && checks_state(inst->checks, role, out);
}

const char *instance_note(const struct instance *inst, char words[INSTANCE_NOTE_MAX])
{
	const struct checks *c = inst->checks;

	if (inst->core.awaits != CAUSE_NONE) {
		(void)snprintf(words, INSTANCE_NOTE_MAX, "waits for its turn to restart (%s)",
		               cause_word((enum cause)inst->core.awaits));
		return words;
	}
	if (inst->note != NULL)
		return inst->note;
	if (c != NULL && inst->core.life.state == LIFE_UP_WAIT && checks_why(c)[0] != '\0')
		(void)snprintf(words, INSTANCE_NOTE_MAX, "not ready yet: %s", checks_why(c));
	else if (c != NULL && inst->core.life.state == LIFE_UP &&
	         (inst->core.said & SAID_UNFIT) != 0)
		(void)snprintf(words, INSTANCE_NOTE_MAX, "not ready: %s%s",
		               checks_words(c, CHECK_READY)[0] != '\0'
		                       ? checks_words(c, CHECK_READY)
		                       : "as seen before the agent's restart",
		               cluster_is_spared(inst) ? "; new connections go to others" : "");
	else if ((inst->core.said & SAID_STOPPING) != 0 && inst->core.life.state == LIFE_UP)
		(void)snprintf(words, INSTANCE_NOTE_MAX, "it says that it is stopping");
	else if (inst->status != NULL && life_has_process(&inst->core.life))
		(void)snprintf(words, INSTANCE_NOTE_MAX, "status: %s", inst->status);
	else
		return "";
	return words;
}
