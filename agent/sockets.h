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
#include <sys/types.h>

#include "proto/error.h"

struct sockets;

/* Limits: addresses an app listens on; its seats. */
#define SOCKETS_KEYS_MAX   64
#define SOCKETS_SEATS_MAX  1024
#define SOCKETS_GROUPS_MAX 256
/* Connections that may wait where the app did not say; node's and nginx's own choice. */
#define SOCKETS_BACKLOG 511

/* What is listened on, as asked: two workers that ask for the same get sockets of the same group.
 */
struct socket_key {
	int type;          /* SOCK_STREAM, SOCK_DGRAM */
	int family;        /* AF_INET, AF_INET6, AF_UNIX */
	bool dual;         /* AF_INET6 taking IPv4 too: node's address null */
	char address[108]; /* numeric; "" is any. AF_UNIX: an absolute path, or @ABSTRACT */
	uint16_t port;     /* host order; 0: chosen at the first asking */
	uint32_t index;    /* tells several port-0 listeners of one app apart (node's index) */
	int backlog;       /* <= 0: SOCKETS_BACKLOG; the first asker's, not part of the identity */
	bool declared;     /* by the app's declaration, not by a worker: bound with our own rights;
	                      not part of the identity either */
};

/*
 * Whose rights count for what workers ask for, so that an app that runs as another user opens no
 * port and no path through us that it could not open itself. uid -1: ours.
 */
struct sockets_owner {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* SOCKETS_GROUPS_MAX; copied */
	size_t n_groups;
	mode_t umask; /* the app's, for the paths of unix sockets */
};

struct sockets_hooks {
	void *arg;
	/* Have the keeper hold fd under this name (KEEPER_NAME_MAX), or forget it (fd -1). */
	int (*hold)(void *arg, const char *name, int fd, struct pm_error *err);
};

/* serial names the app in the names of what is held. Nothing is made or held yet. */
PM_MUST_CHECK int sockets_create(uint32_t app_serial, const struct sockets_owner *owner,
                                 const struct sockets_hooks *hooks, struct sockets **out,
                                 struct pm_error *err);
/* The app that a held descriptor belongs to ("L<serial>", "L<serial>.<key>.<index>"). */
bool sockets_is_name(const char *name, uint32_t *app_serial);
/* Give back what the keeper held, in any order: returns false when the name is not of this app. fd
 * is taken then. */
bool sockets_restore(struct sockets *s, const char *name, int fd);
/*
 * All was given back: addresses, seats and what was steered to are as they were. What was being
 * made when the former supervisor died is completed.
 *
 * errors  PM_CORRUPT (the table was made by another version: everything held is closed and
 *         forgotten), those of sockets_set_seats()
 */
PM_MUST_CHECK int sockets_restored(struct sockets *s, struct pm_error *err);
/*
 * Whoever holds them, nobody listens any more where connections are taken: another may listen there
 * at once, and not only when the keeper has closed what it is told to forget. For when no process
 * of the app is left.
 *
 * returns  whether there are some that cannot be shut: a UDP port is free when the last one who
 *          holds its socket has closed it
 */
bool sockets_shut(const struct sockets *s);
/* close: the keeper forgets them too, and nobody listens any more. Else they stay for the next
 * supervisor. */
void sockets_destroy(struct sockets *s, bool close);

/* Everything that the keeper is to hold, for a keeper that must be told anew. */
typedef void sockets_held_fn(void *arg, const char *name, int fd);
void sockets_each_held(const struct sockets *s, sockets_held_fn *fn, void *arg);

/*
 * How many seats there are: 1 at first. More are made for every key at once, fewer are only no
 * longer steered to; what waits in their queues is still theirs (sockets_waiting).
 *
 * errors  PM_LIMIT, PM_NO_MEMORY, PM_INTERNAL; the seats are as before then
 */
PM_MUST_CHECK int sockets_set_seats(struct sockets *s, uint32_t n_seats, struct pm_error *err);

/*
 * The socket of a seat and generation for a key; made for all seats at the first asking. Its
 * O_NONBLOCK is on, unless a worker, with whom the flag is shared, has changed it: an accept() of
 * ours can wait.
 *
 * A worker can shut the socket down for all who hold it: it then listens again, what waited in it
 * is lost. A unix path that somebody removed is made anew.
 *
 * fd      borrowed
 * *errnum set with -1: what bind or listen said (EADDRINUSE), for the worker that asked; EMFILE for
 *         our own limits
 */
PM_MUST_CHECK int sockets_get(struct sockets *s, const struct socket_key *key, uint32_t seat,
                              unsigned generation, int *fd, int *errnum, struct pm_error *err);

/*
 * A worker has asked for a socket only to connect from its address: close it for all, unless some
 * worker listens on it (sockets_set_in_use). false: it stays.
 */
bool sockets_release(struct sockets *s, const struct socket_key *key);
/*
 * Close, and have the keeper forget, the addresses that nobody who is there has asked for: clients
 * are refused then, instead of waiting for nobody, and others may listen there.
 *
 * is_there  has the seat and generation a process
 * returns   how many were closed
 */
typedef bool sockets_is_there_fn(void *arg, uint32_t seat, unsigned generation);
size_t sockets_prune(struct sockets *s, sockets_is_there_fn *is_there, void *arg);
/* A worker has closed a TCP address again: if it is not ready yet, and has only tried whether that
 * is free, close it for all at once, unless another one has asked for it. */
void sockets_close_tried(struct sockets *s, const struct socket_key *key, uint32_t seat,
                         unsigned generation);
void sockets_set_in_use(struct sockets *s, const struct socket_key *key);

/* The address a key is bound to, as text "127.0.0.1:8080", and its port. false: not bound. */
bool sockets_address(const struct sockets *s, const struct socket_key *key, char *out, size_t size,
                     uint16_t *port);

/* The i-th key, as first asked; NULL behind the last. */
const struct socket_key *sockets_key(const struct sockets *s, size_t i);
/* A bit that is this key's, as long as it is bound; 0: not bound. */
uint64_t sockets_bit(const struct sockets *s, const struct socket_key *key);
/* Nobody who has this listening socket, with whom the flag is shared, waits in accept() on it.
 * Returns 0, or -1 with errno. */
int sockets_do_not_wait(int fd);
/* Is the path that of a unix socket of ours? */
bool sockets_has_path(const struct sockets *s, const char *path);

/* A new process sits there: what it will ask for counts, as soon as it is ready. */
void sockets_begin(struct sockets *s, uint32_t seat, unsigned generation);
/* Has the process there asked for an address for connections, in this run? */
bool sockets_has_asked(const struct sockets *s, uint32_t seat, unsigned generation);
/* It listens no more where it did. */
void sockets_unask(struct sockets *s, const struct socket_key *key, uint32_t seat,
                   unsigned generation);

/*
 * A seat and generation is (no longer) ready for new connections; takes effect for all keys that it
 * has asked for. With nobody ready connections wait instead of being refused: with those that were
 * ready last, whose successors inherit them, or before that with those that were handed out.
 */
void sockets_steer(struct sockets *s, uint32_t seat, unsigned generation, bool ready);
bool sockets_is_steered(const struct sockets *s, uint32_t seat, unsigned generation);

/*
 * The common socket of a TCP key, beside those of the seats: who has joined takes connections from
 * there too. New ones go there while everyone who is ready has joined, there are two of them at
 * least, and one has said that its connections are brief: those then wait for whoever is free first
 * (a queue behind each worker makes some wait while another idles), and nobody needs an even share.
 */

/* fd: borrowed; made at the first asking. errors: PM_NOT_FOUND, PM_INTERNAL, PM_LIMIT */
PM_MUST_CHECK int sockets_get_common(struct sockets *s, const struct socket_key *key, int *fd,
                                     struct pm_error *err);
/* A seat and generation that is ready has joined; it leaves by sockets_leave() (all keys), by
 * sockets_unjoin(), by sockets_unask(), or when another process begins there. */
void sockets_join(struct sockets *s, const struct socket_key *key, uint32_t seat,
                  unsigned generation);
void sockets_unjoin(struct sockets *s, const struct socket_key *key, uint32_t seat,
                    unsigned generation);
void sockets_leave(struct sockets *s, uint32_t seat, unsigned generation);
bool sockets_has_joined(const struct sockets *s, const struct socket_key *key, uint32_t seat,
                        unsigned generation);
bool sockets_has_asked_for(const struct sockets *s, const struct socket_key *key, uint32_t seat,
                           unsigned generation);
void sockets_set_brief(struct sockets *s, uint32_t seat, unsigned generation, bool brief);
/* The common socket where connections wait that nobody takes; -1: none do. */
int sockets_abandoned(const struct sockets *s, const struct socket_key *key);

enum sockets_aimed {
	SOCKETS_AIMED,
	SOCKETS_NOT_OURS, /* nobody can say which worker takes it: not a shared TCP address of ours
	                   */
	SOCKETS_BUSY,     /* too many are aimed; one of them is done soon */
};

/*
 * Let the connection that is about to be made from one address to another be the one of a seat and
 * generation, whoever is ready, until sockets_unaim(). Nobody else's goes there: it is told by its
 * sender's whole address.
 *
 * to, from  of one family, AF_INET or AF_INET6; from is bound already
 */
enum sockets_aimed sockets_aim(struct sockets *s, const struct sockaddr *to,
                               const struct sockaddr *from, uint32_t seat, unsigned generation);
void sockets_unaim(struct sockets *s, const struct sockaddr *from);

/*
 * Connections that wait in the queues of this seat and generation, over all keys (TCP_INFO
 * tcpi_unacked); a UDP socket with datagrams counts as 1, the shared unix sockets as 0. Those of
 * the common sockets belong to the last who takes from them.
 *
 * A handshake that began before the seat was steered away from may end, and be counted, one round
 * trip later: look again before the queue is left to nobody.
 */
unsigned sockets_waiting(const struct sockets *s, uint32_t seat, unsigned generation);

#endif
