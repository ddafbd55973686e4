#include "agent/restart.h"

static bool is_stop_code(const struct restart_policy *p, const struct restart_exit *e)
{
	if (!e->known || e->signal != 0)
		return false;
	for (size_t i = 0; i < p->n_stop_exit_codes; i++)
		if (p->stop_exit_codes[i] == e->code)
			return true;
	return false;
}

static uint32_t next_delay_ms(struct restart *r, const struct restart_policy *p)
{
	uint64_t delay_ms;

	if (p->exp_backoff_ms == 0)
		return p->restart_delay_ms;
	delay_ms = r->prev_delay_ms == 0 ? p->exp_backoff_ms : (uint64_t)r->prev_delay_ms * 3 / 2;
	r->prev_delay_ms = (uint32_t)PM_MIN(delay_ms, RESTART_BACKOFF_MAX_MS);
	return r->prev_delay_ms;
}

struct restart_step restart_on_exit(struct restart *r, const struct restart_policy *p,
                                    const struct restart_exit *e)
{
	uint32_t max_restarts = p->max_restarts == 0 ? RESTART_MAX_DEFAULT : p->max_restarts;
	struct restart_step step = { .verdict = RESTART_WAIT };

	if (!p->autorestart || is_stop_code(p, e))
		return (struct restart_step){ .verdict = RESTART_DOWN };
	if (e->run_ms >= p->min_uptime_ms)
		r->short_runs = 0;
	else if (r->short_runs < UINT32_MAX)
		r->short_runs++;
	step.short_runs = r->short_runs;
	if (e->run_ms > RESTART_BACKOFF_RESET_MS)
		restart_on_stable(r);
	if (r->short_runs >= max_restarts) {
		step.verdict = RESTART_GIVE_UP;
		restart_clear(r);
		return step;
	}
	step.delay_ms = next_delay_ms(r, p);
	return step;
}

void restart_on_stable(struct restart *r)
{
	r->prev_delay_ms = 0;
}

void restart_clear(struct restart *r)
{
	*r = (struct restart){ 0 };
}
