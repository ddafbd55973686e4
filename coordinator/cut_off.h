/* cut_off.h - whether it is the coordinator that is cut off, and not its agents: more than half of
 * them gone within one heartbeat (FLEET 1.7, class E).  Pure.
 */
#ifndef PM_COORDINATOR_CUT_OFF_H
#define PM_COORDINATOR_CUT_OFF_H

#include <stdbool.h>
#include <stddef.h>

#define CUT_OFF_WINDOW_MS 10000 /* one heartbeat: so far apart are losses that have one cause */
#define CUT_OFF_LEAST     4     /* agents; of fewer, half is nothing to go by */

struct cut_off {
	size_t before; /* while cut off: how many there were; 0: not cut off */
};

/*
 * An agent was lost.
 *
 * n_connected  that are left
 * n_gone       that were lost within the last CUT_OFF_WINDOW_MS and are not back
 * returns      whether it is cut off from now on
 */
bool cut_off_lost(struct cut_off *c, size_t n_connected, size_t n_gone);
/* One has come; returns whether it is over with that. */
bool cut_off_came(struct cut_off *c, size_t n_connected);
bool cut_off_is(const struct cut_off *c);
/* Somebody who can look says that it is so: those agents are gone. */
void cut_off_accept(struct cut_off *c);

#endif
