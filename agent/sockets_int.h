/* sockets_int.h - what the files of sockets.h share. */
#ifndef PM_AGENT_SOCKETS_INT_H
#define PM_AGENT_SOCKETS_INT_H

#include "agent/socket_make.h"
#include "agent/sockets.h"
#include "agent/steer.h"

#define SOCKETS_INDICES (2 * SOCKETS_SEATS_MAX)

/* A set of indices; an index is 2 * seat + generation. */
struct sockets_set {
	uint64_t word[SOCKETS_INDICES / 64];
};

/*
 * One key and its group. A row is written before anything of it is held, and n only after all is,
 * so a death in between leaves a row whose sockets are those that are held.
 */
struct sockets_row {
	uint32_t used;
	uint32_t n; /* sockets of the group; 1 for a unix socket */
	struct socket_key key;
	struct socket_place place;
	uint32_t in_use; /* some worker has listened on it */
	uint8_t reserved[60];
	/* Who has asked for it: in the run that is steered to, and in the run that goes on. */
	struct sockets_set asked, asking;
	/* Where each socket is in the kernel's array of the group; its own index, unless a worker
	 * has shut one down. */
	uint16_t position[SOCKETS_INDICES];
};

/* The memfd. Pages of rows that are not used are never touched. */
struct sockets_table {
	char magic[8];
	uint32_t size;
	uint32_t n_seats;
	struct sockets_set ready, last_ready, handed_out;
	uint8_t reserved[256];
	struct sockets_row rows[SOCKETS_KEYS_MAX];
};

/* One connection that is being made to one worker. */
struct sockets_aim {
	size_t row;
	uint32_t socket; /* its index in the group */
	struct steer_aim from;
};

struct sockets {
	uint32_t serial;
	struct sockets_hooks hooks;
	struct sockets_owner owner;
	gid_t groups[SOCKETS_GROUPS_MAX];
	struct sockets_table *table;      /* mapping of table_fd; NULL until the first key */
	int table_fd;                     /* owned */
	uint32_t n_seats;                 /* until there is a table */
	int *fds[SOCKETS_KEYS_MAX];       /* owned, by row and index; -1 */
	uint32_t cap;                     /* of each of fds */
	int made[SOCKETS_INDICES];        /* scratch: sockets of a group that is being made */
	uint16_t chosen[SOCKETS_INDICES]; /* scratch */
	struct sockets_aim aims[STEER_AIMS_MAX];
	size_t n_aims;
};

static inline uint32_t sockets_index(uint32_t seat, unsigned generation)
{
	return 2 * seat + generation;
}

/* sockets_steer.c */
void sockets_set_put(struct sockets_set *set, uint32_t i, bool in);
bool sockets_set_has(const struct sockets_set *set, uint32_t i);
void sockets_steer_row(struct sockets *s, size_t row);
void sockets_steer_all(struct sockets *s);
/* Attach the program that picks among n positions, after what is aimed. Returns 0, or -1 with
 * errno.
 */
int sockets_attach(int fd, int type, const uint16_t *positions, size_t n,
                   const struct steer_aim *aims, size_t n_aims);

/* sockets.c */
/* The row of a key; -1: none. */
ssize_t sockets_find(const struct sockets *s, const struct socket_key *key);
uint32_t sockets_seats(const struct sockets *s);
/* Make and hold what is missing of a row. Returns 0, or -1 with *errnum. */
PM_MUST_CHECK int sockets_extend(struct sockets *s, size_t row, int *errnum, struct pm_error *err);

/* sockets_state.c */
PM_MUST_CHECK int sockets_hold(const struct sockets *s, ssize_t row, uint32_t index, int fd,
                               struct pm_error *err);
/* The table, made and held at the first need. */
PM_MUST_CHECK int sockets_table(struct sockets *s, struct pm_error *err);
/* Room for n sockets in every row. */
PM_MUST_CHECK int sockets_room(struct sockets *s, uint32_t n, struct pm_error *err);
/* Close those from an index on; tell: the keeper too. */
void sockets_drop(struct sockets *s, size_t row, uint32_t from, bool tell);

#endif
