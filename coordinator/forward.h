/*
 * forward.h - an operator's request on its way to many agents, and their answers on the way back.
 *
 * The targets are fixed when it begins. Each agent's answers are passed on as they come, an end
 * that accounts for every target follows when all have answered or the time is over. The operator
 * may leave meanwhile: what was sent is carried out all the same. Answers that he does not take yet
 * wait here, up to PM_FORWARD_QUEUE_MAX.
 */
#ifndef PM_COORDINATOR_FORWARD_H
#define PM_COORDINATOR_FORWARD_H

#include <uv.h>

#include "proto/link.h"

struct forwards;
struct forward_item;

/* What an agent's session keeps for this module; zeroed is empty. */
struct forward_agent {
	struct forward_item *waiting; /* requests without their last answer, sent or not */
};

struct forward_target {
	const char *id, *name;       /* borrowed for the call */
	struct pm_link *link;        /* NULL: not connected */
	struct forward_agent *agent; /* of that link */
	Pm__ForwardState state;      /* for those that are not to be asked; else UNSPECIFIED */
	const char *text;            /* why; "" */
	int64_t last_seen_wall_ms;
	const char *role; /* the operator's there, of static storage; NULL: the actor's */
	const char *apps; /* what he is limited to there; NULL: the actor's */
};

struct forward_request {
	struct pm_link *operator;
	uint64_t id;             /* the request to answer */
	const Pm__Forward *what; /* one of command and status_request is set */
	const Pm__Actor *actor;
	const struct forward_target *targets;
	size_t n_targets;
	uint32_t parallel; /* agents asked at a time; 0: all */
	bool held;         /* nothing is sent before forward_go() */
	/* Called once, when every target is accounted for; how many were done, and not. */
	void (*ended)(void *arg, size_t n_done, size_t n_other);
	void *arg;
};

PM_MUST_CHECK int forwards_create(uv_loop_t *loop, struct forwards **out, struct pm_error *err);
void forwards_close(struct forwards *f); /* NULL is fine; ended() is not called any more */

/*
 * Send it on its way.
 *
 * ticket     for forward_go(); may be NULL
 * errors     PM_NO_MEMORY, PM_LIMIT; then nothing was sent
 */
PM_MUST_CHECK int forward_begin(struct forwards *f, const struct forward_request *r,
                                uint64_t *ticket, struct pm_error *err);
/*
 * One that is held may go, unless its time was over before.
 *
 * number     of its command, as agents are told
 * why        it does not go after all: all are told so; NULL: it does
 */
void forward_go(struct forwards *f, uint64_t ticket, uint64_t number, const char *why);

/* An agent has answered a request; false: nobody waits for it any more. */
bool forward_on_answer(struct forward_agent *agent, const Pm__Envelope *env);
/* The session of an agent is over: what it has not answered is not known. */
void forward_agent_gone(struct forward_agent *agent);
/* The operator's link has room, or is over. */
void forward_operator_room(struct forwards *f, struct pm_link *operator);
void forward_operator_gone(struct forwards *f, struct pm_link *operator);

#endif
