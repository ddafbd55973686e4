/*
 * shim_server.h - pmd's side of the preloaded library: hands a worker the sockets of its seat.
 *
 * Everything that comes from the worker is hostile: records are of one size and checked field by
 * field, descriptors are used for the answer alone and only when they are unix sockets, nothing
 * here blocks on them, and a worker that floods us is heard SHIM_SERVER_RATE times a second.
 */
#ifndef PM_AGENT_SHIM_SERVER_H
#define PM_AGENT_SHIM_SERVER_H

#include <uv.h>

#include "agent/shim_proto.h"
#include "agent/sockets.h"

struct shim_server;

/* Requests heard in one turn of the loop, and in one second. */
#define SHIM_SERVER_TURN 16
#define SHIM_SERVER_RATE 256

struct shim_server_config {
	struct sockets *sockets; /* borrowed until shim_server_close() */
	uint32_t seat;
	unsigned generation;
	/* The worker listens on key, valid during the call. It may close the server. */
	void (*on_listening)(void *arg, const struct socket_key *key);
	/* It was given an address, on which it, or a child of it, may be listening unheard. NULL:
	 * nobody cares. It may close the server. */
	void (*on_given)(void *arg);
	/* It asked for an address that it cannot have. NULL: nobody cares. */
	void (*on_refused)(void *arg, const char *why);
	void *arg;
};

/*
 * The pair for one worker.
 *
 * number  which descriptor childs will be in the worker
 * env     the value of SHIM_ENV_FD
 * errors  PM_INTERNAL (out of descriptors)
 */
PM_MUST_CHECK int shim_server_pair(int number, int *ours, int *childs, char *env, size_t env_size,
                                   struct pm_error *err);

/*
 * Serve a worker, also one of a former supervisor: requests wait in the socket meanwhile.
 *
 * fd      our end, taken
 * errors  PM_NO_MEMORY, PM_INTERNAL
 */
PM_MUST_CHECK int shim_server_create(uv_loop_t *loop, int fd,
                                     const struct shim_server_config *config,
                                     struct shim_server **out, struct pm_error *err);
void shim_server_close(struct shim_server *s);

/*
 * Check a record and make a key of it.  Pure.
 *
 * returns  false for what the library would not send
 */
bool shim_request_key(const void *bytes, size_t len, struct socket_key *key, enum shim_op *op);

#endif
