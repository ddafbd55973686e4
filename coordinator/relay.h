/*
 * relay.h - a stream of an agent, such as its logs, passed on to the operator who asked for it.
 *
 * Nothing is kept in between: the operator's credit is the agent's, so a slow terminal holds up the
 * agent's file reader and nobody else.
 */
#ifndef PM_COORDINATOR_RELAY_H
#define PM_COORDINATOR_RELAY_H

#include "proto/link.h"

struct relay;

/*
 * Open the agent's end for a stream that an operator has just opened (a handler's stream_open).
 *
 * open       the operator's words, with the agent's name in them
 * errors     PM_UNREACHABLE, PM_LIMIT, PM_NO_MEMORY: the operator's stream is to be refused with it
 */
PM_MUST_CHECK int relay_open(struct pm_link_stream *operator, struct pm_link * agent,
                             const Pm__StreamOpen *open, Pm__Actor *actor, struct pm_error *err);

/* What the links' handlers are called with, for either end. */
void relay_data(struct pm_link_stream *st, const Pm__StreamData *data);
void relay_ready(struct pm_link_stream *st);
void relay_credit(struct pm_link_stream *st, uint32_t bytes);
void relay_closed(struct pm_link_stream *st, const struct pm_error *why);

#endif
