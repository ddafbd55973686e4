/* reload_priv.h - what the reload*.c files share of a reload; nobody else includes it. */
#ifndef PM_AGENT_RELOAD_PRIV_H
#define PM_AGENT_RELOAD_PRIV_H

#include "agent/instance_priv.h"
#include "agent/reload.h"
#include "agent/reload_plan.h"

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

/* ---- reload.c ---- */
/* Either of the two may be NULL. Lives until reload_release(). NULL: no memory. */
struct reload *reload_new(struct app *app, struct instance *old, struct instance *next);
/* Its instances forget it; its memory goes once the loop has closed its timer. */
void reload_release(struct reload *r);
/* Look at it in ms; 0: in the next turn of the loop. */
void reload_look_after(struct reload *r, uint64_t ms);
/* An order of the agent's own to one that commands do not see, and that may go within the call. */
void reload_order_hidden(struct instance *inst, enum life_event event, enum cause cause);

/* ---- reload_retire.c: the one that goes ---- */
/* The old one is hidden by now. */
void reload_begin_retiring(struct reload *r);
/* While retiring, and the old one is there: is it to be told, or ended? */
void reload_look_at_retiree(struct reload *r);

#endif
