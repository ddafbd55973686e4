#include "tests/unit/sockets_rig.h"

#include <sys/wait.h>

#include "agent/listen_fds.h"
#include "agent/spawn.h"

static void names_are_as_systemd_gives_them(void **state)
{
	char one[] = "web=tcp://:80", two[] = "unix:///run/x.sock", three[] = "dns=udp://[::1]:53";
	char *list[] = { one, two, three };
	struct listen_fds l;
	struct pm_error err;
	const char *pid;
	char fds[8];

	(void)state;
	assert_int_equal(listen_fds_init(&l, list, 3, &err), 0);
	assert_string_equal(l.names, "web:unknown:dns");
	listen_fds_env(&l, fds, sizeof(fds), &pid);
	assert_string_equal(fds, "3");
	assert_string_equal(pid, "          ");
	assert_true(l.keys[0].dual && l.keys[0].declared && l.keys[0].family == AF_INET6);
	assert_int_equal(l.keys[1].family, AF_UNIX);
	assert_int_equal(l.keys[2].type, SOCK_DGRAM);
	assert_int_equal(listen_fds_init(&l, list, 0, &err), 0);
	assert_string_equal(l.names, "");
	one[0] = ':';
	assert_int_equal(listen_fds_init(&l, list, 1, &err), -1);
}

static void too_many_are_refused(void **state)
{
	char one[] = "tcp://:80";
	char *list[PM_LISTEN_MAX + 1];
	struct listen_fds l;
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(list); i++)
		list[i] = one;
	assert_int_equal(listen_fds_init(&l, list, PM_COUNT(list), &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
}

/* A port that was free a moment ago. */
static unsigned free_port(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 addr;
	socklen_t len = sizeof(addr);

	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	(void)close(fd);
	return ntohs(addr.sin6_port);
}

static const char program[] =
	"import os, socket\n"
	"assert int(os.environ['LISTEN_PID']) == os.getpid(), os.environ['LISTEN_PID']\n"
	"assert os.environ['LISTEN_FDS'] == '1'\n"
	"s = socket.socket(fileno=3)\n"
	"assert os.get_blocking(3)\n"
	"c, _ = s.accept()\n"
	"c.sendall(os.environ['LISTEN_PID'].encode())\n";

static void a_program_finds_its_socket_and_its_pid(void **state)
{
	char url[32], n[16], names[sizeof(((struct listen_fds *)0)->names) + 16],
		pid[] = SPAWN_LISTEN_PID, answer[16] = "", want[16];
	char *list[] = { url };
	const char *const argv[] = { "python3", "-c", program, NULL };
	const char *envp[] = { n, names, pid, NULL };
	struct spawn_plan plan = { .path = "/usr/bin/python3",
		                   .argv = argv,
		                   .envp = envp,
		                   .uid = (uid_t)-1,
		                   .gid = (gid_t)-1,
		                   .umask = -1,
		                   .child_fds = { 3, 2 },
		                   .n_child_fds = 2 };
	int fds[PM_LISTEN_MAX], client, status;
	struct spawn_result result;
	struct rig *r = *state;
	struct listen_fds l;
	struct pm_error err;
	struct sockaddr_in6 addr;
	socklen_t len = sizeof(addr);

	(void)snprintf(url, sizeof(url), "tcp://:%u", free_port());
	assert_int_equal(listen_fds_init(&l, list, 1, &err), 0);
	if (listen_fds_get(&l, r->s, 0, 0, fds, &err) < 0)
		fail_msg("%s", err.what);
	(void)snprintf(n, sizeof(n), "LISTEN_FDS=%zu", l.n);
	(void)snprintf(names, sizeof(names), "LISTEN_FDNAMES=%s", l.names);
	{
		const int child[] = { fds[0], 2 };
		const struct spawn_request request = { &plan, child, -1, NULL };

		assert_int_equal(spawn_init(), 0);
		spawn_child(&request, &result);
	}
	assert_int_equal(result.error, 0);
	assert_int_equal(getsockname(fds[0], (struct sockaddr *)&addr, &len), 0);
	client = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&addr, len), 0);
	assert_true(read(client, answer, sizeof(answer) - 1) > 0);
	(void)snprintf(want, sizeof(want), "%d", (int)result.pid);
	assert_string_equal(answer, want);
	(void)close(client);
	assert_int_equal(waitpid(result.pid, &status, 0), result.pid);
	assert_int_equal(status, 0);
	(void)close(result.pidfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_as_systemd_gives_them),
		cmocka_unit_test(too_many_are_refused),
		cmocka_unit_test_setup_teardown(a_program_finds_its_socket_and_its_pid, rig_setup,
		                                rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
