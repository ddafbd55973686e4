#include "tests/unit/sockets_rig.h"

#include <sys/socket.h>

#include "agent/shim_server.h"

struct shim_rig {
	struct rig sockets;
	uv_loop_t loop;
	struct shim_server *server;
	int worker; /* its end */
	unsigned n_listening;
	bool close_on_listening;
};

static void on_listening(void *arg, const struct socket_key *key)
{
	struct shim_rig *r = arg;

	assert_true(key->port != 0 || key->family == AF_UNIX);
	r->n_listening++;
	if (r->close_on_listening) {
		shim_server_close(r->server);
		r->server = NULL;
	}
}

static int setup(void **state)
{
	struct shim_rig *r = calloc(1, sizeof(*r));
	struct shim_server_config config = { .on_listening = on_listening, .arg = r };
	struct pm_error err;
	char env[48];
	int ours;

	r->sockets.holds_left = SIZE_MAX;
	rig_open(&r->sockets);
	config.sockets = r->sockets.s;
	assert_int_equal(uv_loop_init(&r->loop), 0);
	assert_int_equal(shim_server_pair(27, &ours, &r->worker, env, sizeof(env), &err), 0);
	assert_int_equal(strncmp(env, "27:", 3), 0);
	assert_int_equal(shim_server_create(&r->loop, ours, &config, &r->server, &err), 0);
	*state = r;
	return 0;
}

static void turns(struct shim_rig *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		(void)uv_run(&r->loop, UV_RUN_NOWAIT);
}

static int teardown(void **state)
{
	struct shim_rig *r = *state;

	shim_server_close(r->server);
	(void)uv_run(&r->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&r->loop), 0);
	sockets_destroy(r->sockets.s, true);
	assert_int_equal(r->sockets.n_held, 0);
	(void)close(r->worker);
	free(r);
	return 0;
}

static struct shim_request request(enum shim_op op, uint16_t port)
{
	return (struct shim_request){ .magic = SHIM_MAGIC,
		                      .version = SHIM_VERSION,
		                      .op = (uint16_t)op,
		                      .family = SHIM_INET,
		                      .port = port,
		                      .inet = { 127, 0, 0, 1 } };
}

static uint16_t free_port(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	(void)close(fd);
	return ntohs(addr.sin_port);
}

/* Send bytes with descriptors, as nobody but a worker would. */
static void send_with(int sock, const void *bytes, size_t len, const int *fds, size_t n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = { 0 };
	union {
		const void *in;
		void *out;
	} payload = { bytes };
	struct iovec iov = { payload.out, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n > 0) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	assert_int_equal(sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT), (ssize_t)len);
}

/* Returns the error of the answer; INT32_MIN when there is none. *fd: what came with it. */
static int receive(int end, int *fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct shim_reply reply;
	struct iovec iov = { &reply, sizeof(reply) };
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = control,
		              .msg_controllen = sizeof(control) };

	*fd = -1;
	if (recvmsg(end, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(reply))
		return INT32_MIN;
	if (CMSG_FIRSTHDR(&msg) != NULL)
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(*fd));
	assert_int_equal(reply.magic, SHIM_MAGIC);
	return reply.error;
}

static int ask(struct shim_rig *r, const struct shim_request *q, int *fd)
{
	int ends[2], error;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	send_with(r->worker, q, sizeof(*q), &ends[1], 1);
	(void)close(ends[1]);
	turns(r, 3);
	error = receive(ends[0], fd);
	(void)close(ends[0]);
	return error;
}

static unsigned n_keys(struct shim_rig *r)
{
	unsigned n = 0;

	while (sockets_key(r->sockets.s, n) != NULL)
		n++;
	return n;
}

static void a_worker_gets_the_socket_of_its_seat(void **state)
{
	struct shim_rig *r = *state;
	struct shim_request q = request(SHIM_SOCKET, free_port());
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	int fd;

	assert_int_equal(ask(r, &q, &fd), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(ntohs(addr.sin_port), q.port);
	(void)close(fd);
	assert_int_equal(r->n_listening, 0);
	q.op = SHIM_LISTENING;
	send_with(r->worker, &q, sizeof(q), NULL, 0);
	turns(r, 3);
	assert_int_equal(r->n_listening, 1);
	/* Somebody listens there now. */
	q.op = SHIM_RELEASE;
	assert_int_equal(ask(r, &q, &fd), EBUSY);
	assert_int_equal(n_keys(r), 1);
}

static void what_bind_says_reaches_the_worker(void **state)
{
	struct shim_rig *r = *state;
	int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	struct sockaddr_in addr = { .sin_family = AF_INET,
		                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	struct shim_request q;

	assert_int_equal(bind(other, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(other, 1), 0);
	assert_int_equal(getsockname(other, (struct sockaddr *)&addr, &len), 0);
	q = request(SHIM_SOCKET, ntohs(addr.sin_port));
	assert_int_equal(ask(r, &q, &fd), EADDRINUSE);
	assert_int_equal(fd, -1);
	(void)close(other);
	q.inet[0] = 203; /* no address of this machine */
	assert_int_equal(ask(r, &q, &fd), EADDRNOTAVAIL);
}

static void a_clients_port_is_released(void **state)
{
	struct shim_rig *r = *state;
	struct shim_request q = request(SHIM_SOCKET, free_port());
	int fd;

	assert_int_equal(ask(r, &q, &fd), 0);
	(void)close(fd);
	assert_int_equal(n_keys(r), 1);
	q.op = SHIM_RELEASE;
	assert_int_equal(ask(r, &q, &fd), 0);
	assert_int_equal(n_keys(r), 0);
	assert_int_equal(ask(r, &q, &fd), 0);
}

static void a_path_of_ours_is_kept(void **state)
{
	struct shim_rig *r = *state;
	struct shim_request q = request(SHIM_KEEP_PATH, 0);
	int fd;

	q.family = SHIM_UNIX;
	(void)snprintf(q.path, sizeof(q.path), "/tmp/pmd-shim-%d", (int)getpid());
	assert_int_equal(ask(r, &q, &fd), ENOENT);
	q.op = SHIM_SOCKET;
	assert_int_equal(ask(r, &q, &fd), 0);
	(void)close(fd);
	q.op = SHIM_KEEP_PATH;
	assert_int_equal(ask(r, &q, &fd), 0);
}

static void records_are_checked_field_by_field(void **state)
{
	const struct shim_request good = request(SHIM_SOCKET, 80);
	struct shim_request bad[16];
	struct socket_key key;
	enum shim_op op;
	size_t n = 0;

	(void)state;
	assert_true(shim_request_key(&good, sizeof(good), &key, &op));
	assert_string_equal(key.address, "127.0.0.1");
	assert_false(key.declared); /* or a worker would bind with our rights */
	assert_false(shim_request_key(&good, sizeof(good) - 1, &key, &op));
	assert_false(shim_request_key(&good, 0, &key, &op));
	for (size_t i = 0; i < PM_COUNT(bad); i++)
		bad[i] = good;
	bad[n++].magic = 0;
	bad[n++].version = 2;
	bad[n++].op = 0;
	bad[n++].op = SHIM_RELEASE + 1;
	bad[n++].family = 0;
	bad[n++].family = SHIM_UNIX + 1;
	bad[n++].dgram = 2;
	bad[n++].v6_only = 2;
	bad[n++].port = 0;
	bad[n++].op = SHIM_KEEP_PATH; /* of an address */
	bad[n++].family = SHIM_UNIX;  /* no path */
	bad[n].family = SHIM_UNIX;
	memset(bad[n++].path, '/', sizeof(bad[0].path)); /* without an end */
	bad[n].family = SHIM_UNIX;
	(void)strncpy(bad[n++].path, "relative", sizeof(bad[0].path));
	bad[n].family = SHIM_UNIX;
	bad[n].dgram = 1;
	(void)strncpy(bad[n++].path, "/tmp/x", sizeof(bad[0].path));
	for (size_t i = 0; i < n; i++)
		if (shim_request_key(&bad[i], sizeof(bad[i]), &key, &op))
			fail_msg("took %zu", i);
}

static void families_become_keys(void **state)
{
	struct shim_request q = request(SHIM_SOCKET, 53);
	struct socket_key key;
	enum shim_op op;

	(void)state;
	memset(q.inet, 0, sizeof(q.inet));
	assert_true(shim_request_key(&q, sizeof(q), &key, &op));
	assert_string_equal(key.address, "");
	q.family = SHIM_INET6;
	q.dgram = 1;
	assert_true(shim_request_key(&q, sizeof(q), &key, &op));
	assert_true(key.dual && key.family == AF_INET6 && key.type == SOCK_DGRAM);
	q.v6_only = 1;
	q.inet[0] = 0xfe;
	q.inet[1] = 0x80;
	q.inet[15] = 1;
	q.scope = 3;
	assert_true(shim_request_key(&q, sizeof(q), &key, &op));
	assert_false(key.dual);
	assert_string_equal(key.address, "fe80::1%3");
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Everything here is a worker's to send; after each the next honest question is answered. */
static void a_hostile_worker_harms_nobody(void **state)
{
	struct shim_rig *r = *state;
	struct shim_request q = request(SHIM_SOCKET, free_port());
	char big[4096] = { 0 };
	int ends[2], lingering[8], fd, before;

	assert_int_equal(ask(r, &q, &fd), 0);
	(void)close(fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	for (size_t i = 0; i < PM_COUNT(lingering); i++) {
		const struct linger linger = { 1, 3600 };

		lingering[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(
			setsockopt(lingering[i], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)),
			0);
	}
	before = count_fds();
	send_with(r->worker, big, 1, NULL, 0);
	send_with(r->worker, big, sizeof(big), NULL, 0);
	send_with(r->worker, &q, sizeof(q), NULL, 0);       /* nowhere to answer */
	send_with(r->worker, &q, sizeof(q), lingering, 1);  /* no unix socket */
	send_with(r->worker, &q, sizeof(q), lingering, 8);  /* too many */
	send_with(r->worker, &q, sizeof(q), &r->worker, 1); /* to itself */
	send_with(r->worker, big, sizeof(q), &lingering[2], 2);
	q.op = SHIM_LISTENING;
	q.port++; /* where it has nothing */
	send_with(r->worker, &q, sizeof(q), &ends[1], 1);
	turns(r, 3);
	assert_int_equal(count_fds(), before);
	assert_int_equal(r->n_listening, 1);
	/* A stream that is full. */
	while (send(ends[0], big, sizeof(big), MSG_DONTWAIT) > 0)
		continue;
	q.op = SHIM_SOCKET;
	q.port--;
	send_with(r->worker, &q, sizeof(q), &ends[0], 1);
	turns(r, 3);
	assert_int_equal(count_fds(), before);
	assert_int_equal(ask(r, &q, &fd), 0);
	(void)close(fd);
	(void)close(ends[0]);
	(void)close(ends[1]);
	for (size_t i = 0; i < PM_COUNT(lingering); i++)
		(void)close(lingering[i]);
}

static void a_flood_is_heard_at_a_steady_rate(void **state)
{
	struct shim_rig *r = *state;
	struct shim_request q = request(SHIM_LISTENING, 80);
	unsigned sent = 0;

	uv_update_time(&r->loop);
	for (unsigned i = 0; i < 200; i++) {
		while (send(r->worker, &q, sizeof(q), MSG_DONTWAIT) > 0)
			sent++;
		turns(r, 1);
		/* One turn is short whatever waits. */
		assert_true(r->n_listening <= (i + 1) * SHIM_SERVER_TURN);
	}
	assert_true(sent > SHIM_SERVER_RATE);
	assert_in_range(r->n_listening, SHIM_SERVER_RATE, 2 * SHIM_SERVER_RATE);
	/* And the rest later: the loop runs on the timer that ends the pause. */
	for (unsigned before = r->n_listening; r->n_listening == before;)
		(void)uv_run(&r->loop, UV_RUN_ONCE);
}

static void the_server_may_be_closed_from_its_event(void **state)
{
	struct shim_rig *r = *state;
	struct shim_request q = request(SHIM_LISTENING, 80);

	r->close_on_listening = true;
	send_with(r->worker, &q, sizeof(q), NULL, 0);
	send_with(r->worker, &q, sizeof(q), NULL, 0);
	turns(r, 3);
	assert_int_equal(r->n_listening, 1);
}

static void the_end_of_the_worker_is_quiet(void **state)
{
	struct shim_rig *r = *state;

	assert_int_equal(shutdown(r->worker, SHUT_RDWR), 0);
	turns(r, 3);
	assert_int_equal(r->n_listening, 0);
	/* Nothing is left to do: the loop does not spin. */
	assert_int_equal(uv_loop_alive(&r->loop), 0);
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIGGED(a_worker_gets_the_socket_of_its_seat),
		RIGGED(what_bind_says_reaches_the_worker),
		RIGGED(a_clients_port_is_released),
		RIGGED(a_path_of_ours_is_kept),
		cmocka_unit_test(records_are_checked_field_by_field),
		cmocka_unit_test(families_become_keys),
		RIGGED(a_hostile_worker_harms_nobody),
		RIGGED(a_flood_is_heard_at_a_steady_rate),
		RIGGED(the_server_may_be_closed_from_its_event),
		RIGGED(the_end_of_the_worker_is_quiet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
