/*
 * worker.h - one process that shares listening sockets: speaks to it in the way that it
 * understands, and tells its instance what it hears.
 */
#ifndef PM_AGENT_WORKER_H
#define PM_AGENT_WORKER_H

#include "agent/cluster.h"

struct ipc;
struct worker;

/* The two descriptors through which a worker and we speak; -1: none. */
struct worker_pair {
	int ours, childs;
	char env[48]; /* the value of SHIM_ENV_FD */
};

/* For a worker of that kind. number: what `childs` will be in the child. errors: PM_INTERNAL */
PM_MUST_CHECK int worker_pair_open(enum cluster_way way, int number, struct worker_pair *out,
                                   struct pm_error *err);

/*
 * Serve a process, also one of a former supervisor.
 *
 * seat     copied; its sockets are borrowed until worker_close()
 * ipc      its message channel, borrowed; NULL: it has none
 * shim_fd  our end of a preloaded library's pair, taken; -1: none
 * errors   PM_NO_MEMORY, PM_INTERNAL
 */
PM_MUST_CHECK int worker_create(struct process *p, const struct cluster_seat *seat, struct ipc *ipc,
                                int shim_fd, struct worker **out, struct pm_error *err);
/* NULL is fine. The sockets may go afterwards. */
void worker_close(struct worker *w);

/* A message on its channel; hostile. */
void worker_on_line(struct worker *w, const char *line, size_t len);

/* It can be handed an accepted connection; hand it one (borrowed). Returns whether that was sent.
 */
bool worker_takes_connections(const struct worker *w);
bool worker_give_connection(struct worker *w, const struct socket_key *key, int fd);
/* Connections that it was handed and has not taken yet. */
unsigned worker_n_given(const struct worker *w);

/* It takes connections from the queue for all as well, where it can; or no longer. */
void worker_join(struct worker *w);
void worker_leave(struct worker *w);

/* It has died: what it was handed and has not taken goes to others (cluster_return()). */
void worker_return_connections(struct worker *w, struct app *app);

/* Tell it to finish: no further requests on the connections it has. */
void worker_drain(struct worker *w);
/* Node's graceful way out; it gets no socket and no connection after that. false: it has none, or
 * cannot be told. */
bool worker_disconnect(struct worker *w);

#endif
