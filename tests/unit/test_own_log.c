#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/own_log.h"
#include "proto/limits.h"
#include "proto/log.h"

static char home[] = "/tmp/pmd-log-XXXXXX";
static char path[64], old[64];

static void assert_holds(const char *file, const char *words)
{
	char text[512] = "";
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	off_t size;
	ssize_t n;

	assert_true(fd >= 0);
	size = lseek(fd, 0, SEEK_END);
	n = pread(fd, text, sizeof(text) - 1, size > 400 ? size - 400 : 0);
	assert_true(n > 0);
	(void)close(fd);
	if (memmem(text, (size_t)n, words, strlen(words)) == NULL)
		fail_msg("%s has no %s: %s", file, words, text);
}

static void it_follows_rotation_by_size_and_by_others(void **state)
{
	struct stat st;
	struct pm_error err;
	int fd;

	(void)state;
	assert_int_equal(own_log_open(home, false, "test", false, &err), 0);
	fd = own_log_fd();
	pm_log(PM_LOG_INFO, "one", "x=1");
	own_log_check();
	assert_holds(path, "info test one x=1");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(access(old, F_OK), -1);

	assert_int_equal(truncate(path, PM_OWN_LOG_MAX), 0);
	pm_log(PM_LOG_INFO, "two", "x=2");
	own_log_check();
	pm_log(PM_LOG_INFO, "three", "x=3");
	assert_holds(old, "two x=2");
	assert_holds(path, "three x=3");

	/* The other process, or an administrator, has moved it. */
	assert_int_equal(rename(path, old), 0);
	own_log_check();
	pm_log(PM_LOG_INFO, "four", "x=4");
	assert_holds(path, "four x=4");
	assert_int_equal(own_log_fd(), fd);
}

static void a_link_in_its_place_is_refused(void **state)
{
	struct pm_error err;

	(void)state;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(own_log_open(home, false, "test", false, &err), -1);
	pm_log_to(STDERR_FILENO, "test");
}

static int set_up(void **state)
{
	(void)state;
	if (mkdtemp(home) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/pmd.log", home);
	(void)snprintf(old, sizeof(old), "%s/pmd.log.1", home);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlink(path);
	(void)unlink(old);
	return rmdir(home);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_follows_rotation_by_size_and_by_others),
		cmocka_unit_test(a_link_in_its_place_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
