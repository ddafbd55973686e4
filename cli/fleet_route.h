/* fleet_route.h - a client (client.h) whose agent is reached through a coordinator. */
#ifndef PM_CLI_FLEET_ROUTE_H
#define PM_CLI_FLEET_ROUTE_H

#include "cli/client.h"
#include "cli/fleet_client.h"

/*
 * A client that speaks with one agent; requests and streams are passed on by the coordinator.
 *
 * session    borrowed while the client lives
 * agent      its id; NULL: none in particular, and only specs are taken, for fleet_route_specs()
 * n_cpus     as the agent is known to have them
 * ownership  *out is for client_destroy()
 */
PM_MUST_CHECK int fleet_route_create(struct fleet_client *session, const char *agent,
                                     uint32_t n_cpus, struct client **out, struct pm_error *err);

/* What the next status requests are answered with, without asking again; borrowed.  NULL: ask. */
void fleet_route_preload(struct client *c, Pm__InstanceStatus **instances, size_t n,
                         const Pm__AgentStatus *agent);

/* The specs that were pushed and not sent yet; borrowed until the next push. */
Pm__SpecPush **fleet_route_specs(struct client *c, size_t *n);

#endif
