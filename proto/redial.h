/* redial.h - when and where to dial next: addresses in order, waits with full jitter.  Pure.
 *
 * After the whole list has failed the wait is uniform in [0, min(30 s, 0.5 s * 2^n)], so that a
 * fleet that lost its coordinator does not come back in step; n grows with every such round and is
 * forgotten after a session that was healthy for a minute.
 */
#ifndef PM_PROTO_REDIAL_H
#define PM_PROTO_REDIAL_H

#include "proto/base.h"

#define PM_REDIAL_FIRST_MS   500
#define PM_REDIAL_MOST_MS    30000
#define PM_REDIAL_HEALTHY_MS 60000

struct pm_redial {
	unsigned n_addresses, at; /* at: the address in use */
	unsigned round;           /* n above */
	uint64_t up_since_ms;     /* 0: no session */
};

struct pm_redial_step {
	unsigned address; /* to dial next */
	uint64_t wait_ms; /* before that */
};

void pm_redial_init(struct pm_redial *r, unsigned n_addresses);

/* The address did not answer, or not as it should: the next one, at once unless it was the last.
 *
 * random     32 uniform bits
 */
struct pm_redial_step pm_redial_failed(struct pm_redial *r, uint32_t random);

void pm_redial_up(struct pm_redial *r, uint64_t now_ms); /* Welcome came */

/*
 * The session ended: the same address first, if it was healthy.
 *
 * retry_after_ms   from the peer's Goodbye: the least wait, PM_RETRY_AFTER_MAX_MS at most; 0: none
 */
struct pm_redial_step pm_redial_down(struct pm_redial *r, uint64_t now_ms, uint32_t retry_after_ms,
                                     uint32_t random);

#endif
