/* The files of agent/version_files.h in a real directory, with faults at every step. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/version_files.h"
#include "proto/failpoint.h"
#include "proto/spec.h"

static char home[64];

static void clear(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);
	char inner[400];

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		(void)snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		if (unlink(inner) < 0)
			clear(inner);
	}
	if (dir != NULL)
		(void)closedir(dir);
	(void)rmdir(path);
}

static int make_home(void **state)
{
	(void)state;
	(void)snprintf(home, sizeof(home), "/tmp/pmd-specs.XXXXXX");
	return mkdtemp(home) == NULL ? -1 : 0;
}

static int remove_home(void **state)
{
	(void)state;
	clear(home);
	return 0;
}

static struct version make(const char *app, unsigned n)
{
	PM_SPEC *spec = NULL;
	struct spec_hash hash = { { (uint8_t)n, (uint8_t)(n >> 8), 1 } };
	struct version v = { .len = 0 };
	struct pm_error err;

	if (n == 0)
		return v;
	assert_int_equal(spec_create(&spec, &err), 0);
	assert_int_equal(spec_put_str(&spec->name, app, &err), 0);
	assert_int_equal(version_make(spec, &hash, "", "", n, &v, &err), 0);
	return v;
}

/* 0: none */
static struct version_job *job(const char *app, unsigned before, unsigned after)
{
	struct version_job *j = pm_calloc(1, sizeof(*j));

	assert_non_null(j);
	(void)snprintf(j->app, sizeof(j->app), "%s", app);
	j->before = make(app, before);
	j->after = make(app, after);
	return j;
}

static void free_job(struct version_job *j)
{
	version_finish(&j->before);
	version_finish(&j->after);
	free(j);
}

static struct version_report write_jobs(struct version_job *jobs)
{
	struct version_report report;

	version_files_write(home, jobs, NULL, 0, &report);
	while (jobs != NULL) {
		struct version_job *j = jobs;

		jobs = j->next;
		free_job(j);
	}
	return report;
}

static void must_write(const char *app, unsigned before, unsigned after)
{
	struct version_report report = write_jobs(job(app, before, after));

	assert_string_equal(report.words, "");
	assert_int_equal(report.n_failed, 0);
}

/* The numbers of an app's versions, newest first: "3 2 1". */
static const char *numbers(const char *app)
{
	static char text[200];
	char damaged[VERSION_DAMAGE_MAX];
	struct versions v;
	struct pm_error err;
	int len = 0;

	text[0] = '\0';
	assert_int_equal(version_files_read(home, app, &v, damaged, &err), 0);
	assert_string_equal(damaged, "");
	for (size_t i = 0; i < v.n; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%s%u", i == 0 ? "" : " ",
		                v.list[i].hash.bytes[0]);
	versions_finish(&v);
	return text;
}

static void path_of(const char *app, char path[200])
{
	char name[VERSION_FILE_NAME];

	version_file_name(app, name);
	(void)snprintf(path, 200, "%s/state/specs/%s", home, name);
}

static size_t count(const char *part)
{
	char path[128];
	struct dirent *entry;
	size_t n = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/state/specs", home);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		n += entry->d_name[0] != '.' && strstr(entry->d_name, part) != NULL;
	(void)closedir(dir);
	return n;
}

static void what_it_had_and_what_it_gets_are_kept(void **state)
{
	struct version_job *first = job("api", 0, 4);
	char path[200];
	struct stat st;

	(void)state;
	assert_string_equal(numbers("api"), "");
	must_write("api", 0, 1);
	must_write("api", 1, 2);
	must_write("api", 7, 3); /* nobody had written 7 down */
	assert_string_equal(numbers("api"), "3 7 2 1");
	/* Of several of one app, and of others, in one go. */
	first->next = job("../etc/passwd", 0, 9);
	first->next->next = job("api", 4, 5);
	assert_int_equal(write_jobs(first).n_failed, 0);
	assert_string_equal(numbers("api"), "5 4 3 7 2 1");
	assert_string_equal(numbers("../etc/passwd"), "9");
	must_write("api", 5, 0); /* it is deleted */
	assert_string_equal(numbers("api"), "5 4 3 7 2 1");
	path_of("api", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(count(""), 2);
}

static void a_damaged_file_is_put_aside_and_said(void **state)
{
	char path[200], damaged[VERSION_DAMAGE_MAX];
	struct version_report report;
	struct versions v;
	struct pm_error err;
	int fd;

	(void)state;
	must_write("api", 0, 1);
	path_of("api", path);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "\xff\xff", 2, 70), 2);
	(void)close(fd);
	report = write_jobs(job("api", 1, 2));
	assert_int_equal(report.n_failed, 0);
	assert_non_null(strstr(report.words, "versions of api: its checksum is wrong; kept as"));
	assert_string_equal(numbers("api"), "2 1");
	assert_int_equal(count(".corrupt-"), 1);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(version_files_read(home, "api", &v, damaged, &err), 0);
	assert_int_equal(v.n, 0);
	assert_non_null(strstr(damaged, "it is empty"));
}

static void a_link_is_followed_by_nobody(void **state)
{
	char path[200], damaged[VERSION_DAMAGE_MAX];
	struct versions v;
	struct pm_error err;

	(void)state;
	must_write("api", 0, 1);
	path_of("api", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/hostname", path), 0);
	assert_int_equal(version_files_read(home, "api", &v, damaged, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	assert_int_equal(write_jobs(job("api", 1, 2)).n_failed, 1);
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/state/specs", home);
	clear(path);
	assert_int_equal(symlink("/tmp", path), 0);
	assert_int_equal(version_files_read(home, "api", &v, damaged, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
}

/* P12: of apps that are there no more the oldest go first. */
static void what_is_too_much_goes(void **state)
{
	char path[200], live[1][VERSION_FILE_NAME], name[PM_NAME_MAX];
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	struct version_report report;
	struct version_job *j;
	int fd;

	(void)state;
	must_write("live", 0, 1);
	must_write("gone", 0, 1);
	version_file_name("live", live[0]);
	path_of("live", path);
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0); /* the oldest of all */
	for (unsigned i = 0; i <= PM_VERSIONS_FILES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "%s/state/specs/%08u", home, i);
		fd = open(name, O_WRONLY | O_CREAT, 0600);
		assert_true(fd >= 0);
		old[0].tv_sec = old[1].tv_sec = 2000 + i;
		assert_int_equal(futimens(fd, old), 0);
		(void)close(fd);
	}
	j = job("new", 0, 1);
	version_files_write(home, j, live, 1, &report);
	free_job(j);
	assert_int_equal(count(""), PM_VERSIONS_FILES_MAX);
	assert_string_equal(numbers("live"), "1");
	assert_string_equal(numbers("gone"), "1");
	assert_string_equal(numbers("new"), "1");
	assert_int_equal(count("00000003"), 0);
	assert_int_equal(count("00000004"), 1);
}

#ifdef PM_FAILPOINTS
static const char *const steps[] = { "specs.read", "specs.open", "specs.write", "specs.fsync",
	                             "specs.rename" };

static int write_in_child(const char *point, const char *action, unsigned n_apps)
{
	struct version_job *jobs = NULL;
	struct pm_error err;
	char spec[96], app[16];
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)snprintf(spec, sizeof(spec), "%s=%s", point, action);
		if (pm_failpoint_arm(spec, &err) < 0)
			_exit(3);
		for (unsigned i = 0; i < n_apps; i++) {
			struct version_job *one;

			(void)snprintf(app, sizeof(app), "app-%u", i);
			one = job(app, 1, 2);
			one->next = jobs;
			jobs = one;
		}
		_exit(write_jobs(jobs).n_failed > 0 ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* One app, and so many that they are flushed together: every file is the one before or the next. */
static void x12_death_at_any_step_leaves_whole_files(void **state)
{
	static const unsigned sizes[] = { 1, 12 };
	char app[16];

	for (size_t i = 0; i < PM_COUNT(steps); i++)
		for (size_t k = 0; k < PM_COUNT(sizes); k++) {
			assert_int_equal(make_home(state), 0);
			for (unsigned n = 0; n < sizes[k]; n++) {
				(void)snprintf(app, sizeof(app), "app-%u", n);
				must_write(app, 0, 1);
			}
			assert_true(WIFSIGNALED(write_in_child(steps[i], "kill", sizes[k])));
			for (unsigned n = 0; n < sizes[k]; n++) {
				const char *got;

				(void)snprintf(app, sizeof(app), "app-%u", n);
				got = numbers(app);
				assert_true(strcmp(got, "1") == 0 || strcmp(got, "2 1") == 0);
				must_write(app, 1, 2);
				assert_string_equal(numbers(app), "2 1");
			}
			assert_int_equal(count(".tmp"), 0);
			assert_int_equal(remove_home(state), 0);
		}
}

static void x12_an_error_at_any_step_is_said_and_keeps_the_file(void **state)
{
	for (size_t i = 0; i < PM_COUNT(steps); i++) {
		int status;

		assert_int_equal(make_home(state), 0);
		must_write("app-0", 0, 1);
		status = write_in_child(steps[i], "EIO", 1);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 1);
		assert_string_equal(numbers("app-0"), "1");
		must_write("app-0", 1, 2);
		assert_string_equal(numbers("app-0"), "2 1");
		assert_int_equal(remove_home(state), 0);
	}
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_it_had_and_what_it_gets_are_kept, make_home,
		                                remove_home),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_put_aside_and_said, make_home,
		                                remove_home),
		cmocka_unit_test_setup_teardown(a_link_is_followed_by_nobody, make_home,
		                                remove_home),
		cmocka_unit_test_setup_teardown(what_is_too_much_goes, make_home, remove_home),
#ifdef PM_FAILPOINTS
		cmocka_unit_test(x12_death_at_any_step_leaves_whole_files),
		cmocka_unit_test(x12_an_error_at_any_step_is_said_and_keeps_the_file),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
