/* uplink_local.h - the uplink's side of its session with the supervisor: records over a socket. */
#ifndef PM_AGENT_UPLINK_LOCAL_H
#define PM_AGENT_UPLINK_LOCAL_H

#include <stdbool.h>

#include <uv.h>

#include "proto/error.h"
#include "proto/pm.pb-c.h"

struct local;

/* A message is valid during the call only.  Either may close it as its last act. */
struct local_handlers {
	void (*received)(void *arg, const Pm__Envelope *env);
	/* It is over; nothing more is called.  why->code PM_OK: the other side closed it. */
	void (*ended)(void *arg, const struct pm_error *why);
};

/*
 * Take up the session and say Hello.
 *
 * fd         taken, also on failure
 * errors     PM_NO_MEMORY, the system's
 */
PM_MUST_CHECK int local_create(uv_loop_t *loop, int fd, const struct local_handlers *handlers,
                               void *arg, struct local **out, struct pm_error *err);
void local_close(struct local *l); /* NULL is fine */

/* Sent at once as far as the socket takes it.  false: it does not fit a record. */
bool local_send(struct local *l, const Pm__Envelope *env);
size_t local_queued(const struct local *l); /* bytes that wait */
/* Take what comes, or let it wait in the socket. */
void local_read(struct local *l, bool on);

#endif
