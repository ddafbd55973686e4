/* listen_addr.h - what a `listen` entry of an app says: [NAME=]tcp://ADDRESS:PORT and so on.  Pure.
 */
#ifndef PM_PROTO_LISTEN_ADDR_H
#define PM_PROTO_LISTEN_ADDR_H

#include <stdbool.h>

#include "proto/error.h"

enum listen_kind {
	LISTEN_TCP,
	LISTEN_UDP,
	LISTEN_UNIX, /* stream */
};

struct listen_addr {
	enum listen_kind kind;
	bool v6, dual;     /* dual: IPv4 too */
	char address[108]; /* numeric, "" is any; or a path, or @ABSTRACT */
	uint16_t port;
	char name[64]; /* for LISTEN_FDNAMES; "" when none was given */
};

/*
 * Read one entry:
 *
 *   tcp://127.0.0.1:8080  tcp://[::1]:8080  udp://...   numeric addresses
 *   tcp://:8080  tcp://[::]:8080                        any address, IPv6 and IPv4; also "*:8080"
 *   unix:///run/app.sock  unix://@abstract
 *   NAME=tcp://...                                      NAME without colons and control characters
 *
 * errors  PM_CONFIG
 */
PM_MUST_CHECK int listen_addr_parse(const char *text, struct listen_addr *out,
                                    struct pm_error *err);

/* Do both say the same address? Names do not count. */
bool listen_addr_same(const struct listen_addr *a, const struct listen_addr *b);

#endif
