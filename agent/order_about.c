#include "agent/order_about.h"

#include <stdlib.h>

#include "agent/app.h"

struct before {
	uint32_t serial;
	struct spec_hash hash;
	char *version; /* owned */
};

struct order_about {
	struct before *apps; /* owned */
	size_t n, cap;
	size_t last; /* where the one asked for last was: an app's instances follow each other */
};

static struct before *find(struct order_about *a, uint32_t serial)
{
	for (size_t i = 0; a != NULL && i < a->n; i++) {
		size_t at = (a->last + i) % a->n;

		if (a->apps[at].serial == serial) {
			a->last = at;
			return &a->apps[at];
		}
	}
	return NULL;
}

static int grow(struct order_about *a, struct pm_error *err)
{
	size_t cap = a->cap == 0 ? 4 : a->cap * 2;
	struct before *more;

	if (a->n < a->cap)
		return 0;
	more = pm_realloc(a->apps, cap * sizeof(*more));
	if (more == NULL)
		return pm_fail(err, PM_NO_MEMORY, "carry out the command");
	a->apps = more;
	a->cap = cap;
	return 0;
}

int order_about_add(struct order_about **at, const struct app *app, struct pm_error *err)
{
	struct order_about *a = *at;
	char *version;

	if (find(a, app->serial) != NULL)
		return 0;
	if (a == NULL)
		a = *at = pm_calloc(1, sizeof(*a));
	if (a == NULL)
		return pm_fail(err, PM_NO_MEMORY, "carry out the command");
	if (grow(a, err) < 0)
		return -1;
	version = pm_strdup(app->spec->version);
	if (version == NULL)
		return pm_fail(err, PM_NO_MEMORY, "carry out the command");
	a->last = a->n;
	a->apps[a->n++] =
		(struct before){ .serial = app->serial, .hash = app->hash, .version = version };
	return 0;
}

void order_about_destroy(struct order_about *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->n; i++)
		free(a->apps[i].version);
	free(a->apps);
	free(a);
}

void order_about_fill(struct order_about *a, struct super *su, uint32_t app_serial,
                      Pm__Outcome *out)
{
	struct before *before = find(a, app_serial);
	struct app *now = app_find_serial(su, app_serial);

	if (before != NULL) {
		out->spec_from.data = before->hash.bytes;
		out->spec_from.len = SPEC_HASH_BYTES;
		out->version_from = before->version;
	}
	if (now != NULL && now->n > 0) { /* else what is left of it ends */
		out->spec_to.data = now->hash.bytes;
		out->spec_to.len = SPEC_HASH_BYTES;
		out->version_to = now->spec->version;
	}
}
