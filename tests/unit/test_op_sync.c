/* A command may be done when its beginning is on the disk, and the loop does not wait for that. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/op_sync.h"
#include "proto/failpoint.h"
#include "proto/limits.h"

static struct fixture {
	uv_loop_t loop;
	char home[64], dir[80];
	struct op_sync *ops;
	uint64_t called; /* the highest ticket that was */
	unsigned n_called, n_failed;
	int begin_in_call; /* this command, once */
	uint64_t begun_ticket;
	bool close_in_call;
} f;

static const uint8_t *id_of(unsigned n)
{
	static uint8_t id[OP_ID_BYTES];

	memcpy(id, &n, sizeof(n));
	return id;
}

static uint64_t begin(unsigned n)
{
	uint64_t ticket = 0;
	struct pm_error err = { 0 };

	if (op_sync_begin(f.ops, id_of(n), n, &ticket, &err) < 0)
		fail_msg("begin %u: %s", n, err.what);
	return ticket;
}

static void end(unsigned n, size_t len)
{
	static uint8_t bytes[PM_OP_RESULT_MAX];
	struct op_result r = { .bytes = bytes, .len = len };
	struct pm_error err = { 0 };

	if (op_sync_end(f.ops, id_of(n), &r, &err) < 0)
		fail_msg("end %u: %s", n, err.what);
}

static enum op_known known(unsigned n)
{
	struct op_result r;

	return op_sync_find(f.ops, id_of(n), &r);
}

static void on_called(void *arg, uint64_t ticket, const struct pm_error *err)
{
	assert_ptr_equal(arg, &f);
	f.n_called++;
	f.n_failed += err != NULL;
	f.called = ticket;
	if (f.begin_in_call != 0) {
		f.begun_ticket = begin((unsigned)f.begin_in_call);
		f.begin_in_call = 0;
		assert_true(f.begun_ticket > ticket);
	}
	if (f.close_in_call) {
		op_sync_close(f.ops);
		f.ops = NULL;
	}
}

static void open_it(void)
{
	struct pm_error err = { 0 };

	if (op_sync_create(&f.loop, f.home, on_called, &f, &f.ops, &err) < 0)
		fail_msg("open: %s", err.what);
}

/* Until nothing is under way: a worker is all that keeps the loop. */
static void run(void)
{
	(void)uv_run(&f.loop, UV_RUN_DEFAULT);
}

static int set_up(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	(void)snprintf(f.home, sizeof(f.home), "/tmp/pm-op-sync-XXXXXX");
	if (mkdtemp(f.home) == NULL || uv_loop_init(&f.loop) < 0)
		return -1;
	(void)snprintf(f.dir, sizeof(f.dir), "%s/state", f.home);
	if (mkdir(f.dir, 0700) < 0)
		return -1;
	open_it();
	return 0;
}

static int tear_down(void **state)
{
	struct dirent *entry;
	DIR *d = opendir(f.dir);

	(void)state;
	op_sync_close(f.ops);
	run();
	while (d != NULL && (entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(d), entry->d_name, 0);
	if (d != NULL)
		(void)closedir(d);
	return rmdir(f.dir) < 0 || rmdir(f.home) < 0 || uv_loop_close(&f.loop) < 0 ? -1 : 0;
}

static void a_ticket_is_called_by_the_loop_and_not_before(void **state)
{
	uint64_t first = begin(1), last;

	(void)state;
	assert_int_equal(known(1), OP_BEGUN);
	assert_int_equal(f.n_called, 0);
	last = begin(2); /* while the first is on its way */
	assert_true(last > first);
	run();
	assert_int_equal(f.called, last);
	assert_int_equal(f.n_called, 2); /* the first flush began without the second command */
	assert_int_equal(f.n_failed, 0);
	end(1, 10);
	run();
	assert_int_equal(known(1), OP_ENDED);
}

static void what_begins_in_a_call_is_called_by_the_next(void **state)
{
	(void)state;
	f.begin_in_call = 2;
	(void)begin(1);
	run();
	assert_int_equal(f.n_called, 2);
	assert_int_equal(f.called, f.begun_ticket);
}

static void it_may_be_closed_at_any_time(void **state)
{
	(void)state;
	(void)begin(1);
	op_sync_close(f.ops); /* under way */
	run();
	assert_int_equal(f.n_called, 0); /* nobody is called any more */
	open_it();
	assert_int_equal(known(1), OP_INTERRUPTED);
	f.close_in_call = true;
	(void)begin(2);
	run();
	assert_int_equal(f.n_called, 1);
	open_it();
	assert_int_equal(known(2), OP_INTERRUPTED);
	f.close_in_call = false;
}

static void a_flush_that_fails_is_told_and_the_next_is_of_a_new_file(void **state)
{
	struct pm_error err;
	struct stat before, after;
	char path[96];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/" OP_FILE, f.dir);
	if (pm_failpoint_arm("ops.sync=EIO", &err) < 0)
		skip();
	assert_int_equal(stat(path, &before), 0);
	(void)begin(1);
	run();
	assert_int_equal(f.n_failed, 1);
	op_sync_withdraw(f.ops, id_of(1));
	assert_int_equal(known(1), OP_NEW);
	/* As long as none can be written, nothing may be done. */
	assert_int_equal(pm_failpoint_arm("ops.compact=ENOSPC", &err), 0);
	(void)begin(1);
	run();
	assert_int_equal(f.n_failed, 2);
	op_sync_withdraw(f.ops, id_of(1));
	(void)begin(1);
	run();
	assert_int_equal(f.n_called, 3);
	assert_int_equal(f.n_failed, 2);
	assert_int_equal(stat(path, &after), 0);
	assert_int_not_equal(after.st_ino, before.st_ino);
}

static void it_is_written_anew_by_the_way(void **state)
{
	char path[96];
	struct stat st;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/" OP_FILE, f.dir);
	for (unsigned n = 1; n <= 4000; n++) {
		uint64_t ticket = begin(n);

		if (n % 3 == 0) /* ends while it is under way, and after it */
			end(n - 1, PM_OP_RESULT_MAX);
		while (f.called < ticket)
			(void)uv_run(&f.loop, UV_RUN_ONCE);
		if (n % 3 != 2)
			end(n, PM_OP_RESULT_MAX);
	}
	run();
	assert_int_equal(f.n_failed, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size <= (off_t)PM_OPS_FILE_MAX);
	for (int round = 0; round < 2; round++) {
		for (unsigned n = 1; n < 4000; n++)
			assert_int_equal(known(n), OP_ENDED);
		op_sync_close(f.ops);
		run();
		open_it();
	}
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_ticket_is_called_by_the_loop_and_not_before),
		TEST(what_begins_in_a_call_is_called_by_the_next),
		TEST(it_may_be_closed_at_any_time),
		TEST(a_flush_that_fails_is_told_and_the_next_is_of_a_new_file),
		TEST(it_is_written_anew_by_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
