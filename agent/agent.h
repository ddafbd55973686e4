/* agent.h - `pmd agent`: one machine's supervision. */
#ifndef PM_AGENT_AGENT_H
#define PM_AGENT_AGENT_H

#include <stdbool.h>

/*
 * Run `pmd agent ARGS`: the keeper, in the foreground until it is told to stop.
 * argv[0] is "agent".  Returns the exit status; 6 when another agent holds the home.
 */
int agent_main(int argc, char **argv);

/* Does the home have PM2's names (--pm2)?  The same in keeper and supervisor. */
bool agent_is_pm2(void);

/* Run `pmd compress --gzip|--zstd FILE`: pack a rotated log file. argv[0] is "compress". */
int compress_main(int argc, char **argv);

/* Run `pmd uplink --home DIR [--join TOKEN-FILE]`: hold the link to the coordinator, for the
 * supervisor at descriptor 3. argv[0] is "uplink". */
int uplink_main(int argc, char **argv);

#endif
