/* Whether an agent that comes is the one we know: clones, old stores. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "coordinator/admit.h"

static struct admit_hello hello(uint8_t machine, uint8_t run, uint64_t epoch)
{
	struct admit_hello h = { .machine = { machine }, .run = { run }, .epoch = epoch };

	(void)snprintf(h.address, sizeof(h.address), "10.0.0.%u", run);
	return h;
}

static struct admit_history history;
static uint64_t epoch;

/* A hello, and if it is let in, its session, which the agent confirms. */
static enum admit comes(struct admit_hello h, bool live)
{
	struct admit_verdict v;

	admit_decide(&history, AGENT_ACCEPTED, epoch, 100, live, &h, &v);
	assert_int_equal(v.admit == ADMIT, v.why[0] == '\0');
	if (v.admit == ADMIT)
		admit_confirm(&history, ++epoch);
	return v.admit;
}

static void begin_anew(void)
{
	history = (struct admit_history){ 0 };
	epoch = 0;
}

static void one_agent_may_come_as_often_as_it_likes(void **state)
{
	(void)state;
	begin_anew();
	assert_int_equal(comes(hello(1, 1, 0), false), ADMIT);
	assert_int_equal(comes(hello(1, 1, 1), true), ADMIT); /* half-open session replaced */
	assert_int_equal(comes(hello(1, 1, 2), false), ADMIT);
	assert_int_equal(comes(hello(1, 2, 3), false), ADMIT); /* restarted */
	assert_int_equal(comes(hello(1, 3, 4), true), ADMIT);
	assert_int_equal(comes(hello(2, 4, 5), false), ADMIT); /* moved to another machine */
	for (uint8_t run = 5; run < 60; run++) /* restarted more often than is remembered */
		assert_int_equal(comes(hello(2, run, epoch), true), ADMIT);
}

static void a_welcome_that_never_arrived_is_no_clone(void **state)
{
	struct admit_verdict v;
	struct admit_hello h = hello(1, 1, 0);

	(void)state;
	begin_anew();
	for (unsigned i = 0; i < 5; i++) { /* the link is cut before the agent can confirm */
		admit_decide(&history, AGENT_ACCEPTED, epoch++, 100, true, &h, &v);
		assert_int_equal(v.admit, ADMIT);
	}
}

static void copies_of_an_agent_are_found(void **state)
{
	(void)state;
	begin_anew(); /* two machines, each in turn: found when the first is back */
	assert_int_equal(comes(hello(1, 1, 0), false), ADMIT);
	assert_int_equal(comes(hello(2, 2, 1), false), ADMIT);
	assert_int_equal(comes(hello(1, 1, 2), false), ADMIT_CLONE);
	assert_string_equal(history.clone, "10.0.0.2");
	begin_anew(); /* two machines at once */
	assert_int_equal(comes(hello(1, 1, 0), false), ADMIT);
	assert_int_equal(comes(hello(2, 2, 1), true), ADMIT_CLONE);
	begin_anew(); /* the state copied on one machine, or a memory snapshot: all ids are equal */
	assert_int_equal(comes(hello(1, 1, 0), false), ADMIT);
	assert_int_equal(comes(hello(1, 1, 1), true), ADMIT);
	assert_int_equal(comes(hello(1, 1, 1), true), ADMIT_CLONE);
	begin_anew(); /* an old copy of the state on the same machine */
	assert_int_equal(comes(hello(1, 1, 0), false), ADMIT);
	assert_int_equal(comes(hello(1, 2, 1), false), ADMIT);
	assert_int_equal(comes(hello(1, 3, 0), false), ADMIT_CLONE);
}

static void each_start_on_each_kernel_is_a_life_of_its_own(void **state)
{
	static const uint8_t boots[2][16] = { { 1, [15] = 3 }, { 2, [15] = 3 } };
	uint8_t runs[2 * 300][16];

	(void)state;
	for (size_t i = 0; i < PM_COUNT(runs); i++) {
		admit_run(boots[i % 2], i / 2 + 200, runs[i]);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(runs[i], runs[j], sizeof(runs[i]));
	}
}

static void after_a_restart_of_ours_clones_show_again(void **state)
{
	(void)state;
	begin_anew();
	epoch = 7; /* as stored; the history is empty */
	assert_int_equal(comes(hello(1, 1, 6), false), ADMIT);
	assert_int_equal(comes(hello(1, 2, 7), true), ADMIT_CLONE); /* knows not of 8 */
}

static void an_old_store_is_noticed_not_believed(void **state)
{
	struct admit_verdict v;
	struct admit_hello h = hello(1, 1, 9);

	(void)state;
	begin_anew();
	admit_decide(&history, AGENT_ACCEPTED, 8, 100, false, &h, &v);
	assert_int_equal(v.admit, ADMIT_STORE_OLD);
	h.epoch = 8;
	h.counter = 101;
	admit_decide(&history, AGENT_ACCEPTED, 8, 100, false, &h, &v);
	assert_int_equal(v.admit, ADMIT_STORE_OLD);
	assert_string_equal(v.why,
	                    "it has seen session 8 and command 101, the store knows 8 and 100");
	admit_decide(&history, AGENT_ACCEPTED, 8, 101, false, &h, &v); /* the operator raised it */
	assert_int_equal(v.admit, ADMIT);
}

static void the_state_of_an_agent_decides_first(void **state)
{
	static const struct {
		enum agent_state state;
		enum admit want;
	} rows[] = {
		{ AGENT_PENDING, ADMIT_REFUSED },         { AGENT_REJECTED, ADMIT_REFUSED },
		{ AGENT_DENIED, ADMIT_REFUSED },          { AGENT_ACCEPTED, ADMIT },
		{ AGENT_QUARANTINED, ADMIT_QUARANTINED },
	};
	struct admit_hello h = hello(1, 1, 0);
	struct admit_verdict v;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		begin_anew();
		admit_decide(&history, rows[i].state, 0, 0, false, &h, &v);
		assert_int_equal(v.admit, rows[i].want);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_agent_may_come_as_often_as_it_likes),
		cmocka_unit_test(a_welcome_that_never_arrived_is_no_clone),
		cmocka_unit_test(copies_of_an_agent_are_found),
		cmocka_unit_test(each_start_on_each_kernel_is_a_life_of_its_own),
		cmocka_unit_test(after_a_restart_of_ours_clones_show_again),
		cmocka_unit_test(an_old_store_is_noticed_not_believed),
		cmocka_unit_test(the_state_of_an_agent_decides_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
