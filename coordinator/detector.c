#include "coordinator/detector.h"

#define BEAT_MS        5000u
#define BEATS_PER_S    400u /* 2,000 agents at BEAT_MS: what the others are measured by */
#define SUSPECT_BEATS  3
#define DOWN_BEATS     6
#define ISOLATED_LEAST 4     /* of fewer, half of them may well go at once */
#define STOPPED_MS     10000 /* so long without a sweep, it was us who stood still */

uint32_t detector_interval_ms(size_t n_agents)
{
	uint64_t spread = (uint64_t)n_agents * 1000 / BEATS_PER_S;

	return (uint32_t)PM_MIN(PM_MAX(spread, BEAT_MS), 600000u);
}

static bool set_class(struct liveness *p, enum peer_class class, uint64_t now_ms)
{
	if (p->class == class)
		return false;
	p->class = class;
	p->since_ms = now_ms;
	return true;
}

bool detector_heard(struct liveness *p, uint64_t now_ms)
{
	p->heard_ms = now_ms;
	p->connected = true;
	return set_class(p, PEER_UP, now_ms);
}

bool detector_ended(struct liveness *p, uint64_t now_ms)
{
	p->connected = false;
	return p->class == PEER_UP && set_class(p, PEER_SUSPECT, now_ms);
}

static enum peer_class class_of(const struct liveness *p, uint64_t now_ms, uint32_t beat_ms)
{
	uint64_t silent_ms = now_ms - p->heard_ms;

	if (p->class == PEER_DOWN || silent_ms >= (uint64_t)beat_ms * DOWN_BEATS)
		return PEER_DOWN; /* only a record brings it back */
	if (!p->connected || silent_ms >= (uint64_t)beat_ms * SUSPECT_BEATS)
		return PEER_SUSPECT;
	return PEER_UP;
}

static void count(struct detector_sum *sum, enum peer_class class)
{
	switch (class) {
	case PEER_UP:
		sum->up++;
		break;
	case PEER_SUSPECT:
		sum->suspect++;
		break;
	case PEER_DOWN:
		sum->down++;
		break;
	}
}

/* A loss counts in the window in which it was found; a session's end has its own time. */
static void count_losses(struct detector *d, const struct detector_sum *sum, size_t lost,
                         uint64_t now_ms, uint32_t beat_ms)
{
	if (d->swept_ms == 0 || now_ms - d->window_ms >= beat_ms) {
		d->window_ms = now_ms;
		d->window_up = sum->up + lost;
		d->window_lost = 0;
	}
	d->window_lost += lost;
	if (d->window_up >= ISOLATED_LEAST && d->window_lost * 2 > d->window_up)
		d->isolated = true;
	else if (d->isolated && sum->up * 2 > sum->up + sum->suspect + sum->down)
		d->isolated = false; /* most are back */
}

struct detector_sum detector_sweep(struct detector *d, struct liveness *(*at)(void *arg, size_t i),
                                   size_t n, uint64_t now_ms, detector_fn *fn, void *arg)
{
	uint64_t stopped_ms = d->swept_ms == 0 ? 0 : now_ms - d->swept_ms;
	uint32_t beat_ms = detector_interval_ms(n);
	struct detector_sum sum = { 0 };
	size_t lost = 0;

	if (stopped_ms < STOPPED_MS)
		stopped_ms = 0;
	for (size_t i = 0; i < n; i++) {
		struct liveness *p = at(arg, i);
		enum peer_class before, class;

		if (p == NULL)
			continue;
		if (stopped_ms > 0 && p->heard_ms < now_ms)
			p->heard_ms = PM_MIN(p->heard_ms + stopped_ms, now_ms);
		before = p->class;
		class = class_of(p, now_ms, beat_ms);
		/* One whose session ended is suspect already; it is lost when that was lately. */
		lost += class != PEER_UP && before == PEER_UP;
		lost += class == PEER_SUSPECT && before == PEER_SUSPECT && !p->connected &&
		        p->since_ms > d->swept_ms && p->since_ms <= now_ms;
		if (set_class(p, class, now_ms))
			fn(arg, i, before, class);
		count(&sum, class);
	}
	count_losses(d, &sum, lost, now_ms, beat_ms);
	d->swept_ms = now_ms;
	sum.isolated = d->isolated;
	return sum;
}
