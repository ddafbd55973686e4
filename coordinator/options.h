/* options.h - the command line of pmd coordinator. */
#ifndef PM_COORDINATOR_OPTIONS_H
#define PM_COORDINATOR_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "coordinator/gates.h"
#include "proto/address.h"
#include "proto/error.h"
#include "proto/limits.h"

/* Texts are borrowed from argv; NULL: not given. */
struct options {
	const char *home, *user, *role, *name;
	struct sockaddr_storage listen[PM_ADDRESSES_MAX];
	unsigned n_listen;
	struct pm_address advertise[PM_ADDRESSES_MAX];
	unsigned n_advertise;
	struct gates_config gates;
	uint32_t heartbeat_ms, ttl_s, key_overlap_s; /* 0: as usual */
	bool help, finish, force;
};

/* Returns the exit status: 0 on stdout, else that of a mistake. */
int options_usage(FILE *to);

/* errors: PM_USAGE, which names the option */
PM_MUST_CHECK int options_parse(int argc, char **argv, struct options *o, struct pm_error *err);

/* tcp://ADDR:PORT with a numeric address.  errors: PM_USAGE */
PM_MUST_CHECK int options_parse_listen(const char *arg, struct sockaddr_storage *out,
                                       struct pm_error *err);

#endif
