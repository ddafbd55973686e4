/* fleet_logs.h - the logs of several hosts in one view: one stream for each, merged by time. */
#ifndef PM_CLI_FLEET_LOGS_H
#define PM_CLI_FLEET_LOGS_H

#include "cli/fleet.h"
#include "cli/logs.h"

/*
 * Show what the request asks for of the hosts of ctx->fleet, until the end or Ctrl-C.  A host whose
 * connection is lost is found again, and its lines go on where they stopped.
 *
 * returns    the exit status, 130 after Ctrl-C, or -1
 */
int fleet_logs(struct ctx *ctx, struct logs_request *request, struct pm_error *err);

#endif
