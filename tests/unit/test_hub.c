/* Hub and uplink, over real connections. */
#include "tests/unit/hub_rig.h"

static void an_agent_comes_and_asks(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	struct pm_uplink *u;
	struct pm_hub_stats stats;

	(void)state;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up == 1 && f.n_up2 == 1);
	pm_hub_stats(f.hub, &stats);
	assert_int_equal(stats.n_links, 1);
	assert_int_equal(stats.n_at_door, 0);
	assert_int_equal(stats.n_handshakes, 1);
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &(Pm__StatusRequest)PM__STATUS_REQUEST__INIT;
	for (unsigned i = 0; i < 100; i++) {
		env.id = pm_link_next_id(pm_uplink_link(u));
		assert_true(pm_link_send(pm_uplink_link(u), &env));
	}
	UNTIL(f.n_answers == 100);
	send_result(f.last, 1, 60000); /* more than the first read buffer takes */
	UNTIL(f.n_answers == 101);
	pm_uplink_close(u);
	UNTIL(f.n_closed == 1);
	assert_int_equal(f.why.code, PM_UNREACHABLE);
}

static void a_new_agent_enrols_once(void **state)
{
	struct pm_uplink *u;

	(void)state;
	f.verdict = PM_PEER_NEW;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up == 1 && f.n_up2 == 1);
	assert_int_equal(f.n_enrol, 1);
	assert_int_equal(f.n_enrolled, 1);
	pm_link_close(f.last, &(struct pm_error){ PM_OK, "try again", "" });
	UNTIL(f.n_up2 == 2); /* the same uplink comes back, and does not enrol again */
	assert_int_equal(f.n_enrol, 1);
	pm_uplink_close(u);
}

static void a_revoked_agent_is_cut_off_and_kept_out(void **state)
{
	struct pm_uplink *u;

	(void)state;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up2 == 1);
	f.verdict = PM_PEER_REFUSED;
	pm_link_close(f.last, &(struct pm_error){ PM_DENIED, "revoked", "" });
	UNTIL(f.n_trouble >= 3); /* it comes and is sent away without a word */
	assert_int_equal(f.n_up2, 1);
	assert_int_equal(f.trouble.code, PM_UNREACHABLE);
	f.verdict = PM_PEER_KNOWN;
	UNTIL(f.n_up2 == 2);
	pm_uplink_close(u);
}

/* A second session first, then the first one goes: the agent is never without. */
static void a_session_is_made_anew_without_a_gap(void **state)
{
	struct pm_uplink *u;
	struct pm_link *last = NULL;

	(void)state;
	f.renew_ms = 100;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	for (unsigned i = 1; i <= 5; i++) {
		UNTIL(f.n_up2 > i && f.n_closed2 >= i);
		assert_true(pm_link_is_up(pm_uplink_link(u)));
		assert_ptr_not_equal(pm_uplink_link(u), last);
		last = pm_uplink_link(u);
	}
	assert_int_equal(f.n_trouble, 0);
	assert_int_equal(f.why2.code, PM_OK);
	UNTIL(f.n_closed >= f.n_up - 2); /* the hub sees the old ones leave */
	pm_uplink_close(u);
}

/* Who never answers does not keep a session for ever. */
static void a_session_that_is_never_idle_is_made_anew_all_the_same(void **state)
{
	Pm__Envelope env = PM__ENVELOPE__INIT;
	struct pm_uplink *u;

	(void)state;
	f.renew_ms = 400;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up == 1 && f.n_up2 == 1);
	env.id = 1;
	env.body_case = PM__ENVELOPE__BODY_STATUS_REQUEST;
	env.status_request = &(Pm__StatusRequest)PM__STATUS_REQUEST__INIT;
	assert_true(pm_link_send(f.last, &env)); /* nobody answers it */
	UNTIL(!pm_link_is_idle(pm_uplink_link(u)));
	UNTIL(f.n_up2 == 2);
	pm_uplink_close(u);
}

/* Whatever part of it is lost in the middle, there is a session again. */
static void a_session_that_is_made_anew_may_be_lost(void **state)
{
	struct pm_uplink *u;

	(void)state;
	f.renew_ms = 40;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up2 >= 2);
	f.verdict = PM_PEER_REFUSED; /* the fresh one does not come about, the old one stays */
	for (int i = 0; i < 200; i++)
		(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	f.verdict = PM_PEER_KNOWN;
	for (unsigned i = 0; i < 4; i++) { /* the waits get longer each time */
		unsigned n = f.n_up2;

		if (f.last != NULL)
			pm_link_close(f.last, &(struct pm_error){ PM_OK, "lost", "" });
		UNTIL(f.n_up2 > n);
	}
	assert_non_null(pm_uplink_link(u));
	pm_uplink_close(u);
}

static void an_agent_waits_for_its_coordinator_to_come(void **state)
{
	struct pm_uplink *u;

	(void)state;
	open_hub(); /* to find a port that is free */
	pm_hub_close(f.hub);
	f.hub = NULL;
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_trouble >= 2);
	assert_non_null(strstr(f.trouble.what, "refused"));
	open_hub();
	UNTIL(f.n_up2 == 1);
	pm_uplink_close(u);
}

static void names_and_second_addresses_are_tried(void **state)
{
	struct pm_uplink *u;

	(void)state;
	open_hub();
	u = dial_to("127.0.0.1:1", "localhost");
	UNTIL(f.n_up2 == 1);
	assert_int_equal(f.n_trouble, 1); /* the first one */
	pm_uplink_close(u);
	u = dial_to("no-such-name.invalid", "127.0.0.1");
	UNTIL(f.n_up2 == 2);
	pm_uplink_close(u);
	u = dial_to("localhost", NULL); /* closed while the name is looked up */
	(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	pm_uplink_close(u);
	u = dial_to("127.0.0.1", NULL); /* and while it is dialled */
	(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	pm_uplink_close(u);
}

static void the_wrong_coordinator_is_not_talked_to(void **state)
{
	struct pm_key *right = f.coordinator, *wrong;
	struct pm_uplink *u;
	struct pm_error err;

	(void)state;
	assert_int_equal(pm_key_create(&wrong, &err), 0);
	f.coordinator = wrong; /* a man in the middle listens with a key of his own */
	open_hub();
	f.coordinator = right;
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_trouble >= 2);
	assert_int_equal(f.n_up + f.n_up2, 0);
	pm_uplink_close(u);
	pm_hub_close(f.hub);
	f.hub = NULL;
	pm_key_destroy(wrong);
}

/* S-06: of the two keys that either side may have while one is replaced, any may be the good one.
 */
static void of_the_keys_of_both_sides_the_good_pair_is_found(void **state)
{
	struct pm_key *present = f.coordinator, *next, *own_next;
	struct pm_uplink *u;
	struct pm_error err;

	(void)state;
	assert_int_equal(pm_key_create(&next, &err), 0);
	assert_int_equal(pm_key_create(&own_next, &err), 0);
	open_hub();
	for (unsigned i = 0; i < 8; i++) {
		/* Whom the hub lets in, and what it is known by: one of two, or both. */
		const struct pm_key *own = (i & 1) != 0 ? own_next : f.agent;
		const struct pm_key *only = (i & 2) != 0 ? next : present;

		f.let_in = pm_key_public(own);
		pm_hub_set_keys(f.hub, (i & 4) != 0 ? present : only, (i & 4) != 0 ? next : NULL);
		f.n_up = f.n_up2 = f.n_trouble = 0;
		u = dial_to("127.0.0.1", NULL);
		pm_uplink_set_own(u, f.agent, own_next);
		pm_uplink_set_coordinator(u, pm_key_public(present), pm_key_public(next));
		UNTIL(f.n_up == 1 && f.n_up2 == 1);
		assert_memory_equal(pm_link_peer_key(f.last), pm_key_public(own), PM_KEY_BYTES);
		if ((i & 4) == 0)
			assert_memory_equal(pm_link_own_key(f.last), pm_key_public(only),
			                    PM_KEY_BYTES);
		assert_int_equal(f.n_trouble, 0); /* the others are tried without a wait */
		pm_uplink_close(u);
	}
	/* None does: that is trouble, and waits as ever. */
	f.let_in = pm_key_public(next);
	u = dial_to("127.0.0.1", NULL);
	pm_uplink_set_own(u, f.agent, own_next);
	pm_uplink_set_coordinator(u, pm_key_public(present), pm_key_public(next));
	UNTIL(f.n_trouble == 1);
	/* And a session goes on with another key when it is told to. */
	f.let_in = NULL;
	UNTIL(f.n_up2 == 2);
	f.let_in = pm_key_public(own_next);
	pm_uplink_set_own(u, own_next, f.agent);
	pm_uplink_renew(u);
	UNTIL(f.n_up2 == 3);
	assert_memory_equal(pm_link_own_key(pm_uplink_link(u)), pm_key_public(own_next),
	                    PM_KEY_BYTES);
	pm_uplink_close(u);
	pm_hub_close(f.hub);
	f.hub = NULL;
	pm_key_destroy(next);
	pm_key_destroy(own_next);
}

static void a_goodbye_sends_everybody_away(void **state)
{
	struct pm_uplink *u;
	struct pm_error err;

	(void)state;
	open_hub();
	u = dial_to("127.0.0.1", NULL);
	UNTIL(f.n_up2 == 1);
	pm_hub_goodbye(f.hub, "upgrade", 50);
	UNTIL(f.n_closed2 == 1 && f.n_closed == 1);
	assert_int_equal(f.n_bye, 1);
	assert_int_equal(f.why.code, PM_OK);
	assert_int_equal(pm_hub_listen(f.hub, loopback(f.port), NULL, &err), 0);
	UNTIL(f.n_up2 == 2);
	pm_uplink_close(u);
}

static void a_port_in_use_is_an_error_in_words(void **state)
{
	struct pm_error err;

	(void)state;
	open_hub();
	assert_int_equal(pm_hub_listen(f.hub, loopback(f.port), NULL, &err), -1);
	assert_int_equal(err.code, PM_EXISTS);
}

int main(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		ONE(an_agent_comes_and_asks),
		ONE(a_new_agent_enrols_once),
		ONE(a_revoked_agent_is_cut_off_and_kept_out),
		ONE(a_session_is_made_anew_without_a_gap),
		ONE(a_session_that_is_never_idle_is_made_anew_all_the_same),
		ONE(a_session_that_is_made_anew_may_be_lost),
		ONE(an_agent_waits_for_its_coordinator_to_come),
		ONE(names_and_second_addresses_are_tried),
		ONE(the_wrong_coordinator_is_not_talked_to),
		ONE(of_the_keys_of_both_sides_the_good_pair_is_found),
		ONE(a_goodbye_sends_everybody_away),
		ONE(a_port_in_use_is_an_error_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
