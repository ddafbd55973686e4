/* supervisor.h - the second process of an agent: all policy and I/O. */
#ifndef PM_AGENT_SUPERVISOR_H
#define PM_AGENT_SUPERVISOR_H

#include <stdbool.h>

/*
 * Be the supervisor until told to leave.  Returns the exit status.
 *
 * home       absolute
 * keeper_fd  socket to the keeper, taken
 * lock_fd    the home's lock, kept open for as long as we live
 */
int supervisor_run(const char *home, bool foreground, int keeper_fd, int lock_fd);

#endif
