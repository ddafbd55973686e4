/* F-19: the last versions of an app's settings, and the bytes of their file. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "agent/state_frame.h"
#include "agent/versions.h"
#include "proto/spec.h"

static struct version make(unsigned n, const char *what)
{
	PM_SPEC *spec = NULL;
	struct spec_hash hash = { { (uint8_t)n, (uint8_t)(n >> 8), 1 } };
	struct version v;
	struct pm_error err;

	assert_int_equal(spec_create(&spec, &err), 0);
	assert_int_equal(spec_put_str(&spec->name, "api", &err), 0);
	spec->kill_timeout_ms = n;
	assert_int_equal(version_make(spec, &hash, "root (pmctl)", what, 1000 + n, &v, &err), 0);
	return v;
}

static void add(struct versions *v, unsigned n, bool keep)
{
	struct version one = make(n, "args");
	struct pm_error err;

	assert_int_equal(versions_add(v, &one, keep, &err), 0);
	version_finish(&one);
}

static unsigned number(const struct versions *v, size_t at)
{
	return v->list[at].hash.bytes[0] | (unsigned)v->list[at].hash.bytes[1] << 8;
}

static void expect(const struct versions *v, const unsigned *want, size_t n)
{
	assert_int_equal(v->n, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(number(v, i), want[i]);
}

static void the_newest_is_first_and_each_is_there_once(void **state)
{
	struct versions v = { .n = 0 };

	(void)state;
	add(&v, 1, false);
	add(&v, 2, false);
	add(&v, 3, false);
	expect(&v, (const unsigned[]){ 3, 2, 1 }, 3);
	add(&v, 3, false);
	add(&v, 1, true); /* what it had, and was known */
	expect(&v, (const unsigned[]){ 3, 2, 1 }, 3);
	add(&v, 4, true); /* and was not */
	expect(&v, (const unsigned[]){ 4, 3, 2, 1 }, 4);
	add(&v, 2, false); /* it is the app's again */
	expect(&v, (const unsigned[]){ 2, 4, 3, 1 }, 4);
	versions_finish(&v);
}

static void of_twenty_five_the_last_twenty_stay(void **state)
{
	struct versions v = { .n = 0 };

	(void)state;
	for (unsigned n = 1; n <= 25; n++)
		add(&v, n, false);
	assert_int_equal(v.n, PM_STORE_SPECS_KEPT);
	for (unsigned i = 0; i < PM_STORE_SPECS_KEPT; i++)
		assert_int_equal(number(&v, i), 25 - i);
	add(&v, 6, false); /* the oldest of them */
	assert_int_equal(v.n, PM_STORE_SPECS_KEPT);
	assert_int_equal(number(&v, 0), 6);
	assert_int_equal(number(&v, PM_STORE_SPECS_KEPT - 1), 7);
	versions_finish(&v);
}

static void what_was_written_is_read(void **state)
{
	struct versions v = { .n = 0 }, back;
	Pm__SavedVersion *saved;
	struct pm_error err;
	PM_BUF bytes = { 0 };

	(void)state;
	for (unsigned n = 1; n <= 20; n++)
		add(&v, n, false);
	assert_int_equal(versions_encode(&v, &bytes, &err), 0);
	assert_int_equal(versions_decode((const uint8_t *)bytes.bytes, bytes.len, &back, &err), 0);
	assert_int_equal(back.n, 20);
	assert_int_equal(back.n_bad, 0);
	for (size_t i = 0; i < back.n; i++) {
		assert_int_equal(number(&back, i), 20 - i);
		assert_int_equal(back.list[i].len, v.list[i].len);
		assert_memory_equal(back.list[i].bytes, v.list[i].bytes, v.list[i].len);
	}
	assert_int_equal(version_unpack(&back.list[3], &saved, &err), 0);
	assert_int_equal(saved->spec->kill_timeout_ms, 17);
	assert_int_equal(saved->wall_ms, 1017);
	assert_string_equal(saved->by, "root (pmctl)");
	pm__saved_version__free_unpacked(saved, NULL);
	versions_finish(&v);
	versions_finish(&back);
}

static void no_bit_of_a_file_can_be_another(void **state)
{
	struct versions v = { .n = 0 }, back;
	struct pm_error err;
	PM_BUF bytes = { 0 };

	(void)state;
	add(&v, 1, false);
	add(&v, 2, false);
	assert_int_equal(versions_encode(&v, &bytes, &err), 0);
	for (size_t at = 0; at < bytes.len; at++) {
		bytes.bytes[at] ^= 4;
		assert_int_equal(
			versions_decode((const uint8_t *)bytes.bytes, bytes.len, &back, &err), -1);
		assert_int_equal(err.code, PM_CORRUPT);
		bytes.bytes[at] ^= 4;
	}
	for (size_t len = 0; len < bytes.len; len++) {
		assert_int_equal(versions_decode((const uint8_t *)bytes.bytes, len, &back, &err),
		                 -1);
		assert_int_equal(err.code, PM_CORRUPT);
	}
	versions_finish(&v);
}

/* A whole file that holds something else, as of another pmd: the rest of it is taken. */
static void a_record_that_is_none_is_left_out(void **state)
{
	struct versions v = { .n = 0 }, back;
	struct pm_error err;
	PM_BUF bytes = { 0 };

	(void)state;
	for (unsigned n = 1; n <= 3; n++)
		add(&v, n, false);
	memset(v.list[1].bytes, 0xff, v.list[1].len);
	assert_int_equal(versions_encode(&v, &bytes, &err), 0);
	assert_int_equal(versions_decode((const uint8_t *)bytes.bytes, bytes.len, &back, &err), 0);
	assert_int_equal(back.n_bad, 1);
	expect(&back, (const unsigned[]){ 3, 1 }, 2);
	versions_finish(&v);
	versions_finish(&back);
}

static void long_words_are_cut_between_characters(void **state)
{
	char what[2 * PM_VERSION_WHAT_MAX];
	Pm__SavedVersion *saved;
	struct versions v = { .n = 0 }, back;
	struct version one;
	struct pm_error err;
	PM_BUF bytes = { 0 };

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(what); i += 2)
		memcpy(what + i, "\xc3\xa4", 2);
	what[sizeof(what) - 2] = '\0';
	one = make(1, what);
	assert_int_equal(versions_add(&v, &one, false, &err), 0);
	version_finish(&one);
	assert_int_equal(versions_encode(&v, &bytes, &err), 0);
	assert_int_equal(versions_decode((const uint8_t *)bytes.bytes, bytes.len, &back, &err), 0);
	assert_int_equal(back.n, 1); /* half a character would have made it none */
	assert_int_equal(version_unpack(&back.list[0], &saved, &err), 0);
	assert_int_equal(strlen(saved->what), PM_VERSION_WHAT_MAX - 2);
	pm__saved_version__free_unpacked(saved, NULL);
	versions_finish(&v);
	versions_finish(&back);
}

static void out_of_memory_changes_nothing(void **state)
{
	struct version one = make(9, "args");
	struct versions v = { .n = 0 }, back;
	struct pm_error err;
	PM_BUF bytes = { 0 };
	unsigned n = 0;

	(void)state;
	add(&v, 1, false);
	pm_alloc_fail_at(1);
	assert_int_equal(versions_add(&v, &one, false, &err), -1);
	pm_alloc_fail_at(0);
	expect(&v, (const unsigned[]){ 1 }, 1);
	assert_int_equal(versions_encode(&v, &bytes, &err), 0);
	for (int rc = -1; rc < 0;) {
		pm_alloc_fail_at(++n);
		rc = versions_decode((const uint8_t *)bytes.bytes, bytes.len, &back, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
	}
	assert_true(n > 1);
	versions_finish(&back);
	versions_finish(&v);
	version_finish(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_is_first_and_each_is_there_once),
		cmocka_unit_test(of_twenty_five_the_last_twenty_stay),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(no_bit_of_a_file_can_be_another),
		cmocka_unit_test(a_record_that_is_none_is_left_out),
		cmocka_unit_test(long_words_are_cut_between_characters),
		cmocka_unit_test(out_of_memory_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
