/* ipc.h - node's message channel with one process: JSON lines over a socket pair. */
#ifndef PM_AGENT_IPC_H
#define PM_AGENT_IPC_H

#include <stdbool.h>
#include <uv.h>

#include "proto/error.h"

struct ipc;

/* One message, without its newline; line[len] is NUL.  The callee may close the channel. */
typedef void ipc_fn(void *arg, const char *line, size_t len);

/*
 * Read messages from our end.
 *
 * fd  taken; non-blocking
 */
PM_MUST_CHECK int ipc_create(uv_loop_t *loop, int fd, ipc_fn *fn, void *arg, struct ipc **out,
                             struct pm_error *err);
void ipc_close(struct ipc *c); /* NULL is fine */

/* Send one JSON text; false when the app does not read its messages, or has closed the channel. */
bool ipc_send(struct ipc *c, const char *json);

uint64_t ipc_dropped(const struct ipc *c); /* messages over PM_IPC_LINE_MAX */

#endif
