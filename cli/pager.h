/* pager.h - long output for people goes through a pager, which only ever sees a terminal (E-12).
 *
 * Output is held back until it is flushed: what fits the terminal then goes there, and no program
 * is started for it; of what does not fit, the pager gets all.  What a verb flushes early, because
 * more comes late, goes to the terminal at once, and so does the rest.
 */
#ifndef PM_CLI_PAGER_H
#define PM_CLI_PAGER_H

#include "cli/ctx.h"

/* Begin to hold back standard output, if the command is one for people to read. */
void pager_begin(const struct ctx *ctx);

/*
 * Let go of what is held, and wait until the reader has left the pager. Afterwards standard output
 * and standard error are the terminal again. Without pager_begin() nothing happens.
 *
 * errors     the terminal took no more; that the reader has left early is none
 */
PM_MUST_CHECK int pager_end(struct pm_error *err);

#endif
