#include "coordinator/command.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

static const struct {
	const char *name;
	bool final;
} states[TARGET_STATES_N] = {
#define TARGET_ROW(c, state_name, is_final) [c] = { state_name, is_final },
	TARGET_STATES(TARGET_ROW)
#undef TARGET_ROW
};

const char *target_state_name(enum target_state state)
{
	return states[state].name;
}

bool target_state_is_final(enum target_state state)
{
	return states[state].final;
}

enum target_state target_state_find(const char *name)
{
	for (size_t i = 0; i < TARGET_STATES_N; i++)
		if (strcmp(states[i].name, name) == 0)
			return (enum target_state)i;
	return TARGET_STATES_N;
}

/* What is not listed stays as it is. Behind each state + 1, so that 0 is "stays". */
#define TO(state) ((uint8_t)((state) + 1))

static const uint8_t grid[TARGET_STATES_N][TARGET_EV_N] = {
	[TARGET_WAITING] = { [TARGET_EV_SEND] = TO(TARGET_SENT),
	                     [TARGET_EV_AWAY] = TO(TARGET_OFFLINE),
	                     [TARGET_EV_REFUSE] = TO(TARGET_REFUSED),
	                     [TARGET_EV_EXPIRE] = TO(TARGET_MISSED) },
	[TARGET_OFFLINE] = { [TARGET_EV_SEND] = TO(TARGET_SENT),
	                     [TARGET_EV_REFUSE] = TO(TARGET_REFUSED),
	                     [TARGET_EV_EXPIRE] = TO(TARGET_MISSED) },
	/* A cut changes nothing: it may be at it. Refusing it now would be a lie. */
	[TARGET_SENT] = { [TARGET_EV_ACCEPT] = TO(TARGET_ACCEPTED),
	                  [TARGET_EV_DONE] = TO(TARGET_DONE),
	                  [TARGET_EV_FAIL] = TO(TARGET_FAILED),
	                  [TARGET_EV_EXPIRE] = TO(TARGET_UNKNOWN) },
	[TARGET_ACCEPTED] = { [TARGET_EV_DONE] = TO(TARGET_DONE),
	                      [TARGET_EV_FAIL] = TO(TARGET_FAILED),
	                      [TARGET_EV_EXPIRE] = TO(TARGET_UNKNOWN) },
	/* An answer that came after all is better than none. */
	[TARGET_UNKNOWN] = { [TARGET_EV_DONE] = TO(TARGET_DONE),
	                     [TARGET_EV_FAIL] = TO(TARGET_FAILED) },
};

enum target_state target_next(enum target_state state, enum target_event ev)
{
	uint8_t to = grid[state][ev];

	return to == 0 ? state : (enum target_state)(to - 1);
}

/* ---- a command ---- */

int command_init(struct command *c, size_t n_targets, uint64_t now_ms, uint32_t budget_ms,
                 struct pm_error *err)
{
	*c = (struct command){ .deadline_ms = now_ms + budget_ms, .budget_ms = budget_ms };
	if (n_targets > PM_HOSTS_MAX)
		return pm_fail(err, PM_LIMIT, "more than %d targets", PM_HOSTS_MAX);
	c->targets = pm_calloc(n_targets + 1, sizeof(*c->targets));
	if (c->targets == NULL)
		return pm_fail(err, PM_NO_MEMORY, "a command to %zu hosts", n_targets);
	c->n = n_targets;
	c->by_state[TARGET_WAITING] = n_targets;
	return 0;
}

void command_finish(struct command *c)
{
	free(c->targets);
	*c = (struct command){ 0 };
}

bool command_event(struct command *c, size_t target, enum target_event ev, uint64_t now_ms)
{
	struct command_target *t = &c->targets[target];
	enum target_state to = target_next(t->state, ev);

	if (ev == TARGET_EV_SEND && !target_state_is_final(t->state)) {
		/* One that was queued past the deadline has its time from now. */
		if (t->sends == 0)
			t->until_ms =
				now_ms < c->deadline_ms ? c->deadline_ms : now_ms + c->budget_ms;
		if (t->sends < UINT8_MAX)
			t->sends++;
	}
	if (to == t->state)
		return false;
	c->by_state[t->state]--;
	c->by_state[to]++;
	t->state = to;
	return true;
}

bool command_next(const struct command *c, uint64_t now_ms, size_t *at)
{
	if (now_ms >= c->deadline_ms || c->by_state[TARGET_WAITING] == 0)
		return false;
	if (c->max_sent != 0 &&
	    c->by_state[TARGET_SENT] + c->by_state[TARGET_ACCEPTED] >= c->max_sent)
		return false;
	while (*at < c->n && c->targets[*at].state != TARGET_WAITING)
		(*at)++;
	return *at < c->n;
}

/* Until when a target may stay in its state; 0: for ever, it has ended. */
static uint64_t until_ms(const struct command *c, const struct command_target *t)
{
	switch (t->state) {
	case TARGET_WAITING:
		return c->deadline_ms;
	case TARGET_OFFLINE:
		return PM_MAX(c->deadline_ms, c->queue_until_ms);
	case TARGET_SENT:
	case TARGET_ACCEPTED:
		return t->until_ms + COMMAND_GRACE_MS;
	case TARGET_DONE:
	case TARGET_FAILED:
	case TARGET_MISSED:
	case TARGET_REFUSED:
	case TARGET_UNKNOWN:
	case TARGET_STATES_N:
		break;
	}
	return 0;
}

bool command_is_due(const struct command *c, size_t target, uint64_t now_ms)
{
	const struct command_target *t = &c->targets[target];

	/* What was sent may be sent again: the agent's journal answers, nothing is done twice. */
	return t->state != TARGET_WAITING && now_ms < until_ms(c, t);
}

uint64_t command_tick(struct command *c, uint64_t now_ms, void (*fn)(void *arg, size_t target),
                      void *arg)
{
	uint64_t next = 0;

	for (size_t i = 0; i < c->n; i++) {
		uint64_t until = until_ms(c, &c->targets[i]);

		if (until != 0 && now_ms >= until) {
			if (command_event(c, i, TARGET_EV_EXPIRE, now_ms))
				fn(arg, i);
		} else if (until != 0 && (next == 0 || until < next)) {
			next = until;
		}
	}
	return next;
}

bool command_has_ended(const struct command *c)
{
	size_t ended = 0;

	for (size_t i = 0; i < TARGET_STATES_N; i++)
		if (target_state_is_final((enum target_state)i))
			ended += c->by_state[i];
	return ended == c->n;
}
