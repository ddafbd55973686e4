#include "agent/deps.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"

/* A name and whose it is; PRESENT: an app outside the list. */
struct entry {
	const char *name;
	size_t app;
};
#define PRESENT SIZE_MAX

/* Who is needed by whom, as one array: those that need app i are at first[i] to first[i + 1]. */
struct graph {
	const struct deps_app *apps; /* borrowed */
	size_t n;
	struct entry *names; /* owned: n of the list and n_present others, each part sorted */
	size_t n_present;
	size_t *needed_by; /* owned */
	size_t *first;     /* owned, n + 2 */
	size_t *open;      /* owned: how many of an app's needs are not ordered yet */
};

static void graph_finish(struct graph *g)
{
	free(g->names);
	free(g->needed_by);
	free(g->first);
	free(g->open);
}

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* An app that is in the list and present is the list's: it is about to be started anew. */
static const struct entry *find(const struct graph *g, const char *name)
{
	const struct entry key = { name, 0 };
	const struct entry *e = bsearch(&key, g->names, g->n, sizeof(key), by_name);

	if (e == NULL)
		e = bsearch(&key, g->names + g->n, g->n_present, sizeof(key), by_name);
	return e;
}

static int index_names(struct graph *g, const char *const *present, size_t n_present)
{
	g->names = pm_calloc(g->n + n_present + 1, sizeof(g->names[0]));
	if (g->names == NULL)
		return -1;
	for (size_t i = 0; i < g->n; i++)
		g->names[i] = (struct entry){ g->apps[i].name, i };
	for (size_t i = 0; i < n_present; i++)
		g->names[g->n + i] = (struct entry){ present[i], PRESENT };
	g->n_present = n_present;
	qsort(g->names, g->n, sizeof(g->names[0]), by_name);
	qsort(g->names + g->n, n_present, sizeof(g->names[0]), by_name);
	return 0;
}

/* Counts in first[], then fills needed_by[]; first[] then says where each app's part begins. */
static int link_apps(struct graph *g, struct pm_error *err)
{
	for (size_t i = 0; i < g->n; i++)
		for (size_t k = 0; k < g->apps[i].n_needs; k++) {
			const struct entry *e = find(g, g->apps[i].needs[k]);

			if (e == NULL)
				return pm_fail(err, PM_NOT_FOUND,
				               "%.64s needs %.64s: there is no such app",
				               g->apps[i].name, g->apps[i].needs[k]);
			if (e->app == PRESENT)
				continue;
			g->first[e->app + 2]++;
			g->open[i]++;
		}
	for (size_t i = 2; i < g->n + 2; i++)
		g->first[i] += g->first[i - 1];
	for (size_t i = 0; i < g->n; i++)
		for (size_t k = 0; k < g->apps[i].n_needs; k++) {
			const struct entry *e = find(g, g->apps[i].needs[k]);

			if (e->app != PRESENT)
				g->needed_by[g->first[e->app + 1]++] = i;
		}
	return 0;
}

/* Some app of the list that i needs and that is not ordered. */
static size_t unordered_need(const struct graph *g, size_t i)
{
	for (size_t k = 0; k < g->apps[i].n_needs; k++) {
		const struct entry *e = find(g, g->apps[i].needs[k]);

		if (e->app != PRESENT && g->open[e->app] > 0)
			return e->app;
	}
	return i; /* not reached */
}

/* What was not ordered needs something that was not ordered, so walking on ends up in a cycle. */
static int fail_cycle(const struct graph *g, struct pm_error *err)
{
	PM_BUF text = { .max = 200 };
	size_t at = 0, start;

	while (at + 1 < g->n && g->open[at] == 0)
		at++;
	for (size_t i = 0; i < g->n; i++)
		at = unordered_need(g, at);
	start = at;
	for (size_t next = unordered_need(g, at); next != at; next = unordered_need(g, next))
		start = PM_MIN(start, next);
	at = start;
	do {
		const size_t next = unordered_need(g, at);

		pm_buf_printf(&text, "%s%.64s needs %.64s", at == start ? "" : ", ",
		              g->apps[at].name, g->apps[next].name);
		at = next;
	} while (at != start && !text.failed);
	return pm_fail(err, PM_CONFIG, "apps that depend on each other: %s%s",
	               text.bytes == NULL ? g->apps[start].name : text.bytes,
	               text.failed ? ", ..." : "");
}

static int make_order(struct graph *g, size_t *order, uint32_t *waves, struct pm_error *err)
{
	size_t done = 0, ready = 0;

	for (size_t i = 0; i < g->n; i++) {
		waves[i] = 0;
		if (g->open[i] == 0)
			order[ready++] = i;
	}
	for (; done < ready; done++) {
		const size_t app = order[done];

		for (size_t k = g->first[app]; k < g->first[app + 1]; k++) {
			const size_t other = g->needed_by[k];

			/* The queue is in order of waves, so the last one to say is the highest. */
			waves[other] = waves[app] + 1;
			if (--g->open[other] == 0)
				order[ready++] = other;
		}
	}
	return done == g->n ? 0 : fail_cycle(g, err);
}

/* The queue gives the waves one after another; within a wave we want the order given. Counting
 * sort: stable, and no more memory than first[], which is not needed any more. */
static void sort_by_wave(struct graph *g, size_t *order, const uint32_t *waves)
{
	memset(g->first, 0, (g->n + 2) * sizeof(g->first[0]));
	for (size_t i = 0; i < g->n; i++)
		g->first[waves[i] + 1]++;
	for (size_t w = 1; w <= g->n; w++)
		g->first[w] += g->first[w - 1];
	for (size_t i = 0; i < g->n; i++)
		order[g->first[waves[i]]++] = i;
}

int deps_order(const struct deps_app *apps, size_t n_apps, const char *const *present,
               size_t n_present, size_t *order, uint32_t *waves, struct pm_error *err)
{
	PM_CLEANUP(graph_finish) struct graph g = { .apps = apps, .n = n_apps };
	size_t n_needs = 0;

	for (size_t i = 0; i < n_apps; i++)
		n_needs += PM_MIN(apps[i].n_needs, DEPS_MAX);
	if (n_needs > DEPS_MAX || n_apps > DEPS_MAX || n_present > DEPS_MAX)
		return pm_fail(err, PM_LIMIT, "more than %u dependencies", DEPS_MAX);
	g.needed_by = pm_calloc(n_needs + 1, sizeof(g.needed_by[0]));
	g.first = pm_calloc(n_apps + 2, sizeof(g.first[0]));
	g.open = pm_calloc(n_apps + 1, sizeof(g.open[0]));
	if (g.needed_by == NULL || g.first == NULL || g.open == NULL ||
	    index_names(&g, present, n_present) < 0)
		return pm_fail(err, PM_NO_MEMORY, "order the apps");
	if (link_apps(&g, err) < 0 || make_order(&g, order, waves, err) < 0)
		return -1;
	sort_by_wave(&g, order, waves);
	return 0;
}
