#include "agent/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cluster.h"
#include "agent/preload.h"
#include "agent/process.h"
#include "agent/shim_server.h"
#include "agent/tree.h"
#include "proto/log.h"

struct worker {
	struct process *process; /* borrowed; owns us */
	struct cluster_seat seat;
	struct node_primary *node; /* owned; NULL: not node's way */
	struct shim_server *shim;  /* owned; NULL: not preloaded */
};

int worker_pair_open(enum cluster_way way, int number, struct worker_pair *out,
                     struct pm_error *err)
{
	*out = (struct worker_pair){ .ours = -1, .childs = -1 };
	if (way != CLUSTER_SHIM)
		return 0;
	return shim_server_pair(number, &out->ours, &out->childs, out->env, sizeof(out->env), err);
}

/* ---- what it says ---- */

static void heard_listening(struct worker *w, const char *address)
{
	if (w->process->inst != NULL)
		instance_on_listening(w->process->inst, address);
}

/* It wants an address that it cannot have. Whether it does without is its own affair. */
static void heard_refused(struct worker *w, const char *why)
{
	struct instance *inst = w->process->inst;
	char words[200];

	if (inst == NULL)
		return;
	pm_log(PM_LOG_WARN, "cluster.refused", "app=%s pm_id=%u %s", instance_spec(inst)->name,
	       instance_core(inst)->pm_id, why);
	(void)snprintf(words, sizeof(words), "it cannot %.180s", why);
	instance_remark(inst, words);
}

static void on_online(void *arg)
{
	(void)arg; /* it has booted; what counts is that it listens */
}

static void on_node_listening(void *arg, const char *address)
{
	heard_listening(arg, address);
}

static void on_node_closed(void *arg)
{
	struct worker *w = arg;

	if (w->process->inst != NULL)
		cluster_prune_later(instance_app(w->process->inst));
}

/* It may have been the last who took from a common socket. */
static void on_node_left(void *arg)
{
	const struct worker *w = arg;

	if (w->process->inst != NULL)
		cluster_sweep_late(instance_app(w->process->inst), w->seat.number,
		                   w->seat.generation);
}

static void on_node_refused(void *arg, const char *address, const char *why)
{
	struct worker *w = arg;

	(void)address; /* it is among the words */
	heard_refused(w, why);
}

static void on_shim_refused(void *arg, const char *why)
{
	heard_refused(arg, why);
}

static void on_node_message(void *arg, const char *line, size_t len)
{
	struct worker *w = arg;

	if (w->process->inst != NULL)
		instance_on_message(w->process->inst, line, len);
}

static void on_shim_given(void *arg)
{
	const struct worker *w = arg;

	if (w->process->inst != NULL)
		instance_on_given(w->process->inst);
}

static void on_shim_listening(void *arg, const struct socket_key *key)
{
	struct worker *w = arg;
	char address[160];
	uint16_t port;

	if (!sockets_address(w->seat.sockets, key, address, sizeof(address), &port))
		address[0] = '\0';
	heard_listening(w, address);
}

void worker_on_line(struct worker *w, const char *line, size_t len)
{
	if (w->node != NULL)
		node_primary_on_line(w->node, line, len);
	else
		on_node_message(w, line, len);
}

/* ---- what it is told ---- */

bool worker_takes_connections(const struct worker *w)
{
	const struct instance *inst = w->process->inst;

	return w->node != NULL && inst != NULL &&
	       (instance_core(inst)->said & SAID_LISTENING) != 0 && node_primary_has_room(w->node);
}

bool worker_give_connection(struct worker *w, const struct socket_key *key, int fd)
{
	return node_primary_give(w->node, key, fd);
}

unsigned worker_n_given(const struct worker *w)
{
	return w->node == NULL ? 0 : node_primary_n_given(w->node);
}

void worker_join(struct worker *w)
{
	if (w->node != NULL)
		node_primary_join(w->node);
}

void worker_leave(struct worker *w)
{
	if (w->node != NULL)
		node_primary_leave(w->node);
}

void worker_return_connections(struct worker *w, struct app *app)
{
	struct socket_key key;
	int fd;

	while (w->node != NULL && node_primary_take_back(w->node, &key, &fd))
		cluster_return(app, &key, fd);
}

void worker_drain(struct worker *w)
{
	struct pm_error err;

	if (w->node != NULL && !node_primary_drain(w->node))
		pm_log(PM_LOG_WARN, "cluster.drain", "pid=%d does not read its messages",
		       w->process->pid);
	if (w->process->inst == NULL || !cluster_launches_node(instance_spec(w->process->inst)) ||
	    !instance_spec(w->process->inst)->drain)
		return;
	if (tree_signal_programs(w->process->tag, "node", PRELOAD_SIGNAL, &err) < 0)
		pm_log(PM_LOG_WARN, "cluster.drain", "pid=%d %s", w->process->pid, err.what);
}

bool worker_disconnect(struct worker *w)
{
	return w->node != NULL && node_primary_disconnect(w->node);
}

/* ---- life time ---- */

int worker_create(struct process *p, const struct cluster_seat *seat, struct ipc *ipc, int shim_fd,
                  struct worker **out, struct pm_error *err)
{
	struct worker *w = pm_calloc(1, sizeof(*w));
	const struct node_primary_hooks hooks = {
		.arg = w,
		.online = on_online,
		.listening = on_node_listening,
		.closed = on_node_closed,
		.left = on_node_left,
		.refused = on_node_refused,
		.message = on_node_message,
	};
	const struct shim_server_config config = {
		.sockets = seat->sockets,
		.seat = seat->number,
		.generation = seat->generation,
		.on_listening = on_shim_listening,
		.on_given = on_shim_given,
		.on_refused = on_shim_refused,
		.arg = w,
	};

	if (w == NULL) {
		pm_closep(&shim_fd);
		return pm_fail(err, PM_NO_MEMORY, "cluster worker");
	}
	w->process = p;
	w->seat = *seat;
	if (shim_fd >= 0 && shim_server_create(p->su->loop, shim_fd, &config, &w->shim, err) < 0)
		goto fail;
	if (seat->way == CLUSTER_NODE && ipc != NULL &&
	    node_primary_create(ipc, seat->sockets, seat->shared, seat->number, seat->generation,
	                        &hooks, &w->node, err) < 0)
		goto fail;
	if (w->node != NULL && p->inst != NULL && instance_core(p->inst)->told != 0 &&
	    !instance_spec(p->inst)->shutdown_with_message)
		node_primary_is_leaving(w->node);
	*out = w;
	return 0;
fail:
	worker_close(w);
	return -1;
}

void worker_close(struct worker *w)
{
	if (w == NULL)
		return;
	node_primary_destroy(w->node);
	shim_server_close(w->shim);
	free(w);
}
