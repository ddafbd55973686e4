/*
 * preload.h - the files of ours that are loaded into workers of a cluster: where they are, and how
 * node is told of its one.
 *
 * An app must start without them as well, so nothing here fails: a file that is not there, or that
 * the app's user could not read, is not named to anybody.
 */
#ifndef PM_AGENT_PRELOAD_H
#define PM_AGENT_PRELOAD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/buf.h"

#define PRELOAD_SHIM  "libpmd-shim.so" /* agent/shim/ */
#define PRELOAD_DRAIN "pmd-drain.cjs"  /* agent/drain/; it loads pmd-share.cjs beside it */

/* Says over node's message channel that the worker is to drain: to be sent before node's own
 * disconnect. What was preloaded answers PRELOAD_DRAINING; without it nobody does. */
#define PRELOAD_DRAIN_MESSAGE "{\"cmd\":\"NODE_PMD\",\"act\":\"drain\"}"
#define PRELOAD_DRAINING      "draining"

/* Whether it would take connections from a socket for all workers beside its own: answered by
 * PRELOAD_ABLE, if so. It is sent such sockets (PRELOAD_JOIN, answered by PRELOAD_JOINED, with
 * `ok`; false later on: it has left it, for want of room), says when its connections turn out to be
 * brief or no longer so (PRELOAD_BRIEF, with `on`), and can be told to leave them again. With room
 * again it says that it is able. */
#define PRELOAD_ABLE_MESSAGE  "{\"cmd\":\"NODE_PMD\",\"act\":\"able\"}"
#define PRELOAD_LEAVE_MESSAGE "{\"cmd\":\"NODE_PMD\",\"act\":\"leave\"}"
#define PRELOAD_ABLE          "able"
#define PRELOAD_JOIN          "join"
#define PRELOAD_JOINED        "joined"
#define PRELOAD_BRIEF         "brief"

/* The app's own NODE_OPTIONS, which the preloaded file puts back. */
#define PRELOAD_ENV_OPTIONS "PMD_NODE_OPTIONS"

/* Where no message channel reaches (npm start): the signal that says drain, and that the options
 * are to be inherited. To those who do not know of it this one does nothing. */
#define PRELOAD_ENV_SIGNAL  "PMD_DRAIN_SIGNAL"
#define PRELOAD_SIGNAL      SIGWINCH
#define PRELOAD_SIGNAL_NAME "SIGWINCH"

/*
 * Find one: beside the program (in a build tree), or where it is installed in relation to it.
 *
 * program     pmd's own path, absolute
 * for_others  the app runs as another user than ours
 * returns     false when it is in neither place
 */
bool preload_find(const char *program, const char *name, bool for_others, char *out, size_t size);

/*
 * Make the NODE_OPTIONS of a worker: the file first, then the app's own.
 *
 * theirs   NULL: none
 * returns  false when the worker must go without: node's permission model would refuse to read the
 *          file and end the app; or a path that NODE_OPTIONS cannot hold
 */
bool preload_node_options(const char *path, const char *theirs, struct pm_buf *out);
/* Would node with these options (NULL: none) refuse to read the file?  Pure. */
bool preload_is_refused(const char *options);

#endif
