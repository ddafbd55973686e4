/* A new key takes over from an old one, with the store between them (S-06). */
#include "tests/unit/store_rig.h"

#include "coordinator/rotation.h"

static struct store_key_row keys[8];
static size_t n_keys;

static void note_keys(const struct store_result *r)
{
	assert_true(r->n <= PM_COUNT(keys));
	n_keys = r->n;
	memcpy(keys, r->keys, r->n * sizeof(keys[0]));
}

static const struct store_key_row *key_row(unsigned n)
{
	struct store_key key = key_of(n);

	for (size_t i = 0; i < n_keys; i++)
		if (memcmp(&keys[i].key, &key, sizeof(key)) == 0)
			return &keys[i];
	fail_msg("no key %u", n);
	return NULL;
}

static void store_all(struct rig *rig, const struct store_key_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		OK(ASK(rig, STORE_SET_KEY, .set_key = rows[i]));
	OK(LOOK(rig, note_keys, STORE_LIST_KEYS));
}

static void both_keys_open_for_a_while_then_the_new_one(void **state)
{
	struct rig *rig = *state;
	struct store_key_row next = {
		.key = key_of(5), .kind = MEMBER_AGENT, .owner = id_of(1), .state = KEY_NEXT
	};
	struct store_key_row out[4];
	struct store_key key = key_of(5);
	size_t n;

	OK(ASK(rig, STORE_ADD_TOKEN, .token = agent_token(7, 2)));
	OK(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 1, "web01")));
	OK(ASK(rig, STORE_ENROL, .enrol = enrolment(7, 2, "web02")));
	OK(ASK(rig, STORE_ADD_KEY, .add_key = next));
	OK(LOOK(rig, note_keys, STORE_LIST_KEYS));
	assert_true(rotation_opens(key_row(1), 1000));
	assert_true(rotation_opens(key_row(5), 1000));
	n = rotation_promote(keys, n_keys, &key, 1000, 500, out, PM_COUNT(out));
	assert_int_equal(n, 2); /* web02's key is not its business */
	store_all(rig, out, n);
	assert_int_equal(key_row(5)->state, KEY_ACTIVE);
	assert_int_equal(key_row(1)->ended_ms, 1500);
	assert_int_equal(key_row(2)->ended_ms, 0);
	assert_int_equal(rotation_promote(keys, n_keys, &key, 1000, 500, out, PM_COUNT(out)), 0);
	assert_true(rotation_opens(key_row(1), 1499));
	assert_false(rotation_opens(key_row(1), 1500)); /* before that is stored, too */
	assert_int_equal(rotation_due(keys, n_keys, 1499, out, PM_COUNT(out)), 0);
	n = rotation_due(keys, n_keys, 1500, out, PM_COUNT(out));
	assert_int_equal(n, 1);
	store_all(rig, out, n);
	assert_int_equal(key_row(1)->state, KEY_RETIRED);
	assert_false(rotation_opens(key_row(1), 0));
	assert_true(rotation_opens(key_row(5), 99999));
	assert_int_equal(rotation_due(keys, n_keys, 99999, out, PM_COUNT(out)), 0);
}

static void a_second_rotation_follows_the_first(void **state)
{
	const struct store_key_row rows[] = {
		{ { { 2, [31] = 1 } },
		  MEMBER_AGENT,
		  { { 1, [15] = 1 } },
		  KEY_ACTIVE,
		  0,
		  1500 }, /* on its way out */
		{ { { 2, [31] = 2 } }, MEMBER_AGENT, { { 1, [15] = 1 } }, KEY_ACTIVE, 0, 0 },
		{ { { 2, [31] = 3 } }, MEMBER_AGENT, { { 1, [15] = 1 } }, KEY_NEXT, 0, 0 },
		{ { { 2, [31] = 4 } }, MEMBER_AGENT, { { 1, [15] = 1 } }, KEY_REVOKED, 0, 7 },
		{ { { 2, [31] = 5 } }, MEMBER_OPERATOR, { { 1, [15] = 1 } }, KEY_ACTIVE, 0, 0 },
	};
	struct store_key_row out[8];
	struct store_key key = key_of(3), unknown = key_of(9);

	(void)state;
	assert_int_equal(rotation_promote(rows, 5, &key, 1200, 500, out, 8), 2);
	assert_memory_equal(&out[1].key, &rows[1].key, sizeof(key)); /* the first end stands */
	assert_int_equal(rotation_promote(rows, 5, &key, 1200, 500, out, 1), 1);
	assert_int_equal(rotation_promote(rows, 5, &unknown, 1200, 500, out, 8), 0);
	assert_false(rotation_opens(&rows[3], 0));
	assert_int_equal(rotation_due(rows, 5, 2000, out, 8), 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_keys_open_for_a_while_then_the_new_one,
		                                rig_make, rig_remove),
		cmocka_unit_test(a_second_rotation_follows_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
