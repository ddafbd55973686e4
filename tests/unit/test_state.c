#include "tests/unit/unit.h"

#include <sodium.h>

#include "agent/state.h"
#include "agent/state_frame.h"
#include "proto/limits.h"

#define FRAME_LEN 56 /* as agent/state.c writes it */

static Pm__SavedApp apps[3];
static Pm__AppSpec specs[3];
static Pm__SavedInstance instances[3];
static Pm__SavedInstance *instance_lists[3][1];
static const Pm__SavedApp *const app_list[3] = { &apps[0], &apps[1], &apps[2] };
static char names[3][8] = { "api", "worker", "cron" };
static char script[] = "/srv/app.js";

static int set_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < PM_COUNT(apps); i++) {
		pm__saved_app__init(&apps[i]);
		pm__app_spec__init(&specs[i]);
		pm__saved_instance__init(&instances[i]);
		specs[i].name = names[i];
		specs[i].script = script;
		specs[i].instances = 1;
		instances[i].pm_id = (uint32_t)i;
		instances[i].wanted = i != 2;
		instances[i].restarts = 7 + (uint32_t)i;
		instance_lists[i][0] = &instances[i];
		apps[i].spec = &specs[i];
		apps[i].instances = instance_lists[i];
		apps[i].n_instances = 1;
	}
	return 0;
}

static void encode(struct pm_buf *out)
{
	struct pm_error err;

	assert_int_equal(state_encode(app_list, 3, 12, 5, 1000, out, &err), 0);
}

/* Make the checksum right again, as somebody who wants to be believed would. */
static void seal(struct pm_buf *b)
{
	uint8_t *bytes = (uint8_t *)b->bytes;
	crypto_generichash_state hash;

	for (int i = 0; i < 8; i++)
		bytes[16 + i] = (uint8_t)((uint64_t)(b->len - FRAME_LEN) >> (56 - 8 * i));
	(void)crypto_generichash_init(&hash, NULL, 0, 32);
	(void)crypto_generichash_update(&hash, bytes, 24);
	(void)crypto_generichash_update(&hash, bytes + FRAME_LEN, b->len - FRAME_LEN);
	(void)crypto_generichash_final(&hash, bytes + 24, 32);
}

static int decode(const struct pm_buf *b, struct state_set *set, struct pm_error *err)
{
	return state_decode((const uint8_t *)b->bytes, b->len, set, err);
}

static void what_was_saved_comes_back(void **state)
{
	struct state_set set;
	struct pm_error err;
	PM_BUF b = { 0 };

	(void)state;
	encode(&b);
	assert_int_equal(decode(&b, &set, &err), 0);
	assert_int_equal(set.n_apps, 3);
	assert_int_equal(set.n_bad, 0);
	assert_int_equal(set.next_id, 12);
	assert_int_equal(set.generation, 5);
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(set.apps[i]->spec->name, names[i]);
		assert_int_equal(set.apps[i]->n_instances, 1);
		assert_int_equal(set.apps[i]->instances[0]->pm_id, i);
		assert_int_equal(set.apps[i]->instances[0]->wanted, i != 2);
		assert_int_equal(set.apps[i]->instances[0]->restarts, 7 + i);
	}
	state_set_finish(&set);
	assert_int_equal(set.n_apps, 0);
}

static void no_apps_is_a_state_too(void **state)
{
	struct state_set set;
	struct pm_error err;
	PM_BUF b = { 0 };

	(void)state;
	assert_int_equal(state_encode(NULL, 0, 4, 9, 0, &b, &err), 0);
	assert_int_equal(decode(&b, &set, &err), 0);
	assert_int_equal(set.n_apps, 0);
	assert_int_equal(set.next_id, 4);
	state_set_finish(&set);
}

static void x16_every_truncation_is_damage(void **state)
{
	struct state_set set;
	struct pm_error err;
	PM_BUF b = { 0 };
	size_t full;

	(void)state;
	encode(&b);
	full = b.len;
	for (b.len = 0; b.len < full; b.len++) {
		assert_int_equal(decode(&b, &set, &err), -1);
		assert_int_equal(err.code, PM_CORRUPT);
	}
	pm_buf_char(&b, 'x');
	assert_int_equal(decode(&b, &set, &err), -1);
	assert_int_equal(err.code, PM_CORRUPT);
}

static void x16_every_flipped_byte_is_damage(void **state)
{
	static const char flips[] = { 1, (char)0x80, (char)0xff };
	struct state_set set;
	struct pm_error err;
	PM_BUF b = { 0 };

	(void)state;
	encode(&b);
	for (size_t at = 0; at < b.len; at++)
		for (size_t i = 0; i < PM_COUNT(flips); i++) {
			b.bytes[at] = (char)(b.bytes[at] ^ flips[i]);
			assert_int_equal(decode(&b, &set, &err), -1);
			assert_int_equal(err.code, PM_CORRUPT);
			b.bytes[at] = (char)(b.bytes[at] ^ flips[i]);
		}
}

static void x09_a_newer_format_is_refused_in_words(void **state)
{
	struct state_set set;
	struct pm_error err;
	PM_BUF b = { 0 };

	(void)state;
	encode(&b);
	b.bytes[11] = (char)(STATE_MAJOR + 1);
	seal(&b);
	assert_int_equal(decode(&b, &set, &err), -1);
	assert_int_equal(err.code, PM_UNSUPPORTED);
	assert_non_null(strstr(err.what, "newer version"));
	assert_string_not_equal(err.hint, "");
}

static void x09_fields_of_a_newer_version_are_kept(void **state)
{
	static const uint8_t future[] = { 0xfa, 0x3f, 3, 'n', 'e', 'w' }; /* field 1023, "new" */
	const Pm__SavedApp *const *again;
	uint8_t packed[1024];
	struct state_set set;
	struct pm_error err;
	PM_BUF b = { 0 };
	size_t len;

	(void)state;
	encode(&b);
	b.bytes[15] = 9; /* a higher minor version reads all the same */
	/* The last record is the last app: its length grows by the future field's. */
	len = pm__saved_app__get_packed_size(&apps[2]);
	b.bytes[b.len - len - 1] = (char)(len + sizeof(future));
	pm_buf_add(&b, future, sizeof(future));
	seal(&b);
	assert_int_equal(decode(&b, &set, &err), 0);
	assert_int_equal(set.n_apps, 3);
	again = (const Pm__SavedApp *const *)set.apps;
	assert_int_equal(pm__saved_app__get_packed_size(again[2]), len + sizeof(future));
	(void)pm__saved_app__pack(again[2], packed);
	assert_memory_equal(packed + len, future, sizeof(future));
	state_set_finish(&set);
}

/* Spoil app 1 of 3 and seal; the others must come back. */
static void only_the_bad_app_is_left_out(struct pm_buf *b)
{
	struct state_set set;
	struct pm_error err;

	seal(b);
	assert_int_equal(decode(b, &set, &err), 0);
	assert_int_equal(set.n_apps, 2);
	assert_int_equal(set.n_bad, 1);
	assert_string_equal(set.apps[0]->spec->name, "api");
	assert_string_equal(set.apps[1]->spec->name, "cron");
	state_set_finish(&set);
}

static void a_bad_app_does_not_take_the_others(void **state)
{
	static char empty[] = "", not_utf8[] = "w\xff", long_name[PM_NAME_MAX + 2];
	static char *const bad[] = { empty, not_utf8, long_name };
	PM_BUF b = { 0 };

	(void)state;
	memset(long_name, 'n', sizeof(long_name) - 1);
	for (size_t i = 0; i < PM_COUNT(bad); i++) {
		specs[1].name = bad[i];
		encode(&b);
		only_the_bad_app_is_left_out(&b);
	}
	specs[1].name = names[1];
	apps[1].spec = NULL;
	encode(&b);
	only_the_bad_app_is_left_out(&b);
}

static void a_spec_over_the_limit_is_left_out(void **state)
{
	static char big[PM_SPEC_MAX + 1];
	PM_BUF b = { 0 };

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	specs[1].script = big;
	encode(&b);
	only_the_bad_app_is_left_out(&b);
}

static void a_sealed_lie_about_the_number_of_apps_is_damage(void **state)
{
	struct state_set set;
	struct pm_error err;
	PM_BUF b = { 0 };

	(void)state;
	encode(&b);
	b.len -= pm__saved_app__get_packed_size(&apps[2]) + 4; /* three promised, two there */
	seal(&b);
	assert_int_equal(decode(&b, &set, &err), -1);
	assert_int_equal(err.code, PM_CORRUPT);
	b.len = FRAME_LEN;
	seal(&b);
	assert_int_equal(decode(&b, &set, &err), -1);
	assert_int_equal(err.code, PM_CORRUPT);
}

static void running_out_of_memory_fails_and_leaks_nothing(void **state)
{
	struct state_set set;
	struct pm_error err;
	PM_BUF b = { 0 };
	unsigned n = 1;
	int rc = -1;

	(void)state;
	for (; rc < 0; n++) {
		PM_BUF out = { 0 };

		pm_alloc_fail_at(n);
		rc = state_encode(app_list, 3, 12, 5, 1000, &out, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
	}
	assert_true(n > 2);
	encode(&b);
	for (n = 1, rc = -1; rc < 0; n++) {
		pm_alloc_fail_at(n);
		rc = decode(&b, &set, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
	}
	assert_true(n > 10);
	assert_int_equal(set.n_apps, 3);
	state_set_finish(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_was_saved_comes_back, set_up),
		cmocka_unit_test(no_apps_is_a_state_too),
		cmocka_unit_test_setup(x16_every_truncation_is_damage, set_up),
		cmocka_unit_test_setup(x16_every_flipped_byte_is_damage, set_up),
		cmocka_unit_test_setup(x09_a_newer_format_is_refused_in_words, set_up),
		cmocka_unit_test_setup(x09_fields_of_a_newer_version_are_kept, set_up),
		cmocka_unit_test_setup(a_bad_app_does_not_take_the_others, set_up),
		cmocka_unit_test_setup(a_spec_over_the_limit_is_left_out, set_up),
		cmocka_unit_test_setup(a_sealed_lie_about_the_number_of_apps_is_damage, set_up),
		cmocka_unit_test_setup(running_out_of_memory_fails_and_leaks_nothing, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
