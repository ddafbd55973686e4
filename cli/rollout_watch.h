/* rollout_watch.h - looks at a rollout until it rests, and lets the user step in. */
#ifndef PM_CLI_ROLLOUT_WATCH_H
#define PM_CLI_ROLLOUT_WATCH_H

#include "cli/rollout_ask.h"

/*
 * Show a rollout as it goes on, until it is over, it is paused, the user goes away or --timeout is
 * over: live on a terminal, a line an event elsewhere, JSON when that is asked for.  It survives
 * the loss of the session.  Prints the end, whatever it is.
 *
 * c          what is known of it, with its id at least; the caller's
 * returns    the status to exit with, or -1: the coordinator refuses
 */
int rollout_watch(struct ctx *ctx, struct fleet *f, struct rollout_copy *c, struct pm_error *err);

/* Print the document of it, or the end of a stream of events.  Returns 0 or -1 */
PM_MUST_CHECK int rollout_print_json(const struct ctx *ctx, const struct rollout_copy *c,
                                     int status, struct pm_error *err);

#endif
