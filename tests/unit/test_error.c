#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void wrapping_reads_from_the_outside_in(void **state)
{
	struct pm_error err;

	(void)state;
	assert_int_equal(pm_fail_errno(&err, ENOENT, "open %s", "x"), -1);
	pm_hint(&err, "inner");
	pm_hint(&err, "outer");
	assert_int_equal(pm_wrap(&err, "load %s", "x"), -1);
	assert_string_equal(err.what, "load x: open x: No such file or directory");
	assert_string_equal(err.hint, "inner");
	assert_int_equal(err.code, PM_INTERNAL);
}

static void wire_values_come_back_and_strange_ones_are_internal(void **state)
{
	(void)state;
	assert_int_equal(pm_code_from_wire(15), PM_DEADLINE);
	assert_int_equal(pm_code_from_wire(999), PM_INTERNAL);
	assert_int_equal(pm_code_exit_status(PM_NOT_FOUND), 4);
	assert_string_equal(pm_code_name(PM_LOCKED), "locked");
}

static void the_nth_allocation_fails_and_those_after_it(void **state)
{
	void *p;

	(void)state;
	pm_alloc_fail_at(2);
	p = pm_calloc(1, 1);
	assert_non_null(p);
	free(p);
	assert_null(pm_calloc(1, 1));
	assert_null(pm_strdup("x"));
	pm_alloc_fail_at(0);
	p = pm_strdup("x");
	assert_non_null(p);
	free(p);
}

static void a_descriptor_is_closed_once(void **state)
{
	int pipe_fds[2], fd, stranger;

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	fd = pipe_fds[0];
	errno = ERANGE;
	pm_closep(&fd);
	assert_int_equal(fd, -1);
	assert_int_equal(errno, ERANGE);
	stranger = dup(pipe_fds[1]); /* gets the number that is free now */
	assert_int_equal(stranger, pipe_fds[0]);
	pm_closep(&fd);
	assert_int_not_equal(fcntl(stranger, F_GETFD), -1);
	pm_closep(&stranger);
	pm_closep(&pipe_fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrapping_reads_from_the_outside_in),
		cmocka_unit_test(wire_values_come_back_and_strange_ones_are_internal),
		cmocka_unit_test(the_nth_allocation_fails_and_those_after_it),
		cmocka_unit_test(a_descriptor_is_closed_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
