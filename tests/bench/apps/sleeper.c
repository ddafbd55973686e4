/*
 * sleeper.c - an app that only exists: sleeper [FILE].
 *
 * Its first act is to take the time; with FILE it appends { pid, CLOCK_MONOTONIC in ns } to it, 16
 * bytes.
 */
#include <fcntl.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec now;
	uint64_t record[2];
	int fd;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	record[0] = (uint64_t)getpid();
	record[1] = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	if (argc > 1) {
		fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
		if (fd < 0 || write(fd, record, sizeof(record)) != sizeof(record))
			return 1;
		(void)close(fd);
	}
	for (;;)
		(void)pause();
}
