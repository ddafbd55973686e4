#include "agent/rate.h"

#define HOUR_MS 3600000u

/* What one costs: the time in which it comes back. */
static uint64_t cost_ms(uint32_t per_hour)
{
	return HOUR_MS / PM_MAX(per_hour / 2, 1u);
}

uint64_t rate_wait_ms(const struct rate *r, uint32_t per_hour, uint64_t now_ms)
{
	uint64_t cost = cost_ms(per_hour), room = cost * PM_MAX(per_hour / 2, 1u);
	uint64_t full_at_ms = PM_MAX(r->full_at_ms, now_ms) + cost;

	if (per_hour == 0)
		return UINT64_MAX;
	return full_at_ms - now_ms > room ? full_at_ms - now_ms - room : 0;
}

bool rate_take(struct rate *r, uint32_t per_hour, uint64_t now_ms)
{
	if (rate_wait_ms(r, per_hour, now_ms) != 0)
		return false;
	r->full_at_ms = PM_MAX(r->full_at_ms, now_ms) + cost_ms(per_hour);
	return true;
}
