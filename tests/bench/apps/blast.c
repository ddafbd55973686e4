/*
 * blast.c - writes numbered lines as fast as they are taken: blast GO REPORT BYTES BLOCK.
 *
 * Waits until GO, a fifo, is opened for writing and closed; writes BYTES in writes of BLOCK bytes,
 * each full of 128-byte lines ("0000000042:aaa...a;\n"); BLOCK is cut down to whole lines.  Then
 * writes "START END BYTES" (ns of CLOCK_MONOTONIC) to the file REPORT, or to stderr when it is "-",
 * and waits to be killed (with "-": ends).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_LEN  128u
#define BLOCK_MAX (1u << 20)

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Counts the ten digits up in place: nothing else of a line changes. */
static void number_lines(char *block, size_t lines, uint64_t first)
{
	for (size_t i = 0; i < lines; i++) {
		char *digit = block + i * LINE_LEN + 9;
		uint64_t n = first + i;

		for (int k = 0; k < 10; k++, n /= 10)
			*digit-- = (char)('0' + n % 10);
	}
}

static int write_whole(const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, bytes, len);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static void wait_for_go(const char *path)
{
	char byte;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &byte, 1) < 0)
		_exit(1);
	(void)close(fd);
}

int main(int argc, char **argv)
{
	static char block[BLOCK_MAX];
	uint64_t total, lines, done = 0, start;
	FILE *report;

	if (argc != 5)
		return 2;
	total = strtoull(argv[3], NULL, 10) / LINE_LEN;
	lines = strtoull(argv[4], NULL, 10) / LINE_LEN;
	if (lines == 0 || lines * LINE_LEN > BLOCK_MAX)
		return 2;
	memset(block, 'a', sizeof(block));
	for (size_t i = 0; i < lines; i++) {
		block[i * LINE_LEN + 10] = ':';
		memcpy(block + (i + 1) * LINE_LEN - 2, ";\n", 2);
	}
	wait_for_go(argv[1]);
	start = now_ns();
	for (; done < total; done += lines) {
		lines = total - done < lines ? total - done : lines;
		number_lines(block, lines, done);
		if (write_whole(block, lines * LINE_LEN) < 0)
			return 1;
	}
	report = strcmp(argv[2], "-") == 0 ? stderr : fopen(argv[2], "we");
	if (report == NULL)
		return 1;
	(void)fprintf(report, "%llu %llu %llu\n", (unsigned long long)start,
	              (unsigned long long)now_ns(), (unsigned long long)(done * LINE_LEN));
	(void)fclose(report);
	if (strcmp(argv[2], "-") == 0)
		return 0;
	for (;;)
		(void)pause();
}
