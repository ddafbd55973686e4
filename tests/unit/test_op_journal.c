/* The journal of operations: what is known, and for how long. */
#include "tests/unit/op_journal_rig.h"

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
		cmocka_unit_test(a_record_is_read_back_and_no_bit_of_it_can_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
