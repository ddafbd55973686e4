/* sockets_common.c - one queue for all workers of an app, while their connections are brief. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "agent/sockets_int.h"
#include "proto/log.h"

static bool is_listening(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on != 0;
}

/* The last of the group. */
static int make(struct sockets *s, size_t row, struct pm_error *err)
{
	struct sockets_row *r = &s->table->rows[row];
	PM_CLOSE int fd = -1;
	int error = socket_make_next(&r->key, &r->place, &fd);

	if (error == 0)
		error = socket_make_listen(&r->key, fd);
	if (error != 0)
		return pm_fail_errno(err, error, "common socket of port %u", (unsigned)r->key.port);
	if (sockets_hold(s, (ssize_t)row, SOCKETS_COMMON, fd, err) < 0)
		return -1;
	s->common[row] = PM_STEAL_FD(fd);
	r->common_position = (uint16_t)r->n;
	r->has_common = 1;
	return 0;
}

/* A worker has shut it down: the kernel takes it as the last one when it listens again. */
static int revive(struct sockets *s, size_t row, struct pm_error *err)
{
	struct sockets_row *r = &s->table->rows[row];
	int error = socket_make_listen(&r->key, s->common[row]);

	if (error != 0)
		return pm_fail_errno(err, error, "common socket of port %u", (unsigned)r->key.port);
	sockets_fill_hole(r, r->common_position);
	r->common_position = (uint16_t)r->n;
	sockets_steer_row(s, row);
	return 0;
}

int sockets_get_common(struct sockets *s, const struct socket_key *key, int *fd,
                       struct pm_error *err)
{
	ssize_t row = sockets_find(s, key);

	if (row < 0 || key->type != SOCK_STREAM || key->family == AF_UNIX ||
	    s->table->rows[row].n < 2)
		return pm_fail(err, PM_NOT_FOUND, "no common socket");
	if (s->table->rows[row].has_common == 0 && make(s, (size_t)row, err) < 0)
		return -1;
	if (!is_listening(s->common[row]) && revive(s, (size_t)row, err) < 0)
		return -1;
	*fd = s->common[row];
	return 0;
}

/* ---- who takes from it ---- */

static struct sockets_row *row_of(const struct sockets *s, const struct socket_key *key,
                                  uint32_t seat, unsigned generation)
{
	ssize_t row = seat >= SOCKETS_SEATS_MAX || generation > 1 ? -1 : sockets_find(s, key);

	return row < 0 ? NULL : &s->table->rows[row];
}

static void put_joined(struct sockets *s, size_t row, uint32_t index, bool joined)
{
	struct sockets_row *r = &s->table->rows[row];

	if (sockets_set_has(&r->joined, index) == joined)
		return;
	sockets_set_put(&r->joined, index, joined);
	sockets_steer_row(s, row);
}

void sockets_join(struct sockets *s, const struct socket_key *key, uint32_t seat,
                  unsigned generation)
{
	struct sockets_row *r = row_of(s, key, seat, generation);

	if (r != NULL && r->has_common != 0)
		put_joined(s, (size_t)(r - s->table->rows), sockets_index(seat, generation), true);
}

void sockets_unjoin(struct sockets *s, const struct socket_key *key, uint32_t seat,
                    unsigned generation)
{
	struct sockets_row *r = row_of(s, key, seat, generation);

	if (r != NULL)
		put_joined(s, (size_t)(r - s->table->rows), sockets_index(seat, generation), false);
}

static void leave_all(struct sockets *s, uint32_t index)
{
	for (size_t i = 0; i < SOCKETS_KEYS_MAX; i++)
		if (s->table->rows[i].used != 0)
			put_joined(s, i, index, false);
}

/* How long its connections last it goes on saying when that changes, and only then. */
void sockets_leave(struct sockets *s, uint32_t seat, unsigned generation)
{
	if (s->table != NULL && seat < SOCKETS_SEATS_MAX && generation <= 1)
		leave_all(s, sockets_index(seat, generation));
}

bool sockets_has_joined(const struct sockets *s, const struct socket_key *key, uint32_t seat,
                        unsigned generation)
{
	const struct sockets_row *r = row_of(s, key, seat, generation);

	return r != NULL && sockets_set_has(&r->joined, sockets_index(seat, generation));
}

bool sockets_has_asked_for(const struct sockets *s, const struct socket_key *key, uint32_t seat,
                           unsigned generation)
{
	const struct sockets_row *r = row_of(s, key, seat, generation);

	return r != NULL && sockets_set_has(&r->asked, sockets_index(seat, generation));
}

void sockets_forget_joined(struct sockets *s, uint32_t index)
{
	sockets_set_put(&s->table->brief, index, false);
	leave_all(s, index);
}

void sockets_set_brief(struct sockets *s, uint32_t seat, unsigned generation, bool brief)
{
	uint32_t index = sockets_index(seat, generation);

	if (s->table == NULL || seat >= SOCKETS_SEATS_MAX || generation > 1 ||
	    sockets_set_has(&s->table->brief, index) == brief)
		return;
	sockets_set_put(&s->table->brief, index, brief);
	sockets_steer_all(s);
}

bool sockets_use_common(const struct sockets *s, const struct sockets_row *r)
{
	uint32_t n = 0, end = PM_MIN(r->n, 2 * s->table->n_seats);
	bool any_brief = false;

	for (uint32_t i = 0; i < end && r->has_common != 0; i++) {
		if (!sockets_set_has(&s->table->ready, i) || !sockets_set_has(&r->asked, i))
			continue;
		if (!sockets_set_has(&r->joined, i))
			return false;
		any_brief |= sockets_set_has(&s->table->brief, i);
		n++;
	}
	return n >= 2 && any_brief;
}

/* ---- what waits there ---- */

/* Does somebody who is ready, other than that one, take from it? */
static bool is_taken(const struct sockets *s, const struct sockets_row *r, uint32_t other_than)
{
	for (uint32_t i = 0; i < PM_MIN(r->n, 2 * s->table->n_seats); i++)
		if (i != other_than && sockets_set_has(&s->table->ready, i) &&
		    sockets_set_has(&r->joined, i))
			return true;
	return false;
}

unsigned sockets_common_waiting(const struct sockets *s, uint32_t index)
{
	unsigned n = 0;

	for (size_t i = 0; i < SOCKETS_KEYS_MAX; i++) {
		const struct sockets_row *r = &s->table->rows[i];

		if (r->used != 0 && r->has_common != 0 && sockets_set_has(&r->joined, index) &&
		    !is_taken(s, r, index))
			n += sockets_queue(r->key.type, s->common[i]);
	}
	return n;
}

int sockets_abandoned(const struct sockets *s, const struct socket_key *key)
{
	ssize_t row = sockets_find(s, key);
	const struct sockets_row *r = row < 0 ? NULL : &s->table->rows[row];

	return r == NULL || r->has_common == 0 || is_taken(s, r, SOCKETS_INDICES) ||
	                       sockets_queue(r->key.type, s->common[row]) == 0
	               ? -1
	               : s->common[row];
}

/* ---- after a death ---- */

void sockets_count_common(struct sockets *s, size_t row)
{
	struct sockets_row *r = &s->table->rows[row];

	if (r->used == 0 || r->n < 2 || r->has_common == 0) {
		sockets_drop_common(s, row, true); /* it was being made, as the last of all */
		r->has_common = 0;
	} else if (s->common[row] < 0) {
		sockets_fill_hole(r, r->common_position);
		r->has_common = 0;
	} else {
		return;
	}
	memset(&r->joined, 0, sizeof(r->joined));
}
