/* cluster_queues.c - connections that wait where nobody takes them: swept to workers that live. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/cluster_priv.h"
#include "agent/process.h"
#include "agent/worker.h"
#include "proto/log.h"

/* How long after a worker's end its queue is looked at again, and after its leaving the common ones
 * those: handshakes take a round trip, or two when a packet was lost. */
static const uint32_t late_ms[] = { 50, 250, 1000, 3000 };

/* The next worker that can be handed a connection; NULL: none. */
static struct worker *next_worker(struct cluster *c)
{
	const struct app *app = c->app;

	for (size_t i = 0; i < app->n; i++) {
		size_t at = (c->next_worker + i) % app->n;
		const struct inst_core *core = instance_core(app->instances[at]);
		struct process *p = instance_process(app->instances[at]);

		if (p == NULL || p->worker == NULL || !worker_takes_connections(p->worker) ||
		    !sockets_is_steered(c->sockets, core->instance, core->generation))
			continue;
		c->next_worker = at + 1;
		return p->worker;
	}
	return NULL;
}

void cluster_give_parked(struct cluster *c)
{
	struct parked *one;
	struct worker *w;

	while ((one = c->parked) != NULL && (w = next_worker(c)) != NULL) {
		(void)worker_give_connection(w, &one->key, one->fd); /* else it cannot be had */
		c->parked = one->next;
		c->n_parked--;
		(void)close(one->fd);
		free(one);
	}
}

void cluster_close_parked(struct cluster *c)
{
	struct parked *one;

	while ((one = c->parked) != NULL) {
		c->parked = one->next;
		(void)close(one->fd);
		free(one);
	}
	c->n_parked = 0;
}

void cluster_return(struct app *app, const struct socket_key *key, int fd)
{
	struct cluster *c = app->cluster;
	struct parked *one, **end;

	if (c == NULL || c->sockets == NULL || c->n_parked == SOCKETS_BACKLOG ||
	    (one = pm_calloc(1, sizeof(*one))) == NULL) {
		(void)close(fd);
		return;
	}
	*one = (struct parked){ .key = *key, .fd = fd };
	for (end = &c->parked; *end != NULL; end = &(*end)->next)
		continue;
	*end = one;
	c->n_parked++;
	cluster_give_parked(c);
}

static void sweep_socket(struct cluster *c, const struct socket_key *key, int listener, unsigned *n)
{
	/* Its workers may have taken the flag off. */
	if (sockets_do_not_wait(listener) < 0)
		return;
	for (unsigned i = 0; i < SOCKETS_BACKLOG; i++) {
		struct worker *w = next_worker(c);
		PM_CLOSE int fd = -1;

		if (w == NULL)
			return;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		*n += worker_give_connection(w, key, fd);
	}
}

static void sweep_key(struct cluster *c, const struct socket_key *key, uint32_t seat,
                      unsigned generation, unsigned *n)
{
	int listener, errnum;
	struct pm_error err;

	if (key->type == SOCK_STREAM && key->family != AF_UNIX && seat < cluster_seats(c->app) &&
	    sockets_get(c->sockets, key, seat, generation, &listener, &errnum, &err) == 0)
		sweep_socket(c, key, listener, n);
}

/* What waits in a queue for all, when none of them is left. */
static void sweep_common(struct cluster *c)
{
	const struct socket_key *key;
	unsigned n = 0;

	for (size_t i = 0; (key = sockets_key(c->sockets, i)) != NULL; i++) {
		int listener = sockets_abandoned(c->sockets, key);

		if (listener >= 0)
			sweep_socket(c, key, listener, &n);
	}
	if (n > 0)
		pm_log(PM_LOG_INFO, "cluster.sweep",
		       "app=%s: %u connections that waited for any worker go to those that are "
		       "there",
		       c->app->spec->name, n);
}

static bool is_served(const struct app *app, uint32_t seat, unsigned generation)
{
	for (size_t i = 0; i < app_n_all(app); i++) {
		const struct inst_core *core = instance_core(app_any(app, i));

		if (core->instance == seat && core->generation == generation && core->pid != 0)
			return true;
	}
	return false;
}

void cluster_sweep(struct app *app, uint32_t seat, unsigned generation)
{
	struct cluster *c = app->cluster;
	const struct socket_key *key;
	unsigned n = 0;

	if (c == NULL || c->sockets == NULL || cluster_way(app->spec) != CLUSTER_NODE)
		return;
	sweep_common(c);
	if (is_served(app, seat, generation) || sockets_waiting(c->sockets, seat, generation) == 0)
		return;
	for (size_t i = 0; (key = sockets_key(c->sockets, i)) != NULL; i++)
		sweep_key(c, key, seat, generation, &n);
	if (n > 0)
		pm_log(PM_LOG_INFO, "cluster.sweep",
		       "app=%s seat=%u: %u waiting connections go to "
		       "other workers",
		       app->spec->name, (unsigned)seat, n);
}

static void on_late_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void late_close(struct late *l)
{
	if (l->cluster != NULL) {
		struct late **at = &l->cluster->late;

		while (*at != NULL && *at != l)
			at = &(*at)->next;
		if (*at != NULL)
			*at = l->next;
	}
	uv_close((uv_handle_t *)&l->timer, on_late_closed);
}

static void on_late(uv_timer_t *timer)
{
	struct late *l = timer->data;

	struct app *app = l->cluster->app;

	cluster_sweep(app, l->seat, l->generation);
	if (++l->n == PM_COUNT(late_ms)) {
		late_close(l);
		cluster_rest(app);
	} else
		(void)uv_timer_start(timer, on_late, late_ms[l->n],
		                     0); /* fails only while closing */
}

void cluster_sweep_late(struct app *app, uint32_t seat, unsigned generation)
{
	struct cluster *c = app->cluster;
	struct late *l;

	if (c == NULL || c->sockets == NULL || cluster_way(app->spec) != CLUSTER_NODE)
		return;
	cluster_sweep(app, seat, generation);
	for (l = c->late; l != NULL; l = l->next)
		if (l->seat == seat && l->generation == generation) {
			l->n = 0;
			(void)uv_timer_start(&l->timer, on_late, late_ms[0], 0);
			return;
		}
	l = pm_calloc(1, sizeof(*l));
	if (l == NULL)
		return; /* what still comes waits for the next process there */
	*l = (struct late){ .cluster = c, .seat = seat, .generation = generation, .next = c->late };
	(void)uv_timer_init(app->su->loop, &l->timer); /* never fails */
	l->timer.data = l;
	c->late = l;
	(void)uv_timer_start(&l->timer, on_late, late_ms[0], 0);
}

void cluster_close_late(struct cluster *c)
{
	while (c->late != NULL)
		late_close(c->late);
}
