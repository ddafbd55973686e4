#include "tests/unit/unit.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/notify.h"

static int listen_at(const char *path, size_t len)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, path, len);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr,
	                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
	                 0);
	return fd;
}

static void assert_next(int fd, const char *want)
{
	char text[256] = "";

	assert_true(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) > 0);
	if (strncmp(text, want, strlen(want)) != 0)
		fail_msg("%s is not %s", text, want);
}

static void states_reach_a_socket_in_the_file_system(void **state)
{
	char path[64];
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/pmd-notify-%d", (int)getpid());
	fd = listen_at(path, strlen(path) + 1);
	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
	assert_true(notify_send("READY=1\nMAINPID=%d", 42));
	assert_next(fd, "READY=1\nMAINPID=42");
	notify_reloading();
	assert_next(fd, "RELOADING=1\nMONOTONIC_USEC=");
	(void)close(fd);
	assert_int_equal(unlink(path), 0);
	assert_false(notify_send("READY=1"));
}

static void states_reach_an_abstract_socket(void **state)
{
	char name[64];
	int fd;

	(void)state;
	(void)snprintf(name, sizeof(name), "@pmd-notify-%d", (int)getpid());
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	name[0] = '\0';
	fd = listen_at(name, 1 + strlen(name + 1));
	assert_true(notify_send("STOPPING=1"));
	assert_next(fd, "STOPPING=1");
	(void)close(fd);
}

static void nobody_asked_or_not_in_a_way_we_know(void **state)
{
	static const char *const bad[] = { "", "/", "relative", "vsock:2:1" };

	(void)state;
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	assert_false(notify_send("READY=1"));
	for (size_t i = 0; i < PM_COUNT(bad); i++) {
		assert_int_equal(setenv("NOTIFY_SOCKET", bad[i], 1), 0);
		assert_false(notify_send("READY=1"));
	}
}

static void the_watchdog_is_fed_twice_as_often_as_asked(void **state)
{
	static const struct {
		const char *usec;
		uint64_t ms;
	} rows[] = { { "30000000", 15000 }, { "1000", 0 }, { "x", 0 }, { "5s", 0 } };

	(void)state;
	assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
	assert_int_equal(notify_watchdog_ms(), 0);
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		assert_int_equal(setenv("WATCHDOG_USEC", rows[i].usec, 1), 0);
		assert_int_equal(notify_watchdog_ms(), rows[i].ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_reach_a_socket_in_the_file_system),
		cmocka_unit_test(states_reach_an_abstract_socket),
		cmocka_unit_test(nobody_asked_or_not_in_a_way_we_know),
		cmocka_unit_test(the_watchdog_is_fed_twice_as_often_as_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
