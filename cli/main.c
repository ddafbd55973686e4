#include "cli/main.h"

#include <stdio.h>

int pmctl_main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	(void)fprintf(stderr, "pmctl: not built yet\n");
	return 1;
}
