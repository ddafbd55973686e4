/* sockets_steer.c - who gets new connections, and what waits. */
#include <errno.h>
#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "agent/sockets_int.h"
#include "proto/log.h"

/* ---- sets ---- */

void sockets_set_put(struct sockets_set *s, uint32_t i, bool in)
{
	if (in)
		s->word[i / 64] |= 1ull << (i % 64);
	else
		s->word[i / 64] &= ~(1ull << (i % 64));
}

bool sockets_set_has(const struct sockets_set *s, uint32_t i)
{
	return (s->word[i / 64] >> (i % 64) & 1) != 0;
}

static bool set_is_empty(const struct sockets_set *s, uint32_t below)
{
	for (uint32_t i = 0; i < below; i++)
		if (sockets_set_has(s, i))
			return false;
	return true;
}

/* Sockets of a row in a set (NULL: those of generation A), and in another one, if that is given. */
static size_t choose(const struct sockets *s, const struct sockets_row *r,
                     const struct sockets_set *from, const struct sockets_set *and, uint16_t *out)
{
	size_t n = 0;

	for (uint32_t i = 0; i < PM_MIN(r->n, 2 * s->table->n_seats); i++)
		if ((from == NULL ? i % 2 == 0 : sockets_set_has(from, i)) &&
		    (and == NULL || sockets_set_has(and, i)))
			out[n++] = r->position[i];
	return n;
}

static int compare(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

int sockets_attach(int fd, int type, const uint16_t *positions, size_t n,
                   const struct steer_aim *aims, size_t n_aims, int common)
{
	struct steer_program p;
	struct sock_fprog prog;

	steer_build_aimed(&p, type == SOCK_DGRAM ? STEER_PEER : STEER_RANDOM, positions, n, aims,
	                  n_aims, common);
	prog = (struct sock_fprog){ p.len, p.code };
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog));
}

void sockets_steer_row(struct sockets *s, size_t row)
{
	struct sockets_table *t = s->table;
	const struct sockets_row *r = &t->rows[row];
	const struct {
		const struct sockets_set *from, *and;
	} by_rank[] = { { &t->ready, &r->asked }, { &t->last_ready, &r->asked },
		        { &t->last_ready, NULL }, { &t->handed_out, &r->asked },
		        { &t->handed_out, NULL }, { NULL, NULL } };
	struct steer_aim aims[STEER_AIMS_MAX];
	size_t n = 0, n_aims = 0;

	if (r->used == 0 || r->n < 2)
		return;
	for (size_t i = 0; i < PM_COUNT(by_rank) && n == 0; i++)
		n = choose(s, r, by_rank[i].from, by_rank[i].and, s->chosen);
	/* Both generations of a seat are ready during a reload, and positions may have moved. */
	qsort(s->chosen, n, sizeof(s->chosen[0]), compare);
	for (size_t i = 0; i < s->n_aims; i++)
		if (s->aims[i].row == row && s->aims[i].socket < r->n) {
			aims[n_aims] = s->aims[i].from;
			aims[n_aims++].index = r->position[s->aims[i].socket];
		}
	if (sockets_attach(s->fds[row][0], r->key.type, s->chosen, n, aims, n_aims,
	                   sockets_use_common(s, r) ? r->common_position : STEER_NO_COMMON) < 0)
		pm_log(PM_LOG_ERROR, "sockets.steer", "app=%" PRIu32 " port=%u: %s", s->serial,
		       (unsigned)r->key.port, strerror(errno));
}

void sockets_steer_all(struct sockets *s)
{
	struct sockets_table *t = s->table;

	if (!set_is_empty(&t->ready, 2 * t->n_seats))
		t->last_ready = t->ready;
	for (size_t i = 0; i < SOCKETS_KEYS_MAX; i++)
		sockets_steer_row(s, i);
}

void sockets_steer(struct sockets *s, uint32_t seat, unsigned generation, bool ready)
{
	uint32_t index = sockets_index(seat, generation);
	struct pm_error err;

	if (seat >= SOCKETS_SEATS_MAX || generation > 1)
		return;
	if (sockets_table(s, &err) < 0) {
		pm_log(PM_LOG_ERROR, "sockets.steer", "app=%" PRIu32 " %s", s->serial, err.what);
		return;
	}
	if (sockets_set_has(&s->table->ready, index) == ready)
		return;
	sockets_set_put(&s->table->ready, index, ready);
	for (size_t i = 0; ready && i < SOCKETS_KEYS_MAX; i++)
		if (s->table->rows[i].used != 0)
			sockets_set_put(&s->table->rows[i].asked, index,
			                sockets_set_has(&s->table->rows[i].asking, index));
	sockets_steer_all(s);
}

void sockets_begin(struct sockets *s, uint32_t seat, unsigned generation)
{
	if (s->table != NULL)
		sockets_forget_joined(s, sockets_index(seat, generation));
	/* What the run before had asked for stays in force until this one is ready: connections
	 * wait there meanwhile. */
	for (size_t i = 0; s->table != NULL && i < SOCKETS_KEYS_MAX; i++)
		if (s->table->rows[i].used != 0)
			sockets_set_put(&s->table->rows[i].asking, sockets_index(seat, generation),
			                false);
}

bool sockets_has_asked(const struct sockets *s, uint32_t seat, unsigned generation)
{
	uint32_t index = sockets_index(seat, generation);

	for (size_t i = 0; s->table != NULL && i < SOCKETS_KEYS_MAX; i++) {
		const struct sockets_row *r = &s->table->rows[i];

		if (r->used != 0 && r->key.type == SOCK_STREAM &&
		    sockets_set_has(&r->asking, index))
			return true;
	}
	return false;
}

void sockets_unask(struct sockets *s, const struct socket_key *key, uint32_t seat,
                   unsigned generation)
{
	ssize_t row = sockets_find(s, key);
	uint32_t index = sockets_index(seat, generation);

	if (row < 0 || !sockets_set_has(&s->table->rows[row].asked, index))
		return;
	sockets_set_put(&s->table->rows[row].asking, index, false);
	sockets_set_put(&s->table->rows[row].asked, index, false);
	sockets_set_put(&s->table->rows[row].joined, index, false);
	sockets_steer_row(s, (size_t)row);
}

bool sockets_is_steered(const struct sockets *s, uint32_t seat, unsigned generation)
{
	return s->table != NULL && seat < SOCKETS_SEATS_MAX && generation <= 1 &&
	       sockets_set_has(&s->table->ready, sockets_index(seat, generation));
}

/* ---- one connection to one worker ---- */

static bool split_address(const struct sockaddr *a, struct steer_aim *out)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;

	memset(out, 0, sizeof(*out));
	out->v6 = a->sa_family == AF_INET6;
	if (a->sa_family == AF_INET) {
		memcpy(out->address, &v4->sin_addr, sizeof(v4->sin_addr));
		out->port = ntohs(v4->sin_port);
	} else if (a->sa_family == AF_INET6) {
		memcpy(out->address, &v6->sin6_addr, sizeof(v6->sin6_addr));
		out->port = ntohs(v6->sin6_port);
	}
	return out->port != 0;
}

static bool same_peer(const struct steer_aim *a, const struct steer_aim *b)
{
	return a->v6 == b->v6 && a->port == b->port &&
	       memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

/* Does what is bound there take connections to this address? */
static bool row_takes(const struct sockets_row *r, const struct steer_aim *to)
{
	static const uint8_t any[16];
	struct steer_aim bound;

	if (r->used == 0 || r->n < 2 || r->key.type != SOCK_STREAM ||
	    !split_address((const struct sockaddr *)&r->place.addr, &bound) ||
	    bound.port != to->port)
		return false;
	if (memcmp(bound.address, any, sizeof(any)) == 0)
		return bound.v6 == to->v6 || r->key.dual;
	return same_peer(&bound, to);
}

enum sockets_aimed sockets_aim(struct sockets *s, const struct sockaddr *to,
                               const struct sockaddr *from, uint32_t seat, unsigned generation)
{
	struct sockets_aim aim = { .socket = sockets_index(seat, generation) };
	struct steer_aim target;

	if (s->table == NULL || seat >= SOCKETS_SEATS_MAX || generation > 1 ||
	    !split_address(to, &target) || !split_address(from, &aim.from))
		return SOCKETS_NOT_OURS;
	while (aim.row < SOCKETS_KEYS_MAX && !row_takes(&s->table->rows[aim.row], &target))
		aim.row++;
	if (aim.row == SOCKETS_KEYS_MAX || aim.socket >= s->table->rows[aim.row].n)
		return SOCKETS_NOT_OURS;
	if (s->n_aims == STEER_AIMS_MAX)
		return SOCKETS_BUSY;
	s->aims[s->n_aims++] = aim;
	sockets_steer_row(s, aim.row);
	return SOCKETS_AIMED;
}

void sockets_unaim(struct sockets *s, const struct sockaddr *from)
{
	struct steer_aim peer;
	size_t row;

	(void)split_address(from, &peer); /* what cannot be split was not aimed */
	for (size_t i = 0; i < s->n_aims; i++) {
		if (!same_peer(&s->aims[i].from, &peer))
			continue;
		row = s->aims[i].row;
		s->aims[i] = s->aims[--s->n_aims];
		sockets_steer_row(s, row);
		return;
	}
}

/* ---- what waits ---- */

unsigned sockets_queue(int type, int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	int bytes = 0;

	if (type == SOCK_DGRAM)
		return ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0 ? 1 : 0;
	/* Of a listening socket this is the length of its accept queue. */
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_unacked : 0;
}

unsigned sockets_waiting(const struct sockets *s, uint32_t seat, unsigned generation)
{
	uint32_t index = sockets_index(seat, generation);
	unsigned n = 0;

	if (s->table == NULL || seat >= SOCKETS_SEATS_MAX || generation > 1)
		return 0;
	for (size_t i = 0; i < SOCKETS_KEYS_MAX; i++) {
		const struct sockets_row *r = &s->table->rows[i];

		if (r->used != 0 && r->key.family != AF_UNIX && index < r->n)
			n += sockets_queue(r->key.type, s->fds[i][index]);
	}
	return n + sockets_common_waiting(s, index);
}
