/* agent.h - `pmd agent`: one machine's supervision. */
#ifndef PM_AGENT_AGENT_H
#define PM_AGENT_AGENT_H

/*
 * Run `pmd agent ARGS`: the keeper, in the foreground until it is told to stop.
 * argv[0] is "agent".  Returns the exit status; 6 when another agent holds the home.
 */
int agent_main(int argc, char **argv);

#endif
