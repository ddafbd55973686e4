/*
 * lines.c - writes numbered lines to stdout, exactly: see tests/integration/numbered.py for the
 * form.
 *
 * lines [-n COUNT] [-l PADDING] [-r LINES_PER_SECOND] [-b LINES_PER_WRITE] [-w WRITER] [-c DIR] [-e
 * EVERY] [-x STATUS] -n  stop writing after so many (0, the default: never), then wait to be
 * killed, or end with -x STATUS -w  the writer's name; the pid when not given.  -e  every EVERYth
 * write goes to stderr, as writer NAME-err -c  keep two 64-bit counts in DIR/WRITER.count: lines
 * written, and lines that a write had begun with. They are memory of the file, so they outlive
 * SIGKILL. SIGTERM and SIGINT end it after the line it is in, with status 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PADDING_MAX 99999
#define BYTES_MAX   (1 << 20)

struct counts {
	volatile uint64_t done, begun;
};

struct stream {
	char writer[64];
	int fd;
	uint64_t next;
	struct counts unmapped, *counts;
};

struct options {
	uint64_t count, rate, batch, every;
	int padding, status;
	const char *writer, *dir;
};

static volatile sig_atomic_t told_to_end;

static void on_signal(int number)
{
	(void)number;
	told_to_end = 1;
}

static void die(const char *what)
{
	perror(what);
	exit(111);
}

static void stream_open(struct stream *s, int fd, const char *writer, const char *suffix,
                        const char *dir)
{
	char path[4096];
	void *memory;
	int file;

	s->fd = fd;
	s->counts = &s->unmapped;
	(void)snprintf(s->writer, sizeof(s->writer), "%s%s", writer, suffix);
	if (dir == NULL)
		return;
	(void)snprintf(path, sizeof(path), "%s/%s.count", dir, s->writer);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0 || ftruncate(file, sizeof(struct counts)) < 0)
		die(path);
	memory = mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (memory == MAP_FAILED)
		die(path);
	s->counts = memory;
	(void)close(file);
}

static size_t put_line(char *to, size_t room, const char *writer, uint64_t number, int padding)
{
	int head =
		snprintf(to, room, "%s:%010llu:%05d:", writer, (unsigned long long)number, padding);

	memset(to + head, 'a' + (int)(number % 26), (size_t)padding);
	memcpy(to + head + padding, ";\n", 2);
	return (size_t)(head + padding + 2);
}

/* Every byte is written whatever happens: a line is never left half done by a signal. */
static void write_whole(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			die("write");
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
}

static void write_batch(struct stream *s, const struct options *o, uint64_t n, char *bytes)
{
	size_t len = 0;

	for (uint64_t i = 0; i < n; i++)
		len += put_line(bytes + len, BYTES_MAX - len, s->writer, s->next + i, o->padding);
	s->counts->begun = s->next + n;
	write_whole(s->fd, bytes, len);
	s->next += n;
	s->counts->done = s->next;
}

static void pace(const struct options *o, const struct timespec *start, uint64_t lines)
{
	struct timespec at = *start;

	if (o->rate == 0)
		return;
	at.tv_sec += (time_t)(lines / o->rate);
	at.tv_nsec += (long)(lines % o->rate * 1000000000u / o->rate);
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec++;
	}
	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at,
	                      NULL); /* a signal ends it early */
}

static void write_all(const struct options *o, struct stream *out, struct stream *err)
{
	char *bytes = malloc(BYTES_MAX);
	struct timespec start;
	uint64_t lines = 0;

	if (bytes == NULL)
		die("malloc");
	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	for (uint64_t turn = 1; !told_to_end && (o->count == 0 || lines < o->count); turn++) {
		uint64_t n =
			o->count != 0 && o->count - lines < o->batch ? o->count - lines : o->batch;

		write_batch(o->every != 0 && turn % o->every == 0 ? err : out, o, n, bytes);
		lines += n;
		pace(o, &start, lines);
	}
	free(bytes);
}

static uint64_t number(const char *text, uint64_t most)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value > most) {
		(void)fprintf(stderr, "lines: %s: a number up to %llu is wanted\n", text,
		              (unsigned long long)most);
		exit(2);
	}
	return value;
}

static void options_read(struct options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "n:l:r:b:w:c:e:x:")) != -1) {
		switch (c) {
		case 'n':
			o->count = number(optarg, UINT64_MAX);
			break;
		case 'l':
			o->padding = (int)number(optarg, PADDING_MAX);
			break;
		case 'r':
			o->rate = number(optarg, 1000000000);
			break;
		case 'b':
			o->batch = number(optarg, UINT32_MAX);
			break;
		case 'w':
			o->writer = optarg;
			break;
		case 'c':
			o->dir = optarg;
			break;
		case 'e':
			o->every = number(optarg, UINT32_MAX);
			break;
		case 'x':
			o->status = (int)number(optarg, 255);
			break;
		default:
			exit(2);
		}
	}
	if (optind != argc || o->batch == 0 ||
	    o->batch > (uint64_t)(BYTES_MAX / (o->padding + 96))) {
		(void)fprintf(stderr, "lines: too many lines a write, or too many arguments\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct options o = { .padding = 20, .batch = 1, .status = -1 };
	struct stream out = { 0 }, err = { 0 };
	sigset_t none, all;
	char pid[16];

	options_read(&o, argc, argv);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	stream_open(&out, STDOUT_FILENO, o.writer != NULL ? o.writer : pid, "", o.dir);
	if (o.every != 0)
		stream_open(&err, STDERR_FILENO, o.writer != NULL ? o.writer : pid, "-err", o.dir);
	write_all(&o, &out, &err);
	if (o.status >= 0)
		return o.status;
	/* Blocked between the test and the wait, so that no signal is missed. */
	sigemptyset(&none);
	sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, NULL);
	while (!told_to_end)
		(void)sigsuspend(&none);
	return 0;
}
