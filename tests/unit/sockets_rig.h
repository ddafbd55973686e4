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

#endif
