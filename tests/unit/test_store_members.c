/* The contract of coordinator/store.h on members: tokens, agents, operators, keys, groups. */
#include "tests/unit/store_rig.h"

static void its_identity(const struct store_result *r)
{
	struct store_id want = id_of(1);

	assert_int_equal(r->n, 1);
	assert_int_equal(r->identity->kind, MEMBER_AGENT);
	assert_memory_equal(&r->identity->id, &want, sizeof(want));
	assert_string_equal(r->identity->name, "web01");
	assert_int_equal(r->identity->key_state, KEY_ACTIVE);
	assert_int_equal(r->identity->state, AGENT_ACCEPTED);
}

static void a_token_makes_one_agent(void **state)
{
	struct rig *rig = *state;
	struct answer a;

	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 1)));
	OK(LOOK(rig, its_identity, STORE_ENROL, .enrol = enrolment(7, 1, "web01")));
	OK(LOOK(rig, one_agent, STORE_LIST_AGENTS));
	OK(LOOK(rig, its_identity, STORE_FIND_KEY, .key = key_of(1)));
	assert_int_equal(ASK(rig, STORE_FIND_KEY, .key = key_of(2)).status, STORE_NOT_FOUND);
	a = ASK(rig, STORE_ENROL, .enrol = enrolment(7, 2, "web02"));
	assert_int_equal(a.status, STORE_NOT_FOUND);
	assert_string_equal(a.why,
	                    "the token was used by web01"); /* for the audit: both are named */
	assert_int_equal(ASK(rig, STORE_LIST_AGENTS).n, 1);
}

static void a_token_that_does_not_fit_changes_nothing(void **state)
{
	struct rig *rig = *state;
	struct store_token t = agent_token(7, 1);
	struct store_enrol e = enrolment(7, 1, "web01");
	struct answer a;

	t.name_pattern = "web*";
	OK(ASK(rig, STORE_ADD_TOKEN, .token = t));
	e.secret_hash.bytes[5] = 1;
	a = ASK(rig, STORE_ENROL, .enrol = e);
	assert_string_equal(a.why, "the token's secret is wrong");
	e = enrolment(8, 1, "web01");
	a = ASK(rig, STORE_ENROL, .enrol = e);
	assert_string_equal(a.why, "no such token");
	e = enrolment(7, 1, "db01");
	a = ASK(rig, STORE_ENROL, .enrol = e);
	assert_string_equal(a.why, "the token is for names like web*");
	e = enrolment(7, 1, "web01");
	e.kind = MEMBER_OPERATOR;
	a = ASK(rig, STORE_ENROL, .enrol = e);
	assert_string_equal(a.why, "the token is for an agent");
	e.kind = MEMBER_AGENT;
	a = rig_ask(rig, &(struct store_request){ .op = STORE_ENROL, .now_ms = 5000, .enrol = e },
	            NULL);
	assert_string_equal(a.why, "the token has expired");
	assert_int_equal(a.status, STORE_NOT_FOUND);
	assert_int_equal(ASK(rig, STORE_LIST_AGENTS).n, 0);
	OK(ASK(rig, STORE_ENROL, .enrol = e)); /* it was not used up by all that */
}

static void a_token_is_not_spent_on_a_name_or_key_in_use(void **state)
{
	struct rig *rig = *state;
	struct store_enrol e;
	struct answer a;

	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 2)));
	OK(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 1, "web01")));
	a = ASK(rig, STORE_ENROL, .enrol = enrolment(7, 2, "web01"));
	assert_int_equal(a.status, STORE_CONFLICT);
	assert_string_equal(a.why, "the name web01 is in use");
	e = enrolment(7, 2, "web02");
	e.key = key_of(1);
	a = ASK(rig, STORE_ENROL, .enrol = e);
	assert_int_equal(a.status, STORE_CONFLICT);
	assert_string_equal(a.why, "the key is in use");
	assert_int_equal(ASK(rig, STORE_LIST_AGENTS).n, 1);
	OK(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 3, "web03")));
	assert_int_equal(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 4, "web04")).status,
	                 STORE_NOT_FOUND);
}

static unsigned winners;

static void count_winner(void *arg, const struct store_result *r)
{
	unsigned *left = arg;

	winners += r->status == STORE_OK;
	(*left)--;
}

static void of_many_racing_for_one_token_one_wins(void **state)
{
	struct rig *rig = *state;
	unsigned left = 50;

	winners = 0;
	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 1)));
	for (unsigned i = 0; i < 50; i++) {
		char name[16];
		struct store_request r = { .op = STORE_ENROL, .now_ms = 1000 };
		struct pm_error err;

		(void)snprintf(name, sizeof(name), "web%u", i);
		r.enrol = enrolment(7, i, name);
		assert_int_equal(fleet_store_submit(rig->store, &r, count_winner, &left, &err), 0);
	}
	while (left > 0)
		(void)uv_run(&rig->loop, UV_RUN_ONCE);
	assert_int_equal(winners, 1);
	assert_int_equal(ASK(rig, STORE_LIST_AGENTS).n, 1);
}

static void the_operator(const struct store_result *r)
{
	assert_int_equal(r->n, 1);
	assert_string_equal(r->operators[0].name, "anna");
	assert_int_equal(r->operators[0].state, OPERATOR_ACTIVE);
}

static void its_binding(const struct store_result *r)
{
	assert_int_equal(r->n, 1);
	assert_string_equal(r->bindings[0].role, "admin");
	assert_string_equal(r->bindings[0].targets, "");
	assert_string_equal(r->bindings[0].apps, "");
}

static void all_revoked(const struct store_result *r)
{
	for (size_t i = 0; i < r->n; i++)
		assert_int_equal(r->keys[i].state, KEY_REVOKED);
}

static void an_operator_comes_with_a_role_and_goes_with_all_keys(void **state)
{
	struct rig *rig = *state;
	struct store_token t = { .id = { { 9 } },
		                 .secret_hash = { { 9, 9 } },
		                 .kind = MEMBER_OPERATOR,
		                 .role = "admin",
		                 .uses_left = 1,
		                 .expires_ms = 5000 };
	struct store_enrol e = enrolment(9, 1, "anna");
	struct store_key_row second = {
		.key = key_of(2), .kind = MEMBER_OPERATOR, .owner = id_of(1), .state = KEY_NEXT
	};

	e.kind = MEMBER_OPERATOR;
	OK(ASK(rig, STORE_ADD_TOKEN, .token = t));
	OK(ASK(rig, STORE_ENROL, .enrol = e));
	OK(LOOK(rig, the_operator, STORE_LIST_OPERATORS));
	OK(LOOK(rig, its_binding, STORE_LIST_BINDINGS));
	OK(ASK(rig, STORE_ADD_KEY, .add_key = second));
	assert_int_equal(ASK(rig, STORE_ADD_KEY, .add_key = second).status, STORE_CONFLICT);
	second.key = key_of(3);
	second.owner = id_of(8);
	assert_int_equal(ASK(rig, STORE_ADD_KEY, .add_key = second).status, STORE_NOT_FOUND);
	assert_int_equal(ASK(rig, STORE_LIST_KEYS).n, 2);
	assert_int_equal(ASK(rig, STORE_LIST_KEYS, .id = id_of(1)).n, 2);
	assert_int_equal(ASK(rig, STORE_LIST_KEYS, .id = id_of(5)).n, 0);
	OK(ASK(rig, STORE_SET_OPERATOR, .set_operator = { id_of(1), OPERATOR_REVOKED }));
	OK(LOOK(rig, all_revoked, STORE_LIST_KEYS));
	/* What was taken away is not given back. */
	second.key = key_of(2);
	second.state = KEY_ACTIVE;
	assert_int_equal(ASK(rig, STORE_SET_KEY, .set_key = second).status, STORE_NOT_FOUND);
	assert_int_equal(
		ASK(rig, STORE_SET_OPERATOR, .set_operator = { id_of(4), OPERATOR_ACTIVE }).status,
		STORE_NOT_FOUND);
}

static void changed_agent(const struct store_result *r)
{
	assert_int_equal(r->n, 1);
	assert_string_equal(r->agents[0].name, "web09");
	assert_string_equal(r->agents[0].labels, "role=db");
	assert_string_equal(r->agents[0].claimed, "zone=a");
	assert_string_equal(r->agents[0].note, "kernel");
	assert_true(r->agents[0].drained);
	assert_int_equal(r->agents[0].state, AGENT_QUARANTINED);
	assert_int_equal(r->agents[0].last_seen_ms, 777);
	assert_int_equal(r->agents[0].epoch, 2);
}

static void agents_change_and_go(void **state)
{
	struct rig *rig = *state;
	struct store_seen seen[] = { { id_of(1), 777 }, { id_of(99), 5 } };
	struct store_session session = { .agent = id_of(1), .coordinator = "c1" };
	struct answer a;

	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 2)));
	OK(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 1, "web01")));
	OK(ASK(rig, STORE_SET_AGENT,
	       .set_agent = {
		       .id = id_of(1), .name = "web09", .labels = "role=db", .drained = -1 }));
	OK(ASK(rig, STORE_SET_AGENT,
	       .set_agent = { .id = id_of(1),
	                      .note = "kernel",
	                      .drained = 1,
	                      .state = AGENT_QUARANTINED }));
	OK(ASK(rig, STORE_SEEN, .seen = { seen, 2 }));
	a = ASK(rig, STORE_BEGIN_SESSION, .session = session);
	assert_int_equal(a.revision, 1);
	a = ASK(rig, STORE_BEGIN_SESSION, .session = session);
	assert_int_equal(a.revision, 2);
	OK(LOOK(rig, changed_agent, STORE_LIST_AGENTS));
	session.generation = 1;
	assert_int_equal(ASK(rig, STORE_END_SESSION, .session = session).status, STORE_CONFLICT);
	session.generation = 2;
	OK(ASK(rig, STORE_END_SESSION, .session = session));
	OK(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 2, "web02")));
	a = ASK(rig, STORE_SET_AGENT,
	        .set_agent = { .id = id_of(2), .name = "web09", .drained = -1 });
	assert_int_equal(a.status, STORE_CONFLICT);
	assert_string_equal(a.why, "the name web09 is in use");
	OK(ASK(rig, STORE_DROP_AGENT, .id = id_of(1)));
	assert_int_equal(ASK(rig, STORE_DROP_AGENT, .id = id_of(1)).status, STORE_NOT_FOUND);
	assert_int_equal(ASK(rig, STORE_FIND_KEY, .key = key_of(1)).status, STORE_NOT_FOUND);
	session.agent = id_of(1);
	assert_int_equal(ASK(rig, STORE_BEGIN_SESSION, .session = session).status, STORE_NOT_FOUND);
	assert_int_equal(
		ASK(rig, STORE_SET_AGENT, .set_agent = { .id = id_of(1), .drained = -1 }).status,
		STORE_NOT_FOUND);
}

static void a_stranger_waits_to_be_accepted(void **state)
{
	struct rig *rig = *state;

	OK(ASK(rig, STORE_ADD_AGENT, .agent_key = enrolment(0, 1, "web01")));
	assert_int_equal(ASK(rig, STORE_ADD_AGENT, .agent_key = enrolment(0, 1, "web01")).status,
	                 STORE_CONFLICT);
	OK(ASK(rig, STORE_FIND_KEY, .key = key_of(1)));
}

static void the_tokens(const struct store_result *r)
{
	static const struct store_hash none;

	assert_int_equal(r->n, 1);
	assert_memory_equal(&r->tokens[0].secret_hash, &none, sizeof(none)); /* stays inside */
	assert_int_equal(r->tokens[0].uses_left, 3);
	assert_string_equal(r->tokens[0].labels, "role=web");
}

static void the_groups(const struct store_result *r)
{
	assert_int_equal(r->n, 1);
	assert_string_equal(r->groups[0].name, "front");
	assert_string_equal(r->groups[0].form, "label");
	assert_string_equal(r->groups[0].text, "role=web");
}

static void tokens_groups_and_bindings_come_and_go(void **state)
{
	struct rig *rig = *state;
	struct store_group g = { .name = "front", .form = "hosts", .text = "web*" };
	struct store_binding b = { .operator_id = id_of(1), .role = "viewer" };
	struct answer a;

	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 3)));
	assert_int_equal(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 3)).status,
	                 STORE_CONFLICT);
	OK(LOOK(rig, the_tokens, STORE_LIST_TOKENS));
	OK(ASK(rig, STORE_DROP_TOKEN, .token_id = { { 7 } }));
	assert_int_equal(ASK(rig, STORE_DROP_TOKEN, .token_id = { { 7 } }).status, STORE_NOT_FOUND);
	OK(ASK(rig, STORE_PUT_GROUP, .group = g));
	g.form = "label";
	g.text = "role=web";
	OK(ASK(rig, STORE_PUT_GROUP, .group = g));
	OK(LOOK(rig, the_groups, STORE_LIST_GROUPS));
	OK(ASK(rig, STORE_DROP_GROUP, .page = { .name = "front" }));
	assert_int_equal(ASK(rig, STORE_DROP_GROUP, .page = { .name = "front" }).status,
	                 STORE_NOT_FOUND);
	a = ASK(rig, STORE_PUT_BINDING, .binding = b);
	assert_int_equal(a.status, STORE_NOT_FOUND);
	b.id = 4;
	assert_int_equal(ASK(rig, STORE_PUT_BINDING, .binding = b).status, STORE_NOT_FOUND);
	assert_int_equal(ASK(rig, STORE_DROP_BINDING, .number = 4).status, STORE_NOT_FOUND);
}

/* ---- keys ---- */

static void announced(const struct store_result *r)
{
	assert_int_equal(r->n, 2);
	for (size_t i = 0; i < r->n; i++)
		assert_int_equal(r->keys[i].ended_ms, r->keys[i].state == KEY_ACTIVE ? 3000 : 0);
}

static void in_order(const struct store_result *r)
{
	static const enum key_state want[] = { [2] = KEY_RETIRED, [3] = KEY_ACTIVE };

	assert_int_equal(r->n, 2);
	for (size_t i = 0; i < r->n; i++)
		assert_int_equal(r->keys[i].state, want[r->keys[i].key.bytes[31]]);
}

/* S-06, X-49 */
static void a_key_takes_the_place_of_another(void **state)
{
	struct rig *rig = *state;
	struct store_next_key k = { key_of(1), key_of(2), 3000 };
	struct answer a;

	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 2)));
	OK(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 1, "web01")));
	OK(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 9, "web09")));
	a = ASK(rig, STORE_NEXT_KEY, .next_key = k);
	assert_int_equal(a.status, STORE_OK);
	assert_int_equal(a.revision, 3000);
	/* Again it is the same, and a later end is none. */
	k.until_ms = 9000;
	assert_int_equal(ASK(rig, STORE_NEXT_KEY, .next_key = k).revision, 3000);
	OK(LOOK(rig, announced, STORE_LIST_KEYS, .id = id_of(1)));
	/* Neither another's key, nor for one that is not active or not there. */
	k.next = key_of(9);
	assert_int_equal(ASK(rig, STORE_NEXT_KEY, .next_key = k).status, STORE_CONFLICT);
	k = (struct store_next_key){ key_of(2), key_of(3), 3000 };
	assert_int_equal(ASK(rig, STORE_NEXT_KEY, .next_key = k).status, STORE_NOT_FOUND);
	k.present = key_of(8);
	assert_int_equal(ASK(rig, STORE_NEXT_KEY, .next_key = k).status, STORE_NOT_FOUND);
	assert_int_equal(ASK(rig, STORE_USE_KEY, .key = key_of(1)).status, STORE_NOT_FOUND);
	OK(ASK(rig, STORE_USE_KEY, .key = key_of(2)));
	assert_int_equal(ASK(rig, STORE_USE_KEY, .key = key_of(2)).status, STORE_NOT_FOUND);
	/* The one that was replaced announces nothing more; the next replacement is remembered. */
	k = (struct store_next_key){ key_of(1), key_of(4), 3000 };
	assert_int_equal(ASK(rig, STORE_NEXT_KEY, .next_key = k).status, STORE_NOT_FOUND);
	k = (struct store_next_key){ key_of(2), key_of(4), 3000 };
	OK(ASK(rig, STORE_NEXT_KEY, .next_key = k));
	k.next = key_of(3); /* in the place of one that was never used */
	OK(ASK(rig, STORE_NEXT_KEY, .next_key = k));
	assert_int_equal(ASK(rig, STORE_FIND_KEY, .key = key_of(4)).status, STORE_NOT_FOUND);
	OK(ASK(rig, STORE_USE_KEY, .key = key_of(3)));
	OK(LOOK(rig, in_order, STORE_LIST_KEYS, .id = id_of(1)));
	assert_int_equal(ASK(rig, STORE_LIST_KEYS, .id = id_of(9)).n, 1);
}

static void all_are_revoked(const struct store_result *r)
{
	assert_int_equal(r->n, 2);
	for (size_t i = 0; i < r->n; i++)
		assert_int_equal(r->keys[i].state, KEY_REVOKED);
}

/* */
static void a_key_that_is_revoked_takes_what_it_announced_along(void **state)
{
	struct rig *rig = *state;
	const struct store_next_key k = { key_of(1), key_of(2), 3000 };

	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 1)));
	OK(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 1, "web01")));
	OK(ASK(rig, STORE_NEXT_KEY, .next_key = k));
	OK(ASK(rig, STORE_SET_KEY, .set_key = { .key = key_of(1), .state = KEY_REVOKED }));
	OK(LOOK(rig, all_are_revoked, STORE_LIST_KEYS, .id = id_of(1)));
	assert_int_equal(ASK(rig, STORE_USE_KEY, .key = key_of(2)).status, STORE_NOT_FOUND);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CONTRACT(a_token_makes_one_agent),
		CONTRACT(a_token_that_does_not_fit_changes_nothing),
		CONTRACT(a_token_is_not_spent_on_a_name_or_key_in_use),
		CONTRACT(of_many_racing_for_one_token_one_wins),
		CONTRACT(an_operator_comes_with_a_role_and_goes_with_all_keys),
		CONTRACT(agents_change_and_go),
		CONTRACT(a_stranger_waits_to_be_accepted),
		CONTRACT(tokens_groups_and_bindings_come_and_go),
		CONTRACT(a_key_takes_the_place_of_another),
		CONTRACT(a_key_that_is_revoked_takes_what_it_announced_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
