/* pmd.c - main() of pmd: picks the part to be. */
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "coordinator/coordinator.h"

static int usage(FILE *to)
{
	(void)fprintf(to, "usage: pmd agent [--home DIR] [--foreground]\n"
	                  "       pmd coordinator --home DIR [--listen tcp://ADDR:PORT]\n"
	                  "       pmd --version\n");
	return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "agent") == 0)
		return agent_main(argc - 1, argv + 1);
	if (strcmp(argv[1], "coordinator") == 0)
		return coordinator_main(argc - 1, argv + 1);
	if (strcmp(argv[1], "compress") == 0) /* the agent's own helper, not in the usage */
		return compress_main(argc - 1, argv + 1);
	if (strcmp(argv[1], "uplink") == 0) /* started by the agent, not in the usage */
		return uplink_main(argc - 1, argv + 1);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0) {
		(void)puts(PM_VERSION);
		return 0;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return usage(stdout);
	(void)fprintf(stderr, "pmd: %s: no such part\n", argv[1]);
	return usage(stderr);
}
