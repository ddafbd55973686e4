#include "agent/targets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/nearest.h"

enum meaning {
	MEANS_ALL,
	MEANS_NAME,
	MEANS_SCRIPT,
	MEANS_NAMESPACE,
	MEANS_ID,
	MEANINGS
};

static bool parse_id(const char *text, uint32_t *id)
{
	unsigned long value;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	*id = (uint32_t)value;
	return errno == 0 && *end == '\0' && value < UINT32_MAX;
}

static bool means(enum meaning meaning, const Pm__Target *t, const struct instance *inst)
{
	const Pm__AppSpec *spec = instance_spec(inst);
	uint32_t id;

	if (t->exact_id && meaning != MEANS_ID)
		return false;
	switch (meaning) {
	case MEANS_ALL:
		return strcmp(t->text, "all") == 0;
	case MEANS_NAME:
		return strcmp(t->text, spec->name) == 0;
	case MEANS_SCRIPT:
		return *t->script_path != '\0' && !parse_id(t->text, &id) &&
		       strcmp(t->script_path, spec->script) == 0;
	case MEANS_NAMESPACE:
		return strcmp(t->text, spec->namespace_) == 0;
	case MEANS_ID:
		return parse_id(t->text, &id) && id == instance_core(inst)->pm_id;
	case MEANINGS:
		break;
	}
	return false;
}

static int nothing(struct super *su, const Pm__Target *t, struct pm_error *err)
{
	struct nearest near;

	nearest_init(&near, t->text);
	for (struct app *app = su->apps; app != NULL; app = app->next)
		nearest_offer(&near, app->spec->name);
	pm_fail(err, PM_NOT_FOUND, "%.100s: no such app, namespace or id", t->text);
	if (nearest_found(&near))
		pm_hint(err, "did you mean '%.80s'?", near.best);
	else
		pm_hint(err, "run 'pmctl list' to see the names");
	return -1;
}

/* Marks what one target means; PM2 takes the first meaning that matches anything. */
static bool mark(const Pm__Target *t, struct instance *const *all, size_t n, bool *chosen)
{
	bool found = false;

	for (enum meaning m = MEANS_ALL; m < MEANINGS && !found; m++)
		for (size_t i = 0; i < n; i++)
			if (means(m, t, all[i])) {
				chosen[i] = true;
				found = true;
			}
	return found || strcmp(t->text, "all") == 0;
}

int targets_resolve(struct super *su, Pm__Target *const *targets, size_t n_targets,
                    struct instance ***out, size_t *n, struct pm_error *err)
{
	PM_FREE struct instance **all = NULL;
	PM_FREE bool *chosen = NULL;
	size_t count, kept = 0;

	if (super_instances(su, &all, &count, err) < 0)
		return -1;
	chosen = pm_calloc(count + 1, sizeof(bool));
	if (chosen == NULL)
		return pm_fail(err, PM_NO_MEMORY, "find the targets");
	for (size_t i = 0; i < n_targets; i++)
		if (!mark(targets[i], all, count, chosen))
			return nothing(su, targets[i], err);
	for (size_t i = 0; i < count; i++)
		if (n_targets == 0 || chosen[i])
			all[kept++] = all[i];
	*n = kept;
	*out = PM_STEAL(all);
	return 0;
}
