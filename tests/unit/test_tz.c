#include "tests/unit/unit.h"

#include "agent/tz.h"
#include "agent/tzrule.h"
#include "tests/unit/golden_cron.h"

static void rules_are_read_as_posix_says(void **state)
{
	static const struct {
		const char *text;
		int64_t utc_s;
		int32_t want_s;
	} rows[] = {
		{ "UTC0", 0, 0 },
		{ "<+0530>-5:30", 1700000000, 19800 },
		{ "EST5EDT,M3.2.0,M11.1.0", 1710053999, -18000 }, /* 10 March 2024, 07:00 UTC */
		{ "EST5EDT,M3.2.0,M11.1.0", 1710054000, -14400 },
		{ "EST5EDT,M3.2.0,M11.1.0", 1730613599, -14400 },
		{ "EST5EDT,M3.2.0,M11.1.0", 1730613600, -18000 },
		{ "IST-1GMT0,M10.5.0,M3.5.0/1", 1705000000, 0 }, /* Dublin: winter is the "dst" */
		{ "IST-1GMT0,M10.5.0,M3.5.0/1", 1720000000, 3600 },
		{ "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1711846800, -3600 }, /* Nuuk, 31 March 01:00 */
		{ "XXX3EDT4,0/0,J365/23", 1720000000, -14400 },
		{ "AAA0BBB,J60,J300", 1709258400, 3600 }, /* 1 March 2024 02:00 */
		{ "AAA0BBB,J60,J300", 1709258399, 0 },
		{ "AAA0BBB,59,300", 1709172000, 3600 }, /* day 59 from 0: 29 February */
		/* the fifth Sunday of February 2026 would be 1 March: the 22nd */
		{ "AAA0BBB,M2.5.0,M11.1.0", 1771725600, 3600 },
		{ "AAA0BBB,M2.5.0,M11.1.0", 1771725599, 0 },
		{ "AEST-10AEDT,M10.1.0,M4.1.0/3", 1704067200, 39600 },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct cron_span span;
		struct tzrule r;

		if (tzrule_parse(rows[i].text, &r) < 0)
			fail_msg("refused: %s", rows[i].text);
		tzrule_span(&r, rows[i].utc_s, &span);
		if (span.offset_s != rows[i].want_s)
			fail_msg("%s: %d, not %d", rows[i].text, span.offset_s, rows[i].want_s);
		assert_true(span.from_s <= rows[i].utc_s && rows[i].utc_s < span.until_s);
	}
}

static void bad_rules_are_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"AB0",
		"ABC",
		"ABC+",
		"ABC25",
		"ABC1:60",
		"<ABC0",
		"ABC0DEF,",
		"ABC0DEF,M3.2",
		"ABC0DEF,M3.2.0",
		"ABC0x",
		"ABC0DE",
		"ABC0DEF,J0,J5",
		"ABC0DEF,366,5",
		"ABC0DEF,M13.1.0,M1.1.0",
		"ABC0DEF,M1.6.0,M2.1.0",
		"ABC0DEF,M1.1.7,M2.1.0",
		"ABC0DEF,1/168,2",
		"ABC0DEF,1,2x",
		"ABC0DEF25,1,2",
		"EST5EDT", /* POSIX leaves the rule to us: we do not guess */
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct tzrule r;

		if (tzrule_parse(rows[i], &r) == 0)
			fail_msg("accepted: %s", rows[i]);
	}
}

static void spans_of_a_zone_join_without_gaps(void **state)
{
	(void)state;
	for (size_t i = 0; i < PM_COUNT(golden_zones); i++) {
		struct cron_span span;
		struct cron_zone zone;
		struct pm_error err;
		struct tz *tz;
		int64_t t = 1000000000;
		int n = 0;

		assert_int_equal(tz_parse(golden_zones[i].tzif, golden_zones[i].len, &tz, &err), 0);
		zone = tz_zone(tz);
		for (int64_t from = INT64_MIN; t < 2500000000 && n < 300; n++) {
			zone.span_at(zone.arg, t, &span);
			assert_true(from == INT64_MIN || span.from_s == from);
			assert_true(span.from_s <= t && t < span.until_s);
			from = t = span.until_s;
		}
		assert_true(n < 300);
		tz_destroy(tz);
	}
}

static void the_rule_begins_with_the_last_change_of_the_table(void **state)
{
	/* Two headers with six counts each: no data for version 1, then one change and two types.
	 */
	static const uint8_t counts[2][6] = { { 0, 0, 0, 0, 0, 0 }, { 0, 0, 0, 1, 2, 4 } };
	static const char body[] = "\0\0\0\0\x65\xEC\x88\x80\1" /* 1710000256 */
				   "\0\0\0\0\0\0\0\0\x0E\x10\0\0AAA\0\nAAA-1\n";
	uint8_t file[2 * 44 + sizeof(body) - 1] = { 0 };
	struct cron_span span;
	struct cron_zone zone;
	struct pm_error err;
	struct tz *tz;

	(void)state;
	for (size_t h = 0; h < 2; h++) {
		memcpy(file + 44 * h, "TZif2", 5);
		for (size_t i = 0; i < 6; i++)
			file[44 * h + 20 + 4 * i + 3] = counts[h][i];
	}
	memcpy(file + 88, body, sizeof(body) - 1);
	if (tz_parse(file, sizeof(file), &tz, &err) < 0)
		fail_msg("%s", err.what);
	zone = tz_zone(tz);
	zone.span_at(zone.arg, 1710000256, &span);
	assert_true(span.from_s == 1710000256 && span.until_s == INT64_MAX);
	assert_int_equal(span.offset_s, 3600);
	zone.span_at(zone.arg, 1710000255, &span);
	assert_true(span.from_s == INT64_MIN && span.until_s == 1710000256);
	assert_int_equal(span.offset_s, 0);
	tz_destroy(tz);
}

/* Every truncation and every changed byte: an error, or a zone that answers; never a crash. */
static void damaged_files_do_no_harm(void **state)
{
	const struct golden_zone *g = &golden_zones[PM_COUNT(golden_zones) - 1];
	uint8_t *copy = malloc(g->len);
	int refused = 0;

	(void)state;
	assert_non_null(copy);
	for (size_t len = 0; len < g->len; len++) {
		uint8_t *cut = malloc(len + 1); /* so that asan sees each step too far */
		struct pm_error err;
		struct tz *tz;

		assert_non_null(cut);
		memcpy(cut, g->tzif, len);
		assert_int_equal(tz_parse(cut, len, &tz, &err), -1);
		assert_int_equal(err.code, PM_CORRUPT);
		free(cut);
	}
	for (size_t i = 0; i < g->len; i++) {
		struct pm_error err;
		struct tz *tz = NULL;

		memcpy(copy, g->tzif, g->len);
		copy[i] ^= 0xFF;
		if (tz_parse(copy, g->len, &tz, &err) == 0) {
			const struct cron_zone zone = tz_zone(tz);
			struct cron_span span;

			zone.span_at(zone.arg, 1700000000, &span);
			tz_destroy(tz);
		} else
			refused++;
	}
	assert_true(refused > 50);
	free(copy);
}

static void without_memory_a_zone_is_refused(void **state)
{
	struct pm_error err;
	struct tz *tz = NULL;

	(void)state;
	pm_alloc_fail_at(1);
	assert_int_equal(tz_parse(golden_zones[0].tzif, golden_zones[0].len, &tz, &err), -1);
	pm_alloc_fail_at(0);
	assert_int_equal(err.code, PM_NO_MEMORY);
	assert_null(tz);
}

static void names_cannot_lead_out_of_the_zone_directory(void **state)
{
	static const char *const rows[] = { "../../etc/passwd", "/etc/passwd", "Europe/Ber lin",
		                            "a\nb", "Europe/../Europe/Berlin" };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct pm_error err;
		struct tz *tz;

		assert_int_equal(tz_load(rows[i], &tz, &err), -1);
		assert_int_equal(err.code, PM_CONFIG);
		assert_non_null(strstr(err.what, "not the name of a time zone"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_are_read_as_posix_says),
		cmocka_unit_test(bad_rules_are_refused),
		cmocka_unit_test(spans_of_a_zone_join_without_gaps),
		cmocka_unit_test(the_rule_begins_with_the_last_change_of_the_table),
		cmocka_unit_test(damaged_files_do_no_harm),
		cmocka_unit_test(without_memory_a_zone_is_refused),
		cmocka_unit_test(names_cannot_lead_out_of_the_zone_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
