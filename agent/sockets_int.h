/* sockets_int.h - what the files of sockets.h share. */
#ifndef PM_AGENT_SOCKETS_INT_H
#define PM_AGENT_SOCKETS_INT_H

#include "agent/socket_make.h"
#include "agent/sockets.h"
#include "agent/steer.h"

#define SOCKETS_INDICES (2 * SOCKETS_SEATS_MAX)
/* The index by which the common socket of a row is held. */
#define SOCKETS_COMMON SOCKETS_INDICES

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
	uint32_t has_common;
	uint16_t common_position; /* in the kernel's array, as below */
	uint8_t reserved[54];
	/* Who has asked for it: in the run that is steered to, and in the run that goes on. */
	struct sockets_set asked, asking;
	struct sockets_set joined; /* who takes connections from the common socket as well */
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
	struct sockets_set brief; /* whose connections end soon */
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
	int common[SOCKETS_KEYS_MAX];     /* owned, by row; -1 */
	int made[SOCKETS_INDICES];        /* scratch: sockets of a group that is being made */
	uint16_t chosen[SOCKETS_INDICES]; /* scratch */
	struct sockets_aim aims[STEER_AIMS_MAX];
	size_t n_aims;
};

static inline uint32_t sockets_index(uint32_t seat, unsigned generation)
{
	return 2 * seat + generation;
}

/* Sockets in the kernel's array of the group. */
static inline uint32_t sockets_group_size(const struct sockets_row *r)
{
	return r->n + (r->has_common != 0);
}

/* sockets_steer.c */
void sockets_set_put(struct sockets_set *set, uint32_t i, bool in);
bool sockets_set_has(const struct sockets_set *set, uint32_t i);
void sockets_steer_row(struct sockets *s, size_t row);
void sockets_steer_all(struct sockets *s);
/* What waits in one of them. */
unsigned sockets_queue(int type, int fd);
/* Attach the program that picks among n positions and the common one, after what is aimed. Returns
 * 0, or -1 with errno.
 */
int sockets_attach(int fd, int type, const uint16_t *positions, size_t n,
                   const struct steer_aim *aims, size_t n_aims, int common);

/* sockets.c */
/* The row of a key; -1: none. */
ssize_t sockets_find(const struct sockets *s, const struct socket_key *key);
uint32_t sockets_seats(const struct sockets *s);
/* The kernel has put the last socket of the group into this place. */
void sockets_fill_hole(struct sockets_row *r, uint16_t position);
/* Make and hold what is missing of a row. Returns 0, or -1 with *errnum. */
PM_MUST_CHECK int sockets_extend(struct sockets *s, size_t row, int *errnum, struct pm_error *err);

/* sockets_common.c */
/* Are new connections better off in the common socket than with these, who are all that are ready?
 */
bool sockets_use_common(const struct sockets *s, const struct sockets_row *r);
/* It sits there no more, or not yet. */
void sockets_forget_joined(struct sockets *s, uint32_t index);
/* What waits in the common sockets, if nobody but this one takes from them. */
unsigned sockets_common_waiting(const struct sockets *s, uint32_t index);
/* After a death: a row whose common socket was being made, or is lost. */
void sockets_count_common(struct sockets *s, size_t row);

/* sockets_state.c */
PM_MUST_CHECK int sockets_hold(const struct sockets *s, ssize_t row, uint32_t index, int fd,
                               struct pm_error *err);
/* The table, made and held at the first need. */
PM_MUST_CHECK int sockets_table(struct sockets *s, struct pm_error *err);
/* Room for n sockets in every row. */
PM_MUST_CHECK int sockets_room(struct sockets *s, uint32_t n, struct pm_error *err);
/* Close those from an index on (from 0 the common one, too); tell: the keeper too. */
void sockets_drop(struct sockets *s, size_t row, uint32_t from, bool tell);
void sockets_drop_common(struct sockets *s, size_t row, bool tell);

#endif
