/* slots.h - a played agent whose app is to be restarted, and takes its turn at that (F-27).
 *
 * Told on standard output: "slot NAME ask" when it wants to, "slot NAME begin" when its app goes
 * down, "slot NAME end" when it is up.
 */
#ifndef PM_TESTS_PLAYED_SLOTS_H
#define PM_TESTS_PLAYED_SLOTS_H

#include "proto/link.h"

struct played_slots {
	char app[64];
	bool asks;
	uint64_t up_ms;      /* it is down until then; 0: it is up */
	uint32_t restart_ms; /* how long that takes */
};

/* Its memory limit was reached. */
void played_slots_hit(struct played_slots *p, const char *host, const char *app, struct pm_link *l);
void played_slots_take(struct played_slots *p, const char *host, const Pm__Slot *slot,
                       uint64_t now_ms);
void played_slots_turn(struct played_slots *p, const char *host, struct pm_link *l,
                       uint64_t now_ms);

#endif
