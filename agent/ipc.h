/*
 * ipc.h - node's message channel with one process: JSON lines over a stream socket, descriptors
 * beside them.
 *
 * A message is taken from the socket only after it was dealt with, so that a supervisor that dies
 * in between leaves it for the next one (which may see it twice, never not at all). What an app
 * sends too much of, or does not read, is its own loss: everything here is bounded.
 */
#ifndef PM_AGENT_IPC_H
#define PM_AGENT_IPC_H

#include <stdbool.h>
#include <uv.h>

#include "proto/error.h"

struct ipc;

/* One message, without its newline; line[len] is NUL. The callee may close the channel. */
typedef void ipc_fn(void *arg, const char *line, size_t len);
/* The app has closed its end. The callee may close the channel. */
typedef void ipc_end_fn(void *arg);

/*
 * Read messages from our end.
 *
 * fd  taken; non-blocking
 * end may be NULL
 */
PM_MUST_CHECK int ipc_create(uv_loop_t *loop, int fd, ipc_fn *fn, ipc_end_fn *end, void *arg,
                             struct ipc **out, struct pm_error *err);
void ipc_close(struct ipc *c); /* NULL is fine */

/* Send one JSON text; false when the app does not read its messages, or has closed the channel. */
bool ipc_send(struct ipc *c, const char *json);
/* The same with a descriptor, which is duplicated here; false also while another one has not gone
 * out: an app that reads nothing, whatever it says of what it got, costs us one. */
bool ipc_send_fd(struct ipc *c, const char *json, int fd);

/* The app has closed its end. */
bool ipc_has_ended(const struct ipc *c);

uint64_t ipc_dropped(const struct ipc *c); /* messages over PM_IPC_LINE_MAX */

#endif
