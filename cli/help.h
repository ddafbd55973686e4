/* help.h - usage and help, printed from the table of verbs. */
#ifndef PM_CLI_HELP_H
#define PM_CLI_HELP_H

#include <stdio.h>

#include "cli/cmd.h"

void help_usage(const struct ctx *ctx, FILE *to); /* a few lines */
void help_all(const struct ctx *ctx, FILE *to);   /* all verbs */
void help_cmd(const struct ctx *ctx, const struct cmd *cmd, FILE *to);

#endif
