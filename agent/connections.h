/* connections.h - the connections that the processes of one instance are still answering. */
#ifndef PM_AGENT_CONNECTIONS_H
#define PM_AGENT_CONNECTIONS_H

#include <stdint.h>

#include "agent/sockets.h"
#include "proto/error.h"

/*
 * Count the stream connections that came in over the app's listening sockets and are held by a
 * process with this tag (tree.h). Those that a process has closed do not count, nor do those that
 * wait to be accepted, nor those of a unix socket whose other end has this tag, too.
 *
 * errors  PM_INTERNAL (no /proc, no sock_diag(7)), PM_NO_MEMORY
 * source  sock_diag(7), unix_diag.h; the filter is the bytecode of inet_diag.h
 */
PM_MUST_CHECK int connections_count(const struct sockets *s, uint32_t home_nonce, uint64_t tag,
                                    unsigned *n, struct pm_error *err);

#endif
