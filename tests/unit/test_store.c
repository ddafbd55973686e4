/* The contract of coordinator/store.h, as every back end has to keep it. */
#include "tests/unit/store_rig.h"

#include <sys/stat.h>

#include "proto/limits.h"

/* ---- specs and what is desired ---- */

static void newest_spec(const struct store_result *r)
{
	assert_int_equal(r->n, 2);
	assert_string_equal(r->specs[0].app, "api");
	assert_int_equal(r->specs[0].generation, 2);
	assert_int_equal(r->specs[0].content_len, 3);
	assert_memory_equal(r->specs[0].content, "b\0c", 3);
	assert_string_equal(r->specs[1].app, "web");
	assert_int_equal(r->specs[1].content_len, 0);
}

static void specs_follow_each_other(void **state)
{
	struct rig *rig = *state;
	struct store_spec s = {
		.app = "api", .content = (const uint8_t *)"a", .content_len = 1, .author = "anna"
	};
	struct answer a = ASK(rig, STORE_PUT_SPEC, .spec = s);

	assert_int_equal(a.revision, 1);
	a = ASK(rig, STORE_PUT_SPEC, .spec = s);
	assert_int_equal(a.status, STORE_CONFLICT);
	assert_string_equal(a.why, "api is at generation 1, not 0");
	s.generation = 1;
	s.content = (const uint8_t *)"b\0c";
	s.content_len = 3;
	assert_int_equal(ASK(rig, STORE_PUT_SPEC, .spec = s).revision, 2);
	s = (struct store_spec){ .app = "web" };
	OK(ASK(rig, STORE_PUT_SPEC, .spec = s));
	OK(LOOK(rig, newest_spec, STORE_LIST_SPECS));
	assert_int_equal(ASK(rig, STORE_LIST_SPECS, .page = { .name = "api" }).n, 2);
	assert_int_equal(ASK(rig, STORE_LIST_SPECS, .page = { .name = "nix" }).n, 0);
	for (uint64_t i = 1; i < 30; i++) { /* old versions go */
		s.generation = i;
		OK(ASK(rig, STORE_PUT_SPEC, .spec = s));
	}
	assert_int_equal(ASK(rig, STORE_LIST_SPECS, .page = { .name = "web" }).n,
	                 PM_STORE_SPECS_KEPT);
}

static void second_change(const struct store_result *r)
{
	assert_int_equal(r->n, 1);
	assert_string_equal(r->desired[0].app, "api");
	assert_string_equal(r->desired[0].wanted, "stopped");
	assert_int_equal(r->desired[0].revision, 2);
}

static void what_is_desired_is_compared_and_set(void **state)
{
	struct rig *rig = *state;
	struct store_desired d[] = {
		{ .agent = id_of(1), .app = "api", .generation = 1, .wanted = "running" },
		{ .agent = id_of(1), .app = "web", .generation = 1, .wanted = "running" },
	};
	struct answer a;

	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 1)));
	assert_int_equal(ASK(rig, STORE_PUT_DESIRED, .desired = { d, 2 }).status, STORE_NOT_FOUND);
	OK(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 1, "web01")));
	a = ASK(rig, STORE_PUT_DESIRED, .desired = { d, 2 });
	assert_int_equal(a.revision, 1); /* what failed above counted nothing */
	assert_int_equal(ASK(rig, STORE_PUT_DESIRED, .desired = { d, 1 }).status, STORE_CONFLICT);
	d[0].revision = 1;
	d[0].wanted = "stopped";
	assert_int_equal(ASK(rig, STORE_PUT_DESIRED, .desired = { d, 1 }).revision, 2);
	assert_int_equal(ASK(rig, STORE_LIST_DESIRED).n, 2);
	OK(LOOK(rig, second_change, STORE_LIST_DESIRED, .page = { .after = 1 }));
	/* All or none: the second row of these is stale. */
	d[0].revision = 2;
	d[1].revision = 7;
	a = ASK(rig, STORE_PUT_DESIRED, .desired = { d, 2 });
	assert_int_equal(a.status, STORE_CONFLICT);
	assert_string_equal(a.why, "web was changed meanwhile");
	assert_int_equal(ASK(rig, STORE_LIST_DESIRED, .page = { .after = 2 }).n, 0);
	OK(ASK(rig, STORE_DROP_AGENT, .id = id_of(1)));
	assert_int_equal(ASK(rig, STORE_LIST_DESIRED).n, 0);
}

/* ---- commands, rollouts, locks ---- */

static void the_command(const struct store_result *r)
{
	assert_int_equal(r->n, 1);
	assert_int_equal(r->commands[0].number, 1);
	assert_string_equal(r->commands[0].kind, "app.reload");
	assert_string_equal(r->commands[0].selector, "web*");
	assert_int_equal(r->commands[0].deadline_ms, 9000);
}

static void its_outcomes(const struct store_result *r)
{
	assert_int_equal(r->n, 2);
	assert_string_equal(r->outcomes[0].state, "done");
	assert_string_equal(r->outcomes[1].state, "waiting");
}

static void commands_are_counted_and_keep_their_targets(void **state)
{
	struct rig *rig = *state;
	struct store_id targets[] = { id_of(1), id_of(2), id_of(2) };
	struct store_open_command open = { .command = { .id = id_of(50),
		                                        .kind = "app.reload",
		                                        .selector = "web*",
		                                        .deadline_ms = 9000 },
		                           .targets = targets,
		                           .n_targets = 3 };
	struct store_outcome result = { .agent = id_of(1), .state = "done" };
	struct store_outcome stranger = { .agent = id_of(3), .state = "done" };

	assert_int_equal(ASK(rig, STORE_OPEN_COMMAND, .open_command = open).revision, 1);
	assert_int_equal(ASK(rig, STORE_OPEN_COMMAND, .open_command = open).status, STORE_CONFLICT);
	OK(LOOK(rig, the_command, STORE_LIST_COMMANDS));
	OK(ASK(rig, STORE_PUT_OUTCOMES, .outcomes = { id_of(50), &result, 1, NULL }));
	assert_int_equal(
		ASK(rig, STORE_PUT_OUTCOMES, .outcomes = { id_of(50), &stranger, 1, NULL }).status,
		STORE_NOT_FOUND);
	OK(LOOK(rig, its_outcomes, STORE_LIST_OUTCOMES, .id = id_of(50)));
	OK(ASK(rig, STORE_PUT_OUTCOMES, .outcomes = { id_of(50), NULL, 0, "done" }));
	assert_int_equal(ASK(rig, STORE_LIST_COMMANDS).n, 0);
	OK(LOOK(rig, the_command, STORE_LIST_COMMANDS, .id = id_of(50)));
	open.command.id = id_of(51);
	assert_int_equal(ASK(rig, STORE_OPEN_COMMAND, .open_command = open).revision, 2);
	assert_int_equal(rig_ask(rig,
	                         &(struct store_request){
					 .op = STORE_PRUNE, .now_ms = 9000, .number = 8000 },
	                         NULL)
	                         .revision,
	                 1);
	assert_int_equal(ASK(rig, STORE_LIST_OUTCOMES, .id = id_of(50)).n, 0);
	assert_int_equal(ASK(rig, STORE_LIST_OUTCOMES, .id = id_of(51)).n, 2);
}

static void the_steps(const struct store_result *r)
{
	assert_int_equal(r->n, 2);
	assert_string_equal(r->steps[0].state, "healthy");
	assert_int_equal(r->steps[0].batch, 0);
	assert_string_equal(r->steps[1].state, "pending");
	assert_int_equal(r->steps[1].batch, 1);
}

static void the_rollout(const struct store_result *r)
{
	assert_int_equal(r->n, 1);
	assert_int_equal(r->rollouts[0].revision, 2);
	assert_string_equal(r->rollouts[0].state, "running");
	assert_memory_equal(r->rollouts[0].plan, "plan2", 5);
}

/* what each agent was sent is known, and an old backup is told by an agent that knows more.
 */
static uint64_t sent[2], last_epoch;

static void read_sent(const struct store_result *r)
{
	assert_int_equal(r->n, 2);
	for (size_t i = 0; i < 2; i++)
		sent[i] = r->agents[i].command;
	last_epoch = r->agents[0].epoch;
}

static void x50_commands_have_numbers_and_agents_their_last_one(void **state)
{
	struct rig *rig = *state;
	const struct store_id both[] = { id_of(1), id_of(2) };
	struct store_step steps[] = {
		{ .agent = id_of(1), .token = id_of(61), .state = "sent", .sent = true },
		{ .agent = id_of(2), .token = id_of(62), .state = "pending" },
	};
	struct store_put_rollout p = { .rollout = { .id = id_of(60),
		                                    .app = "api",
		                                    .state = "running",
		                                    .plan = (const uint8_t *)"plan",
		                                    .plan_len = 4 },
		                       .steps = steps,
		                       .n_steps = 2 };
	struct answer a;

	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 2)));
	OK(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 1, "web01")));
	OK(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 2, "web02")));
	assert_int_equal(ASK(rig, STORE_COUNT, .count = { both, 2 }).number, 1);
	assert_int_equal(ASK(rig, STORE_COUNT, .count = { both + 1, 1 }).number, 2);
	OK(LOOK(rig, read_sent, STORE_LIST_AGENTS));
	assert_int_equal(sent[0], 1);
	assert_int_equal(sent[1], 2);
	/* A step that is sent counts with what writes it down; one that is not does not. */
	a = ASK(rig, STORE_PUT_ROLLOUT, .put_rollout = p);
	assert_int_equal(a.revision, 1);
	assert_int_equal(a.number, 3);
	OK(LOOK(rig, read_sent, STORE_LIST_AGENTS));
	assert_int_equal(sent[0], 3);
	assert_int_equal(sent[1], 2);
	assert_int_equal(ASK(rig, STORE_PUT_ROLLOUT, .put_rollout = p).status, STORE_CONFLICT);
	p.rollout.revision = 1;
	steps[0].sent = false;
	assert_int_equal(ASK(rig, STORE_PUT_ROLLOUT, .put_rollout = p).number, 0);
	/* An old backup was put back, an agent knows more, and an operator says go on. */
	OK(ASK(rig, STORE_RAISE_COUNTER, .raise = { id_of(1), 40, 100 }));
	OK(ASK(rig, STORE_RAISE_COUNTER, .raise = { id_of(1), 4, 10 }));
	OK(LOOK(rig, read_sent, STORE_LIST_AGENTS));
	assert_int_equal(sent[0], 100);
	assert_int_equal(last_epoch, 40);
	assert_int_equal(ASK(rig, STORE_RAISE_COUNTER, .raise = { id_of(9), 4, 500 }).status,
	                 STORE_NOT_FOUND);
	assert_int_equal(ASK(rig, STORE_COUNT, .count = { both, 2 }).number, 101);
	assert_int_equal(ASK(rig, STORE_BEGIN_SESSION, .session = { .agent = id_of(1) }).revision,
	                 41);
}

static void rollouts_advance_by_compare_and_set(void **state)
{
	struct rig *rig = *state;
	struct store_step steps[] = {
		{ .agent = id_of(1), .token = id_of(61), .batch = 0, .state = "pending" },
		{ .agent = id_of(2), .token = id_of(62), .batch = 1, .state = "pending" },
	};
	struct store_put_rollout p = { .rollout = { .id = id_of(60),
		                                    .app = "api",
		                                    .state = "planned",
		                                    .plan = (const uint8_t *)"plan1",
		                                    .plan_len = 5 },
		                       .steps = steps,
		                       .n_steps = 2 };

	assert_int_equal(ASK(rig, STORE_PUT_ROLLOUT, .put_rollout = p).revision, 1);
	assert_int_equal(ASK(rig, STORE_PUT_ROLLOUT, .put_rollout = p).status, STORE_CONFLICT);
	p.rollout.revision = 1;
	p.rollout.state = "running";
	p.rollout.plan = (const uint8_t *)"plan2";
	p.n_steps = 1;
	steps[0].state = "healthy";
	assert_int_equal(ASK(rig, STORE_PUT_ROLLOUT, .put_rollout = p).revision, 2);
	steps[0].state = "failed"; /* by a driver that has missed something */
	assert_int_equal(ASK(rig, STORE_PUT_ROLLOUT, .put_rollout = p).status, STORE_CONFLICT);
	OK(LOOK(rig, the_steps, STORE_LIST_STEPS, .id = id_of(60)));
	OK(LOOK(rig, the_rollout, STORE_LIST_ROLLOUTS));
	p.rollout.revision = 2;
	p.rollout.ended = true;
	OK(ASK(rig, STORE_PUT_ROLLOUT, .put_rollout = p));
	assert_int_equal(ASK(rig, STORE_LIST_ROLLOUTS).n, 0);
	assert_int_equal(ASK(rig, STORE_LIST_ROLLOUTS, .id = id_of(60)).n, 1);
}

static void who_has_it(const struct store_result *r)
{
	assert_int_equal(r->status, STORE_CONFLICT);
	assert_int_equal(r->n, 1);
	assert_string_equal(r->locks[0].name, "web01/api");
	assert_string_equal(r->locks[0].who, "anna");
	assert_int_equal(r->locks[0].since_ms, 1000);
}

static void locks_are_taken_together_and_run_out(void **state)
{
	struct rig *rig = *state;
	static const char *const both[] = { "web01/api", "web02/api" };
	struct store_take_lock anna = { .names = both,
		                        .n_names = 2,
		                        .holder = id_of(1),
		                        .who = "anna",
		                        .what = "reload api",
		                        .ttl_ms = 30000 };
	struct store_take_lock ben = anna;
	struct store_request later = { .op = STORE_LOCK, .now_ms = 31000 };
	struct answer a;
	uint64_t first;

	ben.holder = id_of(2);
	ben.who = "ben";
	first = ASK(rig, STORE_LOCK, .lock = anna).revision;
	assert_int_equal(ASK(rig, STORE_LOCK, .lock = anna).revision, first); /* renewed */
	ben.names = both + 1;
	ben.n_names = 1;
	assert_int_equal(ASK(rig, STORE_LOCK, .lock = ben).status, STORE_CONFLICT);
	ben.names = both;
	ben.n_names = 2;
	a = LOOK(rig, who_has_it, STORE_LOCK, .lock = ben);
	assert_string_equal(a.why, "web01/api is locked by anna: reload api");
	later.lock = ben;
	a = rig_ask(rig, &later, NULL);
	OK(a);
	assert_true(a.revision > first);
	a = ASK(rig, STORE_LOCK, .lock = anna);
	assert_int_equal(a.status, STORE_CONFLICT);
	anna.steal = true;
	a = ASK(rig, STORE_LOCK, .lock = anna);
	OK(a);
	OK(ASK(rig, STORE_UNLOCK, .id = id_of(2))); /* has none left: fine */
	assert_int_equal(ASK(rig, STORE_LIST_LOCKS).n, 2);
	OK(ASK(rig, STORE_UNLOCK, .id = id_of(1)));
	assert_int_equal(ASK(rig, STORE_LIST_LOCKS).n, 0);
}

/* ---- audit, meta ---- */

static struct audit_head chain;

static void follows_the_chain(const struct store_result *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct audit_entry e = r->audit[i].entry;

		audit_link(&chain, &e);
		assert_int_equal(e.seq, r->audit[i].entry.seq);
		assert_memory_equal(&chain, &r->audit[i].head, sizeof(chain));
	}
}

static void meta_ends_the_chain(const struct store_result *r)
{
	assert_int_equal(r->n, 1);
	assert_memory_equal(&r->meta->audit, &chain, sizeof(chain));
	assert_int_equal(r->meta->schema, 2);
	assert_int_equal(r->meta->audit_first, 1);
}

static void what_is_done_is_in_the_audit_and_what_is_not_is_not(void **state)
{
	struct rig *rig = *state;
	struct audit_entry e = { .wall_ms = 5,
		                 .field = { "anna", "token.create", "", "uses=1", "ok" } };

	chain = (struct audit_head){ 0 };
	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 1), .audit = &e));
	assert_int_equal(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 1), .audit = &e).status,
	                 STORE_CONFLICT);
	OK(ASK(rig, STORE_AUDIT, .audit = &e));
	assert_int_equal(ASK(rig, STORE_AUDIT).status, STORE_NOT_FOUND); /* nothing to write */
	OK(LOOK(rig, follows_the_chain, STORE_LIST_AUDIT));
	assert_int_equal(chain.seq, 2);
	rig_close(rig);
	rig_must_open(rig);
	OK(ASK(rig, STORE_AUDIT, .audit = &e));
	OK(LOOK(rig, follows_the_chain, STORE_LIST_AUDIT, .page = { .after = 2 }));
	assert_int_equal(chain.seq, 3);
	OK(LOOK(rig, meta_ends_the_chain, STORE_GET_META));
	assert_int_equal(ASK(rig, STORE_LIST_AUDIT, .page = { .most = 2 }).n, 2);
}

static struct store_id cluster;

static void note_cluster(const struct store_result *r)
{
	cluster = r->meta->cluster;
	assert_int_equal(r->meta->counter, 0);
	assert_int_equal(r->meta->revision, 0);
}

static void same_cluster(const struct store_result *r)
{
	assert_memory_equal(&r->meta->cluster, &cluster, sizeof(cluster));
}

static void everything_is_there_after_a_restart(void **state)
{
	struct rig *rig = *state;

	OK(LOOK(rig, note_cluster, STORE_GET_META));
	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 1)));
	OK(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 1, "web01")));
	rig_close(rig);
	rig_must_open(rig);
	OK(LOOK(rig, one_agent, STORE_LIST_AGENTS));
	OK(LOOK(rig, same_cluster, STORE_GET_META));
}

/* ---- the interface itself ---- */

static unsigned answered;

static void count_answer(void *arg, const struct store_result *r)
{
	struct rig *rig = arg;

	assert_int_equal(r->status, STORE_OK);
	if (++answered == 3 && rig->store != NULL) {
		struct fleet_store *s = rig->store;

		rig->store = NULL;
		fleet_store_close(s); /* from within a callback */
	}
}

static void a_closed_store_calls_nobody_but_finishes_what_was_asked(void **state)
{
	struct rig *rig = *state;
	struct pm_error err;

	answered = 0;
	for (uint8_t i = 0; i < 20; i++) {
		struct store_request r = { .op = STORE_ADD_TOKEN, .token = agent_token(i, 1) };

		assert_int_equal(fleet_store_submit(rig->store, &r, count_answer, rig, &err), 0);
	}
	(void)uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(answered, 3);
	rig_must_open(rig);
	assert_int_equal(ASK(rig, STORE_LIST_TOKENS).n, 20);
}

static void ignore(void *arg, const struct store_result *r)
{
	unsigned *left = arg;

	(void)r;
	(*left)--;
}

static void the_queue_and_requests_have_limits(void **state)
{
	struct rig *rig = *state;
	struct store_request r = { .op = STORE_GET_META };
	struct pm_error err = { 0 };
	unsigned left = PM_STORE_QUEUE_MAX;

	for (unsigned i = 0; i < PM_STORE_QUEUE_MAX; i++)
		assert_int_equal(fleet_store_submit(rig->store, &r, ignore, &left, &err), 0);
	assert_int_equal(fleet_store_submit(rig->store, &r, ignore, &left, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	while (left > 0)
		(void)uv_run(&rig->loop, UV_RUN_ONCE);
	r = (struct store_request){ .op = STORE_SEEN };
	r.seen.list = (const struct store_seen *)(const void *)"";
	r.seen.n = PM_STORE_ROWS_MAX + 1;
	assert_int_equal(fleet_store_submit(rig->store, &r, ignore, &left, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
}

static void memory_may_run_out_while_asking(void **state)
{
	struct rig *rig = *state;
	struct audit_entry e = { .field = { "anna", "token.create", "", "", "ok" } };
	struct store_request r = { .op = STORE_ADD_TOKEN, .token = agent_token(7, 1), .audit = &e };
	unsigned left = 1;
	int rc = -1;

	/* In the call itself; what the store's threads need is in test_store_faults. */
	for (unsigned nth = 1; rc < 0; nth++) {
		struct pm_error err = { 0 };

		assert_true(nth < 20);
		pm_alloc_fail_at(nth);
		rc = fleet_store_submit(rig->store, &r, ignore, &left, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
	}
	while (left > 0)
		(void)uv_run(&rig->loop, UV_RUN_ONCE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CONTRACT(specs_follow_each_other),
		CONTRACT(what_is_desired_is_compared_and_set),
		CONTRACT(commands_are_counted_and_keep_their_targets),
		CONTRACT(x50_commands_have_numbers_and_agents_their_last_one),
		CONTRACT(rollouts_advance_by_compare_and_set),
		CONTRACT(locks_are_taken_together_and_run_out),
		CONTRACT(what_is_done_is_in_the_audit_and_what_is_not_is_not),
		CONTRACT(everything_is_there_after_a_restart),
		CONTRACT(a_closed_store_calls_nobody_but_finishes_what_was_asked),
		CONTRACT(the_queue_and_requests_have_limits),
		CONTRACT(memory_may_run_out_while_asking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
