#include "coordinator/budget.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

struct budget_app *budget_find(const struct budget *b, const char *app)
{
	struct budget_app *a = b->apps;

	while (a != NULL && strcmp(a->name, app) != 0)
		a = a->next;
	return a;
}

static struct budget_host *find_host(const struct budget_app *app, const void *host)
{
	for (size_t i = 0; i < app->n; i++)
		if (app->hosts[i].host == host)
			return &app->hosts[i];
	return NULL;
}

static void free_app(struct budget_app *app)
{
	if (app == NULL)
		return;
	free(app->name);
	free(app->hosts);
	free(app);
}

void budget_finish(struct budget *b)
{
	while (b->apps != NULL) {
		struct budget_app *app = b->apps;

		b->apps = app->next;
		free_app(app);
	}
	b->n_apps = 0;
}

size_t budget_n_held(const struct budget_app *app)
{
	size_t n = 0;

	for (size_t i = 0; i < app->n; i++)
		n += app->hosts[i].state == BUDGET_HOLDS;
	return n;
}

bool budget_is_idle(const struct budget_app *app)
{
	for (size_t i = 0; i < app->n; i++)
		if (app->hosts[i].state != BUDGET_RUNS)
			return false;
	return true;
}

/* ---- what hosts say ---- */

static size_t n_of_host(const struct budget *b, const void *host)
{
	size_t n = 0;

	for (const struct budget_app *a = b->apps; a != NULL; a = a->next) {
		const struct budget_host *h = find_host(a, host);

		n += h != NULL && h->state != BUDGET_RUNS;
	}
	return n;
}

static struct budget_app *add_app(struct budget *b, const char *name, struct pm_error *err)
{
	struct budget_app *app;

	if (b->n_apps >= PM_BUDGET_APPS_MAX) {
		pm_fail(err, PM_LIMIT, "slots of more than %d apps", PM_BUDGET_APPS_MAX);
		return NULL;
	}
	app = pm_calloc(1, sizeof(*app));
	if (app != NULL)
		app->name = pm_strdup(name);
	if (app == NULL || app->name == NULL) {
		free_app(app);
		pm_fail(err, PM_NO_MEMORY, "out of memory");
		return NULL;
	}
	app->next = b->apps;
	b->apps = app;
	b->n_apps++;
	return app;
}

static struct budget_host *add_host(struct budget_app *app, const void *host, struct pm_error *err)
{
	size_t cap = app->cap == 0 ? 16 : app->cap * 2;
	struct budget_host *more;

	if (app->n == app->cap) {
		more = pm_realloc(app->hosts, cap * sizeof(*more));
		if (more == NULL) {
			pm_fail(err, PM_NO_MEMORY, "out of memory");
			return NULL;
		}
		app->hosts = more;
		app->cap = cap;
	}
	app->hosts[app->n] = (struct budget_host){ .host = host };
	return &app->hosts[app->n++];
}

static void hold(struct budget_host *h, uint64_t now_ms)
{
	h->state = BUDGET_HOLDS;
	h->since_ms = now_ms;
}

int budget_ask(struct budget *b, const struct budget_claim *claim, uint64_t now_ms,
               struct budget_app **out, struct pm_error *err)
{
	struct budget_app *app = budget_find(b, claim->app);
	struct budget_host *h = app == NULL ? NULL : find_host(app, claim->host);

	if ((h == NULL || h->state == BUDGET_RUNS) &&
	    n_of_host(b, claim->host) >= PM_BUDGET_PER_HOST_MAX)
		return pm_fail(err, PM_LIMIT, "slots for more than %d apps of one host",
		               PM_BUDGET_PER_HOST_MAX);
	if (app == NULL)
		app = add_app(b, claim->app, err);
	if (app != NULL && h == NULL)
		h = add_host(app, claim->host, err);
	if (h == NULL)
		return -1;
	app->used_ms = now_ms;
	h->max_down = claim->max_down;
	*out = app;
	if (h->state == BUDGET_HOLDS) {
		h->granted = !claim->held;
	} else if (claim->held) {
		hold(h, now_ms);
		h->granted = false;
	} else if (h->state == BUDGET_WAITS) {
		h->told_ms = 0;
	} else {
		h->state = BUDGET_WAITS;
		h->place = app->next_place++;
		h->since_ms = now_ms;
		h->told_ms = 0;
	}
	return 0;
}

void budget_release(struct budget *b, const char *app, const void *host)
{
	struct budget_app *a = budget_find(b, app);
	struct budget_host *h = a == NULL ? NULL : find_host(a, host);

	if (h != NULL)
		h->state = BUDGET_RUNS;
}

static void drop_host(struct budget_app *app, const void *host)
{
	struct budget_host *h = find_host(app, host);

	if (h != NULL)
		*h = app->hosts[--app->n];
}

void budget_gone(struct budget *b, const void *host)
{
	for (struct budget_app *app = b->apps; app != NULL; app = app->next)
		drop_host(app, host);
}

int budget_set_runs(struct budget_app *app, const void *host, bool runs, struct pm_error *err)
{
	struct budget_host *h = find_host(app, host);

	if (runs)
		return h != NULL || add_host(app, host, err) != NULL ? 0 : -1;
	if (h != NULL && h->state == BUDGET_RUNS) /* who asks knows better than who looked */
		drop_host(app, host);
	return 0;
}

void budget_prune(struct budget *b, uint64_t now_ms, uint64_t age_ms)
{
	struct budget_app **at = &b->apps, *app;

	while ((app = *at) != NULL) {
		if (!budget_is_idle(app) || now_ms - app->used_ms < age_ms) {
			at = &app->next;
			continue;
		}
		*at = app->next;
		b->n_apps--;
		free_app(app);
	}
}

/* ---- whose turn it is ---- */

static bool is_over(const struct budget_host *h, uint64_t now_ms)
{
	if (h->state == BUDGET_HOLDS)
		return now_ms - h->since_ms >= PM_BUDGET_LEASE_MS;
	/* Its own patience has been over for a while: it has gone without a word. */
	return h->state == BUDGET_WAITS &&
	       now_ms - h->since_ms >= PM_BUDGET_MOST_MS + PM_BUDGET_WAIT_MS;
}

static struct budget_host *find_over(const struct budget_app *app, uint64_t now_ms)
{
	for (size_t i = 0; i < app->n; i++)
		if (is_over(&app->hosts[i], now_ms))
			return &app->hosts[i];
	return NULL;
}

static struct budget_host *find_next(const struct budget_app *app)
{
	struct budget_host *next = NULL;

	for (size_t i = 0; i < app->n; i++) {
		struct budget_host *h = &app->hosts[i];

		if (h->state == BUDGET_HOLDS && h->granted)
			return h; /* it asked again for what it has */
		if (h->state == BUDGET_WAITS && (next == NULL || h->place < next->place))
			next = h;
	}
	return next;
}

static bool is_granted(struct budget_host *h, size_t n_else, uint64_t now_ms,
                       struct budget_verdict *v)
{
	v->n_most = rollout_share_down(h->max_down, v->n_hosts, 1);
	if (h->state == BUDGET_WAITS && v->n_out + n_else >= v->n_most)
		return false;
	v->move = BUDGET_GRANT;
	v->host = h->host;
	v->waited_ms = h->state == BUDGET_WAITS ? now_ms - h->since_ms : 0;
	if (h->state == BUDGET_WAITS) {
		hold(h, now_ms);
		v->n_out++;
	}
	h->granted = false;
	return true;
}

static size_t n_before(const struct budget_app *app, const struct budget_host *h)
{
	size_t n = 0;

	for (size_t i = 0; i < app->n; i++)
		n += app->hosts[i].state == BUDGET_WAITS && app->hosts[i].place < h->place;
	return n;
}

static struct budget_host *find_untold(const struct budget_app *app, uint64_t now_ms)
{
	for (size_t i = 0; i < app->n; i++) {
		struct budget_host *h = &app->hosts[i];

		if (h->state == BUDGET_WAITS &&
		    (h->told_ms == 0 || now_ms - h->told_ms >= PM_BUDGET_TELL_MS))
			return h;
	}
	return NULL;
}

static void find_wake(const struct budget_app *app, struct budget_verdict *v)
{
	for (size_t i = 0; i < app->n; i++) {
		const struct budget_host *h = &app->hosts[i];
		uint64_t at_ms = h->since_ms + PM_BUDGET_LEASE_MS;

		if (h->state == BUDGET_RUNS)
			continue;
		if (h->state == BUDGET_WAITS)
			at_ms = h->told_ms + PM_BUDGET_TELL_MS;
		if (v->wake_ms == 0 || at_ms < v->wake_ms)
			v->wake_ms = at_ms;
	}
}

void budget_next(struct budget_app *app, size_t n_else, uint64_t now_ms, struct budget_verdict *v)
{
	struct budget_host *h = find_over(app, now_ms);

	*v = (struct budget_verdict){ .n_out = budget_n_held(app), .n_hosts = app->n };
	if (h != NULL) {
		v->n_out -= h->state == BUDGET_HOLDS;
		h->state = BUDGET_RUNS;
		v->move = BUDGET_EXPIRE;
		v->host = h->host;
		return;
	}
	h = find_next(app);
	if (h != NULL && is_granted(h, n_else, now_ms, v))
		return;
	h = find_untold(app, now_ms);
	if (h != NULL) {
		h->told_ms = now_ms;
		v->move = BUDGET_TELL;
		v->host = h->host;
		v->n_before = n_before(app, h);
		return;
	}
	find_wake(app, v);
}
