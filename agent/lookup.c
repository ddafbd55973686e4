#include "agent/lookup.h"

#include <string.h>

#include "agent/app.h"

static uint32_t name_bucket(const char *name)
{
	uint32_t h = 2166136261u; /* FNV-1a: names are ours or a user's, nobody gains by a flood */

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h % LOOKUP_BUCKETS;
}

void lookup_add_app(struct lookup *l, struct app *app)
{
	struct app **at = &l->names[name_bucket(app->spec->name)];

	while (*at != NULL && (*at)->serial < app->serial)
		at = &(*at)->links.next_name;
	app->links.next_name = *at;
	*at = app;
	app->links.next_serial = l->serials[app->serial % LOOKUP_BUCKETS];
	l->serials[app->serial % LOOKUP_BUCKETS] = app;
}

void lookup_remove_app(struct lookup *l, struct app *app)
{
	struct app **at = &l->serials[app->serial % LOOKUP_BUCKETS];

	while (*at != NULL && *at != app)
		at = &(*at)->links.next_serial;
	if (*at == NULL)
		return; /* it was removed before */
	*at = app->links.next_serial;
	at = &l->names[name_bucket(app->spec->name)];
	while (*at != app)
		at = &(*at)->links.next_name;
	*at = app->links.next_name;
}

void lookup_add_instance(struct lookup *l, struct instance *inst)
{
	uint32_t index = instance_index(inst);
	uint16_t *head = &l->id_head[instance_core(inst)->pm_id % PM_SLOTS_MAX];

	l->by_index[index] = inst;
	l->id_next[index] = *head;
	*head = (uint16_t)(index + 1);
}

void lookup_remove_instance(struct lookup *l, const struct instance *inst)
{
	uint32_t index = instance_index(inst);
	uint16_t *at = &l->id_head[instance_core(inst)->pm_id % PM_SLOTS_MAX];

	if (l->by_index[index] != inst)
		return; /* it was removed before, or never added */
	while (*at != index + 1)
		at = &l->id_next[*at - 1];
	*at = l->id_next[index];
	l->by_index[index] = NULL;
}

void lookup_add_hidden(struct lookup *l, struct instance *inst)
{
	l->by_index[instance_index(inst)] = inst;
}

void lookup_remove_hidden(struct lookup *l, const struct instance *inst)
{
	l->by_index[instance_index(inst)] = NULL;
}

struct app *lookup_name(const struct lookup *l, const char *name)
{
	struct app *app = l->names[name_bucket(name)];

	while (app != NULL && strcmp(app->spec->name, name) != 0)
		app = app->links.next_name;
	return app;
}

struct app *lookup_serial(const struct lookup *l, uint32_t serial)
{
	struct app *app = l->serials[serial % LOOKUP_BUCKETS];

	while (app != NULL && app->serial != serial)
		app = app->links.next_serial;
	return app;
}

struct instance *lookup_id(const struct lookup *l, uint32_t pm_id)
{
	uint16_t at = l->id_head[pm_id % PM_SLOTS_MAX];

	while (at != 0 && instance_core(l->by_index[at - 1])->pm_id != pm_id)
		at = l->id_next[at - 1];
	return at == 0 ? NULL : l->by_index[at - 1];
}
