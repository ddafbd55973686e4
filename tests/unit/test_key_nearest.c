#include "tests/unit/unit.h"

#include "cli/key_nearest.h"

static void a_slip_of_the_pen_finds_the_key_that_was_meant(void **state)
{
	static const char *const pairs[][2] = {
		{ "instaces", "instances" },
		{ "max_memory_restarts", "max_memory_restart" },
		{ "maxMemoryRestrat", "max_memory_restart" },
		{ "wait-ready", "wait_ready" },
		{ "scirpt", "script" },
		{ "auto_restart", "autorestart" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(pairs); i++)
		assert_string_equal(key_nearest(pairs[i][0]), pairs[i][1]);
	assert_null(key_nearest("colour_of_the_sky"));
	assert_null(key_nearest("xq"));
	assert_null(
		key_nearest("a_name_that_is_far_longer_than_any_key_could_ever_be_in_this_table"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slip_of_the_pen_finds_the_key_that_was_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
