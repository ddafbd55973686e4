/* supervisor.h - the second process of an agent: all policy and all I/O. */
#ifndef PM_AGENT_SUPERVISOR_H
#define PM_AGENT_SUPERVISOR_H

#include <stdbool.h>

/*
 * Adopt what the keeper holds, serve until told to leave. Returns the process's exit status.
 *
 * keeper_fd  the SOCK_SEQPACKET end, taken
 * lock_fd    the home's lock, inherited; kept open
 */
int supervisor_run(const char *home, bool foreground, int keeper_fd, int lock_fd);

#endif
