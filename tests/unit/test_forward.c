/* An operator and agents, each on a link of its own, mouth to mouth with the coordinator's end. */
#include "tests/unit/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/forward.h"
#include "proto/limits.h"

enum {
	AGENTS = 4,
	PAIRS = AGENTS + 1, /* the operator's is the last */
	SEEN_MAX = 64
};

struct pair {
	struct pm_key *key;
	struct pm_link_host *host; /* the dialling side's */
	struct pm_link *out, *in;
	struct forward_agent forwards; /* the coordinator's, of an agent */
	uint64_t asked[8];             /* an agent: requests that it got */
	uint64_t number;               /* of its last one */
	unsigned n_asked;
	char actor[16];
};

static struct {
	uv_loop_t loop;
	struct pm_key *key;
	struct pm_link_host *host;
	struct pair pairs[PAIRS];
	struct forwards *forwards;
	uint64_t now;
	size_t n_done, n_other;
	unsigned n_ended;
	/* what the operator saw */
	char seen[SEEN_MAX][32];
	unsigned n_seen, n_ends;
	Pm__ForwardState states[AGENTS];
	bool deaf; /* the operator reads nothing */
	bool hold; /* what is begun waits for forward_go() */
	uint64_t ticket;
} rig;

static struct pair *operator(void)
{
	return &rig.pairs[AGENTS];
}

/* ---- the coordinator's end ---- */

static enum pm_verdict on_peer(void *arg, struct pm_link *l, enum pm_role role, const uint8_t *key)
{
	(void)arg;
	(void)l;
	(void)role;
	(void)key;
	return PM_PEER_KNOWN;
}

static int on_hello(void *arg, struct pm_link *l, const Pm__Hello *hello, Pm__Welcome *welcome,
                    struct pm_error *err)
{
	(void)arg;
	(void)l;
	(void)hello;
	(void)welcome;
	(void)err;
	return 0;
}

static void nothing_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	(void)arg;
	(void)l;
	(void)welcome;
}

static void on_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                       enum pm_event_kind kind)
{
	(void)arg;
	for (unsigned i = 0; i < AGENTS; i++)
		if (l == rig.pairs[i].in && kind == PM_EVENT_ANSWER)
			(void)forward_on_answer(&rig.pairs[i].forwards, env);
}

static void on_room(void *arg, struct pm_link *l)
{
	(void)arg;
	forward_operator_room(rig.forwards, l);
}

static void nothing_closed(void *arg, struct pm_link *l, const struct pm_error *why, uint32_t ms)
{
	(void)arg;
	(void)l;
	(void)why;
	(void)ms;
}

static const struct pm_link_handlers inner = { .peer = on_peer,
	                                       .hello = on_hello,
	                                       .up = nothing_up,
	                                       .message = on_message,
	                                       .room = on_room,
	                                       .closed = nothing_closed };

/* ---- the others ---- */

static void see(const char *name, const char *what)
{
	assert_true(rig.n_seen < SEEN_MAX);
	(void)snprintf(rig.seen[rig.n_seen++], sizeof(rig.seen[0]), "%s %s", name, what);
}

static void operator_got(const Pm__Envelope *env)
{
	const Pm__ForwardEnd *end;

	assert_int_equal(env->re, 7);
	if (env->body_case == PM__ENVELOPE__BODY_FORWARDED) {
		const Pm__Forwarded *f = env->forwarded;

		see(f->name, f->what_case == PM__FORWARDED__WHAT_PROGRESS ? "progress"
		             : f->what_case == PM__FORWARDED__WHAT_RESULT ? "result"
		             : f->what_case == PM__FORWARDED__WHAT_ERROR  ? "error"
		                                                          : "status");
		return;
	}
	assert_int_equal(env->body_case, PM__ENVELOPE__BODY_FLEET_REPLY);
	end = env->fleet_reply->forward_end;
	for (size_t i = 0; i < end->n_targets; i++)
		rig.states[end->targets[i]->agent[0] - '0'] = end->targets[i]->state;
	rig.n_ends += !env->fleet_reply->more;
}

static void outer_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                          enum pm_event_kind kind)
{
	struct pair *p = arg;

	(void)l;
	if (p == operator()) {
		operator_got(env);
	} else if (kind == PM_EVENT_REQUEST) {
		assert_non_null(env->actor);
		(void)snprintf(p->actor, sizeof(p->actor), "%s", env->actor->operator_);
		p->asked[p->n_asked++] = env->id;
		p->number = env->command->number;
	}
}

static const struct pm_link_handlers outer = { .up = nothing_up,
	                                       .message = outer_message,
	                                       .closed = nothing_closed };

static void poke(void *arg, struct pm_link *l)
{
	(void)arg;
	(void)l;
}

static bool carry(struct pm_link *from, struct pm_link *to)
{
	const uint8_t *bytes;
	size_t len;

	if (from == NULL || to == NULL || !pm_link_output(from, &bytes, &len, rig.now))
		return false;
	{
		uint8_t copy[70000 * 4];

		assert_true(len <= sizeof(copy));
		memcpy(copy, bytes, len);
		(void)pm_link_written(from, rig.now);
		(void)pm_link_input(to, copy, len, rig.now);
	}
	return true;
}

static void settle(void)
{
	bool moved = true;

	while (moved) {
		moved = false;
		for (unsigned i = 0; i < PAIRS; i++) {
			struct pair *p = &rig.pairs[i];

			if (p->in != NULL)
				(void)pm_link_work(p->in, rig.now);
			moved |= carry(p->out, p->in);
			if (p != operator() || !rig.deaf)
				moved |= carry(p->in, p->out);
		}
	}
}

static int setup(void **state)
{
	struct pm_link_config c = { .role = PM_ROLE_COORDINATOR, .program = "coordinator" };
	struct pm_error err;

	(void)state;
	memset(&rig, 0, sizeof(rig));
	rig.now = 1000000;
	assert_int_equal(uv_loop_init(&rig.loop), 0);
	assert_int_equal(pm_key_create(&rig.key, &err), 0);
	c.key = rig.key;
	assert_int_equal(pm_link_host_create(&c, &inner, NULL, &rig.host, &err), 0);
	pm_link_host_set_open(rig.host);
	assert_int_equal(forwards_create(&rig.loop, &rig.forwards, &err), 0);
	for (unsigned i = 0; i < PAIRS; i++) {
		struct pair *p = &rig.pairs[i];

		assert_int_equal(pm_key_create(&p->key, &err), 0);
		c = (struct pm_link_config){ .key = p->key,
			                     .role = i == AGENTS ? PM_ROLE_OPERATOR : PM_ROLE_AGENT,
			                     .program = "test" };
		assert_int_equal(pm_link_host_create(&c, &outer, p, &p->host, &err), 0);
		assert_int_equal(pm_link_create(p->host, pm_key_public(rig.key), false, rig.now,
		                                &p->out, &err),
		                 0);
		assert_int_equal(pm_link_create(rig.host, NULL, false, rig.now, &p->in, &err), 0);
		pm_link_set_carrier(p->out, poke, NULL);
		pm_link_set_carrier(p->in, poke, NULL);
	}
	settle();
	for (unsigned i = 0; i < PAIRS; i++)
		assert_true(pm_link_is_up(rig.pairs[i].in));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	forwards_close(rig.forwards);
	for (unsigned i = 0; i < PAIRS; i++) {
		pm_link_destroy(rig.pairs[i].out);
		pm_link_destroy(rig.pairs[i].in);
		pm_link_host_destroy(rig.pairs[i].host);
		pm_key_destroy(rig.pairs[i].key);
	}
	pm_link_host_destroy(rig.host);
	pm_key_destroy(rig.key);
	(void)uv_run(&rig.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig.loop), 0);
	return 0;
}

static void on_end(void *arg, size_t n_done, size_t n_other)
{
	(void)arg;
	rig.n_ended++;
	rig.n_done = n_done;
	rig.n_other = n_other;
}

/* Ask all agents but those whose bit is in `offline`. */
static void begin(unsigned offline, uint32_t parallel, uint32_t deadline_ms)
{
	static const char *const ids[AGENTS] = { "0", "1", "2", "3" };
	static const char *const names[AGENTS] = { "web0", "web1", "web2", "web3" };
	struct forward_target targets[AGENTS];
	char who[] = "alice", role[] = "operator";
	Pm__Forward what = PM__FORWARD__INIT;
	Pm__Command cmd = PM__COMMAND__INIT;
	Pm__Actor actor = PM__ACTOR__INIT;
	struct forward_request r = { .operator= operator()->in,
		                     .id = 7,
		                     .what = &what,
		                     .actor = &actor,
		                     .targets = targets,
		                     .n_targets = AGENTS,
		                     .parallel = parallel,
		                     .held = rig.hold,
		                     .ended = on_end };
	struct pm_error err;

	actor.operator_ = who;
	actor.role = role;
	cmd.verb = PM__VERB__VERB_RESTART;
	what.what_case = PM__FORWARD__WHAT_COMMAND;
	what.command = &cmd;
	what.deadline_ms = deadline_ms;
	for (unsigned i = 0; i < AGENTS; i++)
		targets[i] = (struct forward_target){
			.id = ids[i],
			.name = names[i],
			.link = rig.pairs[i].in,
			.agent = &rig.pairs[i].forwards,
			.state = (offline >> i & 1) != 0 ? PM__FORWARD_STATE__FORWARD_OFFLINE
			                                 : PM__FORWARD_STATE__FORWARD_UNSPECIFIED,
			.text = "",
		};
	assert_int_equal(forward_begin(rig.forwards, &r, &rig.ticket, &err), 0);
	settle();
}

/* An agent answers its oldest request; more: it is not the last answer. */
static void answer(unsigned agent, bool more, size_t bytes)
{
	struct pair *p = &rig.pairs[agent];
	Pm__Envelope env = PM__ENVELOPE__INIT;
	Pm__Result result = PM__RESULT__INIT;
	static char text[60000];

	memset(text, 'x', sizeof(text));
	text[bytes] = '\0';
	result.more = more;
	result.text = text;
	env.re = p->asked[0];
	env.body_case = PM__ENVELOPE__BODY_RESULT;
	env.result = &result;
	assert_true(pm_link_send(p->out, &env));
	if (!more)
		memmove(p->asked, p->asked + 1, sizeof(p->asked) - sizeof(p->asked[0]));
	p->n_asked -= !more;
	settle();
}

/* ---- tests ---- */

static void answers_come_as_they_arrive_and_the_end_accounts_for_all(void **state)
{
	(void)state;
	begin(1u << 3, 0, 0);
	assert_int_equal(rig.pairs[0].n_asked + rig.pairs[1].n_asked + rig.pairs[2].n_asked, 3);
	assert_int_equal(rig.pairs[3].n_asked, 0);
	assert_string_equal(rig.pairs[0].actor, "alice");
	answer(2, false, 3);
	answer(0, true, 3);
	answer(0, false, 3);
	assert_int_equal(rig.n_ended, 0);
	answer(1, false, 3);
	assert_int_equal(rig.n_seen, 4);
	assert_string_equal(rig.seen[0], "web2 result");
	assert_string_equal(rig.seen[1], "web0 result");
	assert_int_equal(rig.n_ended, 1);
	assert_int_equal(rig.n_ends, 1);
	assert_int_equal(rig.n_done, 3);
	assert_int_equal(rig.n_other, 1);
	assert_int_equal(rig.states[0], PM__FORWARD_STATE__FORWARD_DONE);
	assert_int_equal(rig.states[3], PM__FORWARD_STATE__FORWARD_OFFLINE);
}

static void so_many_are_asked_at_a_time(void **state)
{
	(void)state;
	begin(0, 2, 0);
	assert_int_equal(rig.pairs[0].n_asked + rig.pairs[1].n_asked, 2);
	assert_int_equal(rig.pairs[2].n_asked, 0);
	answer(1, false, 1);
	assert_int_equal(rig.pairs[2].n_asked, 1);
	assert_int_equal(rig.pairs[3].n_asked, 0);
	answer(0, false, 1);
	answer(2, false, 1);
	answer(3, false, 1);
	assert_int_equal(rig.n_done, 4);
}

static void what_an_agent_that_is_lost_did_is_not_known(void **state)
{
	(void)state;
	begin(0, 0, 0);
	answer(0, false, 1);
	forward_agent_gone(&rig.pairs[1].forwards);
	answer(2, false, 1);
	answer(3, false, 1);
	settle();
	assert_int_equal(rig.n_ended, 1);
	assert_int_equal(rig.states[1], PM__FORWARD_STATE__FORWARD_UNKNOWN);
	answer(1, false, 1); /* late: nobody's */
	assert_int_equal(rig.n_ends, 1);
}

/* The links of those whose turn has not come may go, too. */
static void one_that_is_lost_before_its_turn_was_asked_nothing(void **state)
{
	(void)state;
	begin(0, 1, 0);
	assert_int_equal(rig.pairs[0].n_asked, 1);
	forward_agent_gone(&rig.pairs[2].forwards);
	assert_null(rig.pairs[2].forwards.waiting);
	answer(0, false, 1);
	answer(1, false, 1);
	assert_int_equal(rig.pairs[2].n_asked, 0);
	answer(3, false, 1);
	assert_int_equal(rig.n_ended, 1);
	assert_int_equal(rig.n_done, 3);
	assert_int_equal(rig.states[2], PM__FORWARD_STATE__FORWARD_OFFLINE);
}

static void x50_one_that_is_held_goes_with_its_number_or_not_at_all(void **state)
{
	(void)state;
	rig.hold = true;
	begin(0, 0, 0);
	assert_int_equal(rig.pairs[0].n_asked, 0);
	forward_go(rig.forwards, rig.ticket + 1, 8, NULL); /* another's */
	settle();
	assert_int_equal(rig.pairs[0].n_asked, 0);
	forward_go(rig.forwards, rig.ticket, 9, NULL);
	settle();
	for (unsigned i = 0; i < AGENTS; i++) {
		assert_int_equal(rig.pairs[i].n_asked, 1);
		assert_int_equal(rig.pairs[i].number, 9);
		answer(i, false, 1);
	}
	assert_int_equal(rig.n_done, 4);
	begin(0, 0, 0);
	forward_go(rig.forwards, rig.ticket, 0, "no room on the disk");
	settle();
	assert_int_equal(rig.n_ended, 2);
	assert_int_equal(rig.pairs[0].n_asked, 0);
	assert_int_equal(rig.states[3], PM__FORWARD_STATE__FORWARD_DENIED);
}

static void an_operator_who_leaves_stops_nothing(void **state)
{
	(void)state;
	begin(0, 1, 0);
	forward_operator_gone(rig.forwards, operator()->in);
	for (unsigned i = 0; i < AGENTS; i++) {
		assert_int_equal(rig.pairs[i].n_asked, 1); /* its turn came all the same */
		answer(i, false, 1);
	}
	assert_int_equal(rig.n_ended, 1);
	assert_int_equal(rig.n_done, 4);
	assert_int_equal(rig.n_seen, 0);
}

static void the_deadline_ends_it_with_an_account(void **state)
{
	(void)state;
	begin(0, 2, 1);
	answer(0, false, 1); /* the third is asked */
	while (rig.n_ended == 0)
		(void)uv_run(&rig.loop, UV_RUN_ONCE);
	settle();
	assert_int_equal(rig.states[0], PM__FORWARD_STATE__FORWARD_DONE);
	assert_int_equal(rig.states[1], PM__FORWARD_STATE__FORWARD_UNKNOWN);
	assert_int_equal(rig.states[2], PM__FORWARD_STATE__FORWARD_UNKNOWN);
	assert_int_equal(rig.states[3], PM__FORWARD_STATE__FORWARD_OFFLINE);
}

static void answers_wait_for_a_slow_operator_and_none_is_lost(void **state)
{
	(void)state;
	rig.deaf = true;
	begin(0, 0, 0);
	for (unsigned i = 0; i < AGENTS; i++)
		for (unsigned k = 0; k < 8; k++)
			answer(i, k < 7, 50000); /* 1.6 MB: more than a link queues */
	assert_true(pm_link_queued(operator()->in) < PM_SEND_QUEUE_MAX);
	assert_int_equal(rig.n_ended, 1);
	rig.deaf = false;
	settle();
	assert_int_equal(rig.n_seen, 8 * AGENTS);
	assert_int_equal(rig.n_ends, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			answers_come_as_they_arrive_and_the_end_accounts_for_all, setup, teardown),
		cmocka_unit_test_setup_teardown(so_many_are_asked_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(what_an_agent_that_is_lost_did_is_not_known, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(one_that_is_lost_before_its_turn_was_asked_nothing,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(
			x50_one_that_is_held_goes_with_its_number_or_not_at_all, setup, teardown),
		cmocka_unit_test_setup_teardown(an_operator_who_leaves_stops_nothing, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(the_deadline_ends_it_with_an_account, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(answers_wait_for_a_slow_operator_and_none_is_lost,
		                                setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
