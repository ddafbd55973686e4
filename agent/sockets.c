#include "agent/sockets_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/log.h"

int sockets_create(uint32_t app_serial, const struct sockets_owner *owner,
                   const struct sockets_hooks *hooks, struct sockets **out, struct pm_error *err)
{
	struct sockets *s;

	if (owner != NULL && owner->n_groups > SOCKETS_GROUPS_MAX)
		return pm_fail(err, PM_LIMIT, "listening sockets: more than %d groups",
		               SOCKETS_GROUPS_MAX);
	s = pm_calloc(1, sizeof(*s));
	if (s == NULL)
		return pm_fail(err, PM_NO_MEMORY, "listening sockets");
	s->serial = app_serial;
	s->hooks = *hooks;
	s->owner =
		owner != NULL ? *owner : (struct sockets_owner){ .uid = (uid_t)-1, .umask = 022 };
	if (owner != NULL && owner->n_groups > 0)
		memcpy(s->groups, owner->groups, owner->n_groups * sizeof(gid_t));
	s->owner.groups = s->groups;
	s->table_fd = -1;
	s->n_seats = 1;
	for (size_t i = 0; i < SOCKETS_KEYS_MAX; i++)
		s->common[i] = -1;
	*out = s;
	return 0;
}

uint32_t sockets_seats(const struct sockets *s)
{
	return s->table != NULL ? s->table->n_seats : s->n_seats;
}

static bool is_shared(const struct sockets_row *r) /* one socket for all seats */
{
	return r->key.family == AF_UNIX;
}

static uint32_t wanted(const struct sockets *s, const struct sockets_row *r)
{
	return is_shared(r) ? 1 : 2 * sockets_seats(s);
}

/* ---- making ---- */

static bool is_any(const struct socket_key *key)
{
	return key->address[0] == '\0' || strcmp(key->address, "0.0.0.0") == 0 ||
	       strcmp(key->address, "::") == 0;
}

/* Would the kernel refuse the one where the other is, for that reason alone? */
static bool overlap(const struct socket_key *a, const struct socket_key *b)
{
	const struct socket_key *v6 = a->family == AF_INET6 ? a : b;

	if (a->type != SOCK_STREAM || b->type != SOCK_STREAM || a->port != b->port ||
	    a->port == 0 || a->family == AF_UNIX || b->family == AF_UNIX)
		return false;
	if (a->family != b->family)
		return v6->dual && is_any(v6);
	return is_any(a) || is_any(b) || strcmp(a->address, b->address) == 0;
}

static bool is_served(const struct sockets *s, const struct sockets_row *r)
{
	for (uint32_t i = 0; i < SOCKETS_INDICES; i++)
		if (sockets_set_has(&r->asking, i) && sockets_set_has(&s->table->ready, i))
			return true;
	return false;
}

/*
 * Is it the app itself that has the port? Some try whether one is free at another address than they
 * then listen on (any address, then 127.0.0.1), and several workers do so at a time. That is
 * refused only where it would take connections from a worker that serves: a narrower address goes
 * first.
 */
static bool may_share(const struct sockets *s, const struct sockets_row *r)
{
	bool found = false;

	for (size_t i = 0; i < SOCKETS_KEYS_MAX; i++) {
		const struct sockets_row *other = &s->table->rows[i];

		if (other == r || other->used == 0 || !overlap(&r->key, &other->key))
			continue;
		if (is_served(s, other) && !(is_any(&r->key) && !is_any(&other->key)))
			return false;
		found = true;
	}
	return found;
}

static int make_first(struct sockets *s, struct sockets_row *r)
{
	int error = socket_make_first(&r->key, &s->owner, false, &s->made[0], &r->place);

	return error == EADDRINUSE && may_share(s, r)
	               ? socket_make_first(&r->key, &s->owner, true, &s->made[0], &r->place)
	               : error;
}

/* Make sockets [r->n, want) in s->made. On failure none is left. Returns 0 or an errno. */
static int make_sockets(struct sockets *s, struct sockets_row *r, uint32_t want)
{
	int error = 0;
	uint32_t i;

	for (i = r->n; i < want && error == 0; i++) {
		const uint16_t first = 0;

		s->made[i] = -1;
		if (i == 0)
			error = make_first(s, r);
		else
			error = socket_make_next(&r->key, &r->place, &s->made[i]);
		if (error == 0)
			error = socket_make_listen(&r->key, s->made[i]);
		r->position[i] = (uint16_t)(i + (r->has_common != 0));
		/* From the first moment nothing falls into a queue that nobody has; the kernel
		 * makes a group of datagram sockets at the second. */
		if (error == 0 && r->n == 0 && want > 1 &&
		    i == (r->key.type == SOCK_DGRAM ? 1u : 0u) &&
		    sockets_attach(s->made[0], r->key.type, &first, 1, NULL, 0, STEER_NO_COMMON) <
		            0)
			error = errno;
	}
	while (error != 0 && i > r->n)
		pm_closep(&s->made[--i]);
	return error;
}

int sockets_extend(struct sockets *s, size_t row, int *errnum, struct pm_error *err)
{
	struct sockets_row *r = &s->table->rows[row];
	uint32_t want = wanted(s, r), from = r->n;
	int error;

	if (from >= want)
		return 0;
	if (sockets_room(s, want, err) < 0) {
		*errnum = EMFILE;
		return -1;
	}
	error = make_sockets(s, r, want);
	if (error != 0) {
		*errnum = error;
		return pm_fail_errno(err, error, "listen on %.108s%sport %u", r->key.address,
		                     r->key.address[0] == '\0' ? "" : " ", (unsigned)r->key.port);
	}
	memcpy(&s->fds[row][from], &s->made[from], (want - from) * sizeof(int));
	for (uint32_t i = from; i < want; i++) {
		if (sockets_hold(s, (ssize_t)row, i, s->fds[row][i], err) < 0) {
			sockets_drop(s, row, from, true);
			*errnum = EMFILE;
			return -1;
		}
	}
	r->n = want;
	return 0;
}

static bool same_key(const struct socket_key *a, const struct socket_key *b)
{
	return a->type == b->type && a->family == b->family && a->dual == b->dual &&
	       a->port == b->port && a->index == b->index &&
	       strncmp(a->address, b->address, sizeof(a->address)) == 0;
}

ssize_t sockets_find(const struct sockets *s, const struct socket_key *key)
{
	for (size_t i = 0; s->table != NULL && i < SOCKETS_KEYS_MAX; i++)
		if (s->table->rows[i].used != 0 && same_key(&s->table->rows[i].key, key))
			return (ssize_t)i;
	return -1;
}

static bool key_is_valid(const struct socket_key *key)
{
	return (key->type == SOCK_STREAM || key->type == SOCK_DGRAM) &&
	       (key->family == AF_INET || key->family == AF_INET6 || key->family == AF_UNIX) &&
	       memchr(key->address, '\0', sizeof(key->address)) != NULL;
}

static ssize_t add_row(struct sockets *s, const struct socket_key *key, int *errnum,
                       struct pm_error *err)
{
	for (size_t i = 0; i < SOCKETS_KEYS_MAX; i++) {
		struct sockets_row *r = &s->table->rows[i];

		if (r->used != 0)
			continue;
		r->key = *key;
		r->n = 0;
		r->in_use = 0;
		r->has_common = 0;
		memset(&r->asked, 0, sizeof(r->asked));
		memset(&r->asking, 0, sizeof(r->asking));
		memset(&r->joined, 0, sizeof(r->joined));
		r->used = 1;
		if (sockets_extend(s, i, errnum, err) == 0)
			return (ssize_t)i;
		r->used = 0;
		return -1;
	}
	*errnum = EMFILE;
	return pm_fail(err, PM_LIMIT, "listen: more than %d addresses", SOCKETS_KEYS_MAX);
}

void sockets_fill_hole(struct sockets_row *r, uint16_t position)
{
	uint32_t last = sockets_group_size(r) - 1;

	for (uint32_t i = 0; i < r->n; i++)
		if (r->position[i] == last)
			r->position[i] = position;
	if (r->has_common != 0 && r->common_position == last)
		r->common_position = position;
}

/* A worker has shut it down: the kernel takes it as the last one when it listens again. */
static void revive(struct sockets *s, size_t row, uint32_t index)
{
	struct sockets_row *r = &s->table->rows[row];
	int listening = 1;
	socklen_t len = sizeof(listening);

	if (r->key.type == SOCK_DGRAM ||
	    getsockopt(s->fds[row][index], SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 ||
	    listening != 0)
		return;
	pm_log(PM_LOG_WARN, "sockets.revive", "app=%" PRIu32 " port=%u: a worker shut it down",
	       s->serial, (unsigned)r->key.port);
	if (socket_make_listen(&r->key, s->fds[row][index]) != 0)
		return; /* the worker sees that it does not listen */
	sockets_fill_hole(r, r->position[index]);
	r->position[index] = (uint16_t)(sockets_group_size(r) - 1);
	sockets_steer_row(s, row);
}

/* Somebody removed the path: what still accepts on the old socket goes on doing so. */
static int renew_path(struct sockets *s, size_t row, int *errnum, struct pm_error *err)
{
	struct sockets_row *r = &s->table->rows[row];
	int error, old = s->fds[row][0];

	if (socket_place_is_ours(&r->key, &r->place))
		return 0;
	r->n = 0;
	error = make_sockets(s, r, 1);
	r->n = 1;
	if (error != 0) {
		*errnum = error;
		return pm_fail_errno(err, error, "listen on %.108s", r->key.address);
	}
	s->fds[row][0] = s->made[0];
	(void)close(old);
	return sockets_hold(s, (ssize_t)row, 0, s->fds[row][0], err);
}

static void hand_out(struct sockets *s, uint32_t index)
{
	if (sockets_set_has(&s->table->handed_out, index))
		return;
	sockets_set_put(&s->table->handed_out, index, true);
	sockets_steer_all(s);
}

/* What one that is ready asks for it gets at once. */
static void ask(struct sockets *s, size_t row, uint32_t index)
{
	struct sockets_row *r = &s->table->rows[row];

	sockets_set_put(&r->asking, index, true);
	if (sockets_set_has(&r->asked, index))
		return;
	sockets_set_put(&r->asked, index, true);
	if (sockets_set_has(&s->table->ready, index))
		sockets_steer_row(s, row);
}

int sockets_get(struct sockets *s, const struct socket_key *key, uint32_t seat, unsigned generation,
                int *fd, int *errnum, struct pm_error *err)
{
	uint32_t index = sockets_index(seat, generation);
	ssize_t row;

	*errnum = EINVAL;
	if (!key_is_valid(key))
		return pm_fail(err, PM_PROTOCOL, "listen: not an address");
	if (seat >= sockets_seats(s) || generation > 1)
		return pm_fail(err, PM_LIMIT, "listen: there is no seat %" PRIu32, seat);
	*errnum = EMFILE;
	if (sockets_table(s, err) < 0 || sockets_room(s, 2 * sockets_seats(s), err) < 0)
		return -1;
	row = sockets_find(s, key);
	if (row < 0) {
		if (key->family != AF_UNIX)
			sockets_set_put(&s->table->handed_out, index, true);
		row = add_row(s, key, errnum, err);
		if (row < 0)
			return -1;
		sockets_steer_row(s, (size_t)row);
	}
	ask(s, (size_t)row, index);
	if (is_shared(&s->table->rows[row])) {
		if (renew_path(s, (size_t)row, errnum, err) < 0)
			return -1;
		index = 0;
	} else {
		hand_out(s, index);
		revive(s, (size_t)row, index);
	}
	*fd = s->fds[row][index];
	return 0;
}

int sockets_set_seats(struct sockets *s, uint32_t n_seats, struct pm_error *err)
{
	uint32_t before = sockets_seats(s);
	int errnum;

	if (n_seats == 0 || n_seats > SOCKETS_SEATS_MAX)
		return pm_fail(err, PM_LIMIT, "listen: %" PRIu32 " instances, at most %d", n_seats,
		               SOCKETS_SEATS_MAX);
	s->n_seats = n_seats;
	if (s->table == NULL)
		return 0;
	s->table->n_seats = n_seats;
	for (size_t i = 0; i < SOCKETS_KEYS_MAX; i++) {
		if (s->table->rows[i].used != 0 && sockets_extend(s, i, &errnum, err) < 0) {
			s->n_seats = s->table->n_seats = before;
			return -1;
		}
	}
	sockets_steer_all(s);
	return 0;
}
