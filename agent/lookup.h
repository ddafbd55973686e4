/*
 * lookup.h - finds apps and instances by what names them, in constant time.
 *
 * Chains without allocation: an app carries its links, an instance's are by its place in the arena.
 * Maintained by app.c alone.
 */
#ifndef PM_AGENT_LOOKUP_H
#define PM_AGENT_LOOKUP_H

#include <stdint.h>

#include "proto/limits.h"

struct app;
struct instance;

#define LOOKUP_BUCKETS 1024u

struct lookup {
	struct instance *by_index[PM_SLOTS_MAX];               /* arena record; borrowed */
	uint16_t id_head[PM_SLOTS_MAX], id_next[PM_SLOTS_MAX]; /* index + 1; 0: end */
	struct app *names[LOOKUP_BUCKETS], *serials[LOOKUP_BUCKETS];
};

/* An app's place in the chains. */
struct lookup_links {
	struct app *next_name, *next_serial;
};

void lookup_add_app(struct lookup *l, struct app *app);
void lookup_remove_app(struct lookup *l, struct app *app);
void lookup_add_instance(struct lookup *l, struct instance *inst);
void lookup_remove_instance(struct lookup *l, const struct instance *inst);

/* One that commands do not see: found by its place in the arena alone. */
void lookup_add_hidden(struct lookup *l, struct instance *inst);
void lookup_remove_hidden(struct lookup *l, const struct instance *inst);

/* Of several with the name, the one that was declared first. NULL: none */
struct app *lookup_name(const struct lookup *l, const char *name);
struct app *lookup_serial(const struct lookup *l, uint32_t serial);
struct instance *lookup_id(const struct lookup *l, uint32_t pm_id);

#endif
