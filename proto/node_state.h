/* node_state.h - the words for what a node of the fleet is: in tables, JSON and expressions. Pure.
 */
#ifndef PM_PROTO_NODE_STATE_H
#define PM_PROTO_NODE_STATE_H

#include "proto/pm.pb-c.h"

/* "online"; of none that is known here "unknown". */
const char *pm_node_state_name(Pm__NodeState state);

#endif
