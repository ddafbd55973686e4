#include "tests/unit/sockets_rig.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct socket_key tcp4 = { .type = SOCK_STREAM,
	                                .family = AF_INET,
	                                .address = "127.0.0.1" };

static int get(struct rig *r, const struct socket_key *key, uint32_t seat, unsigned generation)
{
	struct pm_error err;
	int fd, errnum;

	if (sockets_get(r->s, key, seat, generation, &fd, &errnum, &err) < 0)
		fail_msg("%s (%s)", err.what, strerror(errnum));
	return fd;
}

static int get_fails(struct rig *r, const struct socket_key *key, uint32_t seat)
{
	struct pm_error err;
	int fd = -7, errnum;

	assert_int_equal(sockets_get(r->s, key, seat, 0, &fd, &errnum, &err), -1);
	assert_int_equal(fd, -7);
	return errnum;
}

static void set_seats(struct rig *r, uint32_t n)
{
	struct pm_error err;

	if (sockets_set_seats(r->s, n, &err) < 0)
		fail_msg("%s", err.what);
}

static uint16_t port_of(struct rig *r, const struct socket_key *key)
{
	char text[128];
	uint16_t port = 0;

	assert_true(sockets_address(r->s, key, text, sizeof(text), &port));
	return port;
}

/* A client's socket of the key's type, bound nowhere; connected to where the key is bound. */
static int dial(int listener, int type)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	int fd;

	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	fd = socket(addr.ss_family, type | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&addr, len) < 0)
		fail_msg("connect: %s", strerror(errno));
	return fd;
}

/* Take and close what waits; how many. */
static unsigned drain(int listener)
{
	unsigned n = 0;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		(void)close(fd);
		n++;
	}
	assert_int_equal(errno, EAGAIN);
	return n;
}

static void connections_are_spread_evenly(void **state)
{
	struct rig *r = *state;
	unsigned total = 10000, most = 0, sum = 0, seen[4] = { 0 };

	for (uint32_t workers = 2; workers <= 4; workers += 2) {
		set_seats(r, workers);
		for (uint32_t seat = 0; seat < workers; seat++) {
			(void)get(r, &tcp4, seat, 1);
			sockets_steer(r->s, seat, 1, true);
		}
		memset(seen, 0, sizeof(seen));
		for (unsigned i = 1; i <= total; i++) {
			(void)close(dial(get(r, &tcp4, 0, 1), SOCK_STREAM));
			for (uint32_t seat = 0; i % 100 == 0 && seat < workers; seat++)
				seen[seat] += drain(get(r, &tcp4, seat, 1));
		}
		most = sum = 0;
		for (uint32_t seat = 0; seat < workers; seat++) {
			most = PM_MAX(most, seen[seat]);
			sum += seen[seat];
		}
		print_message("busiest of %u: %.1f %%\n", (unsigned)workers, most * 100.0 / total);
		assert_int_equal(sum, total);
		assert_true(most <= total * 55 / 50 / workers);
	}
}

static void only_who_is_ready_gets_connections(void **state)
{
	struct rig *r = *state;
	int fds[6];

	set_seats(r, 3);
	for (unsigned i = 0; i < 6; i++)
		fds[i] = get(r, &tcp4, i / 2, i % 2);
	/* seat 0: old and new, seat 1: new, seat 2: none */
	sockets_steer(r->s, 0, 0, true);
	sockets_steer(r->s, 0, 1, true);
	sockets_steer(r->s, 1, 1, true);
	sockets_steer(r->s, 2, 0, true);
	sockets_steer(r->s, 2, 0, false);
	for (unsigned i = 0; i < 60; i++)
		(void)close(dial(fds[0], SOCK_STREAM));
	assert_int_equal(drain(fds[0]) + drain(fds[1]) + drain(fds[3]), 60);
	assert_true(sockets_is_steered(r->s, 1, 1));
	assert_false(sockets_is_steered(r->s, 2, 0));
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(drain(fds[i]), 0);
}

/* Workers that listen on ports of their own, as with increment_var. */
static void only_who_asked_for_an_address_gets_its_connections(void **state)
{
	struct rig *r = *state;
	struct socket_key other = tcp4;
	int mine[2], its[2];

	other.index = 1;
	set_seats(r, 2);
	mine[0] = get(r, &tcp4, 0, 0);
	its[1] = get(r, &other, 1, 0);
	sockets_steer(r->s, 0, 0, true);
	sockets_steer(r->s, 1, 0, true);
	for (int i = 0; i < 20; i++) {
		(void)close(dial(mine[0], SOCK_STREAM));
		(void)close(dial(its[1], SOCK_STREAM));
	}
	assert_int_equal(drain(mine[0]), 20);
	assert_int_equal(drain(its[1]), 20);
	/* One that is ready and asks later gets its share from then on. */
	mine[1] = get(r, &tcp4, 1, 0);
	for (int i = 0; i < 200; i++)
		(void)close(dial(mine[0], SOCK_STREAM));
	assert_true(drain(mine[0]) > 20);
	assert_true(drain(mine[1]) > 20);
	/* Its next run asks for one of the two only; until it is ready all stays as it was. */
	sockets_steer(r->s, 1, 0, false);
	sockets_begin(r->s, 1, 0);
	(void)get(r, &other, 1, 0);
	sockets_steer(r->s, 1, 0, true);
	for (int i = 0; i < 50; i++) {
		(void)close(dial(mine[0], SOCK_STREAM));
		(void)close(dial(its[1], SOCK_STREAM));
	}
	assert_int_equal(drain(mine[0]), 50);
	assert_int_equal(drain(its[1]), 50);
	/* It closes its server, and the other one has one for that address, too. */
	its[0] = get(r, &other, 0, 0);
	sockets_unask(r->s, &other, 1, 0);
	for (int i = 0; i < 20; i++)
		(void)close(dial(its[1], SOCK_STREAM));
	assert_int_equal(drain(its[0]), 20);
}

/* A connection to where the key is bound, from a port that is aimed at a seat and generation. */
static int dial_aimed(struct rig *r, const struct sockaddr *to, socklen_t len, uint32_t seat,
                      unsigned generation)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(&from, to, len);
	if (to->sa_family == AF_INET)
		((struct sockaddr_in *)&from)->sin_port = 0;
	else
		((struct sockaddr_in6 *)&from)->sin6_port = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)&from, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&from, &from_len), 0);
	assert_int_equal(sockets_aim(r->s, to, (struct sockaddr *)&from, seat, generation),
	                 SOCKETS_AIMED);
	assert_int_equal(connect(fd, to, len), 0);
	sockets_unaim(r->s, (struct sockaddr *)&from);
	return fd;
}

static void a_check_reaches_the_worker_it_is_aimed_at(void **state)
{
	static const struct socket_key keys[] = {
		{ .type = SOCK_STREAM, .family = AF_INET, .address = "127.0.0.1" },
		{ .type = SOCK_STREAM, .family = AF_INET6, .address = "::1" },
		{ .type = SOCK_STREAM, .family = AF_INET6, .dual = true },
		{ .type = SOCK_STREAM, .family = AF_INET, .index = 4 },
	};
	struct rig *r = *state;

	set_seats(r, 3);
	for (size_t i = 0; i < PM_COUNT(keys); i++) {
		struct sockaddr_in v4 = { .sin_family = AF_INET };
		struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

		(void)get(r, &keys[i], 1, 0);
		sockets_steer(r->s, 1, 0, true);
		v4.sin_port = v6.sin6_port = htons(port_of(r, &keys[i]));
		v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		v6.sin6_addr = in6addr_loopback;
		for (uint32_t index = 0; index < 6; index++) {
			bool any = keys[i].dual && index % 2 != 0;
			bool use_v4 = keys[i].family == AF_INET || any;

			(void)close(dial_aimed(
				r, use_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
				use_v4 ? sizeof(v4) : sizeof(v6), index / 2, index % 2));
			assert_int_equal(drain(get(r, &keys[i], index / 2, index % 2)), 1);
			(void)close(dial(get(r, &keys[i], 1, 0), SOCK_STREAM));
			assert_int_equal(drain(get(r, &keys[i], 1, 0)), 1);
		}
	}
}

static void what_is_not_ours_or_too_much_is_not_aimed(void **state)
{
	struct rig *r = *state;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_port = htons(9) };
	const struct sockaddr *const to_any = (struct sockaddr *)&to;

	to.sin_addr.s_addr = from.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(sockets_aim(r->s, to_any, (struct sockaddr *)&from, 0, 0),
	                 SOCKETS_NOT_OURS);
	(void)get(r, &tcp4, 0, 0);
	assert_int_equal(sockets_aim(r->s, to_any, (struct sockaddr *)&from, 0, 0),
	                 SOCKETS_NOT_OURS);
	to.sin_port = htons(port_of(r, &tcp4));
	for (uint16_t i = 0; i < 8; i++) {
		from.sin_port = htons(100 + i);
		assert_int_equal(sockets_aim(r->s, to_any, (struct sockaddr *)&from, 0, 1),
		                 SOCKETS_AIMED);
	}
	from.sin_port = htons(99);
	assert_int_equal(sockets_aim(r->s, to_any, (struct sockaddr *)&from, 0, 1), SOCKETS_BUSY);
	sockets_unaim(r->s, (struct sockaddr *)&from); /* never aimed */
	from.sin_port = htons(100);
	sockets_unaim(r->s, (struct sockaddr *)&from);
	assert_int_equal(sockets_aim(r->s, to_any, (struct sockaddr *)&from, 0, 1), SOCKETS_AIMED);
}

static void with_nobody_ready_connections_wait_for_a_successor(void **state)
{
	struct rig *r = *state;
	int a, b;

	set_seats(r, 2);
	b = get(r, &tcp4, 1, 0);
	/* Nobody has ever been ready: to the one who has a socket. */
	for (unsigned i = 0; i < 10; i++)
		(void)close(dial(b, SOCK_STREAM));
	assert_int_equal(sockets_waiting(r->s, 1, 0), 10);
	assert_int_equal(sockets_waiting(r->s, 0, 0), 0);
	/* All have died: to those who were ready last. */
	a = get(r, &tcp4, 0, 1);
	sockets_steer(r->s, 0, 1, true);
	sockets_steer(r->s, 0, 1, false);
	for (unsigned i = 0; i < 5; i++)
		(void)close(dial(b, SOCK_STREAM));
	assert_int_equal(sockets_waiting(r->s, 0, 1), 5);
	/* The successor on that seat has the same queue. */
	assert_int_equal(drain(get(r, &tcp4, 0, 1)), 5);
	assert_int_equal(a, get(r, &tcp4, 0, 1));
	assert_int_equal(drain(b), 10);
	assert_int_equal(sockets_waiting(r->s, 1, 0), 0);
}

/* A client in a process of its own: each connection must get its answer. Exits with 0, or 1. */
static pid_t storm(int listener, unsigned n)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	for (unsigned i = 0; i < n; i++) {
		struct timeval patience = { .tv_sec = 20 };
		int fd = dial(listener, SOCK_STREAM);
		char c = 0;

		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (read(fd, &c, 1) != 1 || c != '!')
			_exit(1);
		(void)close(fd);
	}
	_exit(0);
}

static unsigned answer(int listener)
{
	unsigned n = 0;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		assert_int_equal(write(fd, "!", 1), 1);
		(void)close(fd);
		n++;
	}
	return n;
}

static void steering_back_and_forth_loses_no_connection(void **state)
{
	enum {
		CLIENTS = 4,
		EACH = 1500,
		PHASE = 40
	};
	struct rig *r = *state;
	unsigned answered = 0, in_phase = 0, phases = 0, now = 0;
	struct pollfd polls[2] = { { .events = POLLIN }, { .events = POLLIN } };
	pid_t clients[CLIENTS];
	bool draining = false;

	polls[0].fd = get(r, &tcp4, 0, 0);
	polls[1].fd = get(r, &tcp4, 0, 1);
	sockets_steer(r->s, 0, 0, true);
	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i] = storm(polls[0].fd, EACH);
	while (answered < CLIENTS * EACH) {
		unsigned n;

		/* The old worker accepts until its queue is seen empty, and no longer. */
		if (draining && sockets_waiting(r->s, 0, !now) == 0)
			draining = false;
		polls[!now].events = draining ? POLLIN : 0;
		assert_true(poll(polls, 2, 20000) > 0);
		n = answer(polls[now].fd) + (draining ? answer(polls[!now].fd) : 0);
		answered += n;
		in_phase += n;
		if (in_phase >= PHASE && !draining) {
			now = !now;
			phases++;
			in_phase = 0;
			draining = true;
			polls[now].events = POLLIN;
			sockets_steer(r->s, 0, now, true);
			sockets_steer(r->s, 0, !now, false);
			/* A handshake that ends only now waits for the next in that seat. */
			answered += answer(polls[now].fd);
		}
	}
	assert_true(phases > 50);
	for (unsigned i = 0; i < CLIENTS; i++) {
		int status;

		assert_int_equal(waitpid(clients[i], &status, 0), clients[i]);
		assert_int_equal(status, 0);
	}
}

static void every_family_is_bound_as_asked(void **state)
{
	static const struct {
		struct socket_key key;
		const char *address; /* without the port */
	} rows[] = {
		{ { .type = SOCK_STREAM, .family = AF_INET }, "0.0.0.0:" },
		{ { .type = SOCK_STREAM, .family = AF_INET6, .address = "::1" }, "[::1]:" },
		{ { .type = SOCK_STREAM, .family = AF_INET6 }, "[::]:" },
		{ { .type = SOCK_STREAM, .family = AF_INET6, .dual = true, .index = 1 }, "[::]:" },
		{ { .type = SOCK_DGRAM, .family = AF_INET, .address = "127.0.0.1" }, "127.0.0.1:" },
		{ { .type = SOCK_DGRAM, .family = AF_INET6, .address = "::1" }, "[::1]:" },
	};
	struct rig *r = *state;

	set_seats(r, 2);
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		int fd = get(r, &rows[i].key, 1, 0), only = -1, on = 0;
		socklen_t len = sizeof(int);
		char text[128], want[128];
		uint16_t port;

		assert_true(sockets_address(r->s, &rows[i].key, text, sizeof(text), &port));
		assert_int_not_equal(port, 0);
		(void)snprintf(want, sizeof(want), "%s%u", rows[i].address, (unsigned)port);
		assert_string_equal(text, want);
		assert_ptr_equal(sockets_key(r->s, i), sockets_key(r->s, i));
		assert_int_equal(sockets_key(r->s, i)->type, rows[i].key.type);
		if (rows[i].key.family == AF_INET6) {
			assert_int_equal(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len), 0);
			assert_int_equal(only, !rows[i].key.dual);
		}
		/* All seats share the port. */
		assert_int_not_equal(get(r, &rows[i].key, 0, 1), fd);
		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len), 0);
		assert_int_equal(on, rows[i].key.type == SOCK_STREAM);
		assert_int_not_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	}
	assert_null(sockets_key(r->s, PM_COUNT(rows)));
}

static void a_dual_socket_takes_both_families(void **state)
{
	const struct socket_key dual = { .type = SOCK_STREAM, .family = AF_INET6, .dual = true };
	struct rig *r = *state;
	int fd = get(r, &dual, 0, 0), client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in v4 = { .sin_family = AF_INET,
		                  .sin_port = htons(port_of(r, &dual)),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	sockets_steer(r->s, 0, 0, true);
	assert_int_equal(connect(client, (struct sockaddr *)&v4, sizeof(v4)), 0);
	(void)close(client);
	(void)close(dial(fd, SOCK_STREAM));
	assert_int_equal(drain(fd), 2);
}

static void port_0_is_one_port_for_all_and_another_for_each_index(void **state)
{
	struct socket_key second = tcp4, wrong = tcp4;
	struct rig *r = *state;

	second.index = 1;
	set_seats(r, 3);
	(void)get(r, &tcp4, 0, 0);
	(void)get(r, &second, 0, 0);
	assert_int_not_equal(port_of(r, &tcp4), port_of(r, &second));
	/* A group that grows stays on its port. */
	set_seats(r, 5);
	for (uint32_t seat = 0; seat < 5; seat++) {
		struct sockaddr_in addr;
		socklen_t len = sizeof(addr);

		assert_int_equal(
			getsockname(get(r, &tcp4, seat, 1), (struct sockaddr *)&addr, &len), 0);
		assert_int_equal(ntohs(addr.sin_port), port_of(r, &tcp4));
	}
	assert_int_equal(get_fails(r, &tcp4, 5), EINVAL);
	wrong.address[0] = 'x';
	assert_int_equal(get_fails(r, &wrong, 0), EINVAL);
}

static void seats_that_come_later_are_steered_to(void **state)
{
	struct rig *r = *state;
	unsigned n = 0;

	for (uint32_t seats = 1; seats <= 8; seats++) {
		set_seats(r, seats);
		(void)get(r, &tcp4, seats - 1, 0);
		for (uint32_t seat = 0; seat < seats; seat++)
			sockets_steer(r->s, seat, 0, seat + 1 == seats);
		for (unsigned i = 0; i < 8; i++)
			(void)close(dial(get(r, &tcp4, 0, 0), SOCK_STREAM));
		n = drain(get(r, &tcp4, seats - 1, 0));
		assert_int_equal(n, 8);
	}
	/* Fewer: the rest are not steered to, ready or not. */
	set_seats(r, 2);
	sockets_steer(r->s, 1, 0, true);
	for (unsigned i = 0; i < 8; i++)
		(void)close(dial(get(r, &tcp4, 0, 0), SOCK_STREAM));
	assert_int_equal(drain(get(r, &tcp4, 1, 0)), 8);
}

static void a_port_that_is_taken_is_refused(void **state)
{
	struct rig *r = *state, other = { .holds_left = SIZE_MAX };
	struct socket_key same = tcp4;
	int on = 1, stranger;

	(void)get(r, &tcp4, 0, 0);
	same.port = port_of(r, &tcp4);
	/* Another app of ours, whose sockets share ports too. */
	rig_open(&other);
	assert_int_equal(get_fails(&other, &same, 0), EADDRINUSE);
	assert_null(sockets_key(other.s, 0));
	same.type = SOCK_DGRAM;
	(void)get(r, &same, 0, 0);
	assert_int_equal(get_fails(&other, &same, 0), EADDRINUSE);
	sockets_destroy(other.s, true);
	assert_int_equal(other.n_held, 0);
	/* A program of somebody else. */
	stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(stranger, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(listen(stranger, 1), 0);
	{
		struct sockaddr_in addr;
		socklen_t len = sizeof(addr);

		assert_int_equal(getsockname(stranger, (struct sockaddr *)&addr, &len), 0);
		same.type = SOCK_STREAM;
		same.port = ntohs(addr.sin_port);
	}
	assert_int_equal(get_fails(r, &same, 0), EADDRINUSE);
	(void)close(stranger);
	(void)get(r, &same, 0, 0);
}

static void datagrams_of_one_peer_reach_one_worker(void **state)
{
	struct socket_key udp = tcp4;
	struct rig *r = *state;
	unsigned served = 0;

	udp.type = SOCK_DGRAM;
	set_seats(r, 4);
	for (uint32_t seat = 0; seat < 4; seat++) {
		(void)get(r, &udp, seat, 0);
		sockets_steer(r->s, seat, 0, true);
	}
	for (unsigned i = 0; i < 64; i++) {
		int fd = dial(get(r, &udp, 0, 0), SOCK_DGRAM);
		unsigned workers = 0;

		for (unsigned k = 0; k < 5; k++)
			assert_int_equal(send(fd, "hello", 5, 0), 5);
		for (uint32_t seat = 0; seat < 4; seat++) {
			unsigned n = 0;
			char bytes[8];

			assert_in_range(sockets_waiting(r->s, seat, 0), 0, 1);
			while (recv(get(r, &udp, seat, 0), bytes, sizeof(bytes), 0) == 5)
				n++;
			assert_true(n == 0 || n == 5);
			workers += n == 5;
			served |= (n == 5) << seat;
		}
		assert_int_equal(workers, 1);
		(void)close(fd);
	}
	assert_int_equal(served, 15);
}

static void a_unix_socket_is_one_for_all(void **state)
{
	struct socket_key key = { .type = SOCK_STREAM, .family = AF_UNIX };
	struct rig *r = *state, other = { .holds_left = SIZE_MAX };
	struct stat st;
	int fd;

	(void)snprintf(key.address, sizeof(key.address), "/tmp/pmd-sockets-%d", (int)getpid());
	set_seats(r, 2);
	fd = get(r, &key, 0, 0);
	assert_int_equal(get(r, &key, 1, 1), fd);
	(void)close(dial(fd, SOCK_STREAM));
	assert_int_equal(drain(fd), 1);
	assert_int_equal(stat(key.address, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	assert_true(sockets_has_path(r->s, key.address));
	assert_false(sockets_has_path(r->s, "/tmp"));
	/* Somebody answers: not another's. */
	rig_open(&other);
	assert_int_equal(get_fails(&other, &key, 0), EADDRINUSE);
	sockets_destroy(other.s, true);
	/* A worker removes the path, as it would its own: it comes back. */
	assert_int_equal(unlink(key.address), 0);
	fd = get(r, &key, 1, 0);
	(void)close(dial(fd, SOCK_STREAM));
	assert_int_equal(drain(fd), 1);
	/* Whoever closes removes it. */
	sockets_destroy(r->s, true);
	assert_int_equal(stat(key.address, &st), -1);
	rig_open(r);
}

static void only_a_dead_socket_gives_up_its_path(void **state)
{
	struct socket_key key = { .type = SOCK_STREAM, .family = AF_UNIX };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct rig *r = *state;
	int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), file;

	(void)snprintf(key.address, sizeof(key.address), "/tmp/pmd-stale-%d", (int)getpid());
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", key.address);
	file = open(key.address, O_CREAT | O_CLOEXEC | O_WRONLY, 0600);
	assert_int_equal(get_fails(r, &key, 0), EADDRINUSE); /* a file of somebody's */
	(void)close(file);
	assert_int_equal(unlink(key.address), 0);
	assert_int_equal(bind(dead, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(dead, 0), 0);
	assert_int_equal(get_fails(r, &key, 0), EADDRINUSE);
	(void)close(dead);
	(void)get(r, &key, 0, 0);
	(void)snprintf(key.address, sizeof(key.address), "relative");
	assert_int_equal(get_fails(r, &key, 0), EINVAL);
	(void)snprintf(key.address, sizeof(key.address), "@pmd-abstract-%d", (int)getpid());
	(void)close(dial(get(r, &key, 0, 0), SOCK_STREAM));
}

/* The supervisor dies: what it had is closed, what the keeper holds comes back in any order. */
static void die_and_restore(struct rig *r)
{
	struct pm_error err;

	sockets_destroy(r->s, false);
	rig_open(r);
	for (size_t i = r->n_held; i > 0; i--) {
		uint32_t serial;

		assert_true(sockets_is_name(r->held[i - 1].name, &serial));
		assert_int_equal(serial, 7);
		assert_true(sockets_restore(r->s, r->held[i - 1].name,
		                            fcntl(r->held[i - 1].fd, F_DUPFD_CLOEXEC, 0)));
	}
	if (sockets_restored(r->s, &err) < 0)
		fail_msg("%s", err.what);
}

static void a_new_supervisor_finds_all_as_it_was(void **state)
{
	struct socket_key path = { .type = SOCK_STREAM, .family = AF_UNIX };
	struct rig *r = *state;
	uint16_t port;
	int client;

	(void)snprintf(path.address, sizeof(path.address), "/tmp/pmd-restore-%d", (int)getpid());
	set_seats(r, 3);
	(void)get(r, &path, 0, 0);
	client = dial(get(r, &tcp4, 2, 1), SOCK_STREAM);
	sockets_steer(r->s, 2, 1, true);
	port = port_of(r, &tcp4);
	(void)close(client);
	(void)close(dial(get(r, &tcp4, 2, 1), SOCK_STREAM));

	die_and_restore(r);
	assert_int_equal(port_of(r, &tcp4), port);
	assert_int_equal(sockets_waiting(r->s, 2, 1), 2);
	assert_true(sockets_is_steered(r->s, 2, 1));
	sockets_steer(r->s, 1, 0, true);
	sockets_steer(r->s, 2, 1, false);
	for (unsigned i = 0; i < 20; i++)
		(void)close(dial(get(r, &tcp4, 0, 0), SOCK_STREAM));
	assert_int_equal(sockets_waiting(r->s, 1, 0), 20);
	assert_int_equal(drain(get(r, &tcp4, 2, 1)), 2);
	/* And it can make more. */
	set_seats(r, 4);
	sockets_steer(r->s, 3, 1, true);
	sockets_steer(r->s, 1, 0, false);
	(void)close(dial(get(r, &tcp4, 0, 0), SOCK_STREAM));
	assert_int_equal(sockets_waiting(r->s, 3, 1), 1);
	(void)close(dial(get(r, &path, 3, 1), SOCK_STREAM));
	assert_int_equal(drain(get(r, &path, 0, 0)), 1);
}

static void a_group_half_held_at_death_is_completed(void **state)
{
	struct rig *r = *state;
	uint16_t port;

	set_seats(r, 2);
	(void)get(r, &tcp4, 0, 0);
	port = port_of(r, &tcp4);
	/* Had it died before the last two were held. */
	for (size_t i = 0; i < r->n_held; i++)
		while (i < r->n_held && (strcmp(r->held[i].name, "L7.0.2") == 0 ||
		                         strcmp(r->held[i].name, "L7.0.3") == 0)) {
			(void)close(r->held[i].fd);
			r->held[i] = r->held[--r->n_held];
		}
	assert_int_equal(r->n_held, 3);
	die_and_restore(r);
	assert_int_equal(r->n_held, 5);
	assert_int_equal(port_of(r, &tcp4), port);
	sockets_steer(r->s, 1, 1, true);
	(void)close(dial(get(r, &tcp4, 0, 0), SOCK_STREAM));
	assert_int_equal(drain(get(r, &tcp4, 1, 1)), 1);
}

static void a_damaged_table_is_forgotten_in_words(void **state)
{
	static const off_t at[] = { 0, 8, 12 }; /* magic, size, seats */

	for (size_t i = 0; i < PM_COUNT(at); i++) {
		struct rig *r = *state;
		struct pm_error err;

		(void)get(r, &tcp4, 0, 0);
		sockets_destroy(r->s, false);
		rig_open(r);
		for (size_t k = r->n_held; k > 0; k--) {
			if (strcmp(r->held[k - 1].name, "L7") == 0)
				assert_int_equal(
					pwrite(r->held[k - 1].fd, "\xff\xff\xff\xff", 4, at[i]), 4);
			assert_true(sockets_restore(r->s, r->held[k - 1].name,
			                            fcntl(r->held[k - 1].fd, F_DUPFD_CLOEXEC, 0)));
		}
		assert_int_equal(sockets_restored(r->s, &err), -1);
		assert_int_equal(err.code, PM_CORRUPT);
		assert_int_equal(r->n_held, 0);
	}
}

static void a_name_is_ours_or_not(void **state)
{
	static const char *const strange[] = { "L8",      "L8.0.0", "L7.",     "L7.0",
		                               "L7.0.0x", "L07",    "specs",   "L",
		                               "L7.-1.0", "L 7",    "L7.0.-1", "" };
	struct rig *r = *state;
	uint32_t serial;

	assert_true(sockets_is_name("L4294967295.63.2047", &serial));
	assert_int_equal(serial, 4294967295u);
	for (size_t i = 0; i < PM_COUNT(strange); i++)
		assert_false(sockets_restore(r->s, strange[i], -1));
}

static void a_keeper_that_is_full_is_a_failed_listen(void **state)
{
	struct rig *r = *state;

	set_seats(r, 2);
	for (size_t n = 0; n < 4; n++) {
		r->holds_left = n;
		assert_int_equal(get_fails(r, &tcp4, 0), EMFILE);
		assert_null(sockets_key(r->s, 0));
		r->holds_left = SIZE_MAX;
	}
	(void)get(r, &tcp4, 0, 0);
	r->holds_left = 1;
	{
		struct pm_error err;

		assert_int_equal(sockets_set_seats(r->s, 3, &err), -1);
	}
	/* As before. */
	r->holds_left = SIZE_MAX;
	assert_int_equal(r->n_held, 5);
	sockets_steer(r->s, 1, 1, true);
	(void)close(dial(get(r, &tcp4, 0, 0), SOCK_STREAM));
	assert_int_equal(drain(get(r, &tcp4, 1, 1)), 1);
	set_seats(r, 3);
	assert_int_equal(r->n_held, 7);
}

static void the_65th_address_is_refused(void **state)
{
	struct socket_key key = tcp4;
	struct rig *r = *state;

	for (key.index = 0; key.index < SOCKETS_KEYS_MAX; key.index++)
		(void)get(r, &key, 0, 0);
	assert_int_equal(get_fails(r, &key, 0), EMFILE);
}

static void a_socket_that_a_worker_shut_down_listens_again(void **state)
{
	struct rig *r = *state;
	int fds[4];

	set_seats(r, 2);
	for (unsigned i = 0; i < 4; i++)
		fds[i] = get(r, &tcp4, i / 2, i % 2);
	assert_int_equal(shutdown(fds[1], SHUT_RDWR), 0);
	assert_int_equal(get(r, &tcp4, 0, 1), fds[1]);
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned k = 0; k < 4; k++)
			sockets_steer(r->s, k / 2, k % 2, k == i);
		for (unsigned k = 0; k < 10; k++)
			(void)close(dial(fds[1], SOCK_STREAM));
		assert_int_equal(drain(fds[i]), 10);
	}
}

static void rights_are_those_of_the_app(void **state)
{
	const struct sockets_owner nobody = { .uid = 65534, .gid = 65534, .umask = 0 };
	const struct sockets_hooks hooks = { *state, rig_hold };
	struct socket_key path = { .type = SOCK_STREAM, .family = AF_UNIX }, low = tcp4;
	struct rig *r = *state;
	struct pm_error err;
	struct stat st;
	int fd, errnum;

	if (geteuid() != 0) {
		skip();
		return;
	}
	sockets_destroy(r->s, true);
	assert_int_equal(sockets_create(7, &nobody, &hooks, &r->s, &err), 0);
	(void)snprintf(path.address, sizeof(path.address), "/tmp/pmd-owner-%d", (int)getpid());
	(void)get(r, &path, 0, 0);
	assert_int_equal(stat(path.address, &st), 0);
	assert_int_equal(st.st_uid, 65534);
	assert_int_equal(st.st_mode & 0777, 0777);
	(void)snprintf(path.address, sizeof(path.address), "/root/pmd-owner-%d", (int)getpid());
	assert_int_equal(sockets_get(r->s, &path, 0, 0, &fd, &errnum, &err), -1);
	assert_int_equal(errnum, EACCES);
	low.port = 81;
	assert_int_equal(sockets_get(r->s, &low, 0, 0, &fd, &errnum, &err), -1);
	assert_int_equal(errnum, EACCES);
	low.declared = true; /* but the app's declaration may */
	(void)get(r, &low, 0, 0);
	assert_int_equal(geteuid(), 0);
	assert_int_equal(getegid(), 0);
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIGGED(connections_are_spread_evenly),
		RIGGED(only_who_is_ready_gets_connections),
		RIGGED(only_who_asked_for_an_address_gets_its_connections),
		RIGGED(a_check_reaches_the_worker_it_is_aimed_at),
		RIGGED(what_is_not_ours_or_too_much_is_not_aimed),
		RIGGED(with_nobody_ready_connections_wait_for_a_successor),
		RIGGED(steering_back_and_forth_loses_no_connection),
		RIGGED(every_family_is_bound_as_asked),
		RIGGED(a_dual_socket_takes_both_families),
		RIGGED(port_0_is_one_port_for_all_and_another_for_each_index),
		RIGGED(seats_that_come_later_are_steered_to),
		RIGGED(a_port_that_is_taken_is_refused),
		RIGGED(datagrams_of_one_peer_reach_one_worker),
		RIGGED(a_unix_socket_is_one_for_all),
		RIGGED(only_a_dead_socket_gives_up_its_path),
		RIGGED(a_new_supervisor_finds_all_as_it_was),
		RIGGED(a_group_half_held_at_death_is_completed),
		RIGGED(a_damaged_table_is_forgotten_in_words),
		RIGGED(a_name_is_ours_or_not),
		RIGGED(a_keeper_that_is_full_is_a_failed_listen),
		RIGGED(the_65th_address_is_refused),
		RIGGED(a_socket_that_a_worker_shut_down_listens_again),
		RIGGED(rights_are_those_of_the_app),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
