/* sockets_rig.h - a keeper in a table, and clients, for the tests of listening sockets. */
#ifndef PM_TESTS_SOCKETS_RIG_H
#define PM_TESTS_SOCKETS_RIG_H

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/sockets.h"

struct rig {
	struct sockets *s;
	struct {
		char name[48];
		int fd; /* a duplicate, as the keeper's */
	} held[512];
	size_t n_held;
	size_t holds_left; /* then holding fails */
};

static inline int rig_hold(void *arg, const char *name, int fd, struct pm_error *err)
{
	struct rig *r = arg;
	size_t i = 0;

	while (i < r->n_held && strcmp(r->held[i].name, name) != 0)
		i++;
	if (fd >= 0 && r->holds_left-- == 0)
		return pm_fail(err, PM_LIMIT, "hold %s: full", name);
	if (i < r->n_held)
		(void)close(r->held[i].fd);
	if (fd < 0) {
		if (i < r->n_held)
			r->held[i] = r->held[--r->n_held];
		return 0;
	}
	assert_true(i < PM_COUNT(r->held));
	(void)snprintf(r->held[i].name, sizeof(r->held[i].name), "%s", name);
	r->held[i].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	r->n_held += i == r->n_held;
	return 0;
}

static inline void rig_open(struct rig *r)
{
	const struct sockets_hooks hooks = { r, rig_hold };
	struct pm_error err;

	assert_int_equal(sockets_create(7, NULL, &hooks, &r->s, &err), 0);
}

static inline int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->holds_left = SIZE_MAX;
	rig_open(r);
	*state = r;
	return 0;
}

static inline int rig_teardown(void **state)
{
	struct rig *r = *state;

	sockets_destroy(r->s, true);
	for (size_t i = 0; i < r->n_held; i++)
		(void)close(r->held[i].fd);
	/* What close forgets, the keeper does not hold. */
	if (r->n_held != 0) {
		print_error("%zu still held, as %s\n", r->n_held, r->held[0].name);
		return -1;
	}
	free(r);
	return 0;
}

static const struct socket_key tcp4 = { .type = SOCK_STREAM,
	                                .family = AF_INET,
	                                .address = "127.0.0.1" };

static inline int get(struct rig *r, const struct socket_key *key, uint32_t seat,
                      unsigned generation)
{
	struct pm_error err;
	int fd, errnum;

	if (sockets_get(r->s, key, seat, generation, &fd, &errnum, &err) < 0)
		fail_msg("%s (%s)", err.what, strerror(errnum));
	return fd;
}

static inline void set_seats(struct rig *r, uint32_t n)
{
	struct pm_error err;

	if (sockets_set_seats(r->s, n, &err) < 0)
		fail_msg("%s", err.what);
}

static inline uint16_t port_of(struct rig *r, const struct socket_key *key)
{
	char text[128];
	uint16_t port = 0;

	assert_true(sockets_address(r->s, key, text, sizeof(text), &port));
	return port;
}

/* A client's socket of the key's type, bound nowhere; connected to where the key is bound. */
static inline int dial(int listener, int type)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	int fd;

	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	fd = socket(addr.ss_family, type | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&addr, len) < 0)
		fail_msg("connect: %s", strerror(errno));
	return fd;
}

/* Take and close what waits; how many. */
static inline unsigned drain(int listener)
{
	unsigned n = 0;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		(void)close(fd);
		n++;
	}
	assert_int_equal(errno, EAGAIN);
	return n;
}

#endif
