/*
 * uplink.h - the process that holds an agent's link to its coordinator: `pmd uplink`, started by
 * the supervisor (liaison.h), whose socket it has as descriptor 3.
 *
 * It carries requests, answers and streams from one side to the other and decides nothing; what it
 * holds is its key and the coordinator's address.  Root's drops its privileges once it has read
 * them.
 */
#ifndef PM_AGENT_UPLINK_H
#define PM_AGENT_UPLINK_H

#define UPLINK_FD 3

enum uplink_exit {
	UPLINK_EXIT_LEFT = 0,   /* it was told to */
	UPLINK_EXIT_FAILED = 1, /* to be tried again */
	UPLINK_EXIT_NEVER = 3,  /* of no use to be tried again, as with a token that is used up */
};

#endif
