/* order.h - a command on several instances: what is done when, and the account of it. */
#ifndef PM_AGENT_ORDER_H
#define PM_AGENT_ORDER_H

#include "agent/instance.h"
#include "agent/session.h"

struct order_outcome {
	enum pm_code code;
	const char *text, *hint; /* borrowed */
	char *log_tail;          /* taken; NULL: none */
	size_t log_tail_len;
};

struct order_config {
	struct super *su;
	struct session *session; /* a reference is taken; NULL: nobody waits */
	uint64_t id;             /* the request to answer */
	uint32_t parallel;       /* at most so many instances at a time; 0: all */
	bool no_wait;            /* answer when everything is under way */
	bool settle;
	uint32_t timeout_ms; /* 0: none */
	bool gated;          /* restarts are reloads (reload.h), and the first that fails is the
	                        last of its app */
	bool force;
	bool gives_up; /* gated: a reload that timeout_ms ends before the successor is ready is
	                  given up */
};

PM_MUST_CHECK int order_create(const struct order_config *config, struct order **out,
                               struct pm_error *err);

/* Nothing was begun: it goes as if it had never been. */
void order_cancel(struct order *o);

/*
 * Something of an app that is there is about to change: its outcomes shall say what it was. Without
 * this it is as it is when its first instance is added.
 */
PM_MUST_CHECK int order_about(struct order *o, const struct app *app, struct pm_error *err);
/* Add an instance to act on; existed: for start, the entry was there. */
PM_MUST_CHECK int order_add(struct order *o, struct instance *inst, enum life_event event,
                            enum cause cause, bool existed, struct pm_error *err);
/* An instance to which nothing has to be done, and why. */
PM_MUST_CHECK int order_add_settled(struct order *o, struct instance *inst, const char *words,
                                    struct pm_error *err);
/* An outcome that is known already, as of an app that could not be declared. */
PM_MUST_CHECK int order_add_done(struct order *o, const char *name, uint32_t pm_id, bool has_id,
                                 const struct pm_error *outcome, struct pm_error *err);

/* Begin; the order answers and frees itself when the last instance has settled. */
void order_run(struct order *o);

/* Its deadline has passed. */
void order_on_deadline(uv_timer_t *timer);

/* The instance is about to go: orders that had not come to it yet say so. */
void orders_forget(struct super *su, const struct instance *inst);

/* Another instance has taken the place of one; waiting: also for what orders have not come to yet.
 */
void orders_retarget(struct super *su, const struct instance *from, struct instance *to,
                     bool waiting);

/* Has some order yet to come to an instance of the app that it is to start, or waits for one? */
bool orders_start(const struct super *su, uint32_t app_serial);

/* From instances. */
void order_settled(struct order *o, uint32_t at, struct instance *inst,
                   const struct order_outcome *outcome);

#endif
