/*
 * repeat.c - the stop watch of the benchmark, without an interpreter's noise.
 *
 * repeat run N PROGRAM [ARG...]   runs it N times with its output to /dev/null; prints the ns of
 * each, spawn to exit repeat kill N FILE PAUSE_MS     N times: SIGKILLs the last process in FILE
 * (written by sleeper) and prints the ns until its successor was in main(); "gone" when none came
 * within 10 s
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void rest_ms(long ms)
{
	struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&pause, NULL);
}

static int run(long n, char **argv)
{
	posix_spawn_file_actions_t actions;
	int status;

	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	while (n-- > 0) {
		uint64_t start = now_ns();
		pid_t pid;

		if (posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) != 0)
			return 1;
		if (waitpid(pid, &status, 0) != pid || status != 0)
			return 1;
		(void)printf("%llu\n", (unsigned long long)(now_ns() - start));
	}
	return 0;
}

/* Reads record number `index`; false when it is not there yet. */
static bool record(int fd, off_t index, uint64_t out[2])
{
	return pread(fd, out, 16, index * 16) == 16;
}

static int kill_often(long n, const char *path, long pause_ms)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t last[2], next[2], start;
	struct stat st;
	off_t index;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < 16)
		return 1;
	index = st.st_size / 16 - 1;
	while (n-- > 0) {
		if (!record(fd, index, last))
			return 1;
		start = now_ns();
		if (kill((pid_t)last[0], SIGKILL) < 0)
			return 1;
		/* The successor takes the time itself, so this may look as seldom as it likes. */
		while (!record(fd, index + 1, next)) {
			if (now_ns() - start > 10000000000u) {
				(void)puts("gone");
				return 0;
			}
			rest_ms(1);
		}
		(void)printf("%llu\n", (unsigned long long)(next[1] - start));
		index++;
		rest_ms(pause_ms);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[1], "run") == 0)
		return run(strtol(argv[2], NULL, 10), argv + 3);
	if (argc == 5 && strcmp(argv[1], "kill") == 0)
		return kill_often(strtol(argv[2], NULL, 10), argv[3], strtol(argv[4], NULL, 10));
	(void)fprintf(stderr,
	              "usage: repeat run N PROGRAM [ARG...] | repeat kill N FILE PAUSE_MS\n");
	return 2;
}
