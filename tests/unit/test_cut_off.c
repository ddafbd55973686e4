/* Whether it is the coordinator that is cut off, and not its agents (FLEET 1.7, class E). */
#include "tests/unit/unit.h"

#include "coordinator/cut_off.h"

static void class_e_more_than_half_at_once_is_us(void **state)
{
	struct cut_off c = { 0 };

	(void)state;
	for (size_t gone = 1; gone <= 5; gone++)
		assert_false(cut_off_lost(&c, 10 - gone, gone)); /* half is not more than half */
	assert_false(cut_off_is(&c));
	assert_true(cut_off_lost(&c, 4, 6));
	assert_true(cut_off_is(&c));
	assert_false(cut_off_lost(&c, 3, 7)); /* it is known already */
}

static void class_e_it_is_over_when_more_than_half_are_back(void **state)
{
	struct cut_off c = { 0 };

	(void)state;
	for (size_t gone = 1; gone <= 10; gone++)
		(void)cut_off_lost(&c, 10 - gone, gone);
	for (size_t back = 1; back <= 5; back++)
		assert_false(cut_off_came(&c, back));
	assert_true(cut_off_is(&c));
	assert_true(cut_off_came(&c, 6));
	assert_false(cut_off_is(&c));
	assert_false(cut_off_came(&c, 7));
}

static void one_after_another_is_them(void **state)
{
	struct cut_off c = { 0 };

	(void)state;
	for (size_t left = 99; left > 4; left--) /* four of them within a heartbeat */
		assert_false(cut_off_lost(&c, left, 4));
}

static void of_three_hosts_half_says_nothing(void **state)
{
	struct cut_off c = { 0 };

	(void)state;
	for (size_t gone = 1; gone <= 3; gone++)
		assert_false(cut_off_lost(&c, 3 - gone, gone));
}

static void who_has_looked_may_say_that_they_are_gone(void **state)
{
	struct cut_off c = { 0 };

	(void)state;
	assert_true(cut_off_lost(&c, 0, 8));
	cut_off_accept(&c);
	assert_false(cut_off_is(&c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(class_e_more_than_half_at_once_is_us),
		cmocka_unit_test(class_e_it_is_over_when_more_than_half_are_back),
		cmocka_unit_test(one_after_another_is_them),
		cmocka_unit_test(of_three_hosts_half_says_nothing),
		cmocka_unit_test(who_has_looked_may_say_that_they_are_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
