/* rate.h - so many in any hour, half of them at once.  Pure. */
#ifndef PM_AGENT_RATE_H
#define PM_AGENT_RATE_H

#include <stdbool.h>

#include "proto/base.h"

/* A zeroed one has let nothing through yet. */
struct rate {
	uint64_t full_at_ms; /* when all of what was taken has been given back */
};

/*
 * Take one of per_hour (0: none at all).
 *
 * source     the generic cell rate algorithm, ITU-T I.371 annex A: half comes back over an hour,
 * and half may be taken at once, so that no hour sees more than all of it
 */
bool rate_take(struct rate *r, uint32_t per_hour, uint64_t now_ms);
/* Until one can be taken again; 0: now. */
uint64_t rate_wait_ms(const struct rate *r, uint32_t per_hour, uint64_t now_ms);

#endif
