/* The connections that an instance still answers: real sockets, and this process as the instance.
 */
#include "tests/unit/sockets_rig.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/connections.h"
#include "agent/tree.h"

#define NONCE 0x2345678u

static uint64_t own_tag;

static int set_up(void **state)
{
	const struct rlimit tag = { tree_tag(NONCE, 7, 1), tree_tag(NONCE, 7, 1) };

	own_tag = tag.rlim_cur;
	if (setrlimit(RLIMIT_RTTIME, &tag) < 0)
		return -1;
	return rig_setup(state);
}

static unsigned count(struct rig *r, uint64_t tag)
{
	struct pm_error err;
	unsigned n = 99;

	assert_int_equal(connections_count(r->s, NONCE, tag, &n, &err), 0);
	return n;
}

/* The listening socket of a key, bound to any port of the loopback. */
static int listener(struct rig *r, int family, uint32_t index, struct sockaddr_storage *at,
                    socklen_t *len)
{
	struct socket_key key = { .type = SOCK_STREAM, .family = family, .index = index };
	struct pm_error err;
	int fd, errnum;

	(void)snprintf(key.address, sizeof(key.address), "%s",
	               family == AF_INET ? "127.0.0.1" : "::1");
	assert_int_equal(sockets_get(r->s, &key, 0, 0, &fd, &errnum, &err), 0);
	*len = sizeof(*at);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, len), 0);
	return fd;
}

static int client(const void *at, socklen_t len)
{
	int fd = socket(((const struct sockaddr *)at)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, at, len), 0);
	return fd;
}

static int take(int listening)
{
	struct pollfd p = { .fd = listening, .events = POLLIN };
	int fd;

	assert_int_equal(poll(&p, 1, 10000), 1);
	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void only_what_was_accepted_and_is_open_counts(void **state)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct rig *r = *state;

	assert_int_equal(count(r, own_tag), 0); /* nothing is listened on */
	for (size_t i = 0; i < PM_COUNT(families); i++) {
		struct sockaddr_storage at;
		socklen_t len;
		int fd = listener(r, families[i], 0, &at, &len), ours[3], theirs[3];

		for (size_t k = 0; k < PM_COUNT(ours); k++)
			theirs[k] = client(&at, len);
		assert_int_equal(count(r, own_tag), 0); /* they wait */
		for (size_t k = 0; k < PM_COUNT(ours); k++)
			ours[k] = take(fd);
		assert_int_equal(count(r, own_tag), 3);
		assert_int_equal(count(r, tree_tag(NONCE, 7, 2)), 0);
		(void)close(theirs[0]); /* the client has gone, and is answered all the same */
		assert_int_equal(count(r, own_tag), 3);
		for (size_t k = 0; k < PM_COUNT(ours); k++) {
			(void)close(ours[k]);
			assert_int_equal(count(r, own_tag), 2 - k);
		}
		(void)close(theirs[1]);
		(void)close(theirs[2]);
	}
}

static void all_addresses_count_and_strangers_do_not(void **state)
{
	struct rig *r = *state;
	struct sockaddr_storage at[5], other = { .ss_family = AF_INET };
	int ours[5], theirs[5], stranger, in, out;
	socklen_t len = sizeof(struct sockaddr_in);

	for (uint32_t i = 0; i < PM_COUNT(ours); i++) {
		int fd = listener(r, i % 2 == 0 ? AF_INET : AF_INET6, i, &at[i], &len);

		theirs[i] = client(&at[i], len);
		ours[i] = take(fd);
	}
	len = sizeof(struct sockaddr_in);
	stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(stranger, (struct sockaddr *)&other, len), 0);
	assert_int_equal(listen(stranger, 1), 0);
	assert_int_equal(getsockname(stranger, (struct sockaddr *)&other, &len), 0);
	out = client(&other, len);
	in = take(stranger);
	assert_int_equal(count(r, own_tag), PM_COUNT(ours));
	for (size_t i = 0; i < PM_COUNT(ours); i++) {
		(void)close(ours[i]);
		(void)close(theirs[i]);
	}
	assert_int_equal(count(r, own_tag), 0);
	(void)close(in);
	(void)close(out);
	(void)close(stranger);
}

/* A child with another tag holds it: that is another instance's. */
static void whose_it_is_is_told_by_the_tag(void **state)
{
	struct rig *r = *state;
	const uint64_t tag =
		tree_tag(NONCE, 6, 1); /* lower: without privileges it cannot be raised */
	struct sockaddr_storage at;
	socklen_t len;
	int fd = listener(r, AF_INET, 0, &at, &len), theirs = client(&at, len), ours = take(fd);
	int ready[2], status;
	char byte = 'x';
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		const struct rlimit other = { tag, tag };
		bool fine = prlimit(0, RLIMIT_RTTIME, &other, NULL) == 0 &&
		            write(ready[1], &byte, 1) == 1;

		while (fine)
			(void)pause();
		_exit(1);
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	(void)close(ours);
	assert_int_equal(count(r, own_tag), 0);
	assert_int_equal(count(r, tag), 1);
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(count(r, tag), 0);
	(void)close(theirs);
	(void)close(ready[0]);
}

/* A client that is another instance's process; it is there until it is killed. */
static pid_t other_client(const void *at, socklen_t len)
{
	const uint64_t tag = tree_tag(NONCE, 5, 1); /* lower than any before it */
	const struct rlimit other = { tag, tag };
	int ready[2];
	char byte = 'x';
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		int fd = socket(((const struct sockaddr *)at)->sa_family, SOCK_STREAM, 0);
		bool fine = prlimit(0, RLIMIT_RTTIME, &other, NULL) == 0 &&
		            connect(fd, at, len) == 0 && write(ready[1], &byte, 1) == 1;

		while (fine)
			(void)pause();
		_exit(1);
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	(void)close(ready[0]);
	return pid;
}

static void a_unix_socket_counts_whatever_its_path_is(void **state)
{
	static const char *const names[] = { "plain", "with a space", "@abstract" };
	struct rig *r = *state;
	char folder[] = "/tmp/pmd-connections-XXXXXX";

	assert_non_null(mkdtemp(folder));
	for (size_t i = 0; i < PM_COUNT(names); i++) {
		struct socket_key key = { .type = SOCK_STREAM, .family = AF_UNIX };
		struct sockaddr_un un = { .sun_family = AF_UNIX };
		bool abstract = names[i][0] == '@';
		int fd, errnum, theirs, ours, status;
		struct pm_error err;
		socklen_t len;
		pid_t pid;

		(void)snprintf(key.address, sizeof(key.address), "%s%s%s",
		               abstract ? names[i] : folder, abstract ? folder : "/",
		               abstract ? "" : names[i]);
		memcpy(un.sun_path, key.address, sizeof(un.sun_path));
		len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(key.address) +
		                  !abstract);
		if (abstract)
			un.sun_path[0] = '\0';
		assert_int_equal(sockets_get(r->s, &key, 0, 0, &fd, &errnum, &err), 0);
		pid = other_client(&un, len);
		assert_int_equal(count(r, own_tag), 0);
		ours = take(fd);
		assert_int_equal(count(r, own_tag), 1);
		(void)close(ours);
		assert_int_equal(count(r, own_tag), 0);
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		theirs = client(&un, len); /* what it has with itself */
		ours = take(fd);
		assert_int_equal(count(r, own_tag), 0);
		(void)close(theirs); /* nobody is at the other end */
		assert_int_equal(count(r, own_tag), 1);
		(void)close(ours);
		(void)unlink(key.address);
	}
	assert_int_equal(rmdir(folder), 0);
}

static void running_out_of_memory_fails_or_counts(void **state)
{
	struct rig *r = *state;
	struct sockaddr_storage at;
	socklen_t len;
	int fd = listener(r, AF_INET, 0, &at, &len), theirs = client(&at, len), ours = take(fd);
	struct pm_error err;
	unsigned n;

	for (unsigned i = 1; i < 4; i++) {
		pm_alloc_fail_at(i);
		n = 0;
		if (connections_count(r->s, NONCE, own_tag, &n, &err) == 0)
			assert_true(n <= 1);
		pm_alloc_fail_at(0);
	}
	(void)close(ours);
	(void)close(theirs);
}

int main(void)
{
#define RIGGED(test) cmocka_unit_test_setup_teardown(test, set_up, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIGGED(only_what_was_accepted_and_is_open_counts),
		RIGGED(all_addresses_count_and_strangers_do_not),
		RIGGED(whose_it_is_is_told_by_the_tag),
		RIGGED(a_unix_socket_counts_whatever_its_path_is),
		RIGGED(running_out_of_memory_fails_or_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
