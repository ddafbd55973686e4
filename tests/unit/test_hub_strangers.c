/* What a hub does with strangers, storms and want. */
#include "tests/unit/hub_rig.h"

static int raw_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	/* Without waiting: the loop that accepts is ours. */
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, loopback(f.port), sizeof(struct sockaddr_in)) < 0 && errno != EINPROGRESS) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static bool is_closed(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

static void the_silent_make_room_and_then_time_out(void **state)
{
	int fds[40];
	struct pm_hub_stats stats;
	struct pm_uplink *u;

	(void)state;
	f.config.gate.max = 16;
	f.config.gate.per_address = 12;
	f.config.link.handshake_ms = 2000;
	open_hub();
	for (size_t i = 0; i < PM_COUNT(fds); i++)
		assert_true((fds[i] = raw_connect()) >= 0);
	UNTIL((pm_hub_stats(f.hub, &stats), stats.n_accepted == PM_COUNT(fds)));
	assert_int_equal(stats.n_at_door, 12);
	assert_int_equal(stats.n_evicted, PM_COUNT(fds) - 12);
	UNTIL(is_closed(fds[0]) && is_closed(fds[27]));
	assert_false(is_closed(fds[39]));
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up2 == 1);
	UNTIL((pm_hub_stats(f.hub, &stats), stats.n_at_door == 0)); /* the deadline */
	assert_int_equal(stats.n_links, 1);
	assert_int_equal(f.why.code, PM_DEADLINE);
	for (size_t i = 0; i < PM_COUNT(fds); i++)
		(void)close(fds[i]);
	pm_uplink_close(u);
}

static void storms_of_fin_and_rst_leave_the_listener_alive(void **state)
{
	static const struct linger reset = { 1, 0 };
	struct pm_hub_stats stats;
	struct pm_uplink *u;

	(void)state;
	open_hub();
	for (unsigned i = 0; i < 300; i++) {
		int fd = raw_connect();

		assert_true(fd >= 0);
		(void)uv_run(&f.loop, UV_RUN_NOWAIT);
		if (i % 3 == 0)
			(void)send(fd, "\1\1junk", 6, MSG_NOSIGNAL);
		if (i % 2 == 0)
			(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		else
			(void)shutdown(fd, SHUT_WR);
		(void)close(fd);
	}
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up2 == 1);
	UNTIL((pm_hub_stats(f.hub, &stats), stats.n_links == 1));
	pm_uplink_close(u);
}

static void bytes_that_are_no_handshake_are_closed_at_once(void **state)
{
	static const char *const junk[] = { "GET / HTTP/1.1\r\n\r\n", "\1\11", "\1\1", "\3" };
	char byte;

	(void)state;
	open_hub();
	for (size_t i = 0; i < PM_COUNT(junk); i++) {
		int fd = raw_connect();

		UNTIL(send(fd, junk[i], strlen(junk[i]), MSG_NOSIGNAL) > 0);
		if (i == 2)
			(void)shutdown(fd, SHUT_WR); /* a good beginning, then the end */
		UNTIL(f.n_closed == i + 1);
		if (junk[i][0] != PM_HANDSHAKE_VERSION) { /* is told our version */
			UNTIL(recv(fd, &byte, 1, MSG_DONTWAIT) == 1);
			assert_int_equal(byte, PM_HANDSHAKE_VERSION);
		}
		UNTIL(is_closed(fd));
		(void)close(fd);
	}
}

static void handshakes_wait_their_turn(void **state)
{
	struct pm_uplink *us[8];
	struct pm_hub_stats stats;

	(void)state;
	f.config.gate.per_second = 4; /* four at once, then one in 250 ms */
	open_hub();
	for (size_t i = 0; i < PM_COUNT(us); i++)
		us[i] = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up == PM_COUNT(us));
	pm_hub_stats(f.hub, &stats);
	assert_true(stats.n_delayed >= 1);
	assert_int_equal(stats.n_handshakes, PM_COUNT(us));
	for (size_t i = 0; i < PM_COUNT(us); i++)
		pm_uplink_close(us[i]);
}

static void too_many_who_enrol_at_once_are_sent_away(void **state)
{
	struct pm_uplink *u;

	(void)state;
	f.config.gate.enrolling = 1;
	f.verdict = PM_PEER_NEW;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up == 1); /* and gives its place back */
	f.verdict = PM_PEER_NEW;
	pm_uplink_close(u);
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up == 2);
	pm_uplink_close(u);
}

static void over_the_limit_of_connections_the_next_is_closed(void **state)
{
	struct pm_hub_stats stats;
	int fds[6];

	(void)state;
	open_hub();
	pm_net_set_max(f.net, 4);
	for (size_t i = 0; i < PM_COUNT(fds); i++)
		assert_true((fds[i] = raw_connect()) >= 0);
	UNTIL((pm_hub_stats(f.hub, &stats), stats.n_refused == 2));
	assert_int_equal(stats.n_links, 4);
	for (size_t i = 0; i < PM_COUNT(fds); i++)
		(void)close(fds[i]);
	UNTIL((pm_hub_stats(f.hub, &stats), stats.n_links == 0));
}

/* Not even a descriptor to close with: it waits, and goes on when there are some. */
static void running_out_of_descriptors_passes(void **state)
{
	struct rlimit was, low;
	struct pm_uplink *u;
	int fds[200], client;
	size_t n = 0;

	(void)state;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up2 == 1);
	client = raw_connect();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	low = was;
	low.rlim_cur = PM_COUNT(fds);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (n < PM_COUNT(fds) && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	for (int i = 0; i < 50; i++)
		(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	pm_link_close(f.last, &(struct pm_error){ PM_OK, "again", "" });
	UNTIL(f.n_trouble >= 3 || f.n_up2 == 2);
	while (n > 0)
		(void)close(fds[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	UNTIL(f.n_up2 >= 2);
	(void)close(client);
	pm_uplink_close(u);
}

int main(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		ONE(the_silent_make_room_and_then_time_out),
		ONE(storms_of_fin_and_rst_leave_the_listener_alive),
		ONE(bytes_that_are_no_handshake_are_closed_at_once),
		ONE(handshakes_wait_their_turn),
		ONE(too_many_who_enrol_at_once_are_sent_away),
		ONE(over_the_limit_of_connections_the_next_is_closed),
		ONE(running_out_of_descriptors_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
