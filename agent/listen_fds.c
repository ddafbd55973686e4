#include "agent/listen_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/spawn.h"
#include "proto/listen_addr.h"

static void to_key(const struct listen_addr *a, struct socket_key *key)
{
	*key = (struct socket_key){ .type = a->kind == LISTEN_UDP ? SOCK_DGRAM : SOCK_STREAM,
		                    .family = a->kind == LISTEN_UNIX ? AF_UNIX
		                              : a->v6                ? AF_INET6
		                                                     : AF_INET,
		                    .dual = a->dual,
		                    .port = a->port,
		                    .declared = true };
	memcpy(key->address, a->address, sizeof(key->address));
}

int listen_fds_init(struct listen_fds *l, char *const *listen, size_t n, struct pm_error *err)
{
	size_t at = 0;

	memset(l, 0, sizeof(*l));
	if (n > PM_LISTEN_MAX)
		return pm_fail(err, PM_LIMIT, "listen: more than %d addresses", PM_LISTEN_MAX);
	for (size_t i = 0; i < n; i++) {
		struct listen_addr a;

		if (listen_addr_parse(listen[i], &a, err) < 0)
			return -1;
		to_key(&a, &l->keys[i]);
		/* "unknown" is what sd_listen_fds_with_names(3) makes of an unnamed one. */
		at += (size_t)snprintf(l->names + at, sizeof(l->names) - at, "%s%s",
		                       i > 0 ? ":" : "", a.name[0] != '\0' ? a.name : "unknown");
	}
	l->n = n;
	return 0;
}

int listen_fds_get(const struct listen_fds *l, struct sockets *s, uint32_t seat,
                   unsigned generation, int fds[PM_LISTEN_MAX], struct pm_error *err)
{
	for (size_t i = 0; i < l->n; i++) {
		int errnum, flags;

		if (sockets_get(s, &l->keys[i], seat, generation, &fds[i], &errnum, err) < 0)
			return -1;
		flags = fcntl(fds[i], F_GETFL);
		if (flags < 0 || fcntl(fds[i], F_SETFL, flags & ~O_NONBLOCK) < 0)
			return pm_fail_errno(err, errno, "listen");
	}
	return 0;
}

void listen_fds_env(const struct listen_fds *l, char *fds, size_t fds_size, const char **pid)
{
	(void)snprintf(fds, fds_size, "%zu", l->n);
	*pid = &SPAWN_LISTEN_PID[strlen("LISTEN_PID=")];
}
