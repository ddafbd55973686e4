/* context.h - coordinators that pmctl knows by name, as a text: read, changed, written.  Pure.
 *
 *   current prod
 *   context prod
 *     address coord.example:7443
 *     coordinator pmd-key:...
 *     next pmd-key:...
 *     key keys/prod.key
 *     operator alice
 *
 * One word and its value a line; '#' begins a comment.  A key's path is relative to the file's
 * directory unless it is absolute.  `next` is there while the coordinator replaces its key.
 */
#ifndef PM_CLI_CONTEXT_H
#define PM_CLI_CONTEXT_H

#include <stdbool.h>

#include "proto/address.h"
#include "proto/buf.h"
#include "proto/error.h"
#include "proto/keys.h"
#include "proto/limits.h"

struct context {
	char name[PM_NAME_MAX + 1];
	struct pm_address addresses[PM_ADDRESSES_MAX]; /* tried in this order */
	unsigned n_addresses;
	uint8_t coordinator[PM_KEY_BYTES];
	uint8_t next[PM_KEY_BYTES]; /* what it will be known by */
	bool has_coordinator, has_next;
	char key[PM_PATH_MAX];
	char operator[PM_NAME_MAX + 1]; /* what the coordinator calls us; "": not told */
};

/* Zeroed is empty.  Public because its owner embeds it. */
struct contexts {
	struct context *list; /* owned; sorted by name */
	size_t n;
	char current[PM_NAME_MAX + 1]; /* "": none is chosen */
};

void contexts_finish(struct contexts *c);
#define PM_CONTEXTS PM_CLEANUP(contexts_finish) struct contexts

/* errors     PM_CONFIG with the line, PM_LIMIT (PM_CONTEXTS_MAX), PM_NO_MEMORY */
PM_MUST_CHECK int contexts_parse(const char *text, size_t len, struct contexts *out,
                                 struct pm_error *err);
/* errors     PM_NO_MEMORY */
PM_MUST_CHECK int contexts_format(const struct contexts *c, struct pm_buf *out,
                                  struct pm_error *err);

/* NULL: no such name; borrowed until the next put or remove. */
const struct context *contexts_find(const struct contexts *c, const char *name);
/* The name most like this one; NULL: none is. */
const char *contexts_nearest(const struct contexts *c, const char *name);
/* Add it, or replace the one of its name.  errors PM_LIMIT, PM_NO_MEMORY */
PM_MUST_CHECK int contexts_put(struct contexts *c, const struct context *one, struct pm_error *err);
bool contexts_remove(struct contexts *c, const char *name); /* false: no such name */

#endif
