#include "agent/cluster_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/app.h"
#include "agent/connections.h"
#include "agent/process.h"
#include "agent/user.h"
#include "agent/worker.h"
#include "proto/failpoint.h"
#include "proto/log.h"

/* For the keeper to close what is no longer held: it hangs, or takes far less. */
#define SETTLE_MS 5000

static bool is_among(const char *path, const char *const *names, size_t n)
{
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; i < n; i++)
		if (strcmp(slash == NULL ? path : slash + 1, names[i]) == 0)
			return true;
	return false;
}

/* Node programs whose server is a child of theirs, or that is node under another name. */
static bool is_launcher(const Pm__AppSpec *spec)
{
	static const char *const scripts[] = { "npm",      "npx",      "npm-cli.js", "npx-cli.js",
		                               "yarn",     "yarn.js",  "yarnpkg",    "pnpm",
		                               "pnpm.cjs", "pnpm.mjs", "pnpx",       "node",
		                               "nodejs" };
	static const char *const interpreters[] = { "tsx", "ts-node", "ts-node-esm",
		                                    "ts-node-dev" };

	return is_among(spec->script, scripts, PM_COUNT(scripts)) ||
	       is_among(spec->interpreter, interpreters, PM_COUNT(interpreters));
}

enum cluster_way cluster_way(const Pm__AppSpec *spec)
{
	static const char *const nodes[] = { "node", "nodejs" };

	if (spec->exec_mode != PM__EXEC_MODE__EXEC_MODE_CLUSTER)
		return CLUSTER_NOT;
	return is_among(spec->interpreter, nodes, PM_COUNT(nodes)) && !is_launcher(spec)
	               ? CLUSTER_NODE
	               : CLUSTER_SHIM;
}

bool cluster_launches_node(const Pm__AppSpec *spec)
{
	return cluster_way(spec) == CLUSTER_SHIM && is_launcher(spec);
}

bool cluster_can_share(const Pm__AppSpec *spec)
{
	return spec->exec_mode == PM__EXEC_MODE__EXEC_MODE_CLUSTER || spec->n_listen > 0;
}

/* ---- the sockets ---- */

static int hold(void *arg, const char *name, int fd, struct pm_error *err)
{
	struct super *su = arg;
	int rc = fd < 0 ? keeper_client_drop(su->keeper, name, err)
	                : keeper_client_hold(su->keeper, name, fd, err);

	/* Without a keeper they are ours to hand to the one that we are about to become. */
	return rc < 0 && err->code == PM_NOT_RUNNING ? 0 : rc;
}

static int make_sockets(struct app *app, struct sockets **out, struct pm_error *err)
{
	const struct sockets_hooks hooks = { app->su, hold };
	struct sockets_owner owner;
	struct user user;

	if (user_lookup(app->spec->uid, app->spec->gid, &user, err) < 0)
		return -1;
	owner = (struct sockets_owner){
		.uid = user.uid,
		.gid = user.gid,
		.groups = user.groups,
		.n_groups = user.n_groups,
		.umask = app->spec->umask >= 0 ? (mode_t)app->spec->umask : 022,
	};
	return sockets_create(app->serial, &owner, &hooks, out, err);
}

static struct cluster *get_cluster(struct app *app, struct pm_error *err)
{
	struct cluster *c = app->cluster;

	if (c == NULL) {
		c = pm_calloc(1, sizeof(*c));
		if (c == NULL) {
			pm_fail(err, PM_NO_MEMORY, "cluster mode");
			return NULL;
		}
		c->app = app;
		(void)uv_timer_init(app->su->loop, &c->prune); /* never fails */
		c->prune.data = c;
		app->cluster = c;
	}
	if (c->sockets == NULL && make_sockets(app, &c->sockets, err) < 0)
		return NULL;
	return c;
}

/* One more than the highest number in use. */
uint32_t cluster_seats(const struct app *app)
{
	uint32_t n = 1;

	for (size_t i = 0; i < app_n_all(app); i++)
		n = PM_MAX(n, instance_core(app_any(app, i))->instance + 1);
	/* One that went may have left somebody in its queue. */
	for (const struct late *l = app->cluster->late; l != NULL; l = l->next)
		n = PM_MAX(n, l->seat + 1);
	return n;
}

static int fill_seat(const struct instance *inst, unsigned generation, struct cluster_seat *out,
                     struct pm_error *err)
{
	const Pm__AppSpec *spec = instance_spec(inst);
	struct cluster *c = instance_app(inst)->cluster;

	memset(out, 0, sizeof(*out));
	out->sockets = c->sockets;
	out->shared = &c->shared;
	out->number = instance_core(inst)->instance;
	out->generation = generation;
	out->way = cluster_way(spec);
	return listen_fds_init(&out->listen, spec->listen, spec->n_listen, err);
}

int cluster_take_seat(struct instance *inst, struct cluster_seat *out, struct pm_error *err)
{
	struct app *app = instance_app(inst);
	struct cluster *c = get_cluster(app, err);

	if (c == NULL || sockets_set_seats(c->sockets, cluster_seats(app), err) < 0 ||
	    fill_seat(inst, instance_core(inst)->generation, out, err) < 0)
		return -1;
	sockets_begin(c->sockets, out->number, out->generation);
	return listen_fds_get(&out->listen, c->sockets, out->number, out->generation,
	                      out->listen_fds, err);
}

int cluster_find_seat(const struct instance *inst, unsigned generation, struct cluster_seat *out,
                      struct pm_error *err)
{
	struct app *app = instance_app(inst);
	struct cluster *c = get_cluster(app, err);

	/* Without an address nothing was held for it: it has not asked for one yet. */
	if (c == NULL || (sockets_key(c->sockets, 0) == NULL &&
	                  sockets_set_seats(c->sockets, cluster_seats(app), err) < 0))
		return -1;
	return fill_seat(inst, generation, out, err);
}

static struct sockets *sockets_of(const struct instance *inst)
{
	struct cluster *c = instance_app(inst)->cluster;

	return c == NULL ? NULL : c->sockets;
}

bool cluster_has_asked(const struct instance *inst)
{
	const struct inst_core *core = instance_core(inst);
	struct sockets *s = sockets_of(inst);

	return s != NULL && cluster_way(instance_spec(inst)) == CLUSTER_SHIM &&
	       sockets_has_asked(s, core->instance, core->generation);
}

/* Whether it takes connections, as far as we can know. */
enum serving {
	SERVES_NOT,
	SERVES_PERHAPS, /* it is up and has an address, and nobody says that it listens there */
	SERVES
};

static enum serving serving(const struct instance *inst)
{
	const struct inst_core *core = instance_core(inst);

	if (core->role != ROLE_NORMAL || core->life.state != LIFE_UP)
		return SERVES_NOT;
	if ((core->said & (SAID_LISTENING | SAID_GIVEN)) != 0)
		return SERVES;
	return cluster_has_asked(inst) ? SERVES_PERHAPS : SERVES_NOT;
}

static bool is_fit(const struct instance *inst)
{
	return (instance_core(inst)->said & (SAID_UNFIT | SAID_STOPPING)) == 0;
}

/* Nothing is steered to whom nobody steered to, and no table is made to say so. */
static void steer(struct sockets *s, const struct instance *inst, bool on)
{
	const struct inst_core *core = instance_core(inst);
	struct process *p = instance_process(inst);

	if (sockets_is_steered(s, core->instance, core->generation) != on)
		sockets_steer(s, core->instance, core->generation, on);
	if (p == NULL || p->worker == NULL)
		return;
	if (on) {
		worker_join(p->worker);
		cluster_give_parked(instance_app(inst)->cluster);
	} else if (serving(inst) !=
	           SERVES_NOT) { /* it is not fit; who retires leaves when it drains */
		worker_leave(p->worker);
	}
}

/* Some are not fit: all others get their connections, or, when there are none, all. Those that may
 * serve get some when nobody does. */
static void steer_to_fit(struct sockets *s, const struct app *app, enum serving least, bool any_fit)
{
	for (int on = 1; on >= 0; on--) /* first towards: there is always somebody */
		for (size_t i = 0; i < app_n_all(app); i++) {
			const struct instance *inst = app_any(app, i);
			bool wanted = serving(inst) >= least && (!any_fit || is_fit(inst));

			if (wanted == (on != 0))
				steer(s, inst, wanted);
		}
}

void cluster_refresh(const struct instance *inst)
{
	const struct app *app = instance_app(inst);
	struct sockets *s = sockets_of(inst);
	bool any_fit = false, all_alike = true;
	enum serving least = SERVES_PERHAPS;

	if (s == NULL)
		return;
	cluster_prune_later(instance_app(inst));
	for (size_t i = 0; i < app_n_all(app); i++) {
		const struct instance *other = app_any(app, i);

		least = PM_MAX(least, serving(other));
		all_alike &= serving(other) != SERVES_PERHAPS;
	}
	for (size_t i = 0; i < app_n_all(app); i++) {
		const struct instance *other = app_any(app, i);

		any_fit |= serving(other) >= least && is_fit(other);
		all_alike &= serving(other) < least || is_fit(other);
	}
	if (all_alike)
		steer(s, inst, serving(inst) >= least);
	else
		steer_to_fit(s, app, least, any_fit);
}

bool cluster_is_spared(const struct instance *inst)
{
	const struct inst_core *core = instance_core(inst);
	struct sockets *s = sockets_of(inst);

	return s != NULL && serving(inst) != SERVES_NOT && !is_fit(inst) &&
	       !sockets_is_steered(s, core->instance, core->generation);
}

enum sockets_aimed cluster_aim(const struct instance *inst, const struct sockaddr *to,
                               const struct sockaddr *from)
{
	const struct inst_core *core = instance_core(inst);
	struct sockets *s = sockets_of(inst);

	return s == NULL ? SOCKETS_NOT_OURS
	                 : sockets_aim(s, to, from, core->instance, core->generation);
}

void cluster_unaim(const struct instance *inst, const struct sockaddr *from)
{
	struct sockets *s = sockets_of(inst);

	if (s != NULL)
		sockets_unaim(s, from);
}

unsigned cluster_waiting(const struct instance *inst)
{
	const struct inst_core *core = instance_core(inst);
	struct sockets *s = sockets_of(inst);

	return s == NULL ? 0 : sockets_waiting(s, core->instance, core->generation);
}

int cluster_connections(const struct instance *inst, unsigned *n, struct pm_error *err)
{
	struct sockets *s = sockets_of(inst);

	*n = 0;
	return s == NULL ? 0
	                 : connections_count(s, instance_super(inst)->home_nonce,
	                                     instance_core(inst)->tag, n, err);
}

/* No process is left, but for those that a stop without treekill leaves: what they have from the
 * main process is theirs. */
static void close_sockets(struct cluster *c)
{
	const struct app *app = c->app;
	bool left = false;

	if (c->sockets != NULL)
		left = !app->spec->treekill || (app->former != NULL && !app->former->treekill) ||
		       sockets_shut(c->sockets);
	(void)PM_FAIL_POINT("cluster.after_shut");
	cluster_close_parked(c);
	sockets_destroy(PM_STEAL(c->sockets), true);
	/* Who ordered a stop may bind the port as soon as that is answered. */
	if (left)
		keeper_client_settle(app->su->keeper, SETTLE_MS);
}

void cluster_rest(struct app *app)
{
	struct cluster *c = app->cluster;
	struct pm_error err;

	if (c == NULL || c->sockets == NULL)
		return;
	for (size_t i = 0; i < app_n_all(app); i++) {
		const struct inst_core *core = instance_core(app_any(app, i));

		if (life_has_process(&core->life) || life_is_wanted(&core->life)) {
			if (sockets_set_seats(c->sockets, cluster_seats(app), &err) < 0)
				pm_log(PM_LOG_WARN, "cluster.seats", "app=%s %s", app->spec->name,
				       err.what);
			return;
		}
	}
	close_sockets(c);
	node_shared_finish(&c->shared);
}

/* ---- addresses that nobody listens on ---- */

static bool has_listened(const struct instance *inst)
{
	return (instance_core(inst)->said & (SAID_LISTENING | SAID_GIVEN)) != 0 ||
	       cluster_has_asked(inst);
}

static bool is_there(void *arg, uint32_t seat, unsigned generation)
{
	const struct app *app = arg;

	for (size_t i = 0; i < app_n_all(app); i++) {
		const struct inst_core *core = instance_core(app_any(app, i));

		if (core->instance == seat && core->generation == generation &&
		    life_has_process(&core->life))
			return true;
	}
	return false;
}

/* Does everyone who is to run do so, and listen? One that is up, but slow to listen, may be about
 * to ask for what it is waited for at. */
static bool is_at_rest(const struct app *app)
{
	for (size_t i = 0; i < app_n_all(app); i++) {
		const struct inst_core *core = instance_core(app_any(app, i));

		if (core->heirs != 0 ||
		    (life_is_wanted(&core->life) && core->life.state != LIFE_UP) ||
		    (core->life.state == LIFE_UP && !has_listened(app_any(app, i))))
			return false;
	}
	return true;
}

static void on_prune(uv_timer_t *timer)
{
	struct cluster *c = timer->data;

	/* Else what is awaited sets the timer anew. */
	if (c->sockets != NULL && is_at_rest(c->app))
		(void)sockets_prune(c->sockets, is_there, c->app);
}

void cluster_prune_later(struct app *app)
{
	struct cluster *c = app->cluster;

	if (c != NULL && c->sockets != NULL)
		(void)uv_timer_start(&c->prune, on_prune, app->spec->listen_timeout_ms,
		                     0); /* fails only while closing */
}

/* ---- after a death ---- */

static struct {
	struct told_socket {
		char name[KEEPER_NAME_MAX];
		int fd; /* owned */
	} * list;       /* owned */
	size_t n, cap;
} told;

bool cluster_restore_held(const char *name, int fd)
{
	uint32_t serial;

	if (!sockets_is_name(name, &serial))
		return false;
	if (told.n == told.cap) {
		size_t cap = told.cap == 0 ? 16 : told.cap * 2;
		struct told_socket *more = pm_realloc(told.list, cap * sizeof(*more));

		if (more == NULL)
			return false;
		told.list = more;
		told.cap = cap;
	}
	(void)strncpy(told.list[told.n].name, name, KEEPER_NAME_MAX - 1);
	told.list[told.n].name[KEEPER_NAME_MAX - 1] = '\0';
	told.list[told.n++].fd = fd;
	return true;
}

/* Give it to its app. false: that is gone. */
static bool give_back(struct super *su, struct told_socket *t)
{
	struct cluster *c;
	struct pm_error err;
	struct app *app;
	uint32_t serial;

	if (!sockets_is_name(t->name, &serial))
		return false;
	app = app_find_serial(su, serial);
	c = app == NULL ? NULL : get_cluster(app, &err);
	return c != NULL && sockets_restore(c->sockets, t->name, PM_STEAL_FD(t->fd));
}

void cluster_restored(struct super *su)
{
	struct pm_error err;

	for (size_t i = 0; i < told.n; i++)
		if (!give_back(su, &told.list[i])) {
			pm_closep(&told.list[i].fd);
			if (hold(su, told.list[i].name, -1, &err) < 0)
				pm_log(PM_LOG_WARN, "cluster.restore", "%s", err.what);
		}
	free(told.list);
	told.list = NULL;
	told.n = told.cap = 0;
	for (struct app *app = su->apps; app != NULL; app = app->next) {
		if (app->cluster != NULL && app->cluster->sockets != NULL &&
		    sockets_restored(app->cluster->sockets, &err) < 0)
			super_degraded(su, "cluster", err.what);
		cluster_prune_later(app);
	}
}

void cluster_each_held(const struct super *su, cluster_held_fn *fn, void *arg)
{
	for (const struct app *app = su->apps; app != NULL; app = app->next)
		if (app->cluster != NULL && app->cluster->sockets != NULL)
			sockets_each_held(app->cluster->sockets, fn, arg);
}

static void on_prune_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void cluster_destroy(struct cluster *c, bool close)
{
	if (c == NULL)
		return;
	cluster_close_late(c);
	if (close)
		close_sockets(c);
	else
		sockets_destroy(PM_STEAL(c->sockets), false);
	cluster_close_parked(c);
	node_shared_finish(&c->shared);
	uv_close((uv_handle_t *)&c->prune, on_prune_closed);
}
