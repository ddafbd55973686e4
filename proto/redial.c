#include "proto/redial.h"

#include "proto/limits.h"

void pm_redial_init(struct pm_redial *r, unsigned n_addresses)
{
	*r = (struct pm_redial){ .n_addresses = n_addresses };
}

/* Uniform in [0, most]. */
static uint64_t jitter(uint64_t most, uint32_t random)
{
	return (most + 1) * random >> 32;
}

static uint64_t next_wait(struct pm_redial *r, uint32_t random)
{
	uint64_t most = PM_REDIAL_MOST_MS;

	if (r->round < 6) { /* 0.5 s * 2^6 is over 30 s */
		most = (uint64_t)PM_REDIAL_FIRST_MS << r->round;
		r->round++;
	}
	return jitter(most, random);
}

struct pm_redial_step pm_redial_failed(struct pm_redial *r, uint32_t random)
{
	r->up_since_ms = 0;
	if (++r->at < r->n_addresses)
		return (struct pm_redial_step){ r->at, 0 };
	r->at = 0;
	return (struct pm_redial_step){ 0, next_wait(r, random) };
}

void pm_redial_up(struct pm_redial *r, uint64_t now_ms)
{
	r->up_since_ms = PM_MAX(now_ms, 1u);
}

struct pm_redial_step pm_redial_down(struct pm_redial *r, uint64_t now_ms, uint32_t retry_after_ms,
                                     uint32_t random)
{
	uint64_t least = PM_MIN(retry_after_ms, (uint32_t)PM_RETRY_AFTER_MAX_MS);
	struct pm_redial_step step = { r->at, 0 };

	if (r->up_since_ms != 0 && now_ms - r->up_since_ms >= PM_REDIAL_HEALTHY_MS)
		r->round = 0;
	r->up_since_ms = 0;
	step.wait_ms = next_wait(r, random);
	/* All who were told the same time must not come at the same time. */
	if (least != 0)
		step.wait_ms = least + PM_MAX(step.wait_ms, jitter(least / 4, random));
	return step;
}
