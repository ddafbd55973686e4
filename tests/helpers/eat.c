/*
 * eat.c - holds memory, really touched, so that a limit is met at a known size.
 *
 * eat MIB [CHILD_MIB]: holds MIB itself and CHILD_MIB in a child, says "full", then waits to be
 * killed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int hold(long mib)
{
	char *memory = mib > 0 ? malloc((size_t)mib << 20) : NULL;

	if (mib > 0 && memory == NULL)
		return -1;
	for (long i = 0; i < mib << 20; i += 4096)
		((volatile char *)memory)[i] =
			(char)(i >> 12); /* distinct pages: nothing to merge */
	return 0;
}

static void wait_for_ever(void)
{
	for (;;)
		(void)pause();
}

int main(int argc, char **argv)
{
	int full[2];
	char byte;

	if (argc < 2 || pipe(full) < 0) {
		(void)fprintf(stderr, "usage: eat MIB [CHILD_MIB]\n");
		return 2;
	}
	if (argc > 2 && fork() == 0) {
		if (hold(strtol(argv[2], NULL, 10)) < 0 || write(full[1], "", 1) != 1)
			_exit(111);
		wait_for_ever();
	}
	(void)close(full[1]);
	if (hold(strtol(argv[1], NULL, 10)) < 0 || (argc > 2 && read(full[0], &byte, 1) != 1)) {
		perror("eat");
		return 111;
	}
	(void)puts("full");
	(void)fflush(stdout);
	wait_for_ever();
}
