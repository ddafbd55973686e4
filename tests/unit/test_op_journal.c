/* Commands that were given from afar are done once, whenever we die (P10, F-20, X-02). */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/op_record.h"
#include "proto/buf.h"
#include "proto/failpoint.h"
#include "proto/limits.h"

static char path[64];
static int dir = -1;

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	(void)snprintf(path, sizeof(path), "%.40s/pmd-ops.XXXXXX", tmp == NULL ? "/tmp" : tmp);
	if (mkdtemp(path) == NULL)
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -1 : 0;
}

static int remove_dir(void **state)
{
	struct dirent *entry;
	DIR *d = fdopendir(dir);

	(void)state;
	while (d != NULL && (entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(d), entry->d_name, 0);
	if (d != NULL)
		(void)closedir(d);
	return rmdir(path);
}

static struct op_journal_report report;

static struct op_journal *open_journal(size_t max)
{
	struct op_journal *j = NULL;
	struct pm_error err = { 0 };

	if (op_journal_open(dir, max, &j, &report, &err) < 0)
		fail_msg("open: %s", err.what);
	return j;
}

static const uint8_t *id_of(unsigned n)
{
	static uint8_t ids[4][OP_ID_BYTES];
	static unsigned at;
	uint8_t *id = ids[at++ % 4];

	memset(id, 0, OP_ID_BYTES);
	id[0] = 7;
	id[13] = (uint8_t)(n >> 16);
	id[14] = (uint8_t)(n >> 8);
	id[15] = (uint8_t)n;
	return id;
}

static int rewrite(struct op_journal *j, struct pm_error *err)
{
	if (op_journal_rewrite_begin(j, err) < 0)
		return -1;
	return op_journal_rewrite_end(j, op_journal_rewrite_work(j, err), err);
}

static void rewrite_if_wanted(struct op_journal *j)
{
	struct pm_error err = { 0 };

	if (op_journal_wants_rewrite(j) && rewrite(j, &err) < 0)
		fail_msg("rewrite: %s", err.what);
}

static void begin(struct op_journal *j, unsigned n)
{
	struct pm_error err = { 0 };

	if (op_journal_begin(j, id_of(n), n, &err) < 0)
		fail_msg("begin %u: %s", n, err.what);
	rewrite_if_wanted(j);
}

static struct op_result a_result(unsigned n)
{
	static char texts[4][32];
	static unsigned next;
	char *text = texts[next++ % 4];

	(void)snprintf(text, sizeof(texts[0]), "reloaded %u", n);
	return (struct op_result){ .code = n % 2 == 0 ? PM_OK : PM_FAILED,
		                   .wall_ms = 1700000000000,
		                   .bytes = (const uint8_t *)text,
		                   .len = strlen(text) };
}

static void end(struct op_journal *j, unsigned n)
{
	struct op_result r = a_result(n);
	struct pm_error err = { 0 };

	if (op_journal_end(j, id_of(n), &r, &err) < 0)
		fail_msg("end %u: %s", n, err.what);
}

/* What is known of a command; an ended one has its own result. */
static enum op_known known(const struct op_journal *j, unsigned n)
{
	struct op_result r, want = a_result(n);
	enum op_known k = op_journal_find(j, id_of(n), &r);

	if (k == OP_ENDED) {
		assert_int_equal(r.code, want.code);
		assert_int_equal(r.wall_ms, want.wall_ms);
		assert_int_equal(r.len, want.len);
		assert_memory_equal(r.bytes, want.bytes, want.len);
	}
	return k;
}

static void a_command_is_known_from_its_beginning_on(void **state)
{
	struct op_journal *j = open_journal(0);
	struct op_result r = a_result(1);
	struct pm_error err;

	(void)state;
	assert_int_equal(known(j, 1), OP_NEW);
	begin(j, 1);
	assert_int_equal(known(j, 1), OP_BEGUN);
	assert_int_equal(op_journal_begin(j, id_of(1), 1, &err), -1);
	assert_int_equal(err.code, PM_EXISTS);
	end(j, 1);
	assert_int_equal(known(j, 1), OP_ENDED);
	assert_int_equal(op_journal_end(j, id_of(1), &r, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
	assert_int_equal(op_journal_end(j, id_of(9), &r, &err), -1);
	begin(j, 2);
	assert_int_equal(op_journal_sync(j, &err), 0);
	op_journal_close(j);
	j = open_journal(0);
	assert_int_equal(known(j, 1), OP_ENDED);
	assert_int_equal(known(j, 2), OP_INTERRUPTED);
	assert_int_equal(op_journal_begin(j, id_of(2), 2, &err), -1); /* not done twice */
	assert_int_equal(op_journal_counter(j), 2);
	assert_false(report.damaged);
	assert_int_equal(report.torn_bytes, 0);
	op_journal_close(j);
}

static void the_oldest_are_forgotten_but_not_those_under_way(void **state)
{
	struct op_journal *j = open_journal(4);
	struct pm_error err;

	(void)state;
	begin(j, 1); /* stays under way */
	for (unsigned i = 2; i < 20; i++) {
		begin(j, i);
		end(j, i);
	}
	assert_int_equal(known(j, 1), OP_BEGUN);
	assert_int_equal(known(j, 16), OP_NEW);
	for (unsigned i = 17; i < 20; i++)
		assert_int_equal(known(j, i), OP_ENDED);
	for (unsigned i = 20; i < 23; i++)
		begin(j, i);
	assert_int_equal(op_journal_begin(j, id_of(30), 30, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	op_journal_close(j);
	j = open_journal(4);
	for (unsigned i = 20; i < 23; i++)
		assert_int_equal(known(j, i), OP_INTERRUPTED);
	begin(j, 30);
	assert_int_equal(op_journal_counter(j), 30);
	op_journal_close(j);
}

/* What op_journal_open() remembers when nobody says how many. */
static void of_very_many_the_oldest_are_forgotten(void **state)
{
	struct op_journal *j = open_journal(0);

	(void)state;
	for (unsigned i = 0; i < PM_OP_JOURNAL_MAX + 10; i++) {
		begin(j, i);
		end(j, i);
	}
	for (int round = 0; round < 2; round++) {
		assert_int_equal(known(j, 9), OP_NEW);
		assert_int_equal(known(j, 10), OP_ENDED);
		assert_int_equal(known(j, PM_OP_JOURNAL_MAX + 9), OP_ENDED);
		op_journal_close(j);
		j = open_journal(0);
	}
	op_journal_close(j);
}

static void large_results_are_kept_as_far_as_there_is_room(void **state)
{
	enum {
		KEPT = PM_OP_RESULTS_MAX / PM_OP_RESULT_MAX,
		N = 4 * KEPT
	};
	uint8_t bytes[PM_OP_RESULT_MAX + 1];
	struct op_result r = { .code = PM_FAILED, .bytes = bytes, .len = PM_OP_RESULT_MAX }, got;
	struct op_journal *j = open_journal(0);
	struct pm_error err;
	struct stat st;
	off_t most = 0;

	(void)state;
	assert_true(KEPT >= 1024 && N <= PM_OP_JOURNAL_MAX);
	memset(bytes, 'r', sizeof(bytes));
	for (unsigned i = 0; i < N; i++) {
		begin(j, i);
		assert_int_equal(op_journal_end(j, id_of(i), &r, &err), 0);
		assert_int_equal(fstatat(dir, OP_FILE, &st, 0), 0);
		most = PM_MAX(most, st.st_size);
	}
	assert_true(most <= (off_t)PM_OPS_FILE_MAX);
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < N; i++) {
			got = (struct op_result){ 0 };
			assert_int_equal(op_journal_find(j, id_of(i), &got), OP_ENDED);
			assert_int_equal(got.code, PM_FAILED); /* of each, how it ended */
			assert_int_equal(got.len, i < N - KEPT ? 0 : PM_OP_RESULT_MAX);
			if (got.len != 0)
				assert_memory_equal(got.bytes, bytes, got.len);
		}
		op_journal_close(j);
		j = open_journal(0);
	}
	r.len = sizeof(bytes); /* too large for one */
	begin(j, N);
	assert_int_equal(op_journal_end(j, id_of(N), &r, &err), 0);
	assert_int_equal(op_journal_find(j, id_of(N), &got), OP_ENDED);
	assert_int_equal(got.len, 0);
	op_journal_close(j);
}

static void a_file_that_cannot_be_written_anew_takes_no_more(void **state)
{
	uint8_t bytes[PM_OP_RESULT_MAX] = { 0 };
	struct op_result r = { .bytes = bytes, .len = sizeof(bytes) };
	struct op_journal *j = open_journal(0);
	struct pm_error err = { 0 };
	struct stat st;
	unsigned i = 0;

	(void)state;
	begin(j, 1000000); /* under way all the time */
	while (op_journal_begin(j, id_of(i), i, &err) == 0)
		assert_int_equal(op_journal_end(j, id_of(i++), &r, &err), 0);
	assert_int_equal(err.code, PM_LIMIT);
	assert_int_equal(op_journal_end(j, id_of(1000000), &r, &err), 0);
	assert_int_equal(fstatat(dir, OP_FILE, &st, 0), 0);
	assert_true(st.st_size <= (off_t)PM_OPS_FILE_MAX + 2 * PM_OP_RESULT_MAX + 200);
	assert_true(op_journal_wants_rewrite(j));
	assert_int_equal(rewrite(j, &err), 0);
	begin(j, i);
	op_journal_close(j);
	j = open_journal(0);
	assert_int_equal(op_journal_find(j, id_of(i), &r), OP_INTERRUPTED);
	assert_int_equal(op_journal_find(j, id_of(1000000), &r), OP_ENDED);
	op_journal_close(j);
}

static void the_file_is_written_anew_when_it_says_little(void **state)
{
	struct op_journal *j = open_journal(8);
	struct stat st;
	off_t most = 0;

	(void)state;
	for (unsigned i = 1; i <= 3000; i++) {
		begin(j, i);
		end(j, i);
		assert_int_equal(fstatat(dir, OP_FILE, &st, 0), 0);
		most = PM_MAX(most, st.st_size);
	}
	assert_in_range(most, 60000, 70000);
	op_journal_close(j);
	j = open_journal(8);
	for (unsigned i = 2993; i <= 3000; i++)
		assert_int_equal(known(j, i), OP_ENDED);
	assert_int_equal(op_journal_counter(j), 3000);
	op_journal_close(j);
}

static void a_counter_outlives_what_it_counted(void **state)
{
	struct op_journal *j = open_journal(2);
	struct pm_error err;

	(void)state;
	assert_int_equal(op_journal_begin(j, id_of(1), 1000000, &err), 0);
	end(j, 1);
	for (unsigned i = 2; i < 2000; i++) { /* forgotten, and the file written anew */
		begin(j, i);
		end(j, i);
	}
	op_journal_close(j);
	j = open_journal(2);
	assert_int_equal(op_journal_counter(j), 1000000);
	op_journal_close(j);
}

static size_t read_file(uint8_t *out, size_t size)
{
	int fd = openat(dir, OP_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, out, size);

	assert_true(n >= 0);
	(void)close(fd);
	return (size_t)n;
}

static void write_file(const uint8_t *bytes, size_t len)
{
	int fd = openat(dir, OP_FILE, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	(void)close(fd);
}

static void whatever_is_cut_off_is_not_half_known(void **state)
{
	uint8_t bytes[4096];
	struct op_journal *j = open_journal(0);
	size_t len;

	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		begin(j, i);
		end(j, i);
	}
	op_journal_close(j);
	len = read_file(bytes, sizeof(bytes));
	for (size_t cut = 0; cut <= len; cut++) {
		enum op_known before = OP_ENDED;

		write_file(bytes, cut);
		j = open_journal(0);
		assert_false(report.damaged);
		for (unsigned i = 1; i <= 3; i++) { /* the past is whole up to the cut */
			enum op_known k = known(j, i);

			assert_true(before == OP_ENDED || k == OP_NEW);
			before = k;
		}
		begin(j, 4); /* and it goes on from there */
		end(j, 4);
		op_journal_close(j);
		j = open_journal(0);
		assert_int_equal(known(j, 4), OP_ENDED);
		assert_int_equal(report.torn_bytes, 0);
		op_journal_close(j);
	}
}

static void a_changed_byte_is_no_end(void **state)
{
	uint8_t bytes[4096];
	struct op_journal *j = open_journal(0);
	size_t len;

	(void)state;
	begin(j, 1);
	end(j, 1);
	op_journal_close(j);
	len = read_file(bytes, sizeof(bytes));
	bytes[len - 12] ^= 1;
	write_file(bytes, len);
	j = open_journal(0);
	assert_int_equal(known(j, 1), OP_INTERRUPTED); /* begun, and nothing is made up */
	op_journal_close(j);
}

static void damage_is_put_aside_and_what_was_before_it_kept(void **state)
{
	uint8_t bytes[4096];
	struct op_journal *j = open_journal(0);
	struct dirent *entry;
	unsigned aside = 0;
	size_t len;
	DIR *d;

	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		begin(j, i);
		end(j, i);
	}
	op_journal_close(j);
	len = read_file(bytes, sizeof(bytes));
	bytes[len / 2] ^= 1;
	write_file(bytes, len);
	j = open_journal(0);
	assert_true(report.damaged);
	assert_int_equal(known(j, 1), OP_ENDED);
	assert_int_equal(known(j, 3), OP_NEW);
	op_journal_close(j);
	d = opendir(path);
	while ((entry = readdir(d)) != NULL)
		aside += strncmp(entry->d_name, OP_FILE ".corrupt-", strlen(OP_FILE ".corrupt-")) ==
		         0;
	(void)closedir(d);
	assert_int_equal(aside, 1);
	j = open_journal(0);
	assert_false(report.damaged);
	assert_int_equal(known(j, 1), OP_ENDED);
	op_journal_close(j);
}

static void a_later_version_and_a_link_are_refused(void **state)
{
	uint8_t bytes[64];
	struct op_journal *j = open_journal(0);
	struct pm_error err;
	size_t len;

	(void)state;
	op_journal_close(j);
	len = read_file(bytes, sizeof(bytes));
	bytes[7] = 9;
	write_file(bytes, len);
	assert_int_equal(op_journal_open(dir, 0, &j, &report, &err), -1);
	assert_int_equal(err.code, PM_UNSUPPORTED);
	assert_int_equal(unlinkat(dir, OP_FILE, 0), 0);
	assert_int_equal(symlinkat("/dev/null", dir, OP_FILE), 0);
	assert_int_equal(op_journal_open(dir, 0, &j, &report, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
}

static void a_full_disk_begins_nothing_and_forgets_nothing(void **state)
{
	struct op_journal *j = open_journal(0);
	struct op_result r = a_result(1);
	struct pm_error err;

	(void)state;
	if (pm_failpoint_arm("ops.write=ENOSPC", &err) < 0)
		skip(); /* a build without fail points */
	assert_int_equal(op_journal_begin(j, id_of(1), 1, &err), -1);
	assert_int_equal(err.code, PM_NO_SPACE);
	assert_int_equal(known(j, 1), OP_NEW);
	begin(j, 1);
	assert_int_equal(pm_failpoint_arm("ops.write=ENOSPC", &err), 0);
	assert_int_equal(op_journal_end(j, id_of(1), &r, &err), -1);
	assert_int_equal(known(j, 1), OP_ENDED); /* it was done: a repeat is told so */
	begin(j, 2);                             /* writes that end, too */
	op_journal_close(j);
	j = open_journal(0);
	assert_int_equal(known(j, 1), OP_ENDED);
	assert_int_equal(known(j, 2), OP_INTERRUPTED);
	op_journal_close(j);
}

/* As another life of ours would read the file now. */
static enum op_known known_to_the_next(unsigned n)
{
	struct op_journal *j = open_journal(0);
	enum op_known k = known(j, n);

	assert_false(report.damaged);
	assert_int_equal(report.torn_bytes, 0);
	op_journal_close(j);
	return k;
}

static void what_comes_while_it_is_written_anew_is_known_at_each_step(void **state)
{
	struct op_journal *j = open_journal(0);
	struct pm_error err;

	(void)state;
	begin(j, 1);
	begin(j, 2);
	end(j, 2);
	assert_int_equal(op_journal_rewrite_begin(j, &err), 0);
	end(j, 1);
	begin(j, 3);
	assert_int_equal(op_journal_rewrite_work(j, &err), 0);
	begin(j, 4);
	end(j, 4);
	end(j, 3);
	begin(j, 5);
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 1; i <= 4; i++) {
			assert_int_equal(known(j, i), OP_ENDED);
			assert_int_equal(known_to_the_next(i), OP_ENDED);
		}
		assert_int_equal(known(j, 5), OP_BEGUN);
		assert_int_equal(known_to_the_next(5), OP_INTERRUPTED);
		if (round == 0)
			assert_int_equal(op_journal_rewrite_end(j, 0, &err), 0);
	}
	begin(j, 6); /* in the new file */
	assert_int_equal(known_to_the_next(6), OP_INTERRUPTED);
	op_journal_close(j);
}

static void a_file_that_is_not_written_anew_leaves_the_old_one(void **state)
{
	static const char *const faults[] = { "ops.compact=ENOSPC", "ops.fsync=EIO",
		                              "ops.rename=EIO", "ops.write=ENOSPC" };
	struct pm_error err;

	(void)state;
	if (pm_failpoint_arm("", &err) < 0)
		skip();
	for (size_t i = 0; i < PM_COUNT(faults); i++) {
		struct op_journal *j = open_journal(0);
		int rc;

		begin(j, 1);
		assert_int_equal(op_journal_rewrite_begin(j, &err), 0);
		end(j, 1);
		assert_int_equal(pm_failpoint_arm(faults[i], &err), 0);
		rc = op_journal_rewrite_work(j, &err);
		assert_int_equal(op_journal_rewrite_end(j, rc, &err), -1);
		begin(j, 2);
		assert_int_equal(known_to_the_next(1), OP_ENDED);
		assert_int_equal(known_to_the_next(2), OP_INTERRUPTED);
		assert_int_equal(rewrite(j, &err), 0);
		assert_int_equal(known_to_the_next(1), OP_ENDED);
		op_journal_close(j);
		assert_int_equal(unlinkat(dir, OP_FILE, 0), 0);
	}
}

static void after_a_flush_that_failed_only_a_new_file_is_trusted(void **state)
{
	struct op_journal *j = open_journal(0);
	struct pm_error err;

	(void)state;
	if (pm_failpoint_arm("ops.sync=EIO", &err) < 0)
		skip();
	assert_int_equal(op_journal_begin(j, id_of(1), 1, &err), 0);
	assert_int_equal(op_journal_sync(j, &err), -1);
	assert_int_equal(op_journal_sync(j, &err), -1); /* the system would say that all is well */
	assert_true(op_journal_wants_rewrite(j));
	assert_int_equal(rewrite(j, &err), 0);
	assert_int_equal(op_journal_sync(j, &err), 0);
	assert_false(op_journal_wants_rewrite(j));
	assert_int_equal(known_to_the_next(1), OP_INTERRUPTED);
	op_journal_close(j);
}

static void one_that_is_withdrawn_may_begin_again(void **state)
{
	struct op_journal *j = open_journal(4);
	struct pm_error err;

	(void)state;
	begin(j, 1);
	end(j, 1);
	begin(j, 2);
	begin(j, 3);
	op_journal_withdraw(j, id_of(2));
	assert_int_equal(known(j, 2), OP_NEW);
	assert_int_equal(known(j, 1), OP_ENDED);
	assert_int_equal(known(j, 3), OP_BEGUN);
	assert_int_equal(known_to_the_next(2), OP_INTERRUPTED); /* never done, at worst */
	op_journal_withdraw(j, id_of(1));                       /* one that ended stays */
	op_journal_withdraw(j, id_of(9));
	assert_int_equal(known(j, 1), OP_ENDED);
	assert_int_equal(op_journal_begin(j, id_of(2), 2, &err), 0);
	end(j, 2);
	assert_int_equal(known_to_the_next(2), OP_ENDED);
	op_journal_withdraw(j, id_of(3));
	assert_int_equal(rewrite(j, &err), 0);
	assert_int_equal(known_to_the_next(3), OP_NEW);
	op_journal_close(j);
}

/* A child that is killed when it passes a point for the n-th time, and says in a pipe what was
 * promised before: 'b' begun, 'e' ended. */
static unsigned killed_at(const char *point, unsigned skips, bool *died)
{
	unsigned promised = 0;
	int fds[2], status;
	char spec[64], byte;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		struct op_journal *j;
		struct pm_error err;

		(void)snprintf(spec, sizeof(spec), "%s=%u+kill", point, skips);
		if (pm_failpoint_arm(spec, &err) < 0 ||
		    op_journal_open(dir, 3, &j, &report, &err) < 0)
			_exit(1);
		for (unsigned i = 1; i <= 800; i++) { /* enough for a file written anew */
			struct op_result r = a_result(i);

			if (op_journal_begin(j, id_of(i), i, &err) < 0 ||
			    (op_journal_wants_rewrite(j) && rewrite(j, &err) < 0) ||
			    (i % 16 == 0 && op_journal_sync(j, &err) < 0) ||
			    write(fds[1], "b", 1) != 1)
				_exit(1);
			if (op_journal_end(j, id_of(i), &r, &err) < 0 || write(fds[1], "e", 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	assert_true(pid > 0);
	(void)close(fds[1]);
	while (read(fds[0], &byte, 1) == 1)
		promised++;
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	*died = WIFSIGNALED(status);
	return promised;
}

static void a_death_at_any_step_keeps_every_promise(void **state)
{
	static const struct {
		const char *point;
		unsigned step;
	} points[] = { { "ops.write", 97 }, { "ops.sync", 11 },  { "ops.compact", 1 },
		       { "ops.fsync", 1 },  { "ops.rename", 1 }, { "ops.renamed", 1 } };
	struct pm_error err;
	unsigned deaths = 0;

	(void)state;
	if (pm_failpoint_arm("", &err) < 0)
		skip();
	for (size_t p = 0; p < PM_COUNT(points); p++)
		for (unsigned skips = 0; skips < 2000; skips += points[p].step) {
			struct op_journal *j;
			unsigned promised, n;
			bool died;

			(void)unlinkat(dir, OP_FILE, 0);
			promised = killed_at(points[p].point, skips, &died);
			if (!died)
				break;
			deaths++;
			j = open_journal(3);
			assert_false(report.damaged);
			n = (promised + 1) / 2; /* the last that had begun for sure */
			if (promised > 0 && promised % 2 == 0)
				assert_int_equal(known(j, n), OP_ENDED);
			else if (promised > 0) /* its end may be there without a promise */
				assert_true(known(j, n) == OP_INTERRUPTED ||
				            known(j, n) == OP_ENDED);
			assert_true(op_journal_counter(j) >= n);
			op_journal_close(j);
		}
	assert_true(deaths > 25);
}

static void memory_may_run_out_anywhere(void **state)
{
	int rc = -1;

	(void)state;
	for (unsigned nth = 1; rc < 0; nth++) {
		struct op_result r = a_result(1);
		struct op_journal *j = NULL;
		struct pm_error err = { 0 };

		assert_true(nth < 30);
		(void)unlinkat(dir, OP_FILE, 0);
		pm_alloc_fail_at(nth);
		rc = op_journal_open(dir, 4, &j, &report, &err);
		if (rc == 0)
			rc = op_journal_begin(j, id_of(1), 1, &err);
		if (rc == 0)
			rc = op_journal_end(j, id_of(1), &r, &err);
		if (rc == 0)
			rc = rewrite(j, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
		op_journal_close(j);
	}
}

static void a_record_is_read_back_and_no_bit_of_it_can_change(void **state)
{
	struct op_record rec = { .number = 77, .ended = true, .result = a_result(1) }, back;
	size_t used;
	PM_BUF b = { 0 };

	(void)state;
	memcpy(rec.id, id_of(5), OP_ID_BYTES);
	op_record_put(&rec, &b);
	assert_int_equal(b.len, op_record_size(&rec));
	assert_int_equal(op_record_read((uint8_t *)b.bytes, b.len, &back, &used), OP_READ_OK);
	assert_int_equal(used, b.len);
	assert_memory_equal(back.id, rec.id, OP_ID_BYTES);
	assert_int_equal(back.number, rec.number);
	assert_true(back.ended);
	assert_int_equal(back.result.code, rec.result.code);
	assert_int_equal(back.result.len, rec.result.len);
	assert_memory_equal(back.result.bytes, rec.result.bytes, rec.result.len);
	for (size_t i = 0; i < b.len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			b.bytes[i] = (char)(b.bytes[i] ^ (1 << bit));
			assert_int_not_equal(
				op_record_read((uint8_t *)b.bytes, b.len, &back, &used),
				OP_READ_OK);
			b.bytes[i] = (char)(b.bytes[i] ^ (1 << bit));
		}
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_command_is_known_from_its_beginning_on),
		TEST(the_oldest_are_forgotten_but_not_those_under_way),
		TEST(of_very_many_the_oldest_are_forgotten),
		TEST(large_results_are_kept_as_far_as_there_is_room),
		TEST(a_file_that_cannot_be_written_anew_takes_no_more),
		TEST(the_file_is_written_anew_when_it_says_little),
		TEST(a_counter_outlives_what_it_counted),
		TEST(whatever_is_cut_off_is_not_half_known),
		TEST(a_changed_byte_is_no_end),
		TEST(damage_is_put_aside_and_what_was_before_it_kept),
		TEST(a_later_version_and_a_link_are_refused),
		TEST(a_full_disk_begins_nothing_and_forgets_nothing),
		TEST(what_comes_while_it_is_written_anew_is_known_at_each_step),
		TEST(a_file_that_is_not_written_anew_leaves_the_old_one),
		TEST(after_a_flush_that_failed_only_a_new_file_is_trusted),
		TEST(one_that_is_withdrawn_may_begin_again),
		TEST(a_death_at_any_step_keeps_every_promise),
		TEST(memory_may_run_out_anywhere),
		cmocka_unit_test(a_record_is_read_back_and_no_bit_of_it_can_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
