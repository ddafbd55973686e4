/* detector.h - which agents are up, suspect or down, and whether it is we who are cut off. Pure.
 *
 * An agent that was not heard of for three heartbeats is suspect, for six it is down (FLEET 1.7).
 * When more than half of those that were up are lost within one heartbeat, it is not them but us:
 * then nobody may act on what looks down (class E).  When we ourselves were stopped for a while
 * nobody is blamed for that time.
 */
#ifndef PM_COORDINATOR_DETECTOR_H
#define PM_COORDINATOR_DETECTOR_H

#include <stdbool.h>

#include "proto/base.h"

enum peer_class {
	PEER_DOWN, /* also: never heard of */
	PEER_SUSPECT,
	PEER_UP,
};

/* One agent's part; zeroed: never heard of. */
struct liveness {
	enum peer_class class;
	bool connected;
	uint64_t heard_ms; /* of the last valid record */
	uint64_t since_ms; /* of its class */
};

struct detector {
	uint64_t swept_ms;  /* 0: not yet */
	uint64_t window_ms; /* when the present window of losses began: one heartbeat */
	size_t window_up;   /* how many were up then */
	size_t window_lost; /* of them, since then */
	bool isolated;
};

/* How often agents are to be heard of, for so many: every 5 s, and 400 a second at most. */
uint32_t detector_interval_ms(size_t n_agents);

/* A valid record came; true: its class has changed. */
bool detector_heard(struct liveness *p, uint64_t now_ms);
/* Its session has ended: it is suspect at once, and down when it does not come back in time. */
bool detector_ended(struct liveness *p, uint64_t now_ms);

/* What a sweep found. */
struct detector_sum {
	size_t up, suspect, down;
	bool isolated; /* class E: act on nothing that looks down */
};

typedef void detector_fn(void *arg, size_t peer, enum peer_class before, enum peer_class now);

/*
 * Look at all peers, a few times in each heartbeat; fn is called for those whose class changed.
 *
 * at         the i-th peer of n, or NULL for one that does not count (drained, not accepted)
 */
struct detector_sum detector_sweep(struct detector *d, struct liveness *(*at)(void *arg, size_t i),
                                   size_t n, uint64_t now_ms, detector_fn *fn, void *arg);

#endif
