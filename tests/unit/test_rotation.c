#include "tests/unit/unit.h"

#include "coordinator/members.h"
#include "proto/rotation.h"

static struct pm_key *make_key(void)
{
	struct pm_key *key;
	struct pm_error err;

	assert_int_equal(pm_key_create(&key, &err), 0);
	return key;
}

/* ---- the proof ---- */

/* S-06 */
static void a_proof_is_of_one_key_for_one_change_at_one_coordinator(void **state)
{
	struct pm_key *present = make_key(), *next = make_key(), *listener = make_key();
	struct pm_key *other = make_key();
	const uint8_t *const p = pm_key_public(present), *const n = pm_key_public(next);
	const uint8_t *const o = pm_key_public(other);
	uint8_t proof[PM_ROTATION_PROOF_BYTES], low[PM_KEY_BYTES] = { 1 };
	struct pm_error err;

	(void)state;
	assert_int_equal(pm_rotation_prove(next, p, pm_key_public(listener), proof, &err), 0);
	assert_true(pm_rotation_is_proved(listener, p, n, proof));
	/* Another's key, another member's change, another coordinator. */
	assert_false(pm_rotation_is_proved(listener, p, o, proof));
	assert_false(pm_rotation_is_proved(listener, o, n, proof));
	assert_false(pm_rotation_is_proved(other, p, n, proof));
	for (size_t i = 0; i < sizeof(proof); i++) {
		proof[i] ^= 0x10;
		assert_false(pm_rotation_is_proved(listener, p, n, proof));
		proof[i] ^= 0x10;
	}
	/* Who holds the present key alone proves nothing of the next one. */
	assert_int_equal(pm_rotation_prove(present, p, pm_key_public(listener), proof, &err), 0);
	assert_false(pm_rotation_is_proved(listener, p, n, proof));
	/* A key with which everybody has everything in common. */
	assert_false(pm_rotation_is_proved(listener, p, low, proof));
	assert_int_equal(pm_rotation_prove(next, p, low, proof, &err), -1);
	assert_int_equal(err.code, PM_CONFIG);
	pm_key_destroy(present);
	pm_key_destroy(next);
	pm_key_destroy(listener);
	pm_key_destroy(other);
}

/* ---- the coordinator's keys, as its members know them ---- */

static void pins_follow_what_sessions_say(void **state)
{
	static const struct {
		const char *what;
		char present, next, used, said; /* a letter is a key; 0: none */
		char want_present, want_next;   /* 0 for the first: nothing changes */
	} rows[] = {
		{ "one key, and it stays", 'a', 0, 'a', 0, 0, 0 },
		{ "another one is announced", 'a', 0, 'a', 'b', 'a', 'b' },
		{ "and again", 'a', 'b', 'a', 'b', 0, 0 },
		{ "it is used, and the first is still good", 'a', 'b', 'b', 'b', 0, 0 },
		{ "it is the only one", 'a', 'b', 'b', 0, 'b', 0 },
		{ "it will not come", 'a', 'b', 'a', 0, 'a', 0 },
		{ "it is yet another", 'a', 'b', 'a', 'c', 'a', 'c' },
		{ "the next is over, and another one comes", 'a', 'b', 'b', 'c', 'a', 'c' },
		{ "joined by the next one", 'b', 0, 'b', 'b', 0, 0 },
		{ "an older copy of it, of before", 'b', 0, 'b', 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		uint8_t present[PM_KEY_BYTES] = { (uint8_t)rows[i].present };
		uint8_t next[PM_KEY_BYTES] = { (uint8_t)rows[i].next };
		const uint8_t used[PM_KEY_BYTES] = { (uint8_t)rows[i].used };
		const uint8_t said[PM_KEY_BYTES] = { (uint8_t)rows[i].said };
		bool has_next = rows[i].next != 0, changes = rows[i].want_present != 0;
		char want_present = changes ? rows[i].want_present : rows[i].present;
		char want_next = changes ? rows[i].want_next : rows[i].next;

		if (pm_rotation_take_pins(present, next, &has_next, used,
		                          rows[i].said == 0 ? NULL : said) != changes ||
		    present[0] != (uint8_t)want_present || has_next != (want_next != 0) ||
		    (has_next && next[0] != (uint8_t)want_next))
			fail_msg("%s: %c, %c", rows[i].what, present[0], has_next ? next[0] : '-');
	}
}

/* ---- whom the coordinator lets in ---- */

static struct store_key key_of(uint8_t n)
{
	return (struct store_key){ { n } };
}

static void put_key(struct members *m, uint8_t key, uint8_t owner, enum key_state state)
{
	const struct store_key_row row = {
		.key = key_of(key), .kind = MEMBER_OPERATOR, .owner = { { owner } }, .state = state
	};
	struct pm_error err;

	assert_int_equal(members_put_key(m, &row, &err), 0);
}

static bool is_good(const struct members *m, uint8_t key, int64_t now_ms)
{
	const struct member_key *k = members_key(m, key_of(key).bytes);

	return k != NULL && member_key_is_good(k, now_ms);
}

/* S-06, X-49 */
static void both_keys_are_good_until_the_next_is_used_or_time_is_up(void **state)
{
	struct members m = { 0 };
	struct store_next_key k = { key_of(1), key_of(2), 5000 };
	struct pm_error err;

	(void)state;
	put_key(&m, 1, 1, KEY_ACTIVE);
	put_key(&m, 7, 7, KEY_ACTIVE);
	assert_int_equal(members_next_key(&m, &k, &err), 0);
	assert_true(is_good(&m, 1, 4999));
	assert_true(is_good(&m, 2, 4999));
	assert_false(is_good(&m, 1, 5000));
	assert_true(is_good(&m, 2, 5000));
	/* One that was announced and never used makes room: there are two at most. */
	k.next = key_of(3);
	assert_int_equal(members_next_key(&m, &k, &err), 0);
	assert_false(is_good(&m, 2, 0));
	assert_true(is_good(&m, 1, 0) && is_good(&m, 3, 0));
	members_use_key(&m, &k.next);
	assert_false(is_good(&m, 1, 0));
	assert_true(is_good(&m, 3, INT64_MAX));
	/* Of those that were replaced one is remembered. */
	k = (struct store_next_key){ key_of(3), key_of(4), 9000 };
	assert_int_equal(members_next_key(&m, &k, &err), 0);
	members_use_key(&m, &k.next);
	assert_null(members_key(&m, key_of(1).bytes));
	assert_non_null(members_key(&m, key_of(3).bytes));
	assert_int_equal(m.n_keys, 3);
	assert_true(is_good(&m, 7, INT64_MAX)); /* somebody else's */
	/* Of a key that nobody has any more. */
	k.present = key_of(9);
	assert_int_equal(members_next_key(&m, &k, &err), 0);
	members_use_key(&m, &k.present);
	assert_int_equal(m.n_keys, 3);
	members_finish(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_proof_is_of_one_key_for_one_change_at_one_coordinator),
		cmocka_unit_test(pins_follow_what_sessions_say),
		cmocka_unit_test(both_keys_are_good_until_the_next_is_used_or_time_is_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
