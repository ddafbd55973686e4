/* fleet_end.h - what the two ends of a simulated fleet share: options, words on stdin, figures. */
#ifndef PM_TESTS_FLEET_END_H
#define PM_TESTS_FLEET_END_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <uv.h>

#include "proto/conn.h"
#include "proto/link.h"

struct end_options {
	uint16_t port;
	unsigned n; /* dialling: sessions */
	const char *key, *host;
	struct pm_link_config link;
	uint32_t dial_ms;
};

static inline void die(const struct pm_error *err)
{
	(void)printf("error %s\n", err->what);
	exit(1);
}

static inline void read_options(int argc, char **argv, struct end_options *o)
{
	static const char *const times[] = { "--handshake-ms", "--greeting-ms", "--heartbeat-ms",
		                             "--suspect-ms",   "--dead-ms",     "--dial-ms" };
	uint32_t *fields[] = { &o->link.handshake_ms, &o->link.greeting_ms, &o->link.heartbeat_ms,
		               &o->link.suspect_ms,   &o->link.dead_ms,     &o->dial_ms };

	o->n = 1;
	o->host = "127.0.0.1";
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *value = argv[i + 1];

		for (size_t k = 0; k < PM_COUNT(times); k++)
			if (strcmp(argv[i], times[k]) == 0)
				*fields[k] = (uint32_t)strtoul(value, NULL, 10);
		if (strcmp(argv[i], "--port") == 0)
			o->port = (uint16_t)strtoul(value, NULL, 10);
		if (strcmp(argv[i], "--n") == 0)
			o->n = (unsigned)strtoul(value, NULL, 10);
		if (strcmp(argv[i], "--key") == 0)
			o->key = value;
		if (strcmp(argv[i], "--host") == 0)
			o->host = value;
	}
}

/* All descriptors that there may be: each session takes one. */
static inline void raise_nofile(void)
{
	struct rlimit limit;

	if (getenv("PMD_TEST_NOFILE") != NULL || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* as far as it goes */
}

static inline double cpu_ms(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u); /* cannot fail */
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

/* Resident memory in KiB. */
static inline long rss_kib(void)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f != NULL) {
		if (fscanf(f, "%ld %ld", &pages, &resident) != 2)
			resident = 0;
		(void)fclose(f);
	}
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Calls `word` with each line of stdin; the end of stdin is "quit". */
typedef void end_word_fn(const char *word);

static end_word_fn *end_word;
static char end_line[256];
static size_t end_len;

static inline void end_on_stdin(uv_poll_t *poll, int status, int events)
{
	char bytes[256];
	ssize_t n = status < 0 ? 0 : read(0, bytes, sizeof(bytes));

	(void)events;
	if (n <= 0) {
		uv_poll_stop(poll);
		end_word("quit");
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] != '\n' && end_len < sizeof(end_line) - 1) {
			end_line[end_len++] = bytes[i];
			continue;
		}
		end_line[end_len] = '\0';
		end_len = 0;
		end_word(end_line);
	}
}

static inline void listen_to_stdin(uv_loop_t *loop, uv_poll_t *poll, end_word_fn *word)
{
	end_word = word;
	if (uv_poll_init(loop, poll, 0) < 0 || uv_poll_start(poll, UV_READABLE, end_on_stdin) < 0)
		exit(2);
}

static inline struct sockaddr_in end_address(const struct end_options *o)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(o->port) };

	if (inet_pton(AF_INET, o->host, &in.sin_addr) != 1)
		exit(2);
	return in;
}

#endif
