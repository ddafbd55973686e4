/*
 * orphans.c - leaves COUNT orphans that end at once: a flood of zombies for whoever reaps.
 *
 * orphans COUNT: says "done" when all of them have been left, then waits to be killed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long count = argc == 2 ? strtol(argv[1], NULL, 10) : 0;

	if (count <= 0) {
		(void)fprintf(stderr, "usage: orphans COUNT\n");
		return 2;
	}
	/* Each child leaves a hundred and ends, so that they are orphans when they end themselves.
	 */
	for (long left = count; left > 0; left -= 100) {
		pid_t child = fork();

		if (child == 0) {
			for (long i = 0; i < 100 && i < left; i++)
				if (fork() == 0)
					_exit(0);
			_exit(0);
		}
		if (child < 0 || (waitpid(child, NULL, 0) < 0 && errno != EINTR)) {
			perror("orphans");
			return 111;
		}
	}
	(void)puts("done");
	(void)fflush(stdout);
	for (;;)
		(void)pause();
}
