/* budget.h - how many hosts may restart an app by themselves at a time, and whose turn it is
 * (F-27). Pure.
 *
 * A host that holds a slot counts as out until it gives it back, its lease ends or it is gone.  Who
 * waits gets one in the order of asking: nobody is passed by, whatever max_down he goes by.  Times
 * are monotonic milliseconds.
 */
#ifndef PM_COORDINATOR_BUDGET_H
#define PM_COORDINATOR_BUDGET_H

#include "proto/rollout_params.h"

enum budget_state {
	BUDGET_RUNS, /* the app runs there, and that is all */
	BUDGET_WAITS,
	BUDGET_HOLDS,
};

struct budget_host {
	const void *host; /* names it, and is not looked into */
	enum budget_state state;
	struct rollout_share max_down; /* as it is declared there */
	uint64_t place;                /* WAITS: the lowest is next */
	uint64_t since_ms;             /* it waits, or holds */
	uint64_t told_ms;              /* WAITS: that it is to wait; 0: not yet */
	bool granted;                  /* HOLDS: it is to be told */
};

struct budget_app {
	struct budget_app *next;
	char *name;                /* owned */
	struct budget_host *hosts; /* owned: those that are known to run it */
	size_t n, cap;
	uint64_t next_place;
	uint64_t used_ms;    /* when somebody asked last */
	uint64_t counted_ms; /* the owner's: when it was last asked who runs it; 0: never */
};

/* Zeroed is empty. */
struct budget {
	struct budget_app *apps; /* owned */
	size_t n_apps;
};
void budget_finish(struct budget *b);

/*
 * A host wants to restart an app, or does so already (held).  Asked again it keeps its place, or
 * what it holds, and is told anew.
 *
 * out        the app
 * errors     PM_LIMIT, PM_NO_MEMORY
 */
struct budget_claim {
	const char *app;
	const void *host;
	struct rollout_share max_down;
	bool held;
};
PM_MUST_CHECK int budget_ask(struct budget *b, const struct budget_claim *claim, uint64_t now_ms,
                             struct budget_app **out, struct pm_error *err);
/* It is up again, or wants no more. */
void budget_release(struct budget *b, const char *app, const void *host);
/* Its session is over. */
void budget_gone(struct budget *b, const void *host);
/* It was seen to run the app, or not to.  errors: PM_NO_MEMORY */
PM_MUST_CHECK int budget_set_runs(struct budget_app *app, const void *host, bool runs,
                                  struct pm_error *err);

struct budget_app *budget_find(const struct budget *b, const char *app); /* NULL: none */

enum budget_move {
	BUDGET_STAY,   /* nothing now; look again at wake_ms, or when something happens */
	BUDGET_GRANT,  /* the host has a slot from now on */
	BUDGET_TELL,   /* it still waits; n_before others come first */
	BUDGET_EXPIRE, /* its lease is over, or it waited longer than anybody does */
};
struct budget_verdict {
	enum budget_move move;
	const void *host;
	size_t n_before;
	uint64_t waited_ms;            /* GRANT */
	size_t n_out, n_most, n_hosts; /* hosts that hold slots, and may; that run it */
	uint64_t wake_ms;              /* STAY: 0: never */
};

/*
 * What follows; called until it says STAY.  The move is done then, in this struct.
 *
 * n_else     hosts where the app is out for other reasons, and is held against the same limit
 */
void budget_next(struct budget_app *app, size_t n_else, uint64_t now_ms, struct budget_verdict *v);

/* How many hosts hold a slot for it. */
size_t budget_n_held(const struct budget_app *app);
/* Nobody holds or wants one. */
bool budget_is_idle(const struct budget_app *app);
/* Forget apps that nobody has asked about for so long. */
void budget_prune(struct budget *b, uint64_t now_ms, uint64_t age_ms);

#endif
