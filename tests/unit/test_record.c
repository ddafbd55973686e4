#include "tests/unit/unit.h"

#include <stdbool.h>

#include "proto/limits.h"
#include "proto/record.h"

/* Three records: 1, 300 and 5 bytes; byte i of record k is k + i. */
static const size_t sizes[] = { 1, 300, 5 };

static size_t fill(uint8_t *out)
{
	size_t n = 0;

	for (size_t k = 0; k < PM_COUNT(sizes); k++) {
		out[n++] = (uint8_t)(sizes[k] >> 8);
		out[n++] = (uint8_t)sizes[k];
		for (size_t i = 0; i < sizes[k]; i++)
			out[n++] = (uint8_t)(k + i);
	}
	return n;
}

static void take_all(struct pm_record_reader *r, const uint8_t *bytes, size_t len, size_t *n_seen)
{
	const uint8_t *record;
	struct pm_error err;
	size_t n;
	int rc;

	while ((rc = pm_record_next(r, &bytes, &len, &record, &n, &err)) == 1) {
		assert_in_range(*n_seen, 0, 2);
		assert_int_equal(n, sizes[*n_seen]);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(record[i], (uint8_t)(*n_seen + i));
		(*n_seen)++;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(len, 0);
}

static void records_come_whole_however_they_are_cut(void **state)
{
	uint8_t bytes[400];
	size_t len = fill(bytes);

	(void)state;
	for (size_t step = 1; step <= len; step++) {
		struct pm_record_reader r = { 0 };
		size_t n_seen = 0;

		for (size_t at = 0; at < len; at += step)
			take_all(&r, bytes + at, PM_MIN(step, len - at), &n_seen);
		assert_int_equal(n_seen, 3);
		pm_record_finish(&r);
	}
}

static void a_bad_length_is_refused_before_memory_is_taken(void **state)
{
	static const struct {
		uint8_t head[2];
		bool ok;
	} cases[] = {
		{ { 0, 0 }, false },
		{ { 0, 1 }, true },
		{ { PM_RECORD_MAX >> 8, PM_RECORD_MAX & 0xff }, true },
		{ { PM_RECORD_MAX >> 8, (PM_RECORD_MAX & 0xff) + 1 }, false },
		{ { 0xff, 0xff }, false },
	};
	struct pm_error err;

	(void)state;
	pm_alloc_fail_at(1);
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct pm_record_reader r = { 0 };
		const uint8_t *bytes = cases[i].head, *record;
		size_t len = 2, n;

		assert_int_equal(pm_record_next(&r, &bytes, &len, &record, &n, &err),
		                 cases[i].ok ? 0 : -1);
		assert_null(r.held);
		if (!cases[i].ok)
			assert_int_equal(err.code, PM_PROTOCOL);
		pm_record_finish(&r);
	}
	pm_alloc_fail_at(0);
}

static void no_memory_for_a_cut_record_is_an_error(void **state)
{
	struct pm_record_reader r = { 0 };
	const uint8_t bytes[] = { 0, 9, 1 }, *p = bytes, *record;
	size_t len = sizeof(bytes), n;
	struct pm_error err;

	(void)state;
	pm_alloc_fail_at(1);
	assert_int_equal(pm_record_next(&r, &p, &len, &record, &n, &err), -1);
	pm_alloc_fail_at(0);
	assert_int_equal(err.code, PM_NO_MEMORY);
	pm_record_finish(&r);
}

static void limits_can_be_others(void **state)
{
	static const struct {
		size_t len;
		bool ok;
	} cases[] = { { 0, false }, { 16, false }, { 17, true }, { 1040, true }, { 1041, false } };
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct pm_record_reader r = { .min = 17, .max = 1040 };
		uint8_t head[] = { (uint8_t)(cases[i].len >> 8), (uint8_t)cases[i].len };
		const uint8_t *p = head, *record;
		size_t len = 2, n;

		assert_int_equal(pm_record_next(&r, &p, &len, &record, &n, &err),
		                 cases[i].ok ? 0 : -1);
		pm_record_finish(&r);
	}
}

/* Two bytes must not make a peer of ours take 64 KiB. */
static void memory_follows_what_came_not_what_was_announced(void **state)
{
	static uint8_t body[20000];
	struct pm_record_reader r = { 0 };
	const uint8_t head[] = { 0xf0, 0x00 }, *p = head, *record;
	size_t len = 2, n, came = 0;
	struct pm_error err;

	(void)state;
	assert_int_equal(pm_record_next(&r, &p, &len, &record, &n, &err), 0);
	while (came < 0xf000) {
		size_t part = PM_MIN(came < 100 ? 1u : 5000u, 0xf000 - came);

		p = body;
		len = part;
		assert_int_equal(pm_record_next(&r, &p, &len, &record, &n, &err),
		                 came + part == 0xf000);
		came += part;
		assert_true(r.cap <= PM_MAX(2 * came, 1024u));
	}
	pm_record_finish(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_whole_however_they_are_cut),
		cmocka_unit_test(a_bad_length_is_refused_before_memory_is_taken),
		cmocka_unit_test(no_memory_for_a_cut_record_is_an_error),
		cmocka_unit_test(limits_can_be_others),
		cmocka_unit_test(memory_follows_what_came_not_what_was_announced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
