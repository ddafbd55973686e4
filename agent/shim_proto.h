/*
 * shim_proto.h - what the preloaded library in a worker and pmd say to each other.
 *
 * One SOCK_SEQPACKET pair for each worker; the worker's end is inherited by what it forks and
 * executes, so several processes and threads write to it. A request is one record, and brings by
 * SCM_RIGHTS one end of a pair of its own, on which the answer comes: nobody can read the answer of
 * somebody else, and no lock is held. The answer is one record, with the socket by SCM_RIGHTS.
 */
#ifndef PM_AGENT_SHIM_PROTO_H
#define PM_AGENT_SHIM_PROTO_H

#include <stdint.h>

#define SHIM_MAGIC   0x4d485331u /* "1SHM" */
#define SHIM_VERSION 1

/* The environment: "NUMBER:INODE" of the worker's end, so that a process that inherited the
 * variable but not the descriptor does not write to something else; and what is left alone: ports,
 * ranges of ports, paths, "tcp", "udp" and "unix", with commas. */
#define SHIM_ENV_FD      "PMD_SHIM_FD"
#define SHIM_ENV_EXCLUDE "PMD_SHIM_EXCLUDE"

/* How long a program waits for pmd before it goes on with a socket of its own. */
#define SHIM_WAIT_MS 5000

enum shim_op {
	SHIM_SOCKET = 1,    /* the socket of this seat for an address; answered */
	SHIM_LISTENING = 2, /* the program listens there now; not answered, brings no descriptor */
	SHIM_KEEP_PATH = 3, /* is this path a unix socket of the app's? answered by 0, or ENOENT */
	SHIM_RELEASE = 4,   /* the socket was a client's; answered when nobody listens there any
	                       more, or EBUSY */
};

enum shim_family {
	SHIM_INET = 1,
	SHIM_INET6 = 2,
	SHIM_UNIX = 3,
};

struct shim_request {
	uint32_t magic;
	uint16_t version;
	uint16_t op;     /* enum shim_op */
	uint8_t family;  /* enum shim_family */
	uint8_t dgram;   /* 0: stream */
	uint8_t v6_only; /* SHIM_INET6: takes no IPv4 */
	uint8_t zero;
	uint16_t port; /* host order; never 0 for SHIM_INET and SHIM_INET6 */
	uint16_t zero2;
	int32_t backlog;
	uint32_t scope;    /* of a link-local IPv6 address; 0: none */
	uint8_t inet[16];  /* the address: 4 or 16 bytes */
	char path[108];    /* SHIM_UNIX: absolute, or @ABSTRACT; ends in a NUL */
	uint8_t spare[52]; /* 0 */
};

struct shim_reply {
	uint32_t magic;
	uint16_t version;
	uint16_t op;
	int32_t error; /* an errno for the program, 0, or SHIM_OWN */
	int32_t zero;
};

/* The program goes on with a socket of its own. */
#define SHIM_OWN (-1)

_Static_assert(sizeof(struct shim_request) == 200, "the same for every compiler");
_Static_assert(sizeof(struct shim_reply) == 16, "the same for every compiler");

#endif
