#include "agent/order_deps.h"

#include <stdlib.h>

#include "agent/app.h"

/* The instances of one app. */
struct group {
	uint32_t serial;
	uint32_t n_open; /* have not settled */
	bool failed;     /* one has, and not well */
};

struct order_deps {
	struct group *groups; /* owned; by serial once sorted */
	size_t n;
	bool sorted;
};

int order_deps_create(size_t n, struct order_deps **out, struct pm_error *err)
{
	struct order_deps *d = pm_calloc(1, sizeof(*d));

	if (d != NULL)
		d->groups = pm_calloc(n + 1, sizeof(struct group));
	if (d == NULL || d->groups == NULL) {
		free(d);
		return pm_fail(err, PM_NO_MEMORY, "order the apps");
	}
	*out = d;
	return 0;
}

void order_deps_destroy(struct order_deps *d)
{
	if (d != NULL)
		free(d->groups);
	free(d);
}

void order_deps_add(struct order_deps *d, uint32_t app_serial)
{
	/* Instances of an app come one after another; where they do not, sort() joins them. */
	if (d->n > 0 && d->groups[d->n - 1].serial == app_serial)
		d->groups[d->n - 1].n_open++;
	else
		d->groups[d->n++] = (struct group){ app_serial, 1, false };
}

static int by_serial(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return x->serial < y->serial ? -1 : x->serial > y->serial;
}

static void sort(struct order_deps *d)
{
	size_t n = 0;

	if (d->sorted)
		return;
	d->sorted = true;
	qsort(d->groups, d->n, sizeof(struct group), by_serial);
	for (size_t i = 0; i < d->n; i++)
		if (n > 0 && d->groups[n - 1].serial == d->groups[i].serial)
			d->groups[n - 1].n_open += d->groups[i].n_open;
		else
			d->groups[n++] = d->groups[i];
	d->n = n;
}

static struct group *find(struct order_deps *d, uint32_t serial)
{
	const struct group key = { .serial = serial };

	sort(d);
	return bsearch(&key, d->groups, d->n, sizeof(key), by_serial);
}

bool order_deps_settled(struct order_deps *d, uint32_t app_serial, bool well)
{
	struct group *g = find(d, app_serial);

	if (g == NULL || g->n_open == 0)
		return false;
	g->failed |= !well;
	return --g->n_open == 0;
}

enum deps_say order_deps_ask(struct order_deps *d, struct super *su, const Pm__AppSpec *spec,
                             const char **need)
{
	enum deps_say say = DEPS_GO;

	for (size_t i = 0; i < spec->n_depends_on; i++) {
		const struct app *app = app_find_name(su, spec->depends_on[i]);
		const struct group *g = app == NULL ? NULL : find(d, app->serial);

		if (g == NULL || (g->n_open == 0 && !g->failed))
			continue;
		*need = spec->depends_on[i];
		if (g->failed)
			return DEPS_FAILED;
		say = DEPS_WAIT;
	}
	return say;
}
