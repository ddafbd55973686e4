#include "tests/unit/unit.h"

#include <stdbool.h>

#include <sodium.h>

#include "proto/handshake.h"
#include "proto/secret.h"

static struct pm_key *agent, *coordinator, *other;

static int make_keys(void **state)
{
	struct pm_error err;

	(void)state;
	return pm_key_create(&agent, &err) | pm_key_create(&coordinator, &err) |
	       pm_key_create(&other, &err);
}

static int free_keys(void **state)
{
	(void)state;
	pm_key_destroy(agent);
	pm_key_destroy(coordinator);
	pm_key_destroy(other);
	return (int)pm_secret_pages(); /* nothing of any handshake is left */
}

static struct pm_noise *first(uint8_t frame[PM_FRAME_FIRST])
{
	struct pm_noise *n;
	struct pm_error err;

	assert_int_equal(pm_handshake_first(agent, pm_key_public(coordinator), PM_ROLE_AGENT, frame,
	                                    &n, &err),
	                 0);
	return n;
}

static int look(const uint8_t *frame, size_t len, struct pm_error *err)
{
	return pm_handshake_look(pm_key_public(coordinator), frame, len, err);
}

static void both_sides_end_with_the_same_session(void **state)
{
	uint8_t one[PM_FRAME_FIRST], two[PM_FRAME_SECOND];
	struct pm_noise *a = first(one), *b;
	struct pm_error err;
	size_t n;

	(void)state;
	assert_int_equal(look(one, sizeof(one), &err), 1);
	assert_int_equal(pm_handshake_role(one), PM_ROLE_AGENT);
	assert_int_equal(pm_handshake_second(coordinator, one, NULL, NULL, two, &b, &err), 0);
	assert_true(pm_key_same(pm_noise_remote(b), pm_key_public(agent)));
	for (n = 0; n < sizeof(two); n++)
		assert_int_equal(pm_handshake_end(a, two, n, &err), 0);
	assert_int_equal(pm_handshake_end(a, two, n, &err), 1);
	assert_memory_equal(pm_noise_transcript(a, &n), pm_noise_transcript(b, &n), 64);
	pm_noise_destroy(a);
	pm_noise_destroy(b);
}

static void a_bad_frame_is_seen_as_early_as_can_be(void **state)
{
	uint8_t one[PM_FRAME_FIRST];
	struct pm_noise *a = first(one);
	struct pm_error err;

	(void)state;
	for (size_t n = 0; n < sizeof(one); n++)
		assert_int_equal(look(one, n, &err), 0);
	one[0] = 2;
	assert_int_equal(look(one, 1, &err), -1);
	assert_int_equal(err.code, PM_UNSUPPORTED);
	one[0] = PM_HANDSHAKE_VERSION;
	for (unsigned role = 0; role < 256; role++) {
		one[1] = (uint8_t)role;
		assert_int_equal(look(one, 2, &err), role >= 1 && role <= 3 ? 0 : -1);
	}
	pm_noise_destroy(a);
}

/* Every bit but those of the mac is covered by it; with a mac made anew Noise finds it. */
static void a_change_in_any_byte_of_either_frame_is_found(void **state)
{
	uint8_t one[PM_FRAME_FIRST], two[PM_FRAME_SECOND];
	struct pm_noise *a, *b = NULL;
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_FRAME_FIRST; i++) {
		a = first(one);
		one[i] ^= (uint8_t)(1u << (i % 7));
		assert_int_equal(look(one, sizeof(one), &err), -1);
		if (i < 98)
			assert_int_equal(
				pm_handshake_second(coordinator, one, NULL, NULL, two, &b, &err),
				i == 0 ? 0 : -1); /* the version is looked at before */
		if (i == 0)
			pm_noise_destroy(b);
		pm_noise_destroy(a);
	}
	for (size_t i = 0; i < PM_FRAME_SECOND; i++) {
		a = first(one);
		assert_int_equal(pm_handshake_second(coordinator, one, NULL, NULL, two, &b, &err),
		                 0);
		two[i] ^= 1;
		assert_int_equal(pm_handshake_end(a, two, sizeof(two), &err), -1);
		assert_int_equal(err.code, i == 0 ? PM_UNSUPPORTED : PM_PROTOCOL);
		pm_noise_destroy(a);
		pm_noise_destroy(b);
	}
}

/* A man in the middle with a key of his own: the agent pins the coordinator's. */
static void a_man_in_the_middle_fails_at_message_one(void **state)
{
	uint8_t one[PM_FRAME_FIRST], two[PM_FRAME_SECOND];
	struct pm_noise *a = first(one), *b;
	struct pm_error err;

	(void)state;
	assert_int_equal(pm_handshake_look(pm_key_public(other), one, sizeof(one), &err), -1);
	assert_int_equal(pm_handshake_second(other, one, NULL, NULL, two, &b, &err), -1);
	assert_int_equal(err.code, PM_PROTOCOL);
	pm_noise_destroy(a);
}

static void a_role_cannot_be_exchanged_on_the_way(void **state)
{
	uint8_t one[PM_FRAME_FIRST], two[PM_FRAME_SECOND];
	struct pm_noise *a = first(one), *b;
	struct pm_error err;

	(void)state;
	one[1] = PM_ROLE_OPERATOR;
	assert_int_equal(pm_handshake_second(coordinator, one, NULL, NULL, two, &b, &err), -1);
	assert_int_equal(err.code, PM_PROTOCOL);
	pm_noise_destroy(a);
}

static bool no(void *arg, const uint8_t *key)
{
	bool *asked = arg;

	*asked = pm_key_same(key, pm_key_public(agent));
	return false;
}

static void an_unwelcome_key_gets_no_answer(void **state)
{
	uint8_t one[PM_FRAME_FIRST], two[PM_FRAME_SECOND] = { 0xee };
	struct pm_noise *a = first(one), *b;
	struct pm_error err;
	bool asked = false;

	(void)state;
	assert_int_equal(pm_handshake_second(coordinator, one, no, &asked, two, &b, &err), -1);
	assert_true(asked);
	assert_int_equal(err.code, PM_DENIED);
	assert_int_equal(two[0], 0xee);
	pm_noise_destroy(a);
}

static void a_listener_without_a_key_is_not_dialled(void **state)
{
	uint8_t zero[PM_KEY_BYTES] = { 0 }, one[PM_FRAME_FIRST];
	struct pm_noise *a;
	struct pm_error err;

	(void)state;
	assert_int_equal(pm_handshake_first(agent, zero, PM_ROLE_AGENT, one, &a, &err), -1);
	assert_int_equal(err.code, PM_PROTOCOL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_end_with_the_same_session),
		cmocka_unit_test(a_bad_frame_is_seen_as_early_as_can_be),
		cmocka_unit_test(a_change_in_any_byte_of_either_frame_is_found),
		cmocka_unit_test(a_man_in_the_middle_fails_at_message_one),
		cmocka_unit_test(a_role_cannot_be_exchanged_on_the_way),
		cmocka_unit_test(an_unwelcome_key_gets_no_answer),
		cmocka_unit_test(a_listener_without_a_key_is_not_dialled),
	};

	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
