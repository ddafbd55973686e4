/* The audit log: the chain, its lines, its files, and every way to tamper with them. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/audit_file.h"
#include "proto/buf.h"
#include "proto/failpoint.h"
#include "proto/limits.h"

static char dir[64];

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%.40s/pmd-audit.XXXXXX", tmp == NULL ? "/tmp" : tmp);
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
	struct dirent *entry;
	char path[400];
	DIR *d = opendir(dir);

	(void)state;
	while (d != NULL && (entry = readdir(d)) != NULL) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		(void)remove(path);
	}
	if (d != NULL)
		(void)closedir(d);
	return rmdir(dir);
}

static void path_of(const char *name, char path[128])
{
	(void)snprintf(path, 128, "%s/%s", dir, name);
}

static struct audit_entry an_entry(const char *detail)
{
	return (struct audit_entry){ .wall_ms = 1700000000000,
		                     .field = { [AUDIT_ACTOR] = "key:anna uid=1000 tty=pts/3",
		                                [AUDIT_ACTION] = "app.stop",
		                                [AUDIT_TARGET] = "web[01-20]",
		                                [AUDIT_DETAIL] = detail,
		                                [AUDIT_OUTCOME] = "ok" } };
}

/* ---- lines ---- */

static void a_line_is_read_back_as_it_was_written(void **state)
{
	static const char *const details[] = { "", "a\tb\nc\\d\x01\x7f\x1b[31m",
		                               "gr\xc3\xbc\xc3\x9f", "\\x09" };
	struct audit_head write = { 0 }, read = { 0 };
	char text[PM_AUDIT_LINE_MAX + 16];
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(details); i++) {
		struct audit_entry e = an_entry(details[i]), back;
		PM_BUF line = { 0 };

		assert_int_equal(audit_put_line(&write, &e, &line, &err), 0);
		assert_int_equal(e.seq, i + 1);
		assert_ptr_equal(strchr(line.bytes, '\n'), line.bytes + line.len - 1);
		assert_null(strchr(line.bytes, '\x1b'));
		assert_int_equal(
			audit_check_line(&read, line.bytes, line.len - 1, &back, text, &err), 0);
		assert_memory_equal(&read, &write, sizeof(read));
		assert_int_equal(back.wall_ms, e.wall_ms);
		for (size_t f = 0; f < AUDIT_FIELDS; f++)
			assert_string_equal(back.field[f], e.field[f]);
	}
}

static void no_byte_of_a_line_can_be_changed(void **state)
{
	struct audit_head head = { 0 };
	struct audit_entry e = an_entry("before=online\tafter=stopped"), back;
	char text[PM_AUDIT_LINE_MAX + 16];
	struct pm_error err;
	PM_BUF line = { 0 };

	(void)state;
	assert_int_equal(audit_put_line(&head, &e, &line, &err), 0);
	for (size_t i = 0; i + 1 < line.len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			struct audit_head start = { 0 };

			line.bytes[i] = (char)(line.bytes[i] ^ (1 << bit));
			assert_int_equal(audit_check_line(&start, line.bytes, line.len - 1, &back,
			                                  text, &err),
			                 -1);
			assert_int_equal(err.code, PM_CORRUPT);
			assert_int_equal(start.seq, 0);
			line.bytes[i] = (char)(line.bytes[i] ^ (1 << bit));
		}
	for (size_t len = 0; len + 1 < line.len; len++) {
		struct audit_head start = { 0 };

		assert_int_equal(audit_check_line(&start, line.bytes, len, &back, text, &err), -1);
	}
}

static void long_texts_are_cut_and_marked(void **state)
{
	char longest[5000], out[4096];
	struct audit_head head = { 0 }, read = { 0 };
	struct audit_entry e, back;
	char text[PM_AUDIT_LINE_MAX + 16];
	struct pm_error err;
	PM_BUF line = { 0 };

	(void)state;
	memset(longest, '\x01', sizeof(longest)); /* four bytes each as an escape */
	longest[sizeof(longest) - 1] = '\0';
	e = (struct audit_entry){ .wall_ms = -5 };
	for (size_t i = 0; i < AUDIT_FIELDS; i++) {
		e.field[i] = longest;
		assert_true(audit_cut((enum audit_field)i, longest, out));
		assert_int_equal(strlen(out), audit_field_max((enum audit_field)i));
		assert_non_null(strstr(out, "[cut]"));
	}
	assert_int_equal(audit_put_line(&head, &e, &line, &err), 0);
	assert_true(line.len - 1 <= PM_AUDIT_LINE_MAX);
	assert_int_equal(audit_check_line(&read, line.bytes, line.len - 1, &back, text, &err), 0);
	assert_int_equal(back.wall_ms, -5);
	/* A character is not cut in two. */
	memset(longest, 'a', sizeof(longest));
	memcpy(longest + audit_field_max(AUDIT_ACTOR) - 6, "\xc3\xbc\xc3\xbc", 4);
	longest[300] = '\0';
	assert_true(audit_cut(AUDIT_ACTOR, longest, out));
	assert_string_equal(out + audit_field_max(AUDIT_ACTOR) - 6, "[cut]");
	assert_false(audit_cut(AUDIT_ACTOR, "short", out));
}

static void headers_are_read_back_and_versions_told(void **state)
{
	struct audit_head head = { .seq = 77, .hash = { 1, 2, 3 } }, back;
	struct pm_error err;
	PM_BUF b = { 0 };

	(void)state;
	audit_put_header(&head, &b);
	assert_int_equal(audit_read_header(b.bytes, b.len - 1, &back, &err), 0);
	assert_memory_equal(&back, &head, sizeof(back));
	for (size_t len = 0; len + 1 < b.len; len++)
		assert_int_equal(audit_read_header(b.bytes, len, &back, &err), -1);
	b.bytes[strlen("pmd-audit\t")] = '2';
	assert_int_equal(audit_read_header(b.bytes, b.len - 1, &back, &err), -1);
	assert_int_equal(err.code, PM_UNSUPPORTED);
}

/* ---- files ---- */

static struct audit_file *open_log(const struct audit_limits *limits)
{
	struct audit_file *f = NULL;
	struct pm_error err = { 0 };

	if (audit_file_open(dir, limits, &f, &err) < 0)
		fail_msg("open: %s", err.what);
	return f;
}

/* Append entries with the numbers as their details, and close. */
static void write_entries(const struct audit_limits *limits, unsigned n)
{
	struct audit_file *f = open_log(limits);
	struct pm_error err = { 0 };

	for (unsigned i = 0; i < n; i++) {
		struct audit_entry e = an_entry("scale 2 to 4");

		if (audit_file_append(f, &e, &err) < 0)
			fail_msg("append: %s", err.what);
	}
	audit_file_close(f);
}

static const struct audit_limits plain = { 0 };
static const struct audit_limits small = { .file_bytes = 600, .files = 3 };

static int verify(struct audit_report *report, struct pm_error *err)
{
	*err = (struct pm_error){ 0 };
	return audit_file_verify(dir, NULL, NULL, NULL, report, err);
}

static void must_verify(uint64_t first, uint64_t last)
{
	struct audit_report report;
	struct pm_error err;

	if (verify(&report, &err) < 0)
		fail_msg("verify: %s", err.what);
	assert_int_equal(report.first, first);
	assert_int_equal(report.last, last);
	assert_int_equal(report.torn_bytes, 0);
}

static void must_be_corrupt(const char *what)
{
	struct audit_report report;
	struct audit_file *f;
	struct pm_error err;

	assert_int_equal(verify(&report, &err), -1);
	assert_int_equal(err.code, PM_CORRUPT);
	if (strstr(err.what, what) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", what, err.what);
	/* Nor does it go on as if nothing had happened. */
	assert_int_equal(audit_file_open(dir, &plain, &f, &err), -1);
	assert_int_equal(err.code, PM_CORRUPT);
}

static size_t read_file(const char *name, char *out, size_t size)
{
	char path[128];
	ssize_t n;
	int fd;

	path_of(name, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, out, size);
	assert_true(n >= 0 && (size_t)n < size);
	(void)close(fd);
	return (size_t)n;
}

static void write_file(const char *name, const char *bytes, size_t len)
{
	char path[128];
	int fd;

	path_of(name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	assert_int_equal(close(fd), 0);
}

static void entries_go_on_over_openings_and_files(void **state)
{
	struct stat st;
	char path[128];

	(void)state;
	write_entries(&plain, 3);
	must_verify(1, 3);
	write_entries(&plain, 2);
	must_verify(1, 5);
	path_of("audit.log", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	for (unsigned i = 0; i < 10; i++)
		write_entries(&small, 3);
	/* The oldest files went; what is left still hangs together, and begins later. */
	struct audit_report report;
	struct pm_error err;

	assert_int_equal(verify(&report, &err), 0);
	assert_true(report.first > 5);
	assert_int_equal(report.last, 35);
	assert_int_equal(report.files, 4);
}

/* S-14 */
static void what_was_changed_left_out_or_moved_is_found(void **state)
{
	char bytes[8192], work[8192];
	size_t len, lines[8], n = 0;

	(void)state;
	write_entries(&plain, 5);
	len = read_file("audit.log", bytes, sizeof(bytes));
	for (size_t i = 0; i < len; i++)
		if (i == 0 || bytes[i - 1] == '\n')
			lines[n++] = i;
	assert_int_equal(n, 6);
	lines[n] = len;
	/* one letter of an entry */
	memcpy(work, bytes, len);
	*strstr(work + lines[3], "app.stop") = 'A';
	write_file("audit.log", work, len);
	must_be_corrupt("entry 3 is not what was written");
	/* an entry left out */
	memcpy(work, bytes, lines[3]);
	memcpy(work + lines[3], bytes + lines[4], len - lines[4]);
	write_file("audit.log", work, len - (lines[4] - lines[3]));
	must_be_corrupt("entry 4 stands where 3 should");
	/* two exchanged */
	memcpy(work, bytes, len);
	memcpy(work + lines[2], bytes + lines[3], lines[4] - lines[3]);
	memcpy(work + lines[2] + (lines[4] - lines[3]), bytes + lines[2], lines[3] - lines[2]);
	write_file("audit.log", work, len);
	must_be_corrupt("entry 3 stands where 2 should");
	/* one twice */
	memcpy(work, bytes, lines[3]);
	memcpy(work + lines[3], bytes + lines[2], lines[3] - lines[2]);
	write_file("audit.log", work, lines[3] + lines[3] - lines[2]);
	must_be_corrupt("entry 2 stands where 3 should");
	/* the end cut off, at a line and inside of one */
	write_file("audit.log", bytes, lines[4]);
	must_be_corrupt("entry 5 was written, but is not there any more");
	write_file("audit.log", bytes, len - 10);
	must_be_corrupt("entry 5 was written, but is not there any more");
	/* all of it */
	write_file("audit.log", "", 0);
	must_be_corrupt("entry 5 was written");
	write_file("audit.log", bytes, len);
	must_verify(1, 5);
}

static void a_missing_or_foreign_file_in_the_middle_is_found(void **state)
{
	struct dirent *entry;
	char names[8][40], path[128], bytes[4096];
	size_t n = 0, len;
	DIR *d;

	(void)state;
	write_entries(&small, 16);
	d = opendir(dir);
	assert_non_null(d);
	while ((entry = readdir(d)) != NULL)
		if (strncmp(entry->d_name, "audit.0", 7) == 0 && n < PM_COUNT(names))
			(void)snprintf(names[n++], sizeof(names[0]), "%.30s", entry->d_name);
	(void)closedir(d);
	assert_true(n >= 2);
	qsort(names, n, sizeof(names[0]), (int (*)(const void *, const void *))strcmp);
	len = read_file(names[n - 1], bytes, sizeof(bytes));
	path_of(names[n - 1], path);
	assert_int_equal(unlink(path), 0);
	must_be_corrupt("audit.log: it goes on behind entry");
	write_file(names[n - 1], bytes, len - 1);
	must_be_corrupt("it ends in the middle of a line");
	write_file(names[n - 1], "", 0);
	must_be_corrupt("it is empty");
	write_file(names[n - 1], "hello\n", 6);
	must_be_corrupt("not an audit log");
}

static void a_whole_new_chain_is_found_by_who_saw_the_old_one(void **state)
{
	struct audit_report report;
	struct audit_head seen;
	struct audit_file *f;
	struct pm_error err;
	char path[128];

	(void)state;
	write_entries(&plain, 4);
	f = open_log(&plain);
	audit_file_head(f, &seen);
	audit_file_close(f);
	write_entries(&plain, 2);
	assert_int_equal(audit_file_verify(dir, &seen, NULL, NULL, &report, &err), 0);
	path_of("audit.log", path);
	assert_int_equal(unlink(path), 0);
	path_of("audit.head", path);
	assert_int_equal(unlink(path), 0);
	f = open_log(&plain);
	for (unsigned i = 0; i < 6; i++) {
		struct audit_entry e = an_entry("nothing happened");

		assert_int_equal(audit_file_append(f, &e, &err), 0);
	}
	audit_file_close(f);
	must_verify(1, 6);
	assert_int_equal(audit_file_verify(dir, &seen, NULL, NULL, &report, &err), -1);
	assert_int_equal(err.code, PM_CORRUPT);
}

static void what_a_power_cut_left_of_an_entry_goes_and_is_told(void **state)
{
	char bytes[8192];
	struct audit_report report;
	struct pm_error err;
	size_t len;

	(void)state;
	write_entries(&plain, 2);
	len = read_file("audit.log", bytes, sizeof(bytes) - 64);
	memcpy(bytes + len, "3\t1700000000000\tkey:an", 22);
	write_file("audit.log", bytes, len + 22);
	assert_int_equal(verify(&report, &err), 0);
	assert_int_equal(report.torn_bytes, 22);
	audit_file_close(open_log(&plain));
	must_verify(1, 3);
	len = read_file("audit.log", bytes, sizeof(bytes));
	bytes[len] = '\0';
	assert_non_null(strstr(bytes, "audit.recover"));
	assert_non_null(strstr(bytes, "22 bytes"));
}

static void only_one_program_has_it_open(void **state)
{
	struct audit_file *f = open_log(&plain), *second;
	struct pm_error err;

	(void)state;
	assert_int_equal(audit_file_open(dir, &plain, &second, &err), -1);
	assert_int_equal(err.code, PM_LOCKED);
	audit_file_close(f);
}

static void links_and_open_directories_are_refused(void **state)
{
	struct audit_file *f;
	struct pm_error err;
	char path[128];

	(void)state;
	path_of("audit.log", path);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(audit_file_open(dir, &plain, &f, &err), -1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(audit_file_open(dir, &plain, &f, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	assert_int_equal(chmod(dir, 0700), 0);
}

static void a_full_disk_loses_no_more_than_it_says(void **state)
{
	struct audit_file *f = open_log(&small);
	struct audit_entry e = an_entry("x");
	struct pm_error err;
	unsigned written = 0;

	(void)state;
	if (pm_failpoint_arm("audit.append=ENOSPC", &err) < 0)
		skip(); /* a build without fail points */
	assert_int_equal(audit_file_append(f, &e, &err), -1);
	assert_int_equal(err.code, PM_NO_SPACE);
	for (unsigned i = 0; i < 12; i++) {
		static const char *const points[] = { "audit.rotate=ENOSPC", "audit.sync=EIO",
			                              "audit.head=ENOSPC", "audit.append=ENOSPC" };

		assert_int_equal(pm_failpoint_arm(points[i % PM_COUNT(points)], &err), 0);
		for (unsigned j = 0; j < 3; j++)
			written += audit_file_append(f, &e, &err) == 0;
	}
	assert_int_equal(pm_failpoint_arm("", &err), 0);
	assert_int_equal(audit_file_append(f, &e, &err), 0);
	audit_file_close(f);
	struct audit_report report;

	assert_int_equal(verify(&report, &err), 0);
	assert_int_equal(report.last, written + 1);
}

/* In a child that is killed at the n-th passing of a point: entries, with a sync each. */
static void killed_at(const char *point, unsigned skips)
{
	char spec[64];
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct audit_file *f;
		struct pm_error err;

		(void)snprintf(spec, sizeof(spec), "%s=%u+kill", point, skips);
		if (pm_failpoint_arm(spec, &err) < 0 || audit_file_open(dir, &small, &f, &err) < 0)
			_exit(1);
		for (unsigned i = 0; i < 10; i++) {
			struct audit_entry e = an_entry("killed");

			if (audit_file_append(f, &e, &err) < 0 || audit_file_sync(f, &err) < 0)
				_exit(1);
		}
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
}

static void a_death_at_any_step_leaves_a_whole_chain(void **state)
{
	static const char *const points[] = { "audit.append", "audit.sync", "audit.head",
		                              "audit.rotate" };
	struct audit_report report;
	struct pm_error err;

	(void)state;
	if (pm_failpoint_arm("", &err) < 0)
		skip();
	for (size_t p = 0; p < PM_COUNT(points); p++)
		for (unsigned skips = 0; skips < 8; skips++) {
			killed_at(points[p], skips);
			if (verify(&report, &err) < 0)
				fail_msg("%s, %u passed: %s", points[p], skips, err.what);
			audit_file_close(open_log(&small));
		}
}

static void memory_may_run_out_anywhere(void **state)
{
	int rc = -1;

	(void)state;
	write_entries(&plain, 6);
	for (unsigned nth = 1; rc < 0; nth++) {
		struct audit_entry e = an_entry("x");
		struct audit_report report;
		struct audit_file *f = NULL;
		struct pm_error err = { 0 };

		assert_true(nth < 60);
		pm_alloc_fail_at(nth);
		rc = audit_file_open(dir, &plain, &f, &err);
		if (rc == 0)
			rc = verify(&report, &err);
		if (rc == 0)
			rc = audit_file_append(f, &e, &err);
		pm_alloc_fail_at(0);
		audit_file_close(f);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
	}
	must_verify(1, 7);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_read_back_as_it_was_written),
		cmocka_unit_test(no_byte_of_a_line_can_be_changed),
		cmocka_unit_test(long_texts_are_cut_and_marked),
		cmocka_unit_test(headers_are_read_back_and_versions_told),
		cmocka_unit_test_setup_teardown(entries_go_on_over_openings_and_files, make_dir,
		                                remove_dir),
		cmocka_unit_test_setup_teardown(what_was_changed_left_out_or_moved_is_found,
		                                make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_missing_or_foreign_file_in_the_middle_is_found,
		                                make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_whole_new_chain_is_found_by_who_saw_the_old_one,
		                                make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(what_a_power_cut_left_of_an_entry_goes_and_is_told,
		                                make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(only_one_program_has_it_open, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(links_and_open_directories_are_refused, make_dir,
		                                remove_dir),
		cmocka_unit_test_setup_teardown(a_full_disk_loses_no_more_than_it_says, make_dir,
		                                remove_dir),
		cmocka_unit_test_setup_teardown(a_death_at_any_step_leaves_a_whole_chain, make_dir,
		                                remove_dir),
		cmocka_unit_test_setup_teardown(memory_may_run_out_anywhere, make_dir, remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
