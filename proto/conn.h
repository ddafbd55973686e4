/* conn.h - byte streams over TCP on a libuv loop: the carrier of fleet sessions.
 *
 * nng's byte streams are the back end, and nothing of nng shows here.  No Scalability Protocols
 * listener of nng 1.5.2 may face a peer: one connection that ends with FIN and RST stops it.
 */
#ifndef PM_PROTO_CONN_H
#define PM_PROTO_CONN_H

#include <stdbool.h>
#include <sys/socket.h>

#include <uv.h>

#include "proto/error.h"

struct pm_net; /* what connections on one loop share */
struct pm_conn;
struct pm_listener;

/* Bytes are valid during the call only.  A handler may close its connection as its last act. */
struct pm_conn_handlers {
	void (*opened)(void *arg, struct pm_conn *c); /* a dialled one; NULL for accepted ones */
	void (*read)(void *arg, struct pm_conn *c, const uint8_t *bytes, size_t len);
	void (*progress)(void *arg, struct pm_conn *c); /* a part was taken */
	void (*written)(void *arg, struct pm_conn *c);  /* all of it was */
	/* It ended, or did not come about.  Nothing more is called; close it. */
	void (*ended)(void *arg, struct pm_conn *c, const struct pm_error *why);
};

/* Starts nng, if this is the first.  errors PM_NO_MEMORY, PM_INTERNAL */
PM_MUST_CHECK int pm_net_create(uv_loop_t *loop, struct pm_net **out, struct pm_error *err);
/* After its connections and listeners; memory goes when the loop lets go.  NULL is fine. */
void pm_net_close(struct pm_net *net);
/* Connections that there may be, from the limit on descriptors: 0 sets it from there anew. */
void pm_net_set_max(struct pm_net *net, unsigned max);

/*
 * Connect to a numeric address; opened() or ended() follows.
 *
 * errors     PM_NO_MEMORY, PM_LIMIT (descriptors), PM_INTERNAL (no address of TCP)
 */
PM_MUST_CHECK int pm_conn_dial(struct pm_net *net, const struct sockaddr *to, unsigned timeout_ms,
                               const struct pm_conn_handlers *handlers, void *arg,
                               struct pm_conn **out, struct pm_error *err);

/* Nothing is read from it before pm_conn_set_handlers() and pm_conn_read(). */
typedef void pm_accept_fn(void *arg, struct pm_conn *c);

/*
 * Take connections at a numeric address; port 0: any.  Those over the limit are closed at once;
 * when descriptors have run out all the same, it waits a little and goes on.
 *
 * errors     PM_EXISTS (in use), PM_DENIED, PM_NO_MEMORY, PM_INTERNAL
 */
PM_MUST_CHECK int pm_listener_create(struct pm_net *net, const struct sockaddr *at,
                                     pm_accept_fn *accept, void *arg, struct pm_listener **out,
                                     struct pm_error *err);
void pm_listener_close(struct pm_listener *l); /* NULL is fine */
uint16_t pm_listener_port(const struct pm_listener *l);
uint64_t pm_listener_n_refused(const struct pm_listener *l);

void pm_conn_set_handlers(struct pm_conn *c, const struct pm_conn_handlers *handlers, void *arg);
/* Read from now on, or no more; what is under way may still come once. */
void pm_conn_read(struct pm_conn *c, bool on);
/* One at a time.  bytes: borrowed until written(), ended() or pm_conn_close() returns. */
void pm_conn_write(struct pm_conn *c, const uint8_t *bytes, size_t len);
void pm_conn_close(struct pm_conn *c); /* NULL is fine; calls nobody back */
/* Where the peer is.  false: not known any more. */
bool pm_conn_peer(const struct pm_conn *c, struct sockaddr_storage *out);

#endif
