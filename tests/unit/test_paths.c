#include "tests/unit/unit.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"
#include "proto/paths.h"

/* A private directory, removed with what the tests make in it. */
static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/pm-paths-XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
	char cmd[128];

	(void)state;
	(void)snprintf(cmd, sizeof(cmd), "/bin/rm -rf '%s'", dir);
	return system(cmd);
}

static void the_home_is_the_option_else_the_environment_else_the_default(void **state)
{
	static const struct {
		const char *opt, *pmd, *pm2;
		bool as_pm2;
		const char *want;
	} cases[] = {
		{ "/a/b/", "/x", "/y", false, "/a/b" }, { NULL, "/x", "/y", false, "/x" },
		{ NULL, "/x", "/y//", true, "/y" },     { NULL, NULL, "/y", false, "/h/.pmd" },
		{ NULL, "/x", NULL, true, "/h/.pm2" },  { "", "", NULL, false, "/h/.pmd" },
		{ "/", NULL, NULL, false, "/" },        { "rel", NULL, NULL, false, "/rel" },
	};
	char out[PM_PATH_MAX];
	struct pm_error err;

	(void)state;
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(setenv("HOME", "/h", 1), 0);
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		assert_int_equal(unsetenv("PMD_HOME"), 0);
		assert_int_equal(unsetenv("PM2_HOME"), 0);
		if (cases[i].pmd != NULL)
			assert_int_equal(setenv("PMD_HOME", cases[i].pmd, 1), 0);
		if (cases[i].pm2 != NULL)
			assert_int_equal(setenv("PM2_HOME", cases[i].pm2, 1), 0);
		assert_int_equal(
			pm_home_resolve(cases[i].opt, cases[i].as_pm2, out, sizeof(out), &err), 0);
		if (strcmp(out, cases[i].want) != 0)
			fail_msg("case %zu: %s", i, out);
	}
	assert_int_equal(pm_home_resolve("/long/name", false, out, 9, &err), -1);
	assert_int_equal(err.code, PM_CONFIG);
}

static void a_home_is_made_private_with_its_directories(void **state)
{
	char path[128];
	struct pm_error err;
	struct stat st;
	int fd = -1;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/one/two/home", dir);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(pm_home_open(path, &fd, &err), 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
		assert_int_equal(fstatat(fd, PM_HOME_STATE_DIR, &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
		assert_int_equal(faccessat(fd, PM_HOME_LOGS_DIR, F_OK, 0), 0);
		assert_int_equal(faccessat(fd, PM_HOME_PIDS_DIR, F_OK, 0), 0);
		assert_int_equal(close(fd), 0);
	}
}

/* X-17, S-13 */
static void a_home_that_others_may_change_is_refused(void **state)
{
	char home[128], link[128], path[160];
	struct pm_error err;
	int fd = -1;

	(void)state;
	(void)snprintf(home, sizeof(home), "%s/h", dir);
	assert_int_equal(pm_home_open(home, &fd, &err), 0);
	assert_int_equal(close(fd), 0);

	(void)snprintf(link, sizeof(link), "%s/link", dir);
	assert_int_equal(symlink(home, link), 0);
	assert_int_equal(pm_home_open(link, &fd, &err), -1);
	assert_int_equal(err.code, PM_DENIED);

	assert_int_equal(chmod(home, 0770), 0);
	assert_int_equal(pm_home_open(home, &fd, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	assert_non_null(strstr(err.hint, "chmod 700"));
	assert_int_equal(chmod(home, 0755), 0); /* may be read: PM2 makes its home like that */
	assert_int_equal(pm_home_open(home, &fd, &err), 0);
	assert_int_equal(close(fd), 0);

	(void)snprintf(path, sizeof(path), "%s/%s", home, PM_HOME_STATE_DIR);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink(dir, path), 0);
	assert_int_equal(pm_home_open(home, &fd, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
}

static void a_home_of_another_user_is_refused(void **state)
{
	char home[128];
	struct pm_error err;
	int fd = -1;

	(void)state;
	(void)snprintf(home, sizeof(home), "%s/foreign", dir);
	assert_int_equal(mkdir(home, 0700), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(home, 12345, 12345), 0);
	else /* only root can give a directory away, but "/" is nobody else's either */
		(void)snprintf(home, sizeof(home), "/");
	assert_int_equal(pm_home_open(home, &fd, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	assert_non_null(strstr(err.what, "belongs to uid"));
}

static void a_long_path_goes_through_a_descriptor(void **state)
{
	char home[256];
	struct sockaddr_un addr;
	struct pm_error err;
	socklen_t len;
	int via = -1;

	(void)state;
	assert_int_equal(pm_home_address("/short", PM_HOME_SOCKET, &addr, &len, &via, &err), 0);
	assert_int_equal(via, -1);
	assert_string_equal(addr.sun_path, "/short/agent.sock");

	(void)snprintf(home, sizeof(home), "%s/%0*d", dir, 120, 0);
	assert_int_equal(mkdir(home, 0700), 0);
	assert_int_equal(pm_home_address(home, PM_HOME_SOCKET, &addr, &len, &via, &err), 0);
	assert_true(via >= 0);
	assert_int_equal(strncmp(addr.sun_path, "/proc/self/fd/", 14), 0);
	assert_int_equal(close(via), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_home_is_the_option_else_the_environment_else_the_default),
		cmocka_unit_test(a_home_is_made_private_with_its_directories),
		cmocka_unit_test(a_home_that_others_may_change_is_refused),
		cmocka_unit_test(a_home_of_another_user_is_refused),
		cmocka_unit_test(a_long_path_goes_through_a_descriptor),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
