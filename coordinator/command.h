/* command.h - one command to many agents, until the last has answered or the time is up. Pure.
 *
 * The targets are a fixed list.  Each is in one state, and the end says what is true and no more:
 * what was sent and not answered is unknown, never failed (TRANSPORT 5.2); what was never sent is
 * offline or timed out, and did not happen.  Answers carry the session's generation; a late one of
 * a replaced session still counts, since the agent did what it says.
 */
#ifndef PM_COORDINATOR_COMMAND_H
#define PM_COORDINATOR_COMMAND_H

#include <stdbool.h>

#include "proto/error.h"

/* X(constant, name in the store, final) */
#define TARGET_STATES(X)                                                                    \
	X(TARGET_WAITING, "waiting", false)   /* to be sent */                              \
	X(TARGET_OFFLINE, "offline", false)   /* no session; sent if it comes back */       \
	X(TARGET_SENT, "sent", false)         /* no word yet */                             \
	X(TARGET_ACCEPTED, "accepted", false) /* it is at it */                             \
	X(TARGET_DONE, "done", true)                                                        \
	X(TARGET_FAILED, "failed", true)   /* the agent says so, or refuses */              \
	X(TARGET_MISSED, "missed", true)   /* the time is up, and it was never sent */      \
	X(TARGET_REFUSED, "refused", true) /* by us: not permitted, quarantined, drained */ \
	X(TARGET_UNKNOWN, "unknown", true) /* sent; the time is up without an answer */

enum target_state {
#define TARGET_ENUM(c, name, final) c,
	TARGET_STATES(TARGET_ENUM)
#undef TARGET_ENUM
	TARGET_STATES_N
};

const char *target_state_name(enum target_state state);
bool target_state_is_final(enum target_state state);
/* TARGET_STATES_N: no such name. */
enum target_state target_state_find(const char *name);

enum target_event {
	TARGET_EV_SEND,   /* it is being sent now */
	TARGET_EV_AWAY,   /* its session has ended, or it has none */
	TARGET_EV_REFUSE, /* it may not be commanded */
	TARGET_EV_ACCEPT, /* "accepted" came */
	TARGET_EV_DONE,   /* a result came: success */
	TARGET_EV_FAIL,   /* a result came: failure */
	TARGET_EV_EXPIRE, /* its time is up */
	TARGET_EV_N
};

/* The state behind an event; the same one when the event says nothing new. */
enum target_state target_next(enum target_state state, enum target_event ev);

/* One target. The owner stores each change before it tells anybody. */
struct command_target {
	enum target_state state;
	uint8_t sends;     /* times sent: a repeat is answered from the agent's journal */
	uint64_t until_ms; /* monotonic: its answer's time, once it was sent */
};

struct command {
	struct command_target *targets; /* owned */
	size_t n;
	size_t by_state[TARGET_STATES_N];
	uint64_t deadline_ms;    /* monotonic */
	uint32_t budget_ms;      /* from the sending to the answer */
	uint64_t queue_until_ms; /* offline ones are waited for until then; 0: not at all */
	uint32_t max_sent;       /* so many may be under way at once; 0: no limit */
};

/* Past the deadline an answer may still be on its way for so long. */
#define COMMAND_GRACE_MS 2000

/*
 * budget_ms  from now to the deadline; also what one has that was queued past it
 * errors     PM_LIMIT (PM_HOSTS_MAX), PM_NO_MEMORY
 */
PM_MUST_CHECK int command_init(struct command *c, size_t n_targets, uint64_t now_ms,
                               uint32_t budget_ms, struct pm_error *err);
void command_finish(struct command *c);

/* An event of a target; true: its state has changed. */
bool command_event(struct command *c, size_t target, enum target_event ev, uint64_t now_ms);

/*
 * The next targets to send to, from *at on: waiting ones while the time is not up and max_sent is
 * not reached.  The owner sends and then tells TARGET_EV_SEND, or _AWAY, or _REFUSE.
 *
 * returns    true with *at on a target
 */
bool command_next(const struct command *c, uint64_t now_ms, size_t *at);

/* An agent is back: whether its target is to be sent (again): offline, or sent without an answer.
 */
bool command_is_due(const struct command *c, size_t target, uint64_t now_ms);

/*
 * Time has passed: those that are out of it come to their end; fn is called for each change.
 *
 * returns    when to call it again; 0: the command has ended
 */
uint64_t command_tick(struct command *c, uint64_t now_ms, void (*fn)(void *arg, size_t target),
                      void *arg);

bool command_has_ended(const struct command *c);

#endif
