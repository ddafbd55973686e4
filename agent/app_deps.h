/* app_deps.h - depends_on between the apps of this agent: checked at a start, followed at the end.
 */
#ifndef PM_AGENT_APP_DEPS_H
#define PM_AGENT_APP_DEPS_H

#include "agent/super.h"

/*
 * Whether these specs may be declared beside what there is; each replaces the app of its name.
 *
 * errors  PM_CONFIG (needs what is in neither, or a cycle, which is named), PM_LIMIT, PM_NO_MEMORY
 */
PM_MUST_CHECK int app_deps_check(struct super *su, Pm__AppSpec *const *specs, size_t n,
                                 struct pm_error *err);

/*
 * Number the apps (app->wave) so that each has a higher number than all it needs. Returns the
 * highest; 0 also when it cannot be told, and then all may end at once.
 */
uint32_t app_deps_waves(struct super *su);

#endif
