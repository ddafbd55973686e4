#include "tests/helpers/played/slots.h"

#include <stdio.h>
#include <string.h>

static void tell(const char *host, const char *what)
{
	(void)printf("slot %s %s\n", host, what);
	(void)fflush(stdout);
}

void played_slots_hit(struct played_slots *p, const char *host, const char *app, struct pm_link *l)
{
	static char reason[] = "memory limit", normal[] = "";
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__SlotRequest req = PM__SLOT_REQUEST__INIT;

	(void)snprintf(p->app, sizeof(p->app), "%s", app);
	p->asks = true;
	req.app = p->app;
	req.reason = reason;
	req.instances = 1;
	req.max_down = normal;
	env.id = pm_link_next_id(l);
	env.body_case = PM__ENVELOPE__BODY_SLOT_REQUEST;
	env.slot_request = &req;
	(void)pm_link_send(l, &env);
	tell(host, "ask");
}

void played_slots_take(struct played_slots *p, const char *host, const Pm__Slot *slot,
                       uint64_t now_ms)
{
	if (!p->asks || !slot->granted || strcmp(slot->app, p->app) != 0)
		return;
	p->asks = false;
	p->up_ms = now_ms + p->restart_ms;
	tell(host, "begin");
}

void played_slots_turn(struct played_slots *p, const char *host, struct pm_link *l, uint64_t now_ms)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__SlotRelease release = PM__SLOT_RELEASE__INIT;

	if (p->up_ms == 0 || now_ms < p->up_ms)
		return;
	p->up_ms = 0;
	tell(host, "end"); /* before somebody else can begin because of it */
	release.app = p->app;
	env.body_case = PM__ENVELOPE__BODY_SLOT_RELEASE;
	env.slot_release = &release;
	(void)pm_link_send(l, &env);
}
