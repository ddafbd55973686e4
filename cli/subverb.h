/* subverb.h - verbs whose first argument says what to do: `node list`, `token create`. */
#ifndef PM_CLI_SUBVERB_H
#define PM_CLI_SUBVERB_H

#include "cli/ctx.h"

struct subverb {
	const char *name; /* NULL ends a table */
	const char *args; /* what follows it, for messages */
	size_t min_args, max_args;
	int (*run)(struct ctx *ctx, struct pm_error *err); /* as struct cmd's */
};

/* Run the one that is meant.  errors PM_USAGE, with the nearest one */
int subverb_run(struct ctx *ctx, const struct subverb *table, struct pm_error *err);

/* Arguments behind the subverb. */
size_t subverb_count(const struct ctx *ctx);
const char *subverb_at(const struct ctx *ctx, size_t i); /* NULL: there is none */

#endif
