/* sockets_state.c - what the keeper holds of the listening sockets, and getting it back. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/keeper_proto.h"
#include "agent/sockets_int.h"
#include "proto/log.h"

#define TABLE_MAGIC "PMDSOCK3"

static void make_name(const struct sockets *s, ssize_t row, uint32_t index,
                      char name[KEEPER_NAME_MAX])
{
	if (row < 0)
		(void)snprintf(name, KEEPER_NAME_MAX, "L%" PRIu32, s->serial);
	else
		(void)snprintf(name, KEEPER_NAME_MAX, "L%" PRIu32 ".%zd.%" PRIu32, s->serial, row,
		               index);
}

int sockets_hold(const struct sockets *s, ssize_t row, uint32_t index, int fd, struct pm_error *err)
{
	char name[KEEPER_NAME_MAX];

	make_name(s, row, index, name);
	return s->hooks.hold(s->hooks.arg, name, fd, err);
}

void sockets_each_held(const struct sockets *s, sockets_held_fn *fn, void *arg)
{
	char name[KEEPER_NAME_MAX];

	if (s->table_fd >= 0) {
		make_name(s, -1, 0, name);
		fn(arg, name, s->table_fd);
	}
	for (size_t row = 0; row < SOCKETS_KEYS_MAX; row++) {
		for (uint32_t i = 0; s->fds[row] != NULL && i < s->cap; i++)
			if (s->fds[row][i] >= 0) {
				make_name(s, (ssize_t)row, i, name);
				fn(arg, name, s->fds[row][i]);
			}
		if (s->common[row] >= 0) {
			make_name(s, (ssize_t)row, SOCKETS_COMMON, name);
			fn(arg, name, s->common[row]);
		}
	}
}

static void forget(const struct sockets *s, ssize_t row, uint32_t index)
{
	struct pm_error err;

	if (sockets_hold(s, row, index, -1, &err) < 0)
		pm_log(PM_LOG_WARN, "sockets.forget", "app=%" PRIu32 " %s", s->serial, err.what);
}

/* "L<serial>" (row -1) or "L<serial>.<row>.<index>". */
static bool parse_name(const char *name, uint32_t *serial, int *row, uint32_t *index)
{
	char again[KEEPER_NAME_MAX];

	*row = -1;
	*index = 0;
	if (sscanf(name, "L%" SCNu32 ".%d.%" SCNu32, serial, row, index) == 3)
		(void)snprintf(again, sizeof(again), "L%" PRIu32 ".%d.%" PRIu32, *serial, *row,
		               *index);
	else if (sscanf(name, "L%" SCNu32, serial) == 1)
		(void)snprintf(again, sizeof(again), "L%" PRIu32, *serial);
	else
		return false;
	return strcmp(name, again) == 0 && *row >= -1 && (*row >= 0) == (strchr(name, '.') != NULL);
}

bool sockets_is_name(const char *name, uint32_t *app_serial)
{
	uint32_t index;
	int row;

	return parse_name(name, app_serial, &row, &index);
}

/* Highest first: the kernel moves the last socket of a group into a hole, so the others stay. */
void sockets_drop(struct sockets *s, size_t row, uint32_t from, bool tell)
{
	for (uint32_t i = s->fds[row] == NULL ? 0 : s->cap; i > from; i--) {
		if (s->fds[row][i - 1] < 0)
			continue;
		if (tell)
			forget(s, (ssize_t)row, i - 1);
		pm_closep(&s->fds[row][i - 1]);
		s->fds[row][i - 1] = -1;
	}
	if (from == 0)
		sockets_drop_common(s, row, tell);
}

void sockets_drop_common(struct sockets *s, size_t row, bool tell)
{
	if (s->common[row] < 0)
		return;
	if (tell)
		forget(s, (ssize_t)row, SOCKETS_COMMON);
	pm_closep(&s->common[row]);
	s->common[row] = -1;
}

static bool shut_row(const struct sockets *s, size_t row)
{
	bool left = false, stream = s->table->rows[row].key.type == SOCK_STREAM;

	for (uint32_t i = 0; s->fds[row] != NULL && i < s->cap; i++)
		if (s->fds[row][i] >= 0 && stream)
			(void)shutdown(s->fds[row][i], SHUT_RDWR); /* fails if a worker did */
		else if (s->fds[row][i] >= 0)
			left = true;
	if (s->common[row] >= 0)
		(void)shutdown(s->common[row], SHUT_RDWR);
	return left;
}

bool sockets_shut(const struct sockets *s)
{
	bool left = false;

	for (size_t row = 0; s->table != NULL && row < SOCKETS_KEYS_MAX; row++)
		left |= shut_row(s, row);
	return left;
}

static void drop_table(struct sockets *s)
{
	if (s->table != NULL)
		(void)munmap(s->table, sizeof(*s->table));
	s->table = NULL;
	pm_closep(&s->table_fd);
	s->table_fd = -1;
}

void sockets_destroy(struct sockets *s, bool close)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < SOCKETS_KEYS_MAX; i++) {
		if (close && s->table != NULL && s->table->rows[i].used != 0)
			socket_place_remove(&s->table->rows[i].key, &s->owner,
			                    &s->table->rows[i].place);
		sockets_drop(s, i, 0, close);
		free(s->fds[i]);
	}
	if (close && s->table != NULL)
		forget(s, -1, 0);
	drop_table(s);
	free(s);
}

static int map_table(struct sockets *s, int fd)
{
	void *map = mmap(NULL, sizeof(*s->table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return -1;
	s->table = map;
	s->table_fd = fd;
	return 0;
}

int sockets_table(struct sockets *s, struct pm_error *err)
{
	PM_CLOSE int fd = -1;

	if (s->table != NULL)
		return 0;
	fd = memfd_create("pmd-sockets", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, sizeof(*s->table)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return pm_fail_errno(err, errno, "table of listening sockets");
	if (sockets_hold(s, -1, 0, fd, err) < 0)
		return -1;
	if (map_table(s, fd) < 0)
		return pm_fail_errno(err, errno, "table of listening sockets");
	s->table->size = sizeof(*s->table);
	s->table->n_seats = s->n_seats;
	memcpy(s->table->magic, TABLE_MAGIC, sizeof(s->table->magic));
	(void)PM_STEAL_FD(fd);
	return 0;
}

/* Room for the sockets of n_seats seats, in every row. */
int sockets_room(struct sockets *s, uint32_t n, struct pm_error *err)
{
	uint32_t cap = PM_MAX(n, s->cap);

	for (size_t i = 0; i < SOCKETS_KEYS_MAX; i++) {
		int *grown;

		if (s->fds[i] != NULL && cap == s->cap)
			continue;
		grown = pm_realloc(s->fds[i], cap * sizeof(int));
		if (grown == NULL)
			return pm_fail(err, PM_NO_MEMORY, "listening sockets");
		for (uint32_t k = s->fds[i] == NULL ? 0 : s->cap; k < cap; k++)
			grown[k] = -1;
		s->fds[i] = grown;
	}
	s->cap = cap;
	return 0;
}

static void print_place(const struct sockets_row *r, char *out, size_t size, uint16_t *port)
{
	char host[64], service[8];

	*port = 0;
	if (r->key.family == AF_UNIX) {
		(void)snprintf(out, size, "%s", r->key.address);
		return;
	}
	if (getnameinfo((const struct sockaddr *)&r->place.addr, r->place.len, host, sizeof(host),
	                service, sizeof(service), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		(void)snprintf(out, size, "?");
		return;
	}
	*port = (uint16_t)strtoul(service, NULL, 10);
	(void)snprintf(out, size, r->place.addr.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
	               service);
}

static void close_row(struct sockets *s, size_t row)
{
	struct sockets_row *r = &s->table->rows[row];

	socket_place_remove(&r->key, &s->owner, &r->place);
	r->used = 0;
	sockets_drop(s, row, 0, true);
}

bool sockets_release(struct sockets *s, const struct socket_key *key)
{
	ssize_t row = sockets_find(s, key);
	struct sockets_row *r = row < 0 ? NULL : &s->table->rows[row];

	if (r == NULL || r->in_use != 0)
		return r == NULL;
	close_row(s, (size_t)row);
	return true;
}

static bool is_asked_for(const struct sockets_row *r, sockets_is_there_fn *is_there, void *arg)
{
	for (uint32_t i = 0; i < SOCKETS_INDICES; i++)
		if (sockets_set_has(&r->asking, i) && is_there(arg, i / 2, i % 2))
			return true;
	return false;
}

size_t sockets_prune(struct sockets *s, sockets_is_there_fn *is_there, void *arg)
{
	size_t n = 0;

	for (size_t row = 0; s->table != NULL && row < SOCKETS_KEYS_MAX; row++) {
		const struct sockets_row *r = &s->table->rows[row];
		char address[160];
		uint16_t port;

		if (r->used == 0 || is_asked_for(r, is_there, arg))
			continue;
		print_place(r, address, sizeof(address), &port);
		pm_log(PM_LOG_INFO, "sockets.prune",
		       "app=%" PRIu32 " no worker listens on %s any more", s->serial, address);
		close_row(s, row);
		n++;
	}
	return n;
}

void sockets_close_tried(struct sockets *s, const struct socket_key *key, uint32_t seat,
                         unsigned generation)
{
	ssize_t row = sockets_find(s, key);

	if (row < 0 || key->type != SOCK_STREAM || key->family == AF_UNIX ||
	    sockets_is_steered(s, seat, generation))
		return;
	for (uint32_t i = 0; i < SOCKETS_INDICES; i++)
		if (sockets_set_has(&s->table->rows[row].asking, i))
			return;
	/* It may be asked for again before the keeper has let go of it. */
	(void)shut_row(s, (size_t)row);
	close_row(s, (size_t)row);
}

void sockets_set_in_use(struct sockets *s, const struct socket_key *key)
{
	ssize_t row = sockets_find(s, key);

	if (row >= 0)
		s->table->rows[row].in_use = 1;
}

/* ---- after a death ---- */

bool sockets_restore(struct sockets *s, const char *name, int fd)
{
	struct pm_error err;
	uint32_t serial, index;
	int row;

	if (!parse_name(name, &serial, &row, &index) || serial != s->serial)
		return false;
	if (row < 0 && s->table == NULL) {
		struct stat st;

		/* A shorter one would be a bus error. */
		if (fstat(fd, &st) == 0 && st.st_size == sizeof(*s->table) && map_table(s, fd) == 0)
			return true;
	} else if (row >= 0 && row < SOCKETS_KEYS_MAX && index == SOCKETS_COMMON &&
	           s->common[row] < 0) {
		s->common[row] = fd;
		return true;
	} else if (row >= 0 && row < SOCKETS_KEYS_MAX && index < SOCKETS_INDICES &&
	           sockets_room(s, index + 1, &err) == 0 && s->fds[row][index] < 0) {
		s->fds[row][index] = fd;
		return true;
	}
	(void)close(fd);
	return true;
}

static bool row_is_sound(const struct sockets_row *r)
{
	return r->has_common <= 1 && r->n <= SOCKETS_INDICES &&
	       r->place.len <= sizeof(r->place.addr) &&
	       memchr(r->key.address, '\0', sizeof(r->key.address)) != NULL;
}

static bool table_is_sound(const struct sockets_table *t)
{
	if (memcmp(t->magic, TABLE_MAGIC, sizeof(t->magic)) != 0 || t->size != sizeof(*t) ||
	    t->n_seats == 0 || t->n_seats > SOCKETS_SEATS_MAX)
		return false;
	for (size_t i = 0; i < SOCKETS_KEYS_MAX; i++)
		if (t->rows[i].used != 0 && !row_is_sound(&t->rows[i]))
			return false;
	return true;
}

/* What is there from the first on; behind a gap nothing is of use. */
static void count_row(struct sockets *s, size_t row)
{
	struct sockets_row *r = &s->table->rows[row];
	uint32_t n = 0;

	while (r->used != 0 && n < s->cap && s->fds[row][n] >= 0)
		n++;
	sockets_drop(s, row, n, true);
	/* Being made at the moment of death: the place is known once a socket is held. */
	for (uint32_t i = r->n; i < n; i++)
		r->position[i] = (uint16_t)(i + (r->has_common != 0));
	r->n = n;
	sockets_count_common(s, row);
	if (n == 0)
		r->used = 0;
}

int sockets_restored(struct sockets *s, struct pm_error *err)
{
	bool sound = s->table != NULL && table_is_sound(s->table);
	int errnum;

	if (sound && sockets_room(s, 2 * s->table->n_seats, err) < 0)
		return -1;
	for (size_t i = 0; i < SOCKETS_KEYS_MAX; i++) {
		if (sound)
			count_row(s, i);
		else
			sockets_drop(s, i, 0, true);
	}
	if (!sound && s->table != NULL) {
		forget(s, -1, 0);
		drop_table(s);
		return pm_fail(err, PM_CORRUPT, "listening sockets: made by another version");
	}
	for (size_t i = 0; sound && i < SOCKETS_KEYS_MAX; i++)
		if (s->table->rows[i].used != 0 && sockets_extend(s, i, &errnum, err) < 0)
			return -1;
	if (sound)
		sockets_steer_all(s);
	return 0;
}

/* ---- questions ---- */

const struct socket_key *sockets_key(const struct sockets *s, size_t i)
{
	for (size_t row = 0; s->table != NULL && row < SOCKETS_KEYS_MAX; row++)
		if (s->table->rows[row].used != 0 && i-- == 0)
			return &s->table->rows[row].key;
	return NULL;
}

uint64_t sockets_bit(const struct sockets *s, const struct socket_key *key)
{
	ssize_t row = sockets_find(s, key);

	static_assert(SOCKETS_KEYS_MAX <= 64, "a bit for each");
	return row < 0 ? 0 : 1ull << row;
}

int sockets_do_not_wait(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || (flags & O_NONBLOCK) != 0)
		return flags < 0 ? -1 : 0;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

bool sockets_has_path(const struct sockets *s, const char *path)
{
	const struct socket_key *key;

	for (size_t i = 0; (key = sockets_key(s, i)) != NULL; i++)
		if (key->family == AF_UNIX && strcmp(key->address, path) == 0)
			return true;
	return false;
}

bool sockets_address(const struct sockets *s, const struct socket_key *key, char *out, size_t size,
                     uint16_t *port)
{
	ssize_t row = sockets_find(s, key);

	if (row < 0)
		return false;
	print_place(&s->table->rows[row], out, size, port);
	return true;
}
