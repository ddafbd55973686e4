/* deps.h - in which order apps start that depend on each other. Pure. */
#ifndef PM_AGENT_DEPS_H
#define PM_AGENT_DEPS_H

#include "proto/base.h"
#include "proto/error.h"

/* Dependencies in all; refused above. */
#define DEPS_MAX (1u << 20)

struct deps_app {
	const char *name; /* borrowed; no two apps have the same */
	const char *const *needs;
	size_t n_needs;
};

/*
 * Order apps so that each comes after all it needs.
 *
 * present  names of apps outside this list that may be needed: they are there already
 * order    n_apps indices, wave by wave, in a wave as given
 * waves    n_apps numbers: apps of wave 0 need nothing of the list, those of wave k only earlier
 *          ones; apps of one wave may start at the same time
 * errors   PM_CONFIG (names the cycle: "a needs b, b needs a"), PM_NOT_FOUND (names the app and
 *          what it needs), PM_LIMIT, PM_NO_MEMORY; order and waves are then undefined
 */
PM_MUST_CHECK int deps_order(const struct deps_app *apps, size_t n_apps, const char *const *present,
                             size_t n_present, size_t *order, uint32_t *waves,
                             struct pm_error *err);

#endif
