#include "agent/order_words.h"

#include <stdio.h>

#include "agent/cluster.h"

bool order_done_words(const struct instance *inst, enum life_event event, enum cause cause,
                      bool gated, bool was_up, char out[ORDER_WORDS_MAX])
{
	unsigned pid = (unsigned)instance_core(inst)->pid;

	if (was_up) {
		(void)snprintf(out, ORDER_WORDS_MAX, "runs already, pid %u", pid);
		return true;
	}

	/* Where nothing is shared a reload is a restart. */
	if (gated && event == EV_RESTART && !cluster_can_share(instance_spec(inst))) {
		(void)snprintf(out, ORDER_WORDS_MAX,
		               "restarted, pid %u: in fork mode no socket is shared that a "
		               "successor could take over",
		               pid);
		return true;
	}
	if (event == EV_DELETE && cause == CAUSE_SCALE) {
		(void)snprintf(out, ORDER_WORDS_MAX, "removed");
		return true;
	}
	if ((event != EV_START && event != EV_RESTART) || pid == 0 ||
	    *instance_remarked(inst) == '\0')
		return false;
	(void)snprintf(out, ORDER_WORDS_MAX, "online, pid %u; %s", pid, instance_remarked(inst));
	return true;
}

const char *order_undone_word(enum life_event event, bool existed)
{
	if (event == EV_START)
		return existed ? "not started" : "declared, but not started";
	if (event == EV_RESTART)
		return "not restarted, what runs is as it was";
	return event == EV_DELETE ? "not deleted" : "not stopped";
}

void order_settled_words(const struct app *app, enum app_settled settled, struct pm_error *out)
{
	if (settled == APP_RESTORED)
		pm_fail(out, PM_FAILED, "no instance was replaced, and its former settings stay");
	else
		pm_fail(out, PM_FAILED,
		        "%zu of %zu instances have the new settings; the others run on with the "
		        "former ones",
		        app_n_new(app), app->n);
	pm_hint(out, "%s", settled == APP_RESTORED ? "" : "'pmctl reload' replaces those, too");
}
