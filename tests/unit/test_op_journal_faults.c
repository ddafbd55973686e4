/* The journal of operations, damaged, on a full disk, killed. */
#include "tests/unit/op_journal_rig.h"

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
