/*
 * zombie_flood.c COUNT - leaves COUNT dead children to whoever inherits them, all at once: a child
 * of ours makes them, reaps none and exits.  Exits 0, or 1 when they could not all be made.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long count = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
	int status;
	pid_t maker = fork();

	if (maker == 0) {
		for (long i = 0; i < count; i++) {
			pid_t pid = vfork(); /* returns when the child is dead */

			if (pid == 0)
				_exit(0);
			if (pid < 0)
				_exit(1);
		}
		_exit(0);
	}
	if (maker < 0 || waitpid(maker, &status, 0) != maker)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
