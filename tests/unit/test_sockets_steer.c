/* Who gets the connections: steering and aiming. */
#include "tests/unit/sockets_rig.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
