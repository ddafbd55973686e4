/* own_log.h - the agent's own log in its home: opened, kept under a size, shared by keeper and
 * supervisor. */
#ifndef PM_AGENT_OWN_LOG_H
#define PM_AGENT_OWN_LOG_H

#include <stdbool.h>

#include "proto/error.h"

/*
 * Open <home>/pmd.log (pm2.log) for appending, mode 0600, and send pm_log() there under the name
 * `who`; also to stderr when tee is set.
 *
 * who        borrowed for good
 */
PM_MUST_CHECK int own_log_open(const char *home, bool as_pm2, const char *who, bool tee,
                               struct pm_error *err);

/* Over PM_OWN_LOG_MAX: rename the file to .1 and begin a new one; follow when the other process
 * did that, or an outsider removed the file. Two system calls when there is nothing to do; call it
 * now and then. */
void own_log_check(void);

/* The descriptor, borrowed; -1 before own_log_open(). */
int own_log_fd(void);

#endif
