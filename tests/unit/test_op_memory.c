#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/op_memory.h"
#include "proto/limits.h"

static char dir[64], path[128];

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/pm-ops-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/state", dir);
	if (mkdir(path, 0700) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/" PM_HOME_OPS, dir);
	return 0;
}

static int tear_down(void **state)
{
	char state_dir[128];

	(void)state;
	(void)unlink(path);
	(void)snprintf(state_dir, sizeof(state_dir), "%s/state", dir);
	return rmdir(state_dir) < 0 || rmdir(dir) < 0 ? -1 : 0;
}

static struct op_memory *open_it(void)
{
	struct op_memory *m;
	struct pm_error err;

	assert_int_equal(op_memory_open(dir, &m, &err), 0);
	return m;
}

static void id_of(unsigned n, uint8_t id[OP_ID_BYTES])
{
	memset(id, 0, OP_ID_BYTES);
	(void)snprintf((char *)id, OP_ID_BYTES, "%u", n);
}

static enum op_found look(struct op_memory *m, unsigned n, char *text)
{
	uint8_t id[OP_ID_BYTES];
	const uint8_t *result = NULL;
	size_t len = 0;
	enum op_found found;

	id_of(n, id);
	found = op_memory_find(m, id, &result, &len);
	if (len > 0)
		memcpy(text, result, len);
	text[len] = '\0';
	return found;
}

static void begin(struct op_memory *m, unsigned n)
{
	uint8_t id[OP_ID_BYTES];
	struct pm_error err;

	id_of(n, id);
	assert_int_equal(op_memory_begin(m, id, &err), 0);
}

static void done(struct op_memory *m, unsigned n, const char *text)
{
	uint8_t id[OP_ID_BYTES];
	struct pm_error err;

	id_of(n, id);
	assert_int_equal(op_memory_done(m, id, (const uint8_t *)text, strlen(text), &err), 0);
}

static void x46_what_was_done_is_known_after_a_restart(void **state)
{
	struct op_memory *m = open_it();
	char text[64];

	(void)state;
	assert_int_equal(look(m, 1, text), OP_UNHEARD);
	begin(m, 1);
	begin(m, 2);
	done(m, 1, "result");
	assert_int_equal(look(m, 1, text), OP_DONE);
	assert_string_equal(text, "result");
	assert_int_equal(look(m, 2, text), OP_BEGUN);
	op_memory_close(m);
	m = open_it();
	assert_int_equal(look(m, 1, text), OP_DONE);
	assert_string_equal(text, "result");
	assert_int_equal(look(m, 2, text), OP_CUT);
	assert_int_equal(look(m, 3, text), OP_UNHEARD);
	op_memory_close(m);
}

static void of_many_the_oldest_are_forgotten(void **state)
{
	struct op_memory *m = open_it();
	char text[64];

	(void)state;
	for (unsigned n = 0; n < PM_OPS_KEPT + 10; n++) {
		begin(m, n);
		done(m, n, "x");
	}
	for (int round = 0; round < 2; round++) {
		assert_int_equal(look(m, 9, text), OP_UNHEARD);
		assert_int_equal(look(m, 10, text), OP_DONE);
		assert_int_equal(look(m, PM_OPS_KEPT + 9, text), OP_DONE);
		op_memory_close(m);
		m = open_it();
	}
	op_memory_close(m);
}

static void the_file_stays_small(void **state)
{
	struct op_memory *m = open_it();
	char text[PM_OP_RESULT_MAX + 1], got[PM_OP_RESULT_MAX + 1];
	struct stat st;

	(void)state;
	memset(text, 'r', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (unsigned n = 0; n < 4 * PM_OPS_KEPT; n++) {
		begin(m, n);
		done(m, n, text);
	}
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size <= (off_t)PM_OPS_FILE_MAX + 2 * PM_OP_RESULT_MAX);
	op_memory_close(m);
	m = open_it();
	assert_int_equal(look(m, 4 * PM_OPS_KEPT - 1, got), OP_DONE);
	assert_string_equal(got, text);
	assert_int_equal(look(m, 3 * PM_OPS_KEPT, got), OP_DONE);
	op_memory_close(m);
}

static void a_cut_file_forgets_no_more_than_its_end(void **state)
{
	struct op_memory *m = open_it();
	char text[64];
	struct stat st;

	(void)state;
	begin(m, 1);
	done(m, 1, "one");
	begin(m, 2);
	op_memory_close(m);
	assert_int_equal(stat(path, &st), 0);
	for (off_t len = st.st_size; len-- > 0;) {
		enum op_found one, two;

		assert_int_equal(truncate(path, len), 0);
		m = open_it();
		one = look(m, 1, text);
		two = look(m, 2, text);
		assert_int_equal(two, OP_UNHEARD);
		assert_true(one == OP_DONE || one == OP_CUT || one == OP_UNHEARD);
		begin(m, 3); /* and it goes on */
		op_memory_close(m);
		m = open_it();
		assert_int_equal(look(m, 3, text), OP_CUT);
		op_memory_close(m);
		if (one == OP_UNHEARD)
			break;
		assert_int_equal(unlink(path), 0);
		m = open_it();
		begin(m, 1);
		done(m, 1, "one");
		begin(m, 2);
		op_memory_close(m);
	}
}

static void a_changed_byte_is_no_record(void **state)
{
	struct op_memory *m = open_it();
	char text[64], byte;
	struct stat st;
	int fd;

	(void)state;
	begin(m, 1);
	done(m, 1, "one");
	op_memory_close(m);
	assert_int_equal(stat(path, &st), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, &byte, 1, st.st_size - 12), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, st.st_size - 12), 1);
	assert_int_equal(close(fd), 0);
	m = open_it();
	assert_int_equal(look(m, 1, text), OP_CUT); /* begun, and nothing is made up */
	op_memory_close(m);
}

static void a_link_is_refused(void **state)
{
	struct op_memory *m;
	struct pm_error err;

	(void)state;
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(op_memory_open(dir, &m, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(x46_what_was_done_is_known_after_a_restart, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(of_many_the_oldest_are_forgotten, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(the_file_stays_small, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cut_file_forgets_no_more_than_its_end, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(a_changed_byte_is_no_record, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_link_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
