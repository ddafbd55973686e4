/*
 * shim_int.h - the library that is preloaded into a worker: it puts the sockets of the worker's
 * seat in the place of those that the program opens for itself.
 *
 * It runs in programs that we know nothing of: it allocates nothing, holds no lock, calls no
 * function that a signal handler may not call, and keeps errno and every flag as the program
 * expects them. Sockets are known by their inode, not by their number, so that dup, close, fork and
 * descriptors passed on need no account; what is forked shares it, what is executed begins anew.
 *
 * pmd is asked at bind, not at listen: programs look at the result of bind (its errno, the port,
 * the path of a unix socket), and some bind in one process and listen in another that they execute
 * without our descriptor (uvicorn). A client that binds a fixed port and then connects gets its own
 * socket back. Left alone: port 0 (such a listener is private to its process, as a rule, and a
 * shared one would spread its clients over all workers), unix datagram sockets (a client binds a
 * path too), multicast, sockets bound to a device. Where pmd does not answer the program goes on
 * with its own socket.
 */
#ifndef PM_AGENT_SHIM_SHIM_INT_H
#define PM_AGENT_SHIM_SHIM_INT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/shim_proto.h"

/* ---- note.c: which sockets are pmd's ---- */

union shim_addr {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

struct note {
	union shim_addr addr; /* as the program bound it */
	socklen_t len;
};

/* Identity of a descriptor; 0: not a socket. */
uint64_t shim_inode(int fd);
/* Notes are few (NOTES_MAX): false when there is no room. */
bool shim_note_put(uint64_t inode, int fd, const struct note *note);
bool shim_note_get(uint64_t inode, struct note *out);

/* ---- ask.c: talking to pmd ---- */

void shim_ask_init(const char *env);
bool shim_is_on(void);
/*
 * Ask.
 *
 * returns  0 (*fd is the caller's), an errno for the program, or SHIM_OWN
 */
int shim_ask(const struct shim_request *r, int *fd);
void shim_tell(const struct shim_request *r);

/* ---- policy.c: which sockets are shared ---- */

void shim_policy_init(const char *exclude);
/*
 * Is a socket with this address one for pmd? Fills in what is asked then, but for op and backlog.
 */
bool shim_is_shared(int fd, const struct note *note, struct shim_request *out);
/* An absolute path for a relative one. false: too long. */
bool shim_absolute(const char *path, size_t len, char out[108]);

/* ---- install.c: putting a socket in the place of another ---- */

/* Put `from` (taken) into the place of fd with fd's flags and options. Returns 0 or an errno. */
int shim_install(int fd, int from);
/* Put a socket that nobody reaches into the place of fd, or one that is bound to an address, as the
 * program's own would be. Returns 0 or an errno. */
int shim_retire(int fd);
int shim_give_back(int fd, const struct note *note,
                   int (*bind)(int, const struct sockaddr *, socklen_t));

#endif
