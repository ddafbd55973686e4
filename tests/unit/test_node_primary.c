/* The primary's side of node's cluster protocol, against a worker that is played here; the sockets
 * are played, too. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/node_primary.h"
#include "agent/preload.h"

/* In place of the real ones: the port says what happens. */
enum {
	PORT_TAKEN = 81
};
static struct socket_key asked;
static int null_fd;

int sockets_get(struct sockets *s, const struct socket_key *key, uint32_t seat, unsigned generation,
                int *fd, int *errnum, struct pm_error *err)
{
	(void)s;
	assert_int_equal(seat, 3);
	assert_int_equal(generation, 1);
	asked = *key;
	if (key->port == PORT_TAKEN) {
		*errnum = EADDRINUSE;
		return pm_fail(err, PM_FAILED, "port taken");
	}
	*fd = null_fd;
	return 0;
}

static unsigned n_unasked, n_tried;

const struct socket_key *sockets_key(const struct sockets *s, size_t i)
{
	(void)s;
	return i == 0 ? &asked : NULL;
}

void sockets_close_tried(struct sockets *s, const struct socket_key *key, uint32_t seat,
                         unsigned generation)
{
	(void)s;
	assert_ptr_equal(key, &asked);
	assert_int_equal(seat, 3);
	assert_int_equal(generation, 1);
	n_tried++;
}

void sockets_unask(struct sockets *s, const struct socket_key *key, uint32_t seat,
                   unsigned generation)
{
	(void)s;
	assert_ptr_equal(key, &asked);
	assert_int_equal(seat, 3);
	assert_int_equal(generation, 1);
	n_unasked++;
}

/* The common socket of the address that was asked for last. */
static bool has_joined, is_brief;
static unsigned n_left;

int sockets_do_not_wait(int fd)
{
	return fcntl(fd, F_SETFL, O_NONBLOCK);
}

uint64_t sockets_bit(const struct sockets *s, const struct socket_key *key)
{
	(void)s;
	assert_ptr_equal(key, &asked);
	return 1u << 5;
}

bool sockets_has_asked_for(const struct sockets *s, const struct socket_key *key, uint32_t seat,
                           unsigned generation)
{
	(void)s;
	assert_int_equal(seat, 3);
	assert_int_equal(generation, 1);
	return key->port != 0;
}

bool sockets_has_joined(const struct sockets *s, const struct socket_key *key, uint32_t seat,
                        unsigned generation)
{
	return sockets_has_asked_for(s, key, seat, generation) && has_joined;
}

int sockets_get_common(struct sockets *s, const struct socket_key *key, int *fd,
                       struct pm_error *err)
{
	(void)s;
	(void)err;
	assert_ptr_equal(key, &asked);
	*fd = null_fd;
	return 0;
}

void sockets_join(struct sockets *s, const struct socket_key *key, uint32_t seat,
                  unsigned generation)
{
	has_joined = sockets_has_asked_for(s, key, seat, generation);
}

void sockets_unjoin(struct sockets *s, const struct socket_key *key, uint32_t seat,
                    unsigned generation)
{
	if (sockets_has_asked_for(s, key, seat, generation))
		has_joined = false;
}

void sockets_leave(struct sockets *s, uint32_t seat, unsigned generation)
{
	(void)s;
	assert_int_equal(seat, 3);
	assert_int_equal(generation, 1);
	has_joined = false;
	n_left++;
}

void sockets_set_brief(struct sockets *s, uint32_t seat, unsigned generation, bool brief)
{
	(void)s;
	assert_int_equal(seat, 3);
	assert_int_equal(generation, 1);
	is_brief = brief;
}

struct rig {
	uv_loop_t loop;
	int worker; /* its end of the channel */
	struct ipc *ipc;
	struct node_shared shared;
	struct node_primary *primary;
	char heard[256]; /* what the hooks were told */
};

static void hear(struct rig *r, const char *what, const char *text)
{
	size_t len = strlen(r->heard);

	(void)snprintf(r->heard + len, sizeof(r->heard) - len, "%s(%s)", what, text);
}

static void on_online(void *arg)
{
	hear(arg, "online", "");
}

static void on_listening(void *arg, const char *address)
{
	hear(arg, "listening", address);
}

static void on_left(void *arg)
{
	hear(arg, "left", "");
}

static void on_closed(void *arg)
{
	hear(arg, "closed", "");
}

static void on_refused(void *arg, const char *address, const char *why)
{
	hear(arg, "refused", address);
	hear(arg, "why", why);
}

static void on_app_message(void *arg, const char *line, size_t len)
{
	assert_int_equal(strlen(line), len);
	hear(arg, "app", line);
}

static void on_line(void *arg, const char *line, size_t len)
{
	struct rig *r = arg;

	node_primary_on_line(r->primary, line, len);
}

static int set_up(void **state)
{
	static struct rig r;
	const struct node_primary_hooks hooks = {
		.arg = &r,
		.online = on_online,
		.listening = on_listening,
		.closed = on_closed,
		.left = on_left,
		.refused = on_refused,
		.message = on_app_message,
	};
	struct pm_error err;
	int ends[2];

	memset(&r, 0, sizeof(r));
	memset(&asked, 0, sizeof(asked));
	has_joined = is_brief = false;
	n_left = 0;
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(null_fd >= 0);
	assert_int_equal(uv_loop_init(&r.loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	r.worker = ends[1];
	assert_int_equal(ipc_create(&r.loop, ends[0], on_line, NULL, &r, &r.ipc, &err), 0);
	assert_int_equal(
		node_primary_create(r.ipc, NULL, &r.shared, 3, 1, &hooks, &r.primary, &err), 0);
	*state = &r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	node_primary_destroy(r->primary);
	node_shared_finish(&r->shared);
	ipc_close(r->ipc);
	(void)close(r->worker);
	(void)uv_run(&r->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&r->loop), 0);
	return close(null_fd);
}

static void say(struct rig *r, const char *line)
{
	assert_int_equal(send(r->worker, line, strlen(line), 0), strlen(line));
	assert_int_equal(send(r->worker, "\n", 1, 0), 1);
	for (int i = 0; i < 4; i++)
		(void)uv_run(&r->loop, UV_RUN_NOWAIT);
}

/* What the worker got: text, and whether a descriptor came along. "" when nothing. */
static const char *got(struct rig *r, bool *with_fd)
{
	static char text[4096];
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { text, sizeof(text) - 1 };
	struct msghdr msg = { .msg_iov = &part,
		              .msg_iovlen = 1,
		              .msg_control = &control,
		              .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(r->worker, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fd;

	*with_fd = n > 0 && msg.msg_controllen > 0;
	text[n > 0 ? n : 0] = '\0';
	if (*with_fd) {
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
		(void)close(fd);
	}
	return text;
}

static void a_worker_gets_the_socket_it_asks_for(void **state)
{
	struct rig *r = *state;
	bool with_fd;

	say(r, "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"online\",\"seq\":0}");
	say(r,
	    "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"index\":0,\"data\":null,\"address\":null,"
	    "\"port\":3000,\"addressType\":4,\"backlog\":0,\"seq\":1}");
	assert_non_null(strstr(got(r, &with_fd), "\"type\":\"net.Native\""));
	assert_true(with_fd);
	assert_true((fcntl(null_fd, F_GETFL) & O_NONBLOCK) != 0); /* it was not */
	assert_int_equal(asked.family, AF_INET6);                 /* node's "any" takes both */
	assert_true(asked.dual);
	assert_int_equal(asked.port, 3000);
	say(r, "{\"cmd\":\"NODE_HANDLE_ACK\"}");
	say(r, "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"listening\",\"address\":null,\"port\":3000,"
	       "\"addressType\":4}");
	assert_string_equal(r->heard, "online()listening(*:3000)");
	assert_int_equal(node_primary_n_listening(r->primary), 1);
	say(r, "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"close\",\"key\":\"x\"}");
	assert_int_equal(node_primary_n_listening(r->primary), 0);
	assert_string_equal(r->heard, "online()listening(*:3000)closed()");
}

static void an_address_that_it_closes_is_given_back_under_its_name(void **state)
{
	struct rig *r = *state;
	const char *name;
	char close_it[200];
	bool with_fd;

	say(r, "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"address\":null,"
	       "\"port\":3000,\"addressType\":4,\"backlog\":0,\"seq\":1}");
	name = strstr(got(r, &with_fd), "\"key\":\"");
	assert_non_null(name);
	(void)snprintf(close_it, sizeof(close_it),
	               "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"close\",%.*s}",
	               (int)(strchr(name + strlen("\"key\":\""), '"') + 1 - name), name);
	n_unasked = n_tried = 0;
	say(r, "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"close\",\"key\":\"x\"}");
	assert_int_equal(n_unasked + n_tried, 0);
	say(r, close_it);
	assert_int_equal(n_unasked, 1);
	assert_int_equal(n_tried, 1);
}

static void descriptors_go_out_one_at_a_time(void **state)
{
	static const char query[] =
		"{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"address\":\"127.0.0.1\",\"port\":90,"
		"\"addressType\":4,\"seq\":7}";
	struct rig *r = *state;
	bool with_fd;

	say(r, query);
	say(r, query);
	assert_non_null(strchr(got(r, &with_fd), '{'));
	assert_true(with_fd);
	assert_string_equal(got(r, &with_fd), "");
	say(r, "{\"cmd\":\"NODE_HANDLE_ACK\"}");
	assert_non_null(strstr(got(r, &with_fd), "\"ack\":7"));
	assert_true(with_fd);
	say(r, "{\"cmd\":\"NODE_HANDLE_ACK\"}");
	say(r, "{\"cmd\":\"NODE_HANDLE_ACK\"}"); /* one too many harms nobody */
	assert_string_equal(got(r, &with_fd), "");
}

static void an_address_in_use_is_said_to_worker_and_supervisor(void **state)
{
	struct rig *r = *state;
	bool with_fd;

	say(r, "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"address\":\"::1\",\"port\":81,"
	       "\"addressType\":6,\"seq\":2}");
	assert_non_null(strstr(got(r, &with_fd), "\"errno\":-98"));
	assert_false(with_fd);
	assert_string_equal(r->heard, "refused(::1:81)why(port taken)");
}

static void the_first_workers_data_is_everybodys(void **state)
{
	struct rig *r = *state;
	bool with_fd;

	say(r, "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"address\":null,\"port\":443,"
	       "\"addressType\":4,\"data\":{\"k\":[1]},\"seq\":1}");
	assert_non_null(strstr(got(r, &with_fd), "\"data\":{\"k\":[1]}"));
	say(r, "{\"cmd\":\"NODE_HANDLE_ACK\"}");
	say(r, "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"address\":null,\"port\":443,"
	       "\"addressType\":4,\"data\":{\"k\":[2]},\"seq\":2}");
	assert_non_null(strstr(got(r, &with_fd), "\"data\":{\"k\":[1]}"));
}

static void what_is_not_the_protocols_is_the_apps(void **state)
{
	struct rig *r = *state;

	say(r, "\"ready\"");
	say(r, "{\"type\":\"NODE_ISH\"}");
	assert_string_equal(r->heard, "app(\"ready\")app({\"type\":\"NODE_ISH\"})");
}

static void nonsense_is_answered_with_an_error_or_not_at_all(void **state)
{
	static const char *const lines[] = {
		"{\"cmd\":\"NODE_CLUSTER\"}",
		"{\"cmd\":\"NODE_CLUSTER\",\"act\":7}",
		"{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\"}",
		"{\"cmd\":\"NODE_CLUSTER\",\"act\":\"listening\",\"addressType\":99}",
		"{\"cmd\":\"NODE_HANDLE_NACK\"}",
		"{\"cmd\":\"NODE_DEBUG_ENABLED\"}",
	};
	struct rig *r = *state;
	bool with_fd;

	for (size_t i = 0; i < PM_COUNT(lines); i++) {
		say(r, lines[i]);
		assert_string_equal(got(r, &with_fd), "");
	}
	say(r,
	    "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"fd\":3,\"addressType\":4,\"seq\":9}");
	assert_non_null(strstr(got(r, &with_fd), "\"errno\":-22"));
	say(r, "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":\"here\"}");
	assert_non_null(strstr(got(r, &with_fd), "NODE_HANDLE_ACK"));
}

static void disconnect_is_nodes_own_message(void **state)
{
	struct rig *r = *state;
	bool with_fd;

	assert_true(node_primary_disconnect(r->primary));
	assert_non_null(strstr(got(r, &with_fd), "\"act\":\"disconnect\""));
	say(r, "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"exitedAfterDisconnect\",\"seq\":4}");
	assert_non_null(strstr(got(r, &with_fd), "\"ack\":4"));
}

/* A descriptor that came along and is the same open file as this one. */
static const char *got_file(struct rig *r, const struct stat *want)
{
	static char text[4096];
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { text, sizeof(text) - 1 };
	struct msghdr msg = { .msg_iov = &part,
		              .msg_iovlen = 1,
		              .msg_control = &control,
		              .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(r->worker, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct stat st;
	int fd;

	assert_true(n > 0 && msg.msg_controllen > 0);
	text[n] = '\0';
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_ino == want->st_ino && st.st_dev == want->st_dev);
	(void)close(fd);
	return text;
}

static void a_connection_is_handed_over_as_nodes_own_primary_does(void **state)
{
	const struct socket_key key = {
		.type = SOCK_STREAM, .family = AF_INET, .address = "127.0.0.1", .port = 90
	};
	struct rig *r = *state;
	const char *text;
	int ends[2][2];
	struct stat st;
	bool with_fd;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[i]), 0);
		assert_true(node_primary_give(r->primary, &key, ends[i][0]));
	}
	assert_int_equal(fstat(ends[0][0], &st), 0);
	text = got_file(r, &st);
	assert_non_null(strstr(text, "\"cmd\":\"NODE_HANDLE\""));
	assert_non_null(strstr(text, "\"act\":\"newconn\""));
	assert_non_null(
		strstr(text, "\"key\":\"127.0.0.1:90:2:0\"")); /* as it was told of that socket */
	assert_string_equal(got(r, &with_fd), "");             /* the second waits for its turn */
	say(r, "{\"cmd\":\"NODE_HANDLE_ACK\"}");
	assert_int_equal(fstat(ends[1][0], &st), 0);
	(void)got_file(r, &st);
	say(r, "{\"cmd\":\"NODE_HANDLE_ACK\"}");
	/* It was duplicated, and what was handed over is let go of. */
	for (int i = 0; i < 2; i++) {
		char byte;

		(void)close(ends[i][0]);
		assert_int_equal(recv(ends[i][1], &byte, 1, 0), 0);
		(void)close(ends[i][1]);
	}
}

static void one_that_does_not_take_them_is_full_before_its_own_answers_are(void **state)
{
	const struct socket_key key = { .type = SOCK_STREAM, .family = AF_INET, .port = 90 };
	struct rig *r = *state;
	unsigned n = 0;
	bool with_fd;

	while (node_primary_has_room(r->primary)) {
		assert_true(node_primary_give(r->primary, &key, null_fd));
		n++;
	}
	assert_true(n > 16);
	say(r, "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"address\":null,\"port\":3000,"
	       "\"addressType\":4,\"seq\":77}");
	for (; n > 0; n--) {
		assert_null(strstr(got(r, &with_fd), "\"ack\":77"));
		assert_true(with_fd);
		say(r, "{\"cmd\":\"NODE_HANDLE_ACK\"}");
	}
	assert_true(node_primary_has_room(r->primary));
	assert_non_null(strstr(got(r, &with_fd), "\"ack\":77"));
	/* Up to the end of all room, and then it is refused, and nothing is lost or closed twice.
	 */
	while (node_primary_give(r->primary, &key, null_fd))
		n++;
	assert_true(fcntl(null_fd, F_GETFD) >= 0);
}

static void without_memory_nothing_is_handed_over_and_nothing_else_is_closed(void **state)
{
	const struct socket_key key = { .type = SOCK_STREAM, .family = AF_INET, .port = 90 };
	struct rig *r = *state;

	pm_alloc_fail_at(1);
	assert_false(node_primary_give(r->primary, &key, null_fd));
	pm_alloc_fail_at(0);
	for (int fd = 0; fd < 3; fd++)
		assert_true(fcntl(fd, F_GETFD) >= 0);
	assert_true(fcntl(null_fd, F_GETFD) >= 0);
}

static void draining_is_a_message_that_node_hides(void **state)
{
	struct rig *r = *state;
	bool with_fd;

	assert_true(node_primary_drain(r->primary));
	assert_string_equal(got(r, &with_fd), PRELOAD_DRAIN_MESSAGE "\n");
	assert_false(with_fd);
	say(r, "{\"cmd\":\"NODE_PMD\",\"act\":\"" PRELOAD_DRAINING "\"}");
	assert_string_equal(r->heard, ""); /* it is no message of the app's */
	assert_string_equal(got(r, &with_fd), "");
}

static void what_it_has_not_taken_when_it_dies_comes_back(void **state)
{
	struct socket_key key = {
		.type = SOCK_STREAM, .family = AF_INET, .address = "127.0.0.1", .port = 90
	};
	struct rig *r = *state;
	bool with_fd;
	int fd;

	for (int i = 0; i < 3; i++)
		assert_true(node_primary_give(r->primary, &key, null_fd));
	assert_non_null(strstr(got(r, &with_fd), "newconn"));
	say(r, "{\"cmd\":\"NODE_HANDLE_ACK\"}"); /* the first is its own affair */
	memset(&key, 0, sizeof(key));
	for (int i = 0; i < 2; i++) {
		assert_true(node_primary_take_back(r->primary, &key, &fd));
		assert_int_equal(key.port, 90);
		assert_int_equal(close(fd), 0);
	}
	assert_false(node_primary_take_back(r->primary, &key, &fd));
}

static void what_is_handed_to_one_that_has_died_already_comes_back(void **state)
{
	struct socket_key key = {
		.type = SOCK_STREAM, .family = AF_INET, .address = "127.0.0.1", .port = 90
	};
	struct rig *r = *state;
	int fd;

	assert_int_equal(shutdown(r->worker, SHUT_RDWR), 0);
	for (int i = 0; i < 2; i++)
		assert_true(node_primary_give(r->primary, &key, null_fd));
	for (int i = 0; i < 2; i++) {
		assert_true(node_primary_take_back(r->primary, &key, &fd));
		assert_int_equal(close(fd), 0);
	}
	assert_false(node_primary_take_back(r->primary, &key, &fd));
}

static unsigned n_open(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void one_that_acknowledges_what_it_never_read_costs_few_descriptors(void **state)
{
	struct rig *r = *state;
	unsigned before = n_open();

	/* More than the channel holds; what is on its way in there the worker's end keeps. */
	for (unsigned i = 0; i < 2000; i++) {
		say(r,
		    "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"address\":\"127.0.0.1\","
		    "\"port\":90,\"addressType\":4,\"seq\":7}");
		say(r, "{\"cmd\":\"NODE_HANDLE_ACK\"}");
	}
	assert_in_range(n_open(), before, before + 2);
}

#define JOINED(key, ok) \
	"{\"cmd\":\"NODE_PMD\",\"act\":\"" PRELOAD_JOINED "\",\"key\":\"" key "\",\"ok\":" ok "}"
#define ABLE "{\"cmd\":\"NODE_PMD\",\"act\":\"" PRELOAD_ABLE "\"}"

/* It listens on port 90, and has said that it can join. Returns what it is called there. */
static const char *listen_and_be_able(struct rig *r)
{
	bool with_fd;

	say(r,
	    "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"address\":\"127.0.0.1\",\"port\":90,"
	    "\"addressType\":4,\"seq\":7}");
	assert_non_null(strchr(got(r, &with_fd), '{'));
	say(r, "{\"cmd\":\"NODE_HANDLE_ACK\"}");
	node_primary_join(r->primary);
	assert_string_equal(got(r, &with_fd), PRELOAD_ABLE_MESSAGE "\n");
	node_primary_join(r->primary); /* it is asked once */
	assert_string_equal(got(r, &with_fd), "");
	say(r, ABLE);
	return "127.0.0.1:90:2:0";
}

static void a_worker_that_can_joins_the_common_queue(void **state)
{
	struct rig *r = *state;
	const char *name = listen_and_be_able(r), *text;
	bool with_fd;

	text = got(r, &with_fd);
	assert_true(with_fd);
	assert_non_null(strstr(text, "\"cmd\":\"NODE_PMD\""));
	assert_non_null(strstr(text, "\"act\":\"" PRELOAD_JOIN "\""));
	assert_non_null(strstr(text, name));
	say(r, "{\"cmd\":\"NODE_HANDLE_ACK\"}");
	assert_false(has_joined);
	say(r, JOINED("another", "true"));
	say(r, JOINED("127.0.0.1:90:2:0", "1"));
	assert_false(has_joined);
	say(r, JOINED("127.0.0.1:90:2:0", "true"));
	assert_true(has_joined);
	node_primary_join(r->primary); /* once */
	assert_string_equal(got(r, &with_fd), "");
	assert_string_equal(r->heard, "");
	say(r, JOINED("127.0.0.1:90:2:0", "false")); /* it has no room any more */
	say(r, JOINED("127.0.0.1:90:2:0", "false"));
	assert_false(has_joined);
	assert_string_equal(got(r, &with_fd), "");
	assert_string_equal(r->heard, "left()");
	say(r, ABLE);
	assert_non_null(strstr(got(r, &with_fd), PRELOAD_JOIN));
	assert_true(with_fd);
	say(r, "{\"cmd\":\"NODE_HANDLE_ACK\"}");
	say(r, JOINED("127.0.0.1:90:2:0", "true"));
	assert_true(has_joined);
	node_primary_leave(r->primary);
	assert_string_equal(got(r, &with_fd), PRELOAD_LEAVE_MESSAGE "\n");
	assert_int_equal(n_left, 1);
	node_primary_join(r->primary); /* and again */
	assert_non_null(strstr(got(r, &with_fd), PRELOAD_JOIN));
	assert_true(with_fd);
}

static void nobody_joins_who_was_not_invited_or_must_leave(void **state)
{
	struct rig *r = *state;
	bool with_fd;

	say(r, ABLE);
	say(r, JOINED("127.0.0.1:90:2:0", "true"));
	assert_false(has_joined);
	(void)listen_and_be_able(r);
	(void)got(r, &with_fd);
	node_primary_leave(r->primary);
	assert_string_equal(got(r, &with_fd), PRELOAD_LEAVE_MESSAGE "\n");
	say(r, JOINED("127.0.0.1:90:2:0", "true")); /* they have crossed */
	assert_false(has_joined);
	assert_string_equal(got(r, &with_fd), PRELOAD_LEAVE_MESSAGE "\n");
}

static void one_that_leaves_for_good_joins_nothing(void **state)
{
	struct rig *r = *state;
	bool with_fd;

	node_primary_is_leaving(r->primary);
	node_primary_join(r->primary);
	assert_string_equal(got(r, &with_fd), "");
	node_primary_leave(r->primary);
	assert_int_equal(n_left, 0);
}

/* Its changes may come all at once. However often it changes its mind, the kernel gets a new
 * program twice a second at most. */
static void what_it_says_of_its_connections_counts_within_bounds(void **state)
{
	struct rig *r = *state;

	say(r, "{\"cmd\":\"NODE_PMD\",\"act\":\"" PRELOAD_BRIEF "\",\"on\":true}");
	assert_true(is_brief);
	say(r, "{\"cmd\":\"NODE_PMD\",\"act\":\"" PRELOAD_BRIEF "\",\"on\":false}");
	assert_false(is_brief);
	for (int i = 0; i < 18; i++)
		say(r, "{\"cmd\":\"NODE_PMD\",\"act\":\"" PRELOAD_BRIEF "\",\"on\":false}");
	say(r, "{\"cmd\":\"NODE_PMD\",\"act\":\"" PRELOAD_BRIEF "\",\"on\":true}");
	assert_false(is_brief);
	assert_string_equal(r->heard, "");
}

int main(void)
{
#define RIGGED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		RIGGED(a_worker_gets_the_socket_it_asks_for),
		RIGGED(an_address_that_it_closes_is_given_back_under_its_name),
		RIGGED(descriptors_go_out_one_at_a_time),
		RIGGED(an_address_in_use_is_said_to_worker_and_supervisor),
		RIGGED(the_first_workers_data_is_everybodys),
		RIGGED(what_is_not_the_protocols_is_the_apps),
		RIGGED(nonsense_is_answered_with_an_error_or_not_at_all),
		RIGGED(disconnect_is_nodes_own_message),
		RIGGED(a_connection_is_handed_over_as_nodes_own_primary_does),
		RIGGED(one_that_does_not_take_them_is_full_before_its_own_answers_are),
		RIGGED(without_memory_nothing_is_handed_over_and_nothing_else_is_closed),
		RIGGED(draining_is_a_message_that_node_hides),
		RIGGED(what_it_has_not_taken_when_it_dies_comes_back),
		RIGGED(what_is_handed_to_one_that_has_died_already_comes_back),
		RIGGED(one_that_acknowledges_what_it_never_read_costs_few_descriptors),
		RIGGED(a_worker_that_can_joins_the_common_queue),
		RIGGED(nobody_joins_who_was_not_invited_or_must_leave),
		RIGGED(one_that_leaves_for_good_joins_nothing),
		RIGGED(what_it_says_of_its_connections_counts_within_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
