/* test_state_file.c - the files of agent/state.h in a real directory, with faults at every step. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sodium.h>

#include "agent/state.h"
#include "agent/state_frame.h"
#include "proto/failpoint.h"

static char home[64];

static int make_home(void **state)
{
	(void)state;
	(void)snprintf(home, sizeof(home), "/tmp/pmd-state.XXXXXX");
	return mkdtemp(home) == NULL ? -1 : 0;
}

static int remove_home(void **state)
{
	char path[400];
	struct dirent *entry;
	DIR *dir;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/state", home);
	if (unlink(path) < 0) { /* a directory, but for the test of links */
		dir = opendir(path);
		while (dir != NULL && (entry = readdir(dir)) != NULL) {
			(void)snprintf(path, sizeof(path), "%s/state/%s", home, entry->d_name);
			(void)remove(path);
		}
		if (dir != NULL)
			(void)closedir(dir);
		(void)snprintf(path, sizeof(path), "%s/state", home);
		(void)rmdir(path);
	}
	return rmdir(home);
}

static void path_of(const char *name, char path[128])
{
	(void)snprintf(path, 128, "%s/state/%s", home, name);
}

/* Write a generation; its number also stands in next_id, so that contents can be told apart. */
static int save(uint32_t generation, struct pm_error *err)
{
	Pm__AppSpec spec = PM__APP_SPEC__INIT;
	Pm__SavedApp app = PM__SAVED_APP__INIT;
	const Pm__SavedApp *const apps[] = { &app };
	char name[] = "api";
	PM_BUF b = { 0 };

	spec.name = name;
	app.spec = &spec;
	if (state_encode(apps, 1, generation, generation, 0, &b, err) < 0)
		return -1;
	return state_write(home, STATE_AUTOSAVE, (const uint8_t *)b.bytes, b.len, err);
}

static void must_save(uint32_t generation)
{
	struct pm_error err = { 0 };

	if (save(generation, &err) < 0)
		fail_msg("save %u: %s", generation, err.what);
}

/* Load, check that what came is whole, and give its generation; 0: none. */
static uint64_t load(struct state_load_report *report)
{
	struct pm_error err = { 0 };
	struct state_set set = { 0 };
	uint64_t generation;

	if (state_load(home, STATE_AUTOSAVE, &set, report, &err) < 0)
		fail_msg("load: %s", err.what);
	generation = set.generation;
	assert_int_equal(set.next_id, generation);
	assert_int_equal(set.n_apps, generation == 0 ? 0 : 1);
	state_set_finish(&set);
	return generation;
}

static void spoil(const char *name, const char *bytes, size_t len)
{
	char path[128];
	int fd;

	path_of(name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(close(fd), 0);
}

static bool exists(const char *name)
{
	struct stat st;
	char path[128];

	path_of(name, path);
	return lstat(path, &st) == 0;
}

static size_t count(const char *prefix)
{
	char path[128];
	struct dirent *entry;
	size_t n = 0;
	DIR *dir;

	path_of("", path);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		n += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
	(void)closedir(dir);
	return n;
}

static void a_new_home_has_no_state_and_that_is_no_error(void **state)
{
	struct state_load_report report;

	(void)state;
	assert_int_equal(load(&report), 0);
	assert_false(report.found);
	assert_string_equal(report.words, "");
}

static void the_last_generation_is_loaded_and_the_one_before_kept(void **state)
{
	struct state_load_report report;
	struct stat st;
	char path[128];

	(void)state;
	for (uint32_t i = 1; i <= 3; i++) {
		must_save(i);
		assert_int_equal(load(&report), i);
		assert_true(report.found);
		assert_false(report.fell_back);
		assert_string_equal(report.words, "");
	}
	path_of("apps", path);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(load(&report), 2);
	assert_int_equal(count("apps"), 1);
}

static void x16_a_damaged_newest_falls_back_is_kept_and_told(void **state)
{
	struct state_load_report report;

	(void)state;
	must_save(1);
	must_save(2);
	spoil("apps", "junk", 4);
	assert_int_equal(load(&report), 1);
	assert_true(report.fell_back);
	assert_non_null(strstr(report.words, "apps: only 4 bytes long; kept as apps.corrupt-2"));
	assert_false(exists("apps"));
	assert_int_equal(count("apps.corrupt-"), 1);
	must_save(3);
	assert_int_equal(load(&report), 3);
	assert_string_equal(report.words, "");
}

static void x16_a_damaged_old_generation_is_told_and_does_no_harm(void **state)
{
	struct state_load_report report;

	(void)state;
	must_save(1);
	must_save(2);
	spoil("apps.prev", "", 0);
	assert_int_equal(load(&report), 2);
	assert_false(report.fell_back);
	assert_non_null(strstr(report.words, "apps.prev: only 0 bytes long"));
}

static void x16_no_valid_generation_is_an_error_until_somebody_acts(void **state)
{
	struct state_load_report report = { 0 };
	struct state_set set = { 0 };
	struct pm_error err;
	char words[256];

	(void)state;
	must_save(1);
	must_save(2);
	spoil("apps", "junk", 4);
	spoil("apps.prev", "junk", 4);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(state_load(home, STATE_AUTOSAVE, &set, &report, &err), -1);
		assert_int_equal(err.code, PM_CORRUPT);
		assert_true(exists("apps") && exists("apps.prev"));
	}
	assert_int_equal(state_put_aside(home, STATE_AUTOSAVE, words, sizeof(words), &err), 0);
	assert_non_null(strstr(words, "apps is now apps.corrupt-"));
	assert_non_null(strstr(words, "apps.prev is now apps.corrupt-"));
	assert_int_equal(load(&report), 0);
	assert_int_equal(count("apps.corrupt-"), 2);
}

static void at_most_five_damaged_files_are_kept(void **state)
{
	struct state_load_report report;
	char name[64];

	(void)state;
	must_save(1);
	must_save(2);
	for (int i = 0; i < 9; i++) {
		(void)snprintf(name, sizeof(name), "apps.corrupt-2020010%dT000000", i);
		spoil(name, "old", 3);
	}
	spoil("apps", "junk", 4);
	assert_int_equal(load(&report), 1);
	assert_int_equal(count("apps.corrupt-"), STATE_ASIDE_MAX);
	assert_false(exists("apps.corrupt-20200104T000000"));
	assert_true(exists("apps.corrupt-20200105T000000"));
}

/* A file of a newer format: ours with a higher version and a checksum that is right. */
static void spoil_with_newer(const char *name)
{
	uint8_t bytes[56] = "PMSTATE\n";
	crypto_generichash_state hash;

	bytes[11] = STATE_MAJOR + 1;
	(void)crypto_generichash_init(&hash, NULL, 0, 32);
	(void)crypto_generichash_update(&hash, bytes, 24);
	(void)crypto_generichash_final(&hash, bytes + 24, 32);
	spoil(name, (const char *)bytes, sizeof(bytes));
}

static void x09_a_newer_format_is_refused_and_left_alone(void **state)
{
	struct state_load_report report = { 0 };
	struct state_set set = { 0 };
	struct pm_error err;

	(void)state;
	must_save(1);
	must_save(2);
	spoil_with_newer("apps");
	assert_int_equal(state_load(home, STATE_AUTOSAVE, &set, &report, &err), -1);
	assert_int_equal(err.code, PM_UNSUPPORTED);
	assert_true(exists("apps") && exists("apps.prev"));
	assert_int_equal(count("apps"), 2);
}

static void x17_links_and_other_things_are_refused(void **state)
{
	struct state_load_report report = { 0 };
	struct state_set set = { 0 };
	struct pm_error err;
	char path[128];

	(void)state;
	must_save(1);
	path_of("apps", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(state_load(home, STATE_AUTOSAVE, &set, &report, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(state_load(home, STATE_AUTOSAVE, &set, &report, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	assert_int_equal(unlink(path), 0);
	path_of("apps.tmp", path);
	assert_int_equal(symlink("/etc/pmd-must-not-appear", path), 0);
	must_save(2);
	assert_int_equal(access("/etc/pmd-must-not-appear", F_OK), -1);
	assert_int_equal(load(&report), 2);
}

static void x17_a_state_directory_that_is_a_link_is_refused(void **state)
{
	struct pm_error err;
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/state", home);
	assert_int_equal(symlink("/tmp", path), 0);
	assert_int_equal(save(1, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
}

static void x35_the_last_written_wins_whatever_its_number(void **state)
{
	struct state_load_report report;

	(void)state;
	must_save(9);
	must_save(4);
	assert_int_equal(load(&report), 4);
	assert_false(report.fell_back);
}

static void cleardump_leaves_nothing_to_load(void **state)
{
	struct state_load_report report;
	struct pm_error err;

	(void)state;
	must_save(1);
	must_save(2);
	assert_int_equal(state_remove(home, STATE_AUTOSAVE, &err), 0);
	assert_int_equal(load(&report), 0);
	assert_int_equal(state_remove(home, STATE_AUTOSAVE, &err), 0);
}

#ifdef PM_FAILPOINTS
static const char *const steps[] = {
	"state.open",       "state.after_open",      "state.write",  "state.after_write",
	"state.fsync",      "state.after_fsync",     "state.close",  "state.keep",
	"state.after_link", "state.after_keep",      "state.rename", "state.after_rename",
	"state.fsync_dir",  "state.after_fsync_dir",
};

/* Save generation 3 in a child with a fail point armed; returns its wait status. */
static int save_in_child(const char *point, const char *action)
{
	struct pm_error err;
	char spec[96];
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)snprintf(spec, sizeof(spec), "%s=%s", point, action);
		if (pm_failpoint_arm(spec, &err) < 0)
			_exit(3);
		_exit(save(3, &err) < 0 ? err.code == PM_NO_SPACE ? 2 : 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void x12_death_at_any_step_leaves_a_whole_generation(void **state)
{
	struct state_load_report report;
	uint64_t got;
	int status;

	for (size_t i = 0; i < PM_COUNT(steps); i++) {
		assert_int_equal(make_home(state), 0);
		must_save(1);
		must_save(2);
		status = save_in_child(steps[i], "kill");
		assert_true(WIFSIGNALED(status)); /* the point was passed */
		got = load(&report);
		print_message("killed at %s: generation %u\n", steps[i], (unsigned)got);
		assert_true(got == 2 || got == 3);
		assert_false(report.fell_back);
		must_save(4); /* and whatever was left over does not disturb the next save */
		must_save(5);
		assert_int_equal(load(&report), 5);
		assert_int_equal(count("apps"), 2);
		assert_int_equal(remove_home(state), 0);
	}
}

static void x12_an_error_at_any_step_fails_the_save_and_keeps_a_generation(void **state)
{
	static const char *const errors[] = { "ENOSPC", "EIO" };
	struct state_load_report report;
	uint64_t got;
	int status;

	for (size_t i = 0; i < PM_COUNT(steps); i++)
		for (size_t e = 0; e < PM_COUNT(errors); e++) {
			assert_int_equal(make_home(state), 0);
			must_save(1);
			must_save(2);
			status = save_in_child(steps[i], errors[e]);
			assert_true(WIFEXITED(status));
			/* the reason is told; X-13: EIO of fsync is a failed save */
			assert_int_equal(WEXITSTATUS(status), e == 0 ? 2 : 1);
			got = load(&report);
			assert_true(got == 2 || got == 3);
			assert_false(exists("apps.tmp"));
			must_save(4);
			assert_int_equal(load(&report), 4);
			assert_int_equal(count("apps"), 2);
			assert_int_equal(remove_home(state), 0);
		}
}
#endif

#define IN_A_HOME(f) cmocka_unit_test_setup_teardown(f, make_home, remove_home)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_HOME(a_new_home_has_no_state_and_that_is_no_error),
		IN_A_HOME(the_last_generation_is_loaded_and_the_one_before_kept),
		IN_A_HOME(x16_a_damaged_newest_falls_back_is_kept_and_told),
		IN_A_HOME(x16_a_damaged_old_generation_is_told_and_does_no_harm),
		IN_A_HOME(x16_no_valid_generation_is_an_error_until_somebody_acts),
		IN_A_HOME(at_most_five_damaged_files_are_kept),
		IN_A_HOME(x09_a_newer_format_is_refused_and_left_alone),
		IN_A_HOME(x17_links_and_other_things_are_refused),
		IN_A_HOME(x17_a_state_directory_that_is_a_link_is_refused),
		IN_A_HOME(x35_the_last_written_wins_whatever_its_number),
		IN_A_HOME(cleardump_leaves_nothing_to_load),
#ifdef PM_FAILPOINTS
		cmocka_unit_test(x12_death_at_any_step_leaves_a_whole_generation),
		cmocka_unit_test(x12_an_error_at_any_step_fails_the_save_and_keeps_a_generation),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
