/* order_about.h - what the apps of an order were before it, for the account of it. */
#ifndef PM_AGENT_ORDER_ABOUT_H
#define PM_AGENT_ORDER_ABOUT_H

#include "agent/super.h"

struct order_about;

/*
 * Remember what an app is now; only the first mention of it in an order counts.
 *
 * at         *at is NULL for none yet, and the caller's, for order_about_destroy()
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int order_about_add(struct order_about **at, const struct app *app,
                                  struct pm_error *err);
void order_about_destroy(struct order_about *a); /* NULL is fine */

/*
 * Say of an outcome from which version to which its app went, now that this is settled. An app that
 * was never mentioned was not there before. What *out borrows is valid until the loop turns.
 */
void order_about_fill(struct order_about *a, struct super *su, uint32_t app_serial,
                      Pm__Outcome *out);

#endif
