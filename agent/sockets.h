/*
 * sockets.h - the listening sockets of one app in cluster mode: made by us, handed to workers, kept
 * over their deaths.
 *
 * A worker sits on a seat (its instance number) in one of two generations, A and B. For TCP and UDP
 * each seat has two SO_REUSEPORT sockets for each address that the app listens on, one a
 * generation, all bound and listening before the first is handed out; a classic BPF program picks
 * among those that were made ready. So a successor has a queue of its own beside the worker that it
 * replaces, new connections can be steered away from a worker before it stops, and what waits in
 * the queue of a dead one is inherited. A unix socket cannot be shared that way: all seats get one
 * and the same.
 *
 * The keeper holds every socket, and a memfd that says what they are, so that a new supervisor
 * finds them again.
 */
#ifndef PM_AGENT_SOCKETS_H
#define PM_AGENT_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proto/error.h"

struct sockets;

/* Limits: addresses an app listens on; seats (sockets are made for all seats of the app and a few
 * to come). */
#define SOCKETS_KEYS_MAX  64
#define SOCKETS_SEATS_MAX 1024

/* What is listened on, as asked: two workers that ask for the same get sockets of the same group.
 */
struct socket_key {
	int type;          /* SOCK_STREAM, SOCK_DGRAM */
	int family;        /* AF_INET, AF_INET6, AF_UNIX */
	bool dual;         /* AF_INET6 taking IPv4 too: node's address null */
	char address[108]; /* numeric, or a path; "" is any */
	uint16_t port;     /* host order; 0: chosen at the first asking */
	uint32_t index;    /* tells several port-0 listeners of one app apart (node's index) */
	int backlog;       /* not part of the identity */
};

struct sockets_hooks {
	void *arg;
	/* Have the keeper hold fd under this name (KEEPER_NAME_MAX), or forget it (fd -1). */
	int (*hold)(void *arg, const char *name, int fd, struct pm_error *err);
};

/* serial names the app in the names of what is held. */
PM_MUST_CHECK int sockets_create(uint32_t app_serial, const struct sockets_hooks *hooks,
                                 struct sockets **out, struct pm_error *err);
/* Give back what the keeper held ("L<serial>..." names): returns false when the name is not of this
 * app. fd is taken. */
bool sockets_restore(struct sockets *s, const char *name, int fd);
/* close: the keeper forgets them too, and nobody listens any more. Else they stay for the next
 * supervisor. */
void sockets_destroy(struct sockets *s, bool close);

/* How many seats there are; more are made for every key at once, fewer are only no longer steered
 * to. */
PM_MUST_CHECK int sockets_set_seats(struct sockets *s, uint32_t n_seats, struct pm_error *err);

/*
 * The socket of a seat and generation for a key; made for all seats at the first asking.
 *
 * fd      borrowed
 * *errnum set with -1: what bind or listen said (EADDRINUSE), for the worker that asked
 */
PM_MUST_CHECK int sockets_get(struct sockets *s, const struct socket_key *key, uint32_t seat,
                              unsigned generation, int *fd, int *errnum, struct pm_error *err);

/* The address a key is bound to, as text "127.0.0.1:8080", and its port. false: not bound. */
bool sockets_address(const struct sockets *s, const struct socket_key *key, char *out, size_t size,
                     uint16_t *port);

/* A seat and generation is (no longer) ready for new connections; takes effect for all keys. With
 * nobody ready every socket is chosen, so that connections wait instead of being refused. */
void sockets_steer(struct sockets *s, uint32_t seat, unsigned generation, bool ready);
bool sockets_is_steered(const struct sockets *s, uint32_t seat, unsigned generation);

/* Connections that wait in the queues of this seat and generation, over all keys (TCP_INFO
 * tcpi_unacked). */
unsigned sockets_waiting(const struct sockets *s, uint32_t seat, unsigned generation);

#endif
