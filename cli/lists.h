/* lists.h - the options of lists on a command line, and rows on their way to standard output. */
#ifndef PM_CLI_LISTS_H
#define PM_CLI_LISTS_H

#include "cli/ctx.h"
#include "cli/listing.h"

/* -o json and -o jsonl are ctx->json and ctx->jsonl from here on.  errors PM_USAGE */
PM_MUST_CHECK int lists_settle(struct ctx *ctx, struct pm_error *err);

/* Whether the command line has one of the options of lists. */
bool lists_is_asked(const struct ctx *ctx, const char **which);

/*
 * Read the options and check them against the columns: before anybody is asked for rows.
 *
 * errors     PM_USAGE
 */
PM_MUST_CHECK int lists_read(const struct ctx *ctx, const struct listing_columns *columns,
                             struct listing_options *out, struct pm_error *err);

/*
 * Print the rows that were asked for, in the form that was.
 *
 * key, more  as listing_documents()'s
 */
PM_MUST_CHECK int lists_print(const struct ctx *ctx, const struct listing *l,
                              const struct listing_options *o, const char *key, const char *more,
                              struct pm_error *err);

#endif
