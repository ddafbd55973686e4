#include "agent/app_deps.h"

#include <stdlib.h>
#include <string.h>

#include "agent/app.h"
#include "agent/deps.h"
#include "proto/log.h"

/* What deps_order() takes and gives. */
struct graph {
	struct deps_app *apps; /* owned */
	const char **present;  /* owned */
	size_t *order;         /* owned */
	uint32_t *waves;       /* owned */
	size_t n, n_present;
};

static void graph_finish(struct graph *g)
{
	free(g->apps);
	free(g->present);
	free(g->order);
	free(g->waves);
}

static bool is_in(Pm__AppSpec *const *specs, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(specs[i]->name, name) == 0)
			return true;
	return false;
}

static void add(struct graph *g, const Pm__AppSpec *spec)
{
	g->apps[g->n++] = (struct deps_app){ spec->name, (const char *const *)spec->depends_on,
		                             spec->n_depends_on };
}

/* Of several apps with one name the first stands for all. */
static bool stands(struct super *su, const struct app *app)
{
	return app_find_name(su, app->spec->name) == app;
}

static int graph_init(struct graph *g, struct super *su, size_t n_specs, struct pm_error *err)
{
	size_t n_apps = n_specs, n_needs = 0;

	for (const struct app *app = su->apps; app != NULL; app = app->next) {
		n_apps++;
		n_needs += app->spec->n_depends_on;
	}
	*g = (struct graph){
		.apps = pm_calloc(n_apps + 1, sizeof(struct deps_app)),
		.present = pm_calloc(n_needs + 1, sizeof(char *)),
		.order = pm_calloc(n_apps + 1, sizeof(size_t)),
		.waves = pm_calloc(n_apps + 1, sizeof(uint32_t)),
	};
	if (g->apps == NULL || g->present == NULL || g->order == NULL || g->waves == NULL)
		return pm_fail(err, PM_NO_MEMORY, "order the apps");
	return 0;
}

/* What is declared already; what such an app needs may have been deleted since, and is no matter.
 */
static void add_declared(struct graph *g, struct super *su, Pm__AppSpec *const *specs, size_t n)
{
	for (const struct app *app = su->apps; app != NULL; app = app->next) {
		if (!stands(su, app) || is_in(specs, n, app->spec->name))
			continue;
		add(g, app->spec);
		for (size_t i = 0; i < app->spec->n_depends_on; i++) {
			const char *need = app->spec->depends_on[i];

			if (app_find_name(su, need) == NULL && !is_in(specs, n, need))
				g->present[g->n_present++] = need;
		}
	}
}

static bool any_needs(struct super *su, Pm__AppSpec *const *specs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (specs[i]->n_depends_on > 0)
			return true;
	for (const struct app *app = su->apps; app != NULL; app = app->next)
		if (app->spec->n_depends_on > 0)
			return true;
	return false;
}

int app_deps_check(struct super *su, Pm__AppSpec *const *specs, size_t n, struct pm_error *err)
{
	PM_CLEANUP(graph_finish) struct graph g = { 0 };

	if (!any_needs(su, specs, n))
		return 0;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < specs[i]->n_depends_on; k++) {
			const char *need = specs[i]->depends_on[k];

			if (app_find_name(su, need) == NULL && !is_in(specs, n, need))
				return pm_fail(err, PM_CONFIG,
				               "%.100s: depends_on: no such app: %.100s",
				               specs[i]->name, need);
		}
	if (graph_init(&g, su, n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (!is_in(specs, i, specs[i]->name))
			add(&g, specs[i]);
	add_declared(&g, su, specs, n);
	return deps_order(g.apps, g.n, g.present, g.n_present, g.order, g.waves, err);
}

uint32_t app_deps_waves(struct super *su)
{
	PM_CLEANUP(graph_finish) struct graph g = { 0 };
	struct pm_error err;
	uint32_t highest = 0;
	size_t at = 0;

	for (struct app *app = su->apps; app != NULL; app = app->next)
		app->wave = 0;
	if (!any_needs(su, NULL, 0))
		return 0;
	if (graph_init(&g, su, 0, &err) == 0)
		add_declared(&g, su, NULL, 0);
	if (g.n == 0 ||
	    deps_order(g.apps, g.n, g.present, g.n_present, g.order, g.waves, &err) < 0) {
		pm_log(PM_LOG_WARN, "agent.stop", "all apps end at once: %s", err.what);
		return 0;
	}
	for (struct app *app = su->apps; app != NULL; app = app->next) {
		if (!stands(su, app))
			continue;
		app->wave = g.waves[at++];
		highest = PM_MAX(highest, app->wave);
	}
	for (struct app *app = su->apps; app != NULL; app = app->next)
		app->wave = app_find_name(su, app->spec->name)->wave;
	return highest;
}
