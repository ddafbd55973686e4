/* fleet_list.h - the verbs that look at several hosts. */
#ifndef PM_CLI_FLEET_LIST_H
#define PM_CLI_FLEET_LIST_H

#include "cli/fleet.h"
#include "cli/listing.h"

/*
 * The apps of all hosts: list and jlist.
 *
 * o          which of them, in which form, checked against apps_host_columns
 * returns    the exit status or -1
 */
int fleet_list(struct ctx *ctx, const struct listing_options *o, struct pm_error *err);

/*
 * Look at all hosts at once and show each as `run` does on its own, equal ones together when there
 * are many: describe, env, why.
 *
 * environment  of their processes too: an administrator's request, which is audited
 * run          prints to stdout what client_status() says of the app that the verb names
 * returns      the exit status or -1
 */
int fleet_each(struct ctx *ctx, bool environment, int (*run)(struct ctx *ctx, struct pm_error *err),
               struct pm_error *err);
/* The same where run sends a request of its own to each host that has the app, one host after
 * another: history. */
int fleet_each_asked(struct ctx *ctx, int (*run)(struct ctx *ctx, struct pm_error *err),
                     struct pm_error *err);

#endif
