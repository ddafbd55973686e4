/* The options of a rollout: names, defaults, limits, and what does not go together (FLEET 1.1). */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "proto/rollout_params.h"

#define DAY_MS 86400000u

static size_t index_of(const char *name)
{
	size_t n;
	const struct rollout_option *list = rollout_options(&n);
	char underscored[32];

	(void)snprintf(underscored, sizeof(underscored), "%s", name);
	for (char *c = underscored; *c != '\0'; c++)
		if (*c == '-')
			*c = '_';
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, underscored) == 0)
			return i;
	fail_msg("no option %s", name);
	return 0;
}

static void assert_same(const struct rollout_params *a, const struct rollout_params *b)
{
	size_t n;
	char x[ROLLOUT_TEXT_MAX], y[ROLLOUT_TEXT_MAX];

	(void)rollout_options(&n);
	for (size_t i = 0; i < n; i++) {
		bool has = rollout_params_text(a, i, x, sizeof(x));

		assert_int_equal(has, rollout_params_text(b, i, y, sizeof(y)));
		if (has)
			assert_string_equal(x, y);
	}
}

/* An option's value as text, after it was set to `value`. */
static const char *after(const char *name, const char *value)
{
	static char text[ROLLOUT_TEXT_MAX];
	struct rollout_params p;
	struct pm_error err;

	rollout_params_default(&p);
	if (rollout_params_set(&p, name, value, &err) < 0)
		fail_msg("%s=%s: %s", name, value, err.what);
	return rollout_params_text(&p, index_of(name), text, sizeof(text)) ? text : NULL;
}

static void f14_the_defaults_are_those_of_the_table(void **state)
{
	struct rollout_params p;

	(void)state;
	memset(&p, 0xff, sizeof(p));
	rollout_params_default(&p);
	assert_int_equal(p.n_batch, 3);
	assert_true(p.batch[0].value == 1 && !p.batch[0].percent);
	assert_true(p.batch[1].value == 10 && p.batch[1].percent);
	assert_true(p.batch[2].value == 25 && p.batch[2].percent);
	assert_true(p.max_down.value == 25 && p.max_down.percent);
	assert_int_equal(p.max_fail.value, 0);
	assert_true(p.max_unreachable.value == 10 && p.max_unreachable.percent);
	assert_int_equal(p.wait_ms, 0);
	assert_int_equal(p.canary_hold_ms, 0);
	assert_false(p.wait_ask || p.canary_ask || p.lost_continue || p.include_drained);
	assert_int_equal(p.min_healthy_ms, 10000);
	assert_int_equal(p.healthy_deadline_ms, 60000);
	assert_int_equal(p.progress_deadline_ms, 600000);
	assert_int_equal(p.monitor_ms, 10000);
	assert_int_equal(p.on_failure, ROLLOUT_ON_FAILURE_PAUSE);
	assert_int_equal(p.unreachable, ROLLOUT_UNREACHABLE_SKIP);
	assert_int_equal(p.unreachable_wait_ms, 0);
	assert_int_equal(p.order, ROLLOUT_ORDER_SORTED);
	assert_string_equal(p.wave, "");
	assert_int_equal(p.seed, 0);
	assert_int_equal(p.bake_ms, 0);
	assert_int_equal(p.wait_lock_ms, 0);
}

static void f14_the_defaults_as_text_are_those_that_help_shows_and_go_together(void **state)
{
	size_t n;
	const struct rollout_option *list = rollout_options(&n);
	struct rollout_params p, again;
	struct pm_error err;
	char text[ROLLOUT_TEXT_MAX];

	(void)state;
	rollout_params_default(&p);
	rollout_params_default(&again);
	for (size_t i = 0; i < n; i++) {
		bool has = rollout_params_text(&p, i, text, sizeof(text));

		assert_int_equal(has, list[i].normal[0] != '\0');
		assert_true(list[i].value[0] != '\0' && list[i].words[0] != '\0');
		if (!has)
			continue;
		assert_string_equal(text, list[i].normal);
		assert_int_equal(rollout_params_set(&again, list[i].name, text, &err), 0);
	}
	assert_same(&p, &again);
	for (size_t n_hosts = 0; n_hosts < 50; n_hosts++)
		assert_int_equal(rollout_params_check(&p, n_hosts, &err), 0);
	assert_false(rollout_params_text(&p, n, text, sizeof(text)));
}

static void f14_what_is_set_is_what_it_says(void **state)
{
	static const struct {
		const char *name, *value, *text;
	} rows[] = {
		{ "batch", "5", "5" },
		{ "batch", "1,5%,25%", "1,5%,25%" },
		{ "batch", "100%", "100%" },
		{ "batch", "1000000", "1000000" },
		{ "max_down", "1", "1" },
		{ "max-down", "100%", "100%" },
		{ "max_fail", "0", "0" },
		{ "max-fail", "5%", "5%" },
		{ "wait", "30", "30s" },
		{ "wait", "ask", "ask" },
		{ "wait", "90s", "90s" },
		{ "wait", "60s", "60s" },
		{ "wait", "1m", "60s" },
		{ "wait", "1.5h", "90m" },
		{ "canary-hold", "5m", "5m" },
		{ "canary_hold", "ask", "ask" },
		{ "min_healthy", "0", "0s" },
		{ "min-healthy", "1500ms", "1500ms" },
		{ "healthy_deadline", "2m", "2m" },
		{ "progress_deadline", "0s", "0s" },
		{ "progress_deadline", "7d", "10080m" },
		{ "monitor", "2m", "2m" },
		{ "on_failure", "rollback", "rollback" },
		{ "on_failure", "continue", "continue" },
		{ "on-failure", "pause", "pause" },
		{ "unreachable", "fail", "fail" },
		{ "unreachable", "wait=10m", "wait=10m" },
		{ "unreachable", "skip", "skip" },
		{ "max-unreachable", "0", "0" },
		{ "max_unreachable", "100%", "100%" },
		{ "lost", "continue", "continue" },
		{ "lost", "pause", "pause" },
		{ "include_drained", "true", "true" },
		{ "include-drained", "false", "false" },
		{ "order", "shuffle", "shuffle" },
		{ "order", "sorted", "sorted" },
		{ "seed", "9223372036854775807", "9223372036854775807" },
		{ "wave", "az", "az" },
		{ "wave", "", NULL },
		{ "bake", "10m", "10m" },
		{ "wait-lock", "5m", "5m" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		const char *text = after(rows[i].name, rows[i].value);

		if (rows[i].text == NULL)
			assert_null(text);
		else
			assert_string_equal(text, rows[i].text);
		if (text != NULL) /* and its text is a value of it */
			assert_string_equal(after(rows[i].name, rows[i].text), rows[i].text);
	}
}

static void f14_the_longest_value_fits_and_one_more_is_none(void **state)
{
	char text[ROLLOUT_BATCHES_MAX * 10] = "";
	struct rollout_params p;
	struct pm_error err;
	char wave[ROLLOUT_WAVE_MAX + 1];
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i < ROLLOUT_BATCHES_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s1000000",
		                        i > 0 ? "," : "");
	assert_string_equal(after("batch", text), text);
	(void)snprintf(text + len, sizeof(text) - len, ",1");
	rollout_params_default(&p);
	assert_int_equal(rollout_params_set(&p, "batch", text, &err), -1);
	memset(wave, 'a', sizeof(wave));
	wave[ROLLOUT_WAVE_MAX - 1] = '\0';
	assert_string_equal(after("wave", wave), wave);
	wave[ROLLOUT_WAVE_MAX - 1] = 'a';
	wave[ROLLOUT_WAVE_MAX] = '\0';
	assert_int_equal(rollout_params_set(&p, "wave", wave, &err), -1);
}

static void f14_what_is_no_value_is_refused_and_changes_nothing(void **state)
{
	static const char *const rows[][2] = {
		{ "batch", "" },
		{ "batch", "0" },
		{ "batch", "0%" },
		{ "batch", "101%" },
		{ "batch", "-1" },
		{ "batch", "+1" },
		{ "batch", " 1" },
		{ "batch", "1,," },
		{ "batch", ",1" },
		{ "batch", "1," },
		{ "batch", "1,x" },
		{ "batch", "%" },
		{ "batch", "1%%" },
		{ "batch", "1000001" },
		{ "batch", "99999999999999999999" },
		{ "max_down", "0" },
		{ "max_down", "1,2" },
		{ "max_fail", "" },
		{ "max_fail", "101%" },
		{ "max_fail", "1.5" },
		{ "wait", "" },
		{ "wait", "Ask" },
		{ "wait", "-1s" },
		{ "wait", "8d" },
		{ "wait", "10x" },
		{ "canary_hold", "soon" },
		{ "min_healthy", "ask" },
		{ "healthy_deadline", "99999999999999999999s" },
		{ "progress_deadline", "never" },
		{ "monitor", "169h" },
		{ "on_failure", "stop" },
		{ "on_failure", "" },
		{ "unreachable", "wait" },
		{ "unreachable", "wait=" },
		{ "unreachable", "wait=ask" },
		{ "unreachable", "skipped" },
		{ "unreachable", "" },
		{ "max_unreachable", "ten" },
		{ "lost", "rollback" },
		{ "include_drained", "yes" },
		{ "order", "reverse" },
		{ "seed", "-1" },
		{ "seed", "0x10" },
		{ "seed", "9223372036854775808" },
		{ "bake", "1 fortnight" },
		{ "wait_lock", "forever" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct rollout_params p, was;
		struct pm_error err;

		rollout_params_default(&p);
		was = p;
		if (rollout_params_set(&p, rows[i][0], rows[i][1], &err) == 0)
			fail_msg("%s=%s was taken", rows[i][0], rows[i][1]);
		assert_int_equal(err.code, PM_USAGE);
		assert_non_null(strstr(err.what, rows[i][0]));
		assert_same(&p, &was);
	}
}

static void f14_a_slip_finds_the_option_that_was_meant(void **state)
{
	static const char *const rows[][2] = {
		{ "max_fial", "max_fail" },
		{ "max-dwon", "max_down" },
		{ "bacth", "batch" },
		{ "canary", "" },
		{ "healty_deadline", "healthy_deadline" },
		{ "batc", "batch" },
		{ "batches", "batch" },
		{ "colour_of_the_sky", "" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct rollout_params p;
		struct pm_error err;

		rollout_params_default(&p);
		assert_int_equal(rollout_params_set(&p, rows[i][0], "1", &err), -1);
		assert_int_equal(err.code, PM_USAGE);
		if (rows[i][1][0] == '\0')
			assert_string_equal(err.hint, "");
		else
			assert_non_null(strstr(err.hint, rows[i][1]));
	}
}

static void f14_a_time_that_is_none_is_told_how_times_are_written(void **state)
{
	struct rollout_params p;
	struct pm_error err;

	(void)state;
	rollout_params_default(&p);
	assert_int_equal(rollout_params_set(&p, "wait", "8d", &err), -1);
	assert_non_null(strstr(err.hint, "7d"));
	assert_int_equal(rollout_params_set(&p, "max_fail", "x", &err), -1);
	assert_string_equal(err.hint, "");
}

/* What is set in turn, "name=value name=value", and what the check says to it. */
static void f15_what_contradicts_itself_is_refused(void **state)
{
	static const struct {
		const char *sets;
		size_t n_hosts;
		const char *word; /* in the refusal; NULL: it is fine */
	} rows[] = {
		{ "min_healthy=60s", 0, "min_healthy" },
		{ "min_healthy=61s", 0, "min_healthy" },
		{ "min_healthy=59999ms", 0, NULL },
		{ "healthy_deadline=10s", 0, "min_healthy" },
		{ "healthy_deadline=0s min_healthy=0s", 0, "healthy_deadline" },
		{ "healthy_deadline=10m", 0, "progress_deadline" },
		{ "healthy_deadline=11m", 0, "progress_deadline" },
		{ "healthy_deadline=599s", 0, NULL },
		{ "progress_deadline=60s", 0, "progress_deadline" },
		{ "progress_deadline=61s", 0, NULL },
		{ "progress_deadline=0s healthy_deadline=1h", 0, NULL }, /* 0: none */
		{ "unreachable=wait=0s", 0, "unreachable" },
		{ "unreachable=wait=10m", 0, NULL }, /* a wait is not a lack of progress */
		{ "unreachable=wait=7d", 0, NULL },
		{ "seed=1", 0, "seed" },
		{ "seed=1 order=shuffle", 0, NULL },
		{ "bake=1m", 0, "bake" },
		{ "bake=1m wave=az", 0, NULL },
		{ "batch=5 max_down=4", 100, "max_down" },
		{ "batch=5 max_down=4", 0, NULL }, /* not known yet */
		{ "batch=5 max_down=4", 4, NULL }, /* all of them are no more than may be out */
		{ "batch=5 max_down=4", 5, "max_down" },
		{ "batch=5 max_down=5", 100, NULL },
		{ "batch=1,5 max_down=4", 100, "max_down" },
		{ "batch=5,1 max_down=4", 100, "max_down" },
		{ "batch=1,50% max_down=4", 100, NULL }, /* worked through four at a time */
		{ "batch=5 max_down=1%", 100, NULL },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct rollout_params p;
		struct pm_error err;
		char sets[128], *rest;

		rollout_params_default(&p);
		(void)snprintf(sets, sizeof(sets), "%s", rows[i].sets);
		for (char *one = strtok_r(sets, " ", &rest); one != NULL;
		     one = strtok_r(NULL, " ", &rest)) {
			char *value = strchr(one, '=');

			*value = '\0';
			assert_int_equal(rollout_params_set(&p, one, value + 1, &err), 0);
		}
		if (rollout_params_check(&p, rows[i].n_hosts, &err) == 0) {
			if (rows[i].word != NULL)
				fail_msg("%s was taken", rows[i].sets);
			continue;
		}
		if (rows[i].word == NULL)
			fail_msg("%s: %s", rows[i].sets, err.what);
		assert_int_equal(err.code, PM_USAGE);
		assert_non_null(strstr(err.what, rows[i].word));
	}
}

static void f14_batches_round_up_and_what_may_be_out_rounds_down(void **state)
{
	static const struct {
		struct rollout_share share;
		size_t n, least, up, down;
	} rows[] = {
		{ { 10, true }, 1000, 1, 100, 100 },
		{ { 10, true }, 1001, 1, 101, 100 },
		{ { 10, true }, 9, 1, 1, 1 },
		{ { 10, true }, 9, 0, 1, 0 },
		{ { 1, true }, 50, 1, 1, 1 },
		{ { 25, true }, 10, 1, 3, 2 },
		{ { 25, true }, 3, 1, 1, 1 },
		{ { 100, true }, 7, 1, 7, 7 },
		{ { 5, false }, 3, 1, 3, 3 },
		{ { 5, false }, 30, 1, 5, 5 },
		{ { 0, false }, 30, 0, 0, 0 },
		{ { 0, true }, 30, 0, 0, 0 },
		{ { 1, true }, 0, 1, 0, 0 },
		{ { 100, true }, 1000000, 1, 1000000, 1000000 },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		assert_int_equal(rollout_share_up(rows[i].share, rows[i].n, rows[i].least),
		                 rows[i].up);
		assert_int_equal(rollout_share_down(rows[i].share, rows[i].n, rows[i].least),
		                 rows[i].down);
	}
}

static void f14_ask_and_a_time_replace_each_other(void **state)
{
	struct rollout_params p;
	struct pm_error err;

	(void)state;
	rollout_params_default(&p);
	assert_int_equal(rollout_params_set(&p, "wait", "5m", &err), 0);
	assert_int_equal(rollout_params_set(&p, "wait", "ask", &err), 0);
	assert_true(p.wait_ask && p.wait_ms == 0);
	assert_int_equal(rollout_params_set(&p, "wait", "1m", &err), 0);
	assert_true(!p.wait_ask && p.wait_ms == 60000);
	assert_int_equal(rollout_params_set(&p, "unreachable", "wait=7d", &err), 0);
	assert_int_equal(p.unreachable_wait_ms, 7 * DAY_MS);
	assert_int_equal(rollout_params_set(&p, "unreachable", "skip", &err), 0);
	assert_int_equal(p.unreachable_wait_ms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f14_the_defaults_are_those_of_the_table),
		cmocka_unit_test(
			f14_the_defaults_as_text_are_those_that_help_shows_and_go_together),
		cmocka_unit_test(f14_what_is_set_is_what_it_says),
		cmocka_unit_test(f14_the_longest_value_fits_and_one_more_is_none),
		cmocka_unit_test(f14_what_is_no_value_is_refused_and_changes_nothing),
		cmocka_unit_test(f14_a_slip_finds_the_option_that_was_meant),
		cmocka_unit_test(f14_a_time_that_is_none_is_told_how_times_are_written),
		cmocka_unit_test(f15_what_contradicts_itself_is_refused),
		cmocka_unit_test(f14_batches_round_up_and_what_may_be_out_rounds_down),
		cmocka_unit_test(f14_ask_and_a_time_replace_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
