/* order_deps.h - within one order, what starts waits until what it depends on has started. */
#ifndef PM_AGENT_ORDER_DEPS_H
#define PM_AGENT_ORDER_DEPS_H

#include "agent/super.h"

struct order_deps;

enum deps_say {
	DEPS_GO,
	DEPS_WAIT,
	DEPS_FAILED,
};

/* Empty; n is how many instances will be added at most. */
PM_MUST_CHECK int order_deps_create(size_t n, struct order_deps **out, struct pm_error *err);
void order_deps_destroy(struct order_deps *d); /* NULL is fine */

/* An instance of the app is to start. All come before the first question. */
void order_deps_add(struct order_deps *d, uint32_t app_serial);
/* It has settled. Returns whether it was the last of its app: then ask again. */
bool order_deps_settled(struct order_deps *d, uint32_t app_serial, bool well);

/*
 * May an instance with this spec start?
 *
 * need  set to the dependency that failed, or that is waited for: a string of the spec
 */
enum deps_say order_deps_ask(struct order_deps *d, struct super *su, const Pm__AppSpec *spec,
                             const char **need);

#endif
