/*
 * node_inspect.h - the port of a Node worker's debugger.
 *
 * Workers that share their options would all listen for a debugger at one port, and node ends those
 * that cannot. Under a primary in node each has a port of its own; so here, and a successor beside
 * the worker that it replaces. Pure.
 */
#ifndef PM_AGENT_NODE_INSPECT_H
#define PM_AGENT_NODE_INSPECT_H

#include <stddef.h>

#define NODE_INSPECT_PORT 9229 /* where nothing else is said; node(1), --inspect */

/*
 * The port for one worker: as node is told, plus twice the worker's number, and one more in its
 * other generation.
 *
 * args          node's options before the script
 * node_options  the app's NODE_OPTIONS; NULL: none
 * returns       0: none is to be set (nobody asked for a debugger, any port will do, or there are
 *               not so many)
 */
unsigned node_inspect_port(char *const *args, size_t n_args, const char *node_options,
                           unsigned worker, unsigned generation);

#endif
