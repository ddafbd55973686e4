/* dump_verbs.h - save, resurrect and cleardump under the name pm2: what they do with dump.pm2. */
#ifndef PM_CLI_DUMP_VERBS_H
#define PM_CLI_DUMP_VERBS_H

#include "cli/ctx.h"

/*
 * Write the list as it is now.
 *
 * path       PM_PATH_MAX bytes: where it went
 * errors     those of dump_save() and client_status()
 */
PM_MUST_CHECK int dump_save_now(struct ctx *ctx, char *path, struct pm_error *err);

/* Write an empty list; otherwise the same. */
PM_MUST_CHECK int dump_save_empty(struct ctx *ctx, char *path, struct pm_error *err);

/* The whole verb: start what is in the dump and not in the table. Returns the exit status or -1. */
int dump_resurrect(struct ctx *ctx, struct pm_error *err);

#endif
