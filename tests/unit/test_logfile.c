#include "tests/unit/logs_test.h"

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "agent/agent.h"
#include "agent/capture.h"
#include "agent/logindex.h"
#include "proto/failpoint.h"

/* ---- rotation ---- */

static void rotation_is_at_a_lines_end_and_loses_nothing(void **state)
{
	(void)state;
	for (int staged = 0; staged < 2; staged++) {
		struct capture_state words = { 0 };
		unsigned done = 0, n_files;
		struct pm_buf want = { 0 };
		struct place p;
		int fds[2];
		size_t len;
		char *got;

		place_init(&p);
		p.config.combined_path = staged ? p.combined : NULL;
		p.spec.log_max_size = 1000;
		place_open_logs(&p);
		make_pipe(fds);
		struct log_stream *s = attach(&p, fds[0], &words);
		for (unsigned i = 0; i < 300; i++) {
			char line[64];

			(void)snprintf(line, sizeof(line), "line %u and some more\n", i);
			pm_buf_str(&want, line);
			put_text(fds[1], line);
			if (i % 7 == 0)
				settle(&p);
		}
		(void)close(fds[1]);
		log_stream_detach(s, count_done, &done);
		assert_int_equal(done, 1);
		got = slurp_family(p.path, &len, &n_files);
		assert_string_equal(got, want.bytes);
		assert_in_range(n_files, want.len / 1200, want.len / 1000);
		free(got);
		pm_buf_finish(&want);
		place_close_logs(&p);
		place_finish(&p);
	}
}

static void a_line_without_end_is_rotated_after_64_kib(void **state)
{
	struct capture_state words = { 0 };
	unsigned done = 0, n_files;
	struct place p;
	static char bytes[40000];
	int fds[2];
	size_t len;

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	place_init(&p);
	p.spec.log_max_size = 1000;
	place_open_logs(&p);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	for (int i = 0; i < 10; i++) {
		put_bytes(fds[1], bytes, sizeof(bytes));
		settle(&p);
	}
	(void)close(fds[1]);
	log_stream_detach(s, count_done, &done);
	free(slurp_family(p.path, &len, &n_files));
	assert_int_equal(len, 10 * sizeof(bytes));
	assert_in_range(n_files, 3, 6);
	place_close_logs(&p);
	place_finish(&p);
}

static void old_files_are_kept_by_number_and_by_sum(void **state)
{
	static const struct {
		uint32_t keep;
		uint64_t cap;
		unsigned least, most;
	} cases[] = { { 3, 0, 3, 3 }, { 100, 5000, 2, 4 }, { 0, 0, 0, 0 } };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct capture_state words = { 0 };
		unsigned n_files;
		struct place p;
		int fds[2];
		size_t len;

		place_init(&p);
		p.spec.log_max_size = 1000;
		p.spec.log_keep = cases[i].keep;
		p.spec.log_total_cap = cases[i].cap;
		place_open_logs(&p);
		make_pipe(fds);
		struct log_stream *s = attach(&p, fds[0], &words);
		for (unsigned k = 0; k < 200; k++) {
			put_text(fds[1],
			         "a line of about sixty bytes, as logs have them, or so.\n");
			settle(&p);
		}
		free(slurp_family(p.path, &len, &n_files));
		assert_in_range(n_files, cases[i].least, cases[i].most);
		log_stream_abandon(s);
		(void)close(fds[1]);
		place_close_logs(&p);
		place_finish(&p);
	}
}

static void age_rotates_and_an_empty_file_stays(void **state)
{
	struct capture_state words = { 0 };
	unsigned n_files = 0;
	struct place p;
	int fds[2];
	size_t len = 0;

	(void)state;
	place_init(&p);
	p.spec.log_rotate_every_ms = 50;
	place_open_logs(&p);
	make_pipe(fds);
	struct log_stream *s = attach(&p, fds[0], &words);
	settle(&p);
	assert_true(uv_backend_timeout(&p.loop) < 0); /* nothing to rotate: no timer */
	put_text(fds[1], "one\n");
	while (n_files == 0) {
		(void)uv_run(&p.loop, UV_RUN_ONCE);
		free(slurp_family(p.path, &len, &n_files));
	}
	assert_int_equal(len, 4);
	expect_file(p.path, "");
	assert_true(uv_backend_timeout(&p.loop) < 0);
	log_stream_abandon(s);
	(void)close(fds[1]);
	place_close_logs(&p);
	place_finish(&p);
}

/* ---- compression ---- */

struct jobs {
	struct place p;
	unsigned n_running, n_run;
	void (*done)(void *arg, int status);
	void *done_arg;
	char argv[3][256];
};

static int run_job(void *arg, const char *const argv[], void (*done)(void *done_arg, int status),
                   void *done_arg)
{
	struct jobs *j = arg;

	assert_int_equal(j->n_running, 0); /* one at a time */
	j->n_running++;
	for (int i = 0; i < 3; i++)
		(void)snprintf(j->argv[i], sizeof(j->argv[i]), "%s", argv[i]);
	assert_null(argv[3]);
	j->done = done;
	j->done_arg = done_arg;
	return 0;
}

static bool finish_job(struct jobs *j)
{
	char *argv[] = { j->argv[0], j->argv[1], j->argv[2], NULL };

	if (j->n_running == 0)
		return false;
	j->n_running = 0;
	j->n_run++;
	assert_string_equal(j->argv[0], "compress");
	assert_int_equal(compress_main(3, argv), 0);
	j->done(j->done_arg, 0);
	return true;
}

static unsigned count_names(const struct place *p, const char *ending)
{
	char dir[128];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	(void)snprintf(dir, sizeof(dir), "%s/logs", p->home);
	d = opendir(dir);
	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name), cut = strlen(ending);

		n += len > cut && strcmp(e->d_name + len - cut, ending) == 0;
	}
	(void)closedir(d);
	return n;
}

static void rotated_files_are_packed_one_after_the_other(void **state)
{
	(void)state;
	for (int zstd = 0; zstd < 2; zstd++) {
		struct capture_state words = { 0 };
		struct jobs j = { .n_running = 0 };
		const struct logs_hooks hooks = { .arg = &j, .run_job = run_job };
		struct pm_error err;
		int fds[2], fd;
		char debris[256];

		place_init(&j.p);
		j.p.spec.log_max_size = 1000;
		j.p.spec.log_compress = zstd ? PM__COMPRESSION__COMPRESSION_ZSTD
		                             : PM__COMPRESSION__COMPRESSION_GZIP;
		assert_int_equal(uv_loop_init(&j.p.loop), 0);
		assert_int_equal(logs_create(&j.p.loop, j.p.home, &hooks, &j.p.logs, &err), 0);
		make_pipe(fds);
		struct log_stream *s = attach(&j.p, fds[0], &words);
		/* What a killed helper left. */
		(void)snprintf(debris, sizeof(debris),
		               "%s/logs/app-out__2026-01-01_00-00-00.log.gz.tmp", j.p.home);
		fd = open(debris, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		(void)close(fd);
		for (unsigned k = 0; k < 100; k++) {
			put_text(fds[1],
			         "a line of about sixty bytes, as logs have them, or so.\n");
			settle(&j.p);
		}
		while (finish_job(&j))
			;
		assert_in_range(j.n_run, 4, 6);
		assert_int_equal(count_names(&j.p, zstd ? ".log.zst" : ".log.gz"), j.n_run);
		assert_int_equal(count_names(&j.p, ".log"), 1);
		assert_int_equal(count_names(&j.p, ".tmp"), 0);
		log_stream_abandon(s);
		(void)close(fds[1]);
		place_close_logs(&j.p);
		place_finish(&j.p);
	}
}

static void a_job_that_ends_after_us_tells_nobody(void **state)
{
	struct capture_state words = { 0 };
	struct jobs j = { .n_running = 0 };
	const struct logs_hooks hooks = { .arg = &j, .run_job = run_job };
	struct pm_error err;
	int fds[2];

	(void)state;
	place_init(&j.p);
	j.p.spec.log_max_size = 4;
	j.p.spec.log_compress = PM__COMPRESSION__COMPRESSION_GZIP;
	assert_int_equal(uv_loop_init(&j.p.loop), 0);
	assert_int_equal(logs_create(&j.p.loop, j.p.home, &hooks, &j.p.logs, &err), 0);
	make_pipe(fds);
	struct log_stream *s = attach(&j.p, fds[0], &words);
	put_text(fds[1], "line\n");
	settle(&j.p);
	assert_int_equal(j.n_running, 1);
	log_stream_abandon(s);
	(void)close(fds[1]);
	place_close_logs(&j.p);
	assert_true(finish_job(&j));
	place_finish(&j.p);
}

/* ---- a full disk (X-14) ---- */

/* A small file system of our own over the home; false: this machine gives nobody one. */
static bool mount_small(const struct place *p, const char *size)
{
	char options[64], map[64];
	uid_t uid = getuid();
	gid_t gid = getgid();
	int fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return false;
	(void)snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid);
	fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
	put_text(fd, map);
	(void)close(fd);
	fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
	put_text(fd, "deny");
	(void)close(fd);
	(void)snprintf(map, sizeof(map), "0 %u 1", (unsigned)gid);
	fd = open("/proc/self/gid_map", O_WRONLY | O_CLOEXEC);
	put_text(fd, map);
	(void)close(fd);
	(void)snprintf(options, sizeof(options), "size=%s", size);
	return mount("none", p->home, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
}

static long rss_kib(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_maxrss;
}

struct numbered {
	unsigned next, n_marks;
	uint64_t lines, bytes; /* told by the marks */
	unsigned missing;
};

/* "<n>:<pad>" lines in ascending order, and marks that account for each gap. */
static void check_lossy(char *text, struct numbered *out)
{
	while (*text != '\0') {
		char *newline = strchr(text, '\n');
		unsigned long long lines, bytes;
		unsigned n;

		assert_non_null(newline);
		*newline = '\0'; /* sscanf measures all that follows */
		if (sscanf(text, "-- pmd: %llu lines (%llu bytes) dropped: ", &lines, &bytes) ==
		    2) {
			out->n_marks++;
			out->lines += lines;
			out->bytes += bytes;
		} else {
			assert_int_equal(sscanf(text, "%u:", &n), 1);
			assert_int_equal(newline - text, 100);
			assert_true(n >= out->next);
			out->missing += n - out->next;
			out->next = n + 1;
		}
		text = newline + 1;
	}
}

static void numbered_line(char *line, unsigned n)
{
	int k = snprintf(line, 102, "%u:", n);

	memset(line + k, 'p', (size_t)(100 - k));
	line[100] = '\n';
	line[101] = '\0';
}

static void fill_disk(const struct place *p, const char *name, bool remove_it)
{
	char path[128];
	static char block[65536];
	size_t len = sizeof(block);
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", p->home, name);
	if (remove_it) {
		assert_int_equal(unlink(path), 0);
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (len > 0)
		if (write(fd, block, len) < 0)
			len /= 2;
	(void)close(fd);
}

/* Writes lines until the disk is full, goes on, and frees it. Runs in a process of its own. */
static int full_disk_story(bool staged, bool block)
{
	struct capture_state words = { 0 };
	struct numbered seen = { 0 };
	unsigned n = 0, done = 0;
	char line[102], *text;
	struct place p;
	int fds[2];
	long before;

	place_init(&p);
	if (!mount_small(&p, "4m")) {
		(void)rmdir(p.home);
		return 77;
	}
	p.config.combined_path = staged ? p.combined : NULL;
	p.spec.log_on_full = block ? PM__ON_FULL__ON_FULL_BLOCK : PM__ON_FULL__ON_FULL_DROP;
	place_open_logs(&p);
	make_pipe(fds);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	struct log_stream *s = attach(&p, fds[0], &words);
	for (; n < 500; n++) {
		numbered_line(line, n);
		put_text(fds[1], line);
		settle(&p);
	}
	fill_disk(&p, "filler", false);
	before = rss_kib();
	for (; n < 200000; n++) {
		numbered_line(line, n);
		if (write(fds[1], line, 101) < 0) { /* 101 < PIPE_BUF: all or nothing */
			assert_int_equal(errno, EAGAIN);
			settle(&p);
			if (write(fds[1], line, 101) < 0)
				break; /* the app has to wait */
		}
	}
	settle(&p);
	assert_true(rss_kib() - before < 1024);
	assert_non_null(strstr(p.words, "No space left on device"));
	assert_int_equal(p.n_degraded, 1 + (staged && !block));
	if (block)
		assert_true(n < 20000);
	else
		assert_int_equal(n, 200000);
	fill_disk(&p, "filler", true);
	while (p.words[0] != '\0') /* the disk is looked at again */
		(void)uv_run(&p.loop, UV_RUN_ONCE);
	settle(&p);
	for (unsigned end = n + 500; n < end; n++) {
		numbered_line(line, n);
		put_text(fds[1], line);
		settle(&p);
	}
	(void)close(fds[1]);
	log_stream_detach(s, count_done, &done);
	assert_int_equal(done, 1);
	text = slurp(p.path, NULL);
	check_lossy(text, &seen);
	assert_int_equal(seen.next, n);
	assert_int_equal(seen.n_marks, block ? 0 : 1);
	assert_int_equal(seen.missing, seen.lines);
	assert_true(block ? seen.lines == 0 : seen.lines > 10000);
	free(text);
	if (staged) {
		struct numbered combined = { 0 };

		text = slurp(p.combined, NULL);
		check_lossy(text, &combined);
		assert_int_equal(combined.next, n);
		assert_int_equal(combined.missing, combined.lines);
		free(text);
	}
	place_close_logs(&p);
	(void)umount2(p.home, MNT_DETACH);
	(void)rmdir(p.home);
	return 0;
}

static void in_own_process(int (*story)(bool a, bool b), bool a, bool b)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(story(a, b));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("no mount namespace on this machine\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void x14_a_full_disk_drops_whole_lines_and_says_how_many(void **state)
{
	(void)state;
	in_own_process(full_disk_story, false, false);
	in_own_process(full_disk_story, true, false);
}

static void x14_a_full_disk_blocks_the_app_if_told_to(void **state)
{
	(void)state;
	in_own_process(full_disk_story, false, true);
	in_own_process(full_disk_story, true, true);
}

static void one_line_that_had_to_wait_is_written_though_no_other_comes(void **state)
{
	(void)state;
#ifndef PM_FAILPOINTS
	skip();
#endif
	for (int how = 0; how < 2; how++) {
		struct capture_state words = { 0 };
		struct pm_error err;
		struct place p;
		int fds[2];

		place_init(&p);
		p.config.combined_path = how > 0 ? p.combined : NULL;
		p.spec.log_on_full = PM__ON_FULL__ON_FULL_BLOCK;
		place_open_logs(&p);
		make_pipe(fds);
		struct log_stream *s = attach(&p, fds[0], &words);
		assert_int_equal(pm_failpoint_arm(how > 0 ? "logfile.write=1+ENOSPC"
		                                          : "logfile.splice=ENOSPC",
		                                  &err),
		                 0);
		put_text(fds[1], "the line\n");
		settle(&p);
		assert_int_equal(p.n_degraded, 1);
		expect_file(p.path, ""); /* not in one file and not in the other either */
		while (p.words[0] != '\0')
			(void)uv_run(&p.loop, UV_RUN_ONCE);
		settle(&p);
		expect_file(p.path, "the line\n");
		if (how > 0)
			expect_file(p.combined, "the line\n");
		log_stream_abandon(s);
		(void)close(fds[1]);
		place_close_logs(&p);
		place_finish(&p);
	}
}

/* ---- the time index ---- */

static void the_index_finds_times_and_offsets(void **state)
{
	struct logindex x;
	struct place p;

	(void)state;
	place_init(&p);
	logindex_load(p.home, "/x.log", 0, &x);
	assert_int_equal(x.n_entries, 0);
	logindex_append(p.home, "/x.log", 5, 1000, 0);
	logindex_append(p.home, "/x.log", 5, 2000, 50);
	logindex_append(p.home, "/x.log", 5, 3000, 90);
	logindex_load(p.home, "/x.log", 6, &x);
	assert_int_equal(x.n_entries, 0); /* another file of that name */
	logindex_rename(p.home, "/x.log", "/y.log");
	logindex_load(p.home, "/y.log", 5, &x);
	assert_int_equal(x.n_entries, 3);
	assert_int_equal(logindex_find(&x, 0), 0);
	assert_int_equal(logindex_find(&x, 49), 0);
	assert_int_equal(logindex_find(&x, 50), 1);
	assert_int_equal(logindex_find(&x, 1000), 2);
	assert_int_equal(logindex_since(&x, 0), 0);
	assert_int_equal(logindex_since(&x, 1001), 50);
	assert_true(logindex_since(&x, 3001) == UINT64_MAX);
	logindex_trim(&x, 60);
	assert_int_equal(x.n_entries, 2);
	assert_int_equal(x.entries[0].offset, 50);
	logindex_finish(&x);
	logindex_append(p.home, "/y.log", 7, 9000, 0); /* a new file begins anew */
	logindex_load(p.home, "/y.log", 7, &x);
	assert_int_equal(x.n_entries, 1);
	logindex_finish(&x);
	place_finish(&p);
}

static void a_full_index_gets_coarser(void **state)
{
	struct logindex x;
	struct place p;

	(void)state;
	place_init(&p);
	for (unsigned i = 0; i < LOGINDEX_ENTRIES_MAX + 10; i++)
		logindex_append(p.home, "/x.log", 5, i, i * 10);
	logindex_load(p.home, "/x.log", 5, &x);
	assert_int_equal(x.n_entries, LOGINDEX_ENTRIES_MAX / 2 + 10);
	assert_int_equal(x.entries[1].offset, 20);
	assert_int_equal(x.entries[x.n_entries - 1].offset, (LOGINDEX_ENTRIES_MAX + 9) * 10);
	logindex_finish(&x);
	place_finish(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rotation_is_at_a_lines_end_and_loses_nothing),
		cmocka_unit_test(a_line_without_end_is_rotated_after_64_kib),
		cmocka_unit_test(old_files_are_kept_by_number_and_by_sum),
		cmocka_unit_test(age_rotates_and_an_empty_file_stays),
		cmocka_unit_test(rotated_files_are_packed_one_after_the_other),
		cmocka_unit_test(a_job_that_ends_after_us_tells_nobody),
		cmocka_unit_test(x14_a_full_disk_drops_whole_lines_and_says_how_many),
		cmocka_unit_test(x14_a_full_disk_blocks_the_app_if_told_to),
		cmocka_unit_test(one_line_that_had_to_wait_is_written_though_no_other_comes),
		cmocka_unit_test(the_index_finds_times_and_offsets),
		cmocka_unit_test(a_full_index_gets_coarser),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
