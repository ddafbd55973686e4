#include "tests/unit/unit.h"

#include "proto/gate.h"

static char people[64]; /* their addresses are who they are */

static const uint8_t *v4(uint8_t last)
{
	static uint8_t a[PM_GATE_ADDRESS];

	memset(a, 0, sizeof(a));
	a[10] = a[11] = 0xff;
	a[12] = 10;
	a[15] = last;
	return a;
}

static const uint8_t *v6(uint8_t net, uint8_t host)
{
	static uint8_t a[PM_GATE_ADDRESS];

	memset(a, 0, sizeof(a));
	a[0] = 0x20;
	a[7] = net;
	a[15] = host;
	return a;
}

static struct pm_gate *gate(unsigned max, unsigned per_address, unsigned per_second)
{
	struct pm_gate_limits limits = { max, per_address, per_second, 2 };
	struct pm_gate *g;
	struct pm_error err;

	assert_int_equal(pm_gate_create(&limits, &g, &err), 0);
	return g;
}

static void the_oldest_of_all_makes_room(void **state)
{
	struct pm_gate *g = gate(4, 4, 1);

	(void)state;
	for (uint8_t i = 0; i < 4; i++)
		assert_null(pm_gate_enter(g, v4(i), &people[i]));
	assert_ptr_equal(pm_gate_enter(g, v4(9), &people[4]), &people[0]);
	assert_ptr_equal(pm_gate_enter(g, v4(8), &people[5]), &people[1]);
	pm_gate_leave(g, &people[2]);
	pm_gate_leave(g, &people[2]); /* once is enough, twice is no harm */
	assert_int_equal(pm_gate_count(g), 3);
	assert_null(pm_gate_enter(g, v4(7), &people[6]));
	assert_ptr_equal(pm_gate_enter(g, v4(7), &people[7]), &people[3]);
	pm_gate_destroy(g);
}

/* */
static void one_address_pushes_out_its_own_only(void **state)
{
	struct pm_gate *g = gate(10, 3, 1);

	(void)state;
	assert_null(pm_gate_enter(g, v4(1), &people[0]));
	for (unsigned i = 1; i <= 3; i++)
		assert_null(pm_gate_enter(g, v4(2), &people[i]));
	for (unsigned i = 4; i < 40; i++)
		assert_ptr_equal(pm_gate_enter(g, v4(2), &people[i]), &people[i - 3]);
	assert_int_equal(pm_gate_count(g), 4); /* the other one is still there */
	pm_gate_leave(g, &people[0]);
	assert_int_equal(pm_gate_count(g), 3);
	pm_gate_destroy(g);
}

static void who_has_spoken_keeps_its_place(void **state)
{
	struct pm_gate *g = gate(4, 3, 1);

	(void)state;
	for (uint8_t i = 0; i < 3; i++)
		assert_null(pm_gate_enter(g, v4(1), &people[i]));
	pm_gate_spoke(g, &people[0]);
	pm_gate_spoke(g, &people[9]); /* who is not in */
	assert_ptr_equal(pm_gate_enter(g, v4(1), &people[3]), &people[1]);
	pm_gate_spoke(g, &people[2]);
	pm_gate_spoke(g, &people[3]);
	assert_ptr_equal(pm_gate_enter(g, v4(1), &people[4]), &people[4]); /* comes again later */
	assert_null(pm_gate_enter(g, v4(2), &people[5]));
	assert_ptr_equal(pm_gate_enter(g, v4(3), &people[6]), &people[5]);
	pm_gate_spoke(g, &people[6]);
	assert_ptr_equal(pm_gate_enter(g, v4(4), &people[7]), &people[7]);
	pm_gate_leave(g, &people[0]);
	assert_null(pm_gate_enter(g, v4(4), &people[7]));
	assert_int_equal(pm_gate_count(g), 4);
	pm_gate_destroy(g);
}

static void a_net_of_ipv6_is_one_address(void **state)
{
	struct pm_gate *g = gate(10, 2, 1);

	(void)state;
	assert_null(pm_gate_enter(g, v6(1, 1), &people[0]));
	assert_null(pm_gate_enter(g, v6(1, 2), &people[1]));
	assert_null(pm_gate_enter(g, v6(2, 3), &people[2]));
	assert_ptr_equal(pm_gate_enter(g, v6(1, 3), &people[3]), &people[0]);
	pm_gate_destroy(g);
}

static void turns_come_at_their_rate(void **state)
{
	struct pm_gate *g = gate(2, 2, 100);
	unsigned n = 0;

	(void)state;
	while (pm_gate_take_turn(g, 5000))
		n++;
	assert_int_equal(n, 100);
	assert_false(pm_gate_take_turn(g, 5009)); /* nine tenths of one */
	assert_true(pm_gate_take_turn(g, 5010));
	assert_false(pm_gate_take_turn(g, 5010));
	assert_false(pm_gate_take_turn(g, 4000)); /* time that goes back gives nothing */
	assert_false(pm_gate_take_turn(g, 5015));
	assert_true(pm_gate_take_turn(g, 5020));
	for (n = 0; pm_gate_take_turn(g, 900000); n++) /* a long pause saves up no more */
		;
	assert_int_equal(n, 100);
	pm_gate_destroy(g);
}

static void enrolments_are_counted(void **state)
{
	struct pm_gate *g = gate(2, 2, 1);

	(void)state;
	assert_true(pm_gate_take_enrolment(g));
	assert_true(pm_gate_take_enrolment(g));
	assert_false(pm_gate_take_enrolment(g));
	pm_gate_enrolled(g);
	assert_true(pm_gate_take_enrolment(g));
	pm_gate_destroy(g);
}

static void no_memory_makes_no_gate(void **state)
{
	struct pm_gate_limits limits = { 4, 4, 4, 4 };
	struct pm_gate *g;
	struct pm_error err;

	(void)state;
	for (unsigned i = 1; i <= 2; i++) {
		pm_alloc_fail_at(i);
		assert_int_equal(pm_gate_create(&limits, &g, &err), -1);
		pm_alloc_fail_at(0);
		assert_int_equal(err.code, PM_NO_MEMORY);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oldest_of_all_makes_room),
		cmocka_unit_test(one_address_pushes_out_its_own_only),
		cmocka_unit_test(who_has_spoken_keeps_its_place),
		cmocka_unit_test(a_net_of_ipv6_is_one_address),
		cmocka_unit_test(turns_come_at_their_rate),
		cmocka_unit_test(enrolments_are_counted),
		cmocka_unit_test(no_memory_makes_no_gate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
