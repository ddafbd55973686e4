#include "agent/reload_plan.h"

/* Looks are close at first, when most have little to finish, and rare later. */
#define LOOK_MIN_MS 10
#define LOOK_MAX_MS 250
/* Looks in a row that have to agree. */
#define LOOKS 2

static struct reload_step wait(uint64_t ms)
{
	return (struct reload_step){ RELOAD_WAIT, ms };
}

static bool serves(enum life_state state)
{
	return state == LIFE_UP || state == LIFE_UP_WAIT;
}

struct reload_step reload_plan(const struct reload_facts *f, uint64_t now_ms)
{
	const struct reload_step swap = { RELOAD_SWAP, 0 }, fail = { RELOAD_FAIL, 0 };
	uint64_t up_ms;

	switch (f->next) {
	case LIFE_SPAWNING:
		return wait(0);
	case LIFE_HELD:
		if (now_ms >= f->began_ms + RELOAD_HELD_MS)
			return fail;
		return wait(f->began_ms + RELOAD_HELD_MS - now_ms);
	case LIFE_UP_WAIT:
		return f->late ? fail : wait(0);
	case LIFE_UP:
		break;
	case LIFE_DOWN:
	case LIFE_ABORTING:
	case LIFE_ENDING:
	case LIFE_KILLING:
	case LIFE_BACKOFF:
	case LIFE_FAILED:
		return fail;
	}
	if (f->unfit && serves(f->old))
		return fail;
	up_ms = f->ready_ms == 0 || now_ms < f->ready_ms ? 0 : now_ms - f->ready_ms;
	if (!serves(f->old) || up_ms >= f->prove_ms)
		return swap;
	return wait(f->prove_ms - up_ms);
}

static struct retire_step look_again(struct retire *r)
{
	r->wait_ms = r->wait_ms == 0 ? LOOK_MIN_MS : PM_MIN(r->wait_ms * 3 / 2, LOOK_MAX_MS);
	return (struct retire_step){ RETIRE_WAIT, r->wait_ms };
}

struct retire_step retire_plan(struct retire *r, unsigned waiting, unsigned connections,
                               uint64_t now_ms)
{
	uint64_t end_ms = r->began_ms + r->timeout_ms;
	bool empty = waiting == 0 && (!r->told || connections == 0);
	struct retire_step step;

	if (now_ms >= end_ms)
		return (struct retire_step){ RETIRE_END, 0 };
	r->n_empty = empty ? r->n_empty + 1 : 0;
	if (r->n_empty >= LOOKS && now_ms >= r->began_ms + RETIRE_SETTLE_MS) {
		if (r->told)
			return (struct retire_step){ RETIRE_END, 0 };
		r->told = true;
		r->n_empty = 0;
		r->wait_ms = 0;
		step = look_again(r);
		step.verdict = RETIRE_TELL;
	} else {
		step = look_again(r);
	}
	if (step.wait_ms > end_ms - now_ms)
		step.wait_ms = (uint32_t)(end_ms - now_ms);
	return step;
}
