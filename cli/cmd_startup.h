/* cmd_startup.h - what the verbs startup and unstartup share. */
#ifndef PM_CLI_CMD_STARTUP_H
#define PM_CLI_CMD_STARTUP_H

#include <stdio.h>

#include "cli/cmd.h"
#include "cli/startup.h"

typedef int startup_fn(const struct startup_options *o, FILE *out, struct pm_error *err);

/* Run fn with the options of the command line; returns as struct cmd's run. */
int cmd_startup_with(struct ctx *ctx, startup_fn *fn, struct pm_error *err);

extern const struct cmd_option cmd_startup_options[];

#endif
