/* Listening sockets: made, shared, found again. */
#include "tests/unit/sockets_rig.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int get_fails(struct rig *r, const struct socket_key *key, uint32_t seat)
{
	struct pm_error err;
	int fd = -7, errnum;

	assert_int_equal(sockets_get(r->s, key, seat, 0, &fd, &errnum, &err), -1);
	assert_int_equal(fd, -7);
	return errnum;
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

static bool sits(void *arg, uint32_t seat, unsigned generation)
{
	const bool *there = arg;

	return there[2 * seat + generation];
}

static void an_address_goes_with_the_last_who_asked_for_it(void **state)
{
	struct socket_key other = tcp4, path = { .type = SOCK_STREAM, .family = AF_UNIX };
	struct rig *r = *state;
	bool there[4] = { true, false, true, false };
	size_t held;

	other.index = 1;
	(void)snprintf(path.address, sizeof(path.address), "/tmp/pmd-prune.%d", getpid());
	set_seats(r, 2);
	for (uint32_t seat = 0; seat < 2; seat++)
		(void)get(r, &tcp4, seat, 0);
	held = r->n_held;
	(void)get(r, &other, 0, 0);
	(void)get(r, &path, 1, 0);
	assert_int_equal(sockets_prune(r->s, sits, there), 0);
	/* The run after that asks for none of them. */
	sockets_begin(r->s, 0, 0);
	sockets_unask(r->s, &path, 1, 0);
	assert_int_equal(sockets_prune(r->s, sits, there), 2);
	assert_int_equal(access(path.address, F_OK), -1);
	assert_int_equal(r->n_held, held);
	/* A successor has asked, too: it stays when the old one has gone. */
	(void)get(r, &tcp4, 0, 1);
	there[0] = there[2] = false;
	there[1] = true;
	assert_int_equal(sockets_prune(r->s, sits, there), 0);
	there[1] = false;
	assert_int_equal(sockets_prune(r->s, sits, there), 1);
	assert_null(sockets_key(r->s, 0));
	/* And may be had again. */
	(void)close(dial(get(r, &tcp4, 0, 0), SOCK_STREAM));
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIGGED(every_family_is_bound_as_asked),
		RIGGED(a_dual_socket_takes_both_families),
		RIGGED(port_0_is_one_port_for_all_and_another_for_each_index),
		RIGGED(seats_that_come_later_are_steered_to),
		RIGGED(an_address_goes_with_the_last_who_asked_for_it),
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
