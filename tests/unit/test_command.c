/* A command to many: every target ends in what is true of it, and none is forgotten. */
#include "tests/unit/unit.h"

#include "coordinator/command.h"

static void the_grid_is_the_one_that_was_meant(void **state)
{
	/* a row a state, a column an event: send, away, refuse, accept, done, fail, expire */
	static const enum target_state want[TARGET_STATES_N][TARGET_EV_N] = {
		[TARGET_WAITING] = { TARGET_SENT, TARGET_OFFLINE, TARGET_REFUSED, TARGET_WAITING,
		                     TARGET_WAITING, TARGET_WAITING, TARGET_MISSED },
		[TARGET_OFFLINE] = { TARGET_SENT, TARGET_OFFLINE, TARGET_REFUSED, TARGET_OFFLINE,
		                     TARGET_OFFLINE, TARGET_OFFLINE, TARGET_MISSED },
		[TARGET_SENT] = { TARGET_SENT, TARGET_SENT, TARGET_SENT, TARGET_ACCEPTED,
		                  TARGET_DONE, TARGET_FAILED, TARGET_UNKNOWN },
		[TARGET_ACCEPTED] = { TARGET_ACCEPTED, TARGET_ACCEPTED, TARGET_ACCEPTED,
		                      TARGET_ACCEPTED, TARGET_DONE, TARGET_FAILED, TARGET_UNKNOWN },
		[TARGET_DONE] = { TARGET_DONE, TARGET_DONE, TARGET_DONE, TARGET_DONE, TARGET_DONE,
		                  TARGET_DONE, TARGET_DONE },
		[TARGET_FAILED] = { TARGET_FAILED, TARGET_FAILED, TARGET_FAILED, TARGET_FAILED,
		                    TARGET_FAILED, TARGET_FAILED, TARGET_FAILED },
		[TARGET_MISSED] = { TARGET_MISSED, TARGET_MISSED, TARGET_MISSED, TARGET_MISSED,
		                    TARGET_MISSED, TARGET_MISSED, TARGET_MISSED },
		[TARGET_REFUSED] = { TARGET_REFUSED, TARGET_REFUSED, TARGET_REFUSED, TARGET_REFUSED,
		                     TARGET_REFUSED, TARGET_REFUSED, TARGET_REFUSED },
		[TARGET_UNKNOWN] = { TARGET_UNKNOWN, TARGET_UNKNOWN, TARGET_UNKNOWN, TARGET_UNKNOWN,
		                     TARGET_DONE, TARGET_FAILED, TARGET_UNKNOWN },
	};

	(void)state;
	for (int s = 0; s < TARGET_STATES_N; s++) {
		const char *name = target_state_name((enum target_state)s);

		assert_int_equal(target_state_find(name), s);
		for (int ev = 0; ev < TARGET_EV_N; ev++)
			assert_int_equal(target_next((enum target_state)s, (enum target_event)ev),
			                 want[s][ev]);
	}
	assert_int_equal(target_state_find("nix"), TARGET_STATES_N);
}

static size_t n_told;

static void told(void *arg, size_t target)
{
	(void)arg;
	(void)target;
	n_told++;
}

static struct command a_command(size_t n)
{
	struct command c;
	struct pm_error err;

	assert_int_equal(command_init(&c, n, 1000, 10000, &err), 0);
	n_told = 0;
	return c;
}

static void each_end_says_what_is_true(void **state)
{
	struct command c = a_command(6);

	(void)state;
	assert_true(command_event(&c, 0, TARGET_EV_SEND, 1000));
	assert_true(command_event(&c, 0, TARGET_EV_ACCEPT, 1100));
	assert_true(command_event(&c, 0, TARGET_EV_DONE, 1200));
	assert_true(command_event(&c, 1, TARGET_EV_SEND, 1000)); /* never answers */
	assert_true(command_event(&c, 2, TARGET_EV_AWAY, 1000));
	assert_true(command_event(&c, 3, TARGET_EV_REFUSE, 1000));
	assert_true(command_event(&c, 4, TARGET_EV_SEND, 1000));
	assert_true(command_event(&c, 4, TARGET_EV_FAIL, 1000));
	assert_int_equal(command_tick(&c, 5000, told, NULL), 11000);
	assert_int_equal(n_told, 0);
	assert_false(command_has_ended(&c));
	assert_int_equal(command_tick(&c, 11000, told, NULL),
	                 13000); /* an answer may be on its way */
	assert_int_equal(n_told, 2);
	assert_int_equal(command_tick(&c, 13000, told, NULL), 0);
	assert_true(command_has_ended(&c));
	assert_int_equal(c.targets[0].state, TARGET_DONE);
	assert_int_equal(c.targets[1].state, TARGET_UNKNOWN); /* not failed */
	assert_int_equal(c.targets[2].state, TARGET_MISSED);
	assert_int_equal(c.targets[3].state, TARGET_REFUSED);
	assert_int_equal(c.targets[4].state, TARGET_FAILED);
	assert_int_equal(c.targets[5].state, TARGET_MISSED);      /* its turn never came */
	assert_true(command_event(&c, 1, TARGET_EV_DONE, 60000)); /* better late than never */
	command_finish(&c);
}

static void only_so_many_are_under_way(void **state)
{
	struct command c = a_command(5);
	size_t at = 0, sent = 0;

	(void)state;
	c.max_sent = 2;
	while (command_next(&c, 1000, &at)) {
		assert_true(command_event(&c, at, TARGET_EV_SEND, 1000));
		sent++;
	}
	assert_int_equal(sent, 2);
	(void)command_event(&c, 0, TARGET_EV_DONE, 1000);
	assert_true(command_next(&c, 1000, &at));
	assert_int_equal(at, 2);
	assert_false(command_next(&c, 11000, &at)); /* the time is up */
	command_finish(&c);
}

static void who_comes_back_is_asked_again(void **state)
{
	struct command c = a_command(3);

	(void)state;
	(void)command_event(&c, 0, TARGET_EV_SEND, 1000);
	assert_false(command_event(&c, 0, TARGET_EV_AWAY, 2000)); /* it may be at it */
	assert_true(command_is_due(&c, 0, 3000));
	assert_false(command_event(&c, 0, TARGET_EV_SEND, 3000));
	assert_int_equal(c.targets[0].sends, 2);
	(void)command_event(&c, 1, TARGET_EV_AWAY, 1000);
	assert_true(command_is_due(&c, 1, 10999));
	assert_false(command_is_due(&c, 1, 11000));
	assert_false(command_is_due(&c, 2, 3000)); /* its turn has not come: see command_next() */
	(void)command_event(&c, 0, TARGET_EV_DONE, 4000);
	assert_false(command_is_due(&c, 0, 4000));
	command_finish(&c);
}

static void an_offline_one_may_be_waited_for(void **state)
{
	struct command c = a_command(2);

	(void)state;
	c.queue_until_ms = 3600000;
	(void)command_event(&c, 0, TARGET_EV_AWAY, 1000);
	(void)command_event(&c, 1, TARGET_EV_SEND, 1000);
	assert_int_equal(command_tick(&c, 13000, told, NULL), 3600000);
	assert_int_equal(c.targets[1].state, TARGET_UNKNOWN); /* not waited for that long */
	assert_true(command_is_due(&c, 0, 100000));
	assert_true(command_event(&c, 0, TARGET_EV_SEND, 100000));
	assert_int_equal(command_tick(&c, 100000, told, NULL), 112000); /* its time is from now */
	assert_true(command_event(&c, 0, TARGET_EV_DONE, 105000));
	assert_true(command_has_ended(&c));
	command_finish(&c);
}

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

/* Whatever comes in whatever order: nobody is lost, ends stay, time brings the end. */
static void any_events_keep_the_account(void **state)
{
	unsigned seed = 17;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct command c = a_command(20);
		uint64_t now = 1000;

		c.max_sent = next(&seed) % 5;
		c.queue_until_ms = next(&seed) % 2 == 0 ? 0 : 30000;
		for (unsigned i = 0; i < 300; i++) {
			size_t target = next(&seed) % 20, sum = 0;
			enum target_state before = c.targets[target].state;
			uint8_t sends = c.targets[target].sends;
			enum target_event ev = (enum target_event)(next(&seed) % TARGET_EV_EXPIRE);

			(void)command_event(&c, target, ev, now);
			if (target_state_is_final(before) && before != TARGET_UNKNOWN)
				assert_int_equal(c.targets[target].state, before);
			/* Done, failed and unknown were sent; missed and refused were not. */
			switch (c.targets[target].state) {
			case TARGET_DONE:
			case TARGET_FAILED:
			case TARGET_UNKNOWN:
			case TARGET_SENT:
			case TARGET_ACCEPTED:
				assert_true(c.targets[target].sends > 0);
				break;
			case TARGET_MISSED:
			case TARGET_REFUSED:
			case TARGET_WAITING:
			case TARGET_OFFLINE:
				assert_int_equal(c.targets[target].sends, 0);
				break;
			case TARGET_STATES_N:
				fail();
			}
			assert_true(c.targets[target].sends >= sends);
			for (size_t s = 0; s < TARGET_STATES_N; s++)
				sum += c.by_state[s];
			assert_int_equal(sum, 20);
			now += next(&seed) % 200;
			(void)command_tick(&c, now, told, NULL);
		}
		/* From tick to tick it comes to its end. */
		for (unsigned i = 0; i < 100 && !command_has_ended(&c); i++) {
			uint64_t at = command_tick(&c, now, told, NULL);

			assert_true(at == 0 || at > now);
			now = PM_MAX(at, now);
		}
		assert_true(command_has_ended(&c));
		assert_int_equal(command_tick(&c, now, told, NULL), 0);
		command_finish(&c);
	}
}

static void a_command_has_a_largest_size(void **state)
{
	struct command c;
	struct pm_error err;

	(void)state;
	assert_int_equal(command_init(&c, 65537, 0, 1, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	pm_alloc_fail_at(1);
	assert_int_equal(command_init(&c, 5, 0, 1, &err), -1);
	pm_alloc_fail_at(0);
	assert_int_equal(err.code, PM_NO_MEMORY);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_grid_is_the_one_that_was_meant),
		cmocka_unit_test(each_end_says_what_is_true),
		cmocka_unit_test(only_so_many_are_under_way),
		cmocka_unit_test(who_comes_back_is_asked_again),
		cmocka_unit_test(an_offline_one_may_be_waited_for),
		cmocka_unit_test(any_events_keep_the_account),
		cmocka_unit_test(a_command_has_a_largest_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
