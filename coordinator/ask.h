/* ask.h - one request to one agent, and its answer, for what the coordinator wants to know itself.
 *
 * An answer may come in pages; each is handed on.  A request ends with its last page, with an
 * Error, or with the session: what an agent has not answered by then is not known.
 */
#ifndef PM_COORDINATOR_ASK_H
#define PM_COORDINATOR_ASK_H

#include "proto/link.h"

struct ask;

/* What an agent's session keeps for this module; zeroed is empty. */
struct ask_list {
	struct ask *first;
};

enum ask_event {
	ASK_PAGE, /* there are more */
	ASK_LAST, /* the request is over, as after the next two */
	ASK_GONE, /* the session ended first; env is NULL */
};

/* env: Result, Progress, StatusList or Error; valid during the call.  It may ask anew. */
typedef void ask_fn(void *arg, enum ask_event event, const Pm__Envelope *env);

/*
 * Send a request; env->id is filled in.
 *
 * before     sent ahead of it in the same session, such as specs; n of them
 * returns    to be given to ask_forget(); NULL: the session is not up, it does not fit a record, or
 *            there is no memory, and nothing was sent
 */
struct ask *ask_send(struct ask_list *list, struct pm_link *link, Pm__Envelope *before, size_t n,
                     Pm__Envelope *env, ask_fn *fn, void *arg);
/* Its answer does not matter any more: fn is not called.  NULL is fine. */
void ask_forget(struct ask *a);

/* An agent has answered; false: nobody here asked that. */
bool ask_on_answer(struct ask_list *list, const Pm__Envelope *env);
/* The session is over. */
void ask_agent_gone(struct ask_list *list);

#endif
