/* fleet_send.h - one request to all hosts of a verb, and their answers as they come. */
#ifndef PM_CLI_FLEET_SEND_H
#define PM_CLI_FLEET_SEND_H

#include "cli/fleet.h"

struct fleet_send_handlers {
	void (*host)(void *arg, struct host *h); /* it has said its last; NULL: nobody cares */
	void (*tick)(void *arg);                 /* every tenth of a second; NULL: likewise */
};

/*
 * Pass the request on to the hosts that were found and wait until all have answered, time is up or
 * the user does not want to wait any longer: f->hosts has what came of it.
 *
 * forward      its request and deadline_ms; which hosts is filled in here: those whose state is
 *              HOST_WAITING
 * errors       the coordinator's refusal of the whole; the end of the session (what was sent is
 *              unknown then, in f->hosts too)
 */
PM_MUST_CHECK int fleet_send(struct ctx *ctx, Pm__Forward *forward,
                             const struct fleet_send_handlers *handlers, void *arg,
                             struct pm_error *err);

#endif
