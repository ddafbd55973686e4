/* interrupt.h - Ctrl-C as a descriptor that gets readable, so that a partial result can be told. */
#ifndef PM_CLI_INTERRUPT_H
#define PM_CLI_INTERRUPT_H

#include <stdbool.h>

#include "proto/error.h"

/*
 * From now on SIGINT and SIGTERM end nothing by themselves; calling it again changes nothing.
 *
 * fd         readable after the first of them; it stays open as long as the program runs
 */
PM_MUST_CHECK int interrupt_begin(int *fd, struct pm_error *err);
bool interrupt_came(void);
bool interrupt_is_final(void); /* SIGTERM came: whoever sent it answers no questions */
/* It was dealt with: the next one counts as the first. */
void interrupt_forget(void);

#endif
