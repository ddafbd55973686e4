#include "agent/life.h"

#include <assert.h>

/* Counted from the lists, so that the table cannot be too short. */
#define COUNT_ONE(...) +1
enum {
	N_STATES = 0 LIFE_STATES(COUNT_ONE),
	N_EVENTS = 0 LIFE_EVENTS(COUNT_ONE),
};

enum kind {
	CELL_UNSET,  /* zero: the table forgot this pair, a bug */
	CELL_IGNORE, /* cannot happen here, or comes late and means nothing any more */
	CELL_GO,     /* to `next`, doing `actions` */
	CELL_SETTLE, /* nothing of it is left: do `actions`, then what the order wanted (settled[])
	              */
};

struct cell {
	enum kind kind;
	enum life_state next;
	enum life_after after; /* set by orders; NONE: an ending state keeps what it has */
	uint32_t actions;
};

/* clang-format off */
#define IGNORE              { .kind = CELL_IGNORE }
#define GO(to, acts)        { CELL_GO, LIFE_##to, LIFE_AFTER_NONE, acts }
#define END(to, then, acts) { CELL_GO, LIFE_##to, LIFE_AFTER_##then, acts }
#define SETTLE(acts)        { CELL_SETTLE, LIFE_DOWN, LIFE_AFTER_NONE, acts }

static const struct cell table[N_STATES][N_EVENTS] = {
	[LIFE_DOWN] = {
		[EV_START] = GO(SPAWNING, ACT_CLEAR | ACT_SPAWN),
		[EV_STOP] = GO(DOWN, ACT_REPLY_OK),
		[EV_RESTART] = GO(SPAWNING, ACT_CLEAR | ACT_SPAWN),
		[EV_DELETE] = END(KILLING, FORGET, ACT_ARM_KILL | ACT_KILL),
		[EV_SPAWNED] = IGNORE,
		[EV_SPAWN_FAILED] = IGNORE,
		[EV_SPAWN_RETRY] = IGNORE,
		[EV_READY] = IGNORE,
		[EV_READY_TIMEOUT] = IGNORE,
		[EV_EXIT] = IGNORE,
		[EV_EXIT_RESTART] = IGNORE,
		[EV_EXIT_DOWN] = IGNORE,
		[EV_EXIT_GIVE_UP] = IGNORE,
		[EV_TREE_GONE] = IGNORE,
		[EV_DELAY_OVER] = IGNORE,
		[EV_KILL_TIMEOUT] = IGNORE,
	},
	[LIFE_SPAWNING] = {
		[EV_START] = GO(SPAWNING, 0),
		[EV_STOP] = END(ABORTING, DOWN, 0),
		[EV_RESTART] = END(ABORTING, START, 0),
		[EV_DELETE] = END(ABORTING, FORGET, 0),
		[EV_SPAWNED] = GO(UP_WAIT, ACT_ARM_READY),
		[EV_SPAWN_FAILED] = GO(FAILED, ACT_REPLY_FAIL),
		[EV_SPAWN_RETRY] = GO(HELD, ACT_ARM_DELAY),
		[EV_READY] = IGNORE,
		[EV_READY_TIMEOUT] = IGNORE,
		[EV_EXIT] = IGNORE,
		[EV_EXIT_RESTART] = GO(BACKOFF, ACT_REPLY_FAIL | ACT_ARM_DELAY),
		[EV_EXIT_DOWN] = GO(DOWN, ACT_REPLY_FAIL),
		[EV_EXIT_GIVE_UP] = GO(FAILED, ACT_REPLY_FAIL),
		[EV_TREE_GONE] = IGNORE,
		[EV_DELAY_OVER] = IGNORE,
		[EV_KILL_TIMEOUT] = IGNORE,
	},
	[LIFE_ABORTING] = {
		[EV_START] = END(ABORTING, START, 0),
		[EV_STOP] = END(ABORTING, DOWN, 0),
		[EV_RESTART] = END(ABORTING, START, 0),
		[EV_DELETE] = END(ABORTING, FORGET, 0),
		[EV_SPAWNED] = END(ENDING, NONE, ACT_ARM_KILL | ACT_SIGNAL),
		[EV_SPAWN_FAILED] = SETTLE(0),
		[EV_SPAWN_RETRY] = SETTLE(0),
		[EV_READY] = IGNORE,
		[EV_READY_TIMEOUT] = IGNORE,
		[EV_EXIT] = IGNORE,
		[EV_EXIT_RESTART] = IGNORE,
		[EV_EXIT_DOWN] = IGNORE,
		[EV_EXIT_GIVE_UP] = IGNORE,
		[EV_TREE_GONE] = IGNORE,
		[EV_DELAY_OVER] = IGNORE,
		[EV_KILL_TIMEOUT] = IGNORE,
	},
	[LIFE_UP_WAIT] = {
		[EV_START] = GO(UP_WAIT, 0),
		[EV_STOP] = END(ENDING, DOWN, ACT_CANCEL_READY | ACT_ARM_KILL | ACT_SIGNAL),
		[EV_RESTART] = END(ENDING, START, ACT_CANCEL_READY | ACT_ARM_KILL | ACT_SIGNAL),
		[EV_DELETE] = END(ENDING, FORGET, ACT_CANCEL_READY | ACT_ARM_KILL | ACT_SIGNAL),
		[EV_SPAWNED] = IGNORE,
		[EV_SPAWN_FAILED] = IGNORE,
		[EV_SPAWN_RETRY] = IGNORE,
		[EV_READY] = GO(UP, ACT_CANCEL_READY | ACT_REPLY_OK),
		[EV_READY_TIMEOUT] = GO(UP, ACT_REPORT_NOT_READY),
		[EV_EXIT] = IGNORE,
		[EV_EXIT_RESTART] = GO(BACKOFF, ACT_CANCEL_READY | ACT_REPLY_FAIL | ACT_KILL | ACT_ARM_DELAY),
		[EV_EXIT_DOWN] = GO(DOWN, ACT_CANCEL_READY | ACT_REPLY_FAIL | ACT_KILL),
		[EV_EXIT_GIVE_UP] = GO(FAILED, ACT_CANCEL_READY | ACT_REPLY_FAIL | ACT_KILL),
		[EV_TREE_GONE] = IGNORE,
		[EV_DELAY_OVER] = IGNORE,
		[EV_KILL_TIMEOUT] = IGNORE,
	},
	[LIFE_UP] = {
		[EV_START] = GO(UP, ACT_REPLY_OK),
		[EV_STOP] = END(ENDING, DOWN, ACT_ARM_KILL | ACT_SIGNAL),
		[EV_RESTART] = END(ENDING, START, ACT_ARM_KILL | ACT_SIGNAL),
		[EV_DELETE] = END(ENDING, FORGET, ACT_ARM_KILL | ACT_SIGNAL),
		[EV_SPAWNED] = IGNORE,
		[EV_SPAWN_FAILED] = IGNORE,
		[EV_SPAWN_RETRY] = IGNORE,
		[EV_READY] = IGNORE,
		[EV_READY_TIMEOUT] = IGNORE,
		[EV_EXIT] = IGNORE,
		[EV_EXIT_RESTART] = GO(BACKOFF, ACT_KILL | ACT_ARM_DELAY),
		[EV_EXIT_DOWN] = GO(DOWN, ACT_KILL),
		[EV_EXIT_GIVE_UP] = GO(FAILED, ACT_KILL),
		[EV_TREE_GONE] = IGNORE,
		[EV_DELAY_OVER] = IGNORE,
		[EV_KILL_TIMEOUT] = IGNORE,
	},
	[LIFE_ENDING] = {
		[EV_START] = END(ENDING, START, 0),
		[EV_STOP] = END(ENDING, DOWN, 0),
		[EV_RESTART] = END(ENDING, START, 0),
		[EV_DELETE] = END(ENDING, FORGET, 0),
		[EV_SPAWNED] = IGNORE,
		[EV_SPAWN_FAILED] = IGNORE,
		[EV_SPAWN_RETRY] = IGNORE,
		[EV_READY] = IGNORE,
		[EV_READY_TIMEOUT] = IGNORE,
		[EV_EXIT] = IGNORE,
		[EV_EXIT_RESTART] = IGNORE,
		[EV_EXIT_DOWN] = IGNORE,
		[EV_EXIT_GIVE_UP] = IGNORE,
		[EV_TREE_GONE] = SETTLE(ACT_CANCEL_KILL),
		[EV_DELAY_OVER] = IGNORE,
		[EV_KILL_TIMEOUT] = END(KILLING, NONE, ACT_ARM_KILL | ACT_KILL),
	},
	[LIFE_KILLING] = {
		[EV_START] = END(KILLING, START, 0),
		[EV_STOP] = END(KILLING, DOWN, 0),
		[EV_RESTART] = END(KILLING, START, 0),
		[EV_DELETE] = END(KILLING, FORGET, 0),
		[EV_SPAWNED] = IGNORE,
		[EV_SPAWN_FAILED] = IGNORE,
		[EV_SPAWN_RETRY] = IGNORE,
		[EV_READY] = IGNORE,
		[EV_READY_TIMEOUT] = IGNORE,
		[EV_EXIT] = IGNORE,
		[EV_EXIT_RESTART] = IGNORE,
		[EV_EXIT_DOWN] = IGNORE,
		[EV_EXIT_GIVE_UP] = IGNORE,
		[EV_TREE_GONE] = SETTLE(ACT_CANCEL_KILL),
		[EV_DELAY_OVER] = IGNORE,
		[EV_KILL_TIMEOUT] = END(KILLING, NONE, ACT_REPLY_FAIL | ACT_ARM_KILL | ACT_KILL),
	},
	[LIFE_BACKOFF] = {
		[EV_START] = GO(SPAWNING, ACT_CANCEL_DELAY | ACT_CLEAR | ACT_COUNT_RESTART | ACT_SPAWN),
		[EV_STOP] = END(KILLING, DOWN, ACT_CANCEL_DELAY | ACT_ARM_KILL | ACT_KILL),
		[EV_RESTART] = GO(SPAWNING, ACT_CANCEL_DELAY | ACT_CLEAR | ACT_COUNT_RESTART | ACT_SPAWN),
		[EV_DELETE] = END(KILLING, FORGET, ACT_CANCEL_DELAY | ACT_ARM_KILL | ACT_KILL),
		[EV_SPAWNED] = IGNORE,
		[EV_SPAWN_FAILED] = IGNORE,
		[EV_SPAWN_RETRY] = IGNORE,
		[EV_READY] = IGNORE,
		[EV_READY_TIMEOUT] = IGNORE,
		[EV_EXIT] = IGNORE,
		[EV_EXIT_RESTART] = IGNORE,
		[EV_EXIT_DOWN] = IGNORE,
		[EV_EXIT_GIVE_UP] = IGNORE,
		[EV_TREE_GONE] = IGNORE,
		[EV_DELAY_OVER] = GO(SPAWNING, ACT_COUNT_RESTART | ACT_SPAWN),
		[EV_KILL_TIMEOUT] = IGNORE,
	},
	[LIFE_HELD] = {
		[EV_START] = GO(SPAWNING, ACT_CANCEL_DELAY | ACT_CLEAR | ACT_SPAWN),
		[EV_STOP] = END(KILLING, DOWN, ACT_CANCEL_DELAY | ACT_ARM_KILL | ACT_KILL),
		[EV_RESTART] = GO(SPAWNING, ACT_CANCEL_DELAY | ACT_CLEAR | ACT_SPAWN),
		[EV_DELETE] = END(KILLING, FORGET, ACT_CANCEL_DELAY | ACT_ARM_KILL | ACT_KILL),
		[EV_SPAWNED] = IGNORE,
		[EV_SPAWN_FAILED] = IGNORE,
		[EV_SPAWN_RETRY] = IGNORE,
		[EV_READY] = IGNORE,
		[EV_READY_TIMEOUT] = IGNORE,
		[EV_EXIT] = IGNORE,
		[EV_EXIT_RESTART] = IGNORE,
		[EV_EXIT_DOWN] = IGNORE,
		[EV_EXIT_GIVE_UP] = IGNORE,
		[EV_TREE_GONE] = IGNORE,
		[EV_DELAY_OVER] = GO(SPAWNING, ACT_SPAWN),
		[EV_KILL_TIMEOUT] = IGNORE,
	},
	[LIFE_FAILED] = {
		[EV_START] = GO(SPAWNING, ACT_CLEAR | ACT_SPAWN),
		[EV_STOP] = END(KILLING, DOWN, ACT_ARM_KILL | ACT_KILL),
		[EV_RESTART] = GO(SPAWNING, ACT_CLEAR | ACT_SPAWN),
		[EV_DELETE] = END(KILLING, FORGET, ACT_ARM_KILL | ACT_KILL),
		[EV_SPAWNED] = IGNORE,
		[EV_SPAWN_FAILED] = IGNORE,
		[EV_SPAWN_RETRY] = IGNORE,
		[EV_READY] = IGNORE,
		[EV_READY_TIMEOUT] = IGNORE,
		[EV_EXIT] = IGNORE,
		[EV_EXIT_RESTART] = IGNORE,
		[EV_EXIT_DOWN] = IGNORE,
		[EV_EXIT_GIVE_UP] = IGNORE,
		[EV_TREE_GONE] = IGNORE,
		[EV_DELAY_OVER] = IGNORE,
		[EV_KILL_TIMEOUT] = IGNORE,
	},
};
/* clang-format on */

static const struct cell settled[] = {
	[LIFE_AFTER_NONE] = GO(DOWN, ACT_REPLY_OK),
	[LIFE_AFTER_DOWN] = GO(DOWN, ACT_REPLY_OK),
	[LIFE_AFTER_START] = GO(SPAWNING, ACT_CLEAR | ACT_COUNT_RESTART | ACT_SPAWN),
	[LIFE_AFTER_FORGET] = GO(DOWN, ACT_REPLY_OK | ACT_FORGET),
};

bool life_is_ending(const struct life *l)
{
	return l->state == LIFE_ABORTING || l->state == LIFE_ENDING || l->state == LIFE_KILLING;
}

static bool is_order(enum life_event event)
{
	return event == EV_START || event == EV_STOP || event == EV_RESTART || event == EV_DELETE;
}

uint32_t life_step(struct life *l, enum life_event event)
{
	const struct cell *cell = &table[l->state][event];
	uint32_t actions;

	assert(cell->kind != CELL_UNSET);
	if (cell->kind == CELL_IGNORE)
		return 0;
	if (l->after == LIFE_AFTER_FORGET && is_order(event))
		return event == EV_START || event == EV_RESTART ? ACT_REFUSE : 0;
	actions = cell->actions;
	if (cell->kind == CELL_SETTLE) {
		cell = &settled[l->after];
		actions |= cell->actions;
		l->after = LIFE_AFTER_NONE;
	}
	if (cell->after != LIFE_AFTER_NONE && cell->after != l->after) {
		actions |= ACT_SUPERSEDED;
		l->after = cell->after;
	}
	l->state = cell->next;
	return actions;
}

bool life_has_process(const struct life *l)
{
	return l->state == LIFE_SPAWNING || l->state == LIFE_UP_WAIT || l->state == LIFE_UP ||
	       life_is_ending(l);
}

bool life_is_wanted(const struct life *l)
{
	if (life_is_ending(l))
		return l->after == LIFE_AFTER_START;
	return l->state != LIFE_DOWN && l->state != LIFE_FAILED;
}

const char *life_state_word(enum life_state state)
{
	static const char *const words[] = {
#define STATE_WORD(c, word) [c] = (word),
		LIFE_STATES(STATE_WORD)
	};

	return words[state];
}

const char *life_event_name(enum life_event event)
{
	static const char *const names[] = {
#define EVENT_NAME(c) [c] = #c,
		LIFE_EVENTS(EVENT_NAME)
	};

	return names[event];
}
