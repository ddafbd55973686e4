/* A rollout of 1, 10, 100 and 1,000 hosts as it is shown, by a coordinator's answers that are made
 * up. */
#include "unit.h"

#include <stdio.h>

#include "cli/rollout_json.h"
#include "cli/rollout_live.h"
#include "cli/text.h"
#include "tests/unit/rollout_view_rig.h"

static struct rollout_news news;

static int begin(void **state)
{
	news = (struct rollout_news){ 0 };
	return setup(state);
}

static struct rollout_view terminal(unsigned width)
{
	return (struct rollout_view){ .width = width,
		                      .rows = 24,
		                      .live = true,
		                      .utf8 = true,
		                      .run_ms = 42000,
		                      .watched_ms = 40000 };
}

static const struct rollout_view pipe_view = { .utf8 = true };

static void heading(const struct rollout_view *v, struct pm_buf *out)
{
	rollout_view_header(v, &copy, out);
}

static void live(const struct rollout_view *v, struct pm_buf *out)
{
	size_t n = rollout_live_lines(v, &copy, out), lines = 0;

	for (char *at = out->bytes; at != NULL && *at != '\0'; lines++) {
		size_t len = strcspn(at, "\n");
		char *line = pm_strndup(at, len);

		assert_non_null(line);
		assert_true(v->width == 0 || text_width(line) < v->width);
		free(line);
		at += len + 1;
	}
	assert_int_equal(n, lines);
}

static void tell(const struct rollout_view *v, struct pm_buf *out)
{
	rollout_live_news(v, &copy, &news, out);
}

static void finish(const struct rollout_view *v, struct pm_buf *out)
{
	struct pm_error err;

	assert_int_equal(rollout_view_end(v, &copy, out, &err), 0);
}

static void one_host_has_a_line_that_changes(void **state)
{
	static const uint32_t sizes[] = { 1 };
	struct rollout_view v = terminal(80);
	PM_BUF out = { 0 };

	(void)state;
	make(1, 1, sizes, 1);
	become(1, 1, PM__STEP_STATE__STEP_SENT, "");
	answer();
	heading(&v, &out);
	is_text(&out, "rollout r-7f3a  reload api  1 host in 1 batch (1)  max-fail 0  on-failure "
	              "pause\n");
	tell(&v, &out);
	is_text(&out, "");
	live(&v, &out);
	is_text(&out, "[1/1] ░░░░░░░░░░  0/1 done  0 healthy  1 waiting  0:42\n"
	              "web1  under way\n");
	become(1, 1, PM__STEP_STATE__STEP_ACCEPTED, "");
	answer();
	live(&v, &out);
	is_text(&out, "[1/1] ░░░░░░░░░░  0/1 done  0 healthy  1 waiting  0:42\n"
	              "web1  up, watched\n");
	become(1, 1, PM__STEP_STATE__STEP_HEALTHY, "");
	status.batch = 0;
	end_in(PM__ROLLOUT_STATE__ROLLOUT_SUCCEEDED, "");
	tell(&v, &out);
	finish(&v, &out);
	is_text(&out, "web1  healthy\n"
	              "succeeded after 1 of 1: 1 new, 0 old, 0 down\n"
	              "  pmctl rollout show r-7f3a\n");
	assert_int_equal(rollout_copy_exit_status(&copy), 0);
}

/* 10 hosts: the third fails, and the rest is left as it is. */
static void ten(void)
{
	static const uint32_t sizes[] = { 1, 3, 6 };

	make(10, 2, sizes, 3);
	app(1, "api", "1.4.1", "1.4.2", 'b', 4);
	become(1, 1, PM__STEP_STATE__STEP_HEALTHY, "");
	become(2, 2, PM__STEP_STATE__STEP_ACCEPTED, "");
	become(3, 3, PM__STEP_STATE__STEP_FAILED, "api: not ready after 60s; old instance kept");
	tail(3, "boot\n\033]0;owned\007cannot bind\n");
	become(4, 4, PM__STEP_STATE__STEP_SENT, "");
	status.batch = 2;
}

static void of_ten_each_has_a_line_on_a_terminal(void **state)
{
	struct rollout_view v = terminal(60);
	PM_BUF out = { 0 };

	(void)state;
	ten();
	answer();
	tell(&v, &out);
	is_text(&out, "");
	live(&v, &out);
	is_text(&out, "[2/3] 2/10 done  1 healthy  2 waiting  1 FAILED  0:42  eta…\n"
	              "web01  healthy\n"
	              "web02  up, watched\n"
	              "web03  FAILED  api: not ready after 60s; old instance kept\n"
	              "web04  under way\n"
	              "web05  waits its turn\n"
	              "web06  waits its turn\n"
	              "web07  waits its turn\n"
	              "web08  waits its turn\n"
	              "web09  waits its turn\n"
	              "web10  waits its turn\n");
	v.rows = 8; /* a low one: what does not fit would be drawn anew for ever */
	live(&v, &out);
	is_text(&out, "[2/3] 2/10 done  1 healthy  2 waiting  1 FAILED  0:42  eta…\n"
	              "web01  healthy\n"
	              "web02  up, watched\n"
	              "web03  FAILED  api: not ready after 60s; old instance kept\n"
	              "web04  under way\n"
	              "… and 6 more\n");
}

static void into_a_pipe_each_event_is_a_line_once(void **state)
{
	PM_BUF out = { 0 };

	(void)state;
	ten();
	become(1, 4, PM__STEP_STATE__STEP_PENDING, "");
	become(1, 1, PM__STEP_STATE__STEP_SENT, "");
	status.batch = 1;
	answer();
	tell(&pipe_view, &out);
	is_text(&out, "batch 1 of 3: 1 host\n");
	become(1, 1, PM__STEP_STATE__STEP_HEALTHY, "");
	set(&status.hold, "canary");
	status.hold_until_wall_ms = -1;
	answer();
	tell(&pipe_view, &out);
	is_text(&out,
	        "web01  healthy\n"
	        "holds: the first batch is looked at, until somebody says 'pmctl rollout promote "
	        "r-7f3a'\n");
	answer();
	tell(&pipe_view, &out);
	is_text(&out, "");
	set(&status.hold, "");
	status.hold_until_wall_ms = 0;
	become(2, 2, PM__STEP_STATE__STEP_HEALTHY, "");
	become(3, 3, PM__STEP_STATE__STEP_FAILED, "not ready");
	become(4, 4, PM__STEP_STATE__STEP_HEALTHY, "");
	status.batch = 2;
	answer();
	tell(&pipe_view, &out);
	is_text(&out, "batch 2 of 3: 3 hosts\n"
	              "web02  healthy\n"
	              "web03  FAILED  not ready\n"
	              "web04  healthy\n");
	steps[0]->down = true; /* an early one may fail late */
	become(1, 1, PM__STEP_STATE__STEP_FAILED, "api (id 0) did not stay up");
	end_in(PM__ROLLOUT_STATE__ROLLOUT_PAUSED, "2 hosts failed, more than max-fail 0");
	tell(&pipe_view, &out);
	is_text(&out, "web01  FAILED  api (id 0) did not stay up; it is down\n");
	finish(&pipe_view, &out);
	is_text(&out, "  web01: api (id 0) did not stay up\n"
	              "  1 more host failed\n"
	              "paused: 2 hosts failed, more than max-fail 0\n"
	              "paused after 4 of 10: 2 new, 7 old, 1 down\n"
	              "  pmctl rollout show r-7f3a · resume r-7f3a · undo r-7f3a\n");
	assert_int_equal(rollout_copy_exit_status(&copy), 13);
}

static void who_looks_later_is_told_what_matters(void **state)
{
	PM_BUF out = { 0 };

	(void)state;
	ten();
	answer();
	tell(&pipe_view, &out);
	is_text(&out, "web03  FAILED  api: not ready after 60s; old instance kept\n"
	              "batch 2 of 3: 3 hosts\n");
}

static void the_first_failure_is_told_in_full_and_made_harmless(void **state)
{
	PM_BUF out = { 0 };

	(void)state;
	ten();
	become(2, 2, PM__STEP_STATE__STEP_HEALTHY, "");
	become(4, 4, PM__STEP_STATE__STEP_HEALTHY, "");
	end_in(PM__ROLLOUT_STATE__ROLLOUT_PAUSED, "1 host failed, more than max-fail 0");
	finish(&pipe_view, &out);
	is_text(&out, "  web03: api: not ready after 60s; old instance kept\n"
	              "  | boot\n"
	              "  | \\x1b]0;owned\\x07cannot bind\n"
	              "paused: 1 host failed, more than max-fail 0\n"
	              "paused after 4 of 10: 3 new, 7 old, 0 down\n"
	              "  pmctl rollout show r-7f3a · resume r-7f3a · undo r-7f3a\n");
}

static void hundred(void)
{
	static const uint32_t sizes[] = { 1, 10, 25, 25, 25, 12 };

	make(100, 3, sizes, 6);
	app(1, "api", "1.4.1", "1.4.2", 'b', 4);
	become(99, 100, PM__STEP_STATE__STEP_SKIPPED, "not reachable");
	become(1, 11, PM__STEP_STATE__STEP_HEALTHY, "");
	become(12, 20, PM__STEP_STATE__STEP_HEALTHY, "");
	become(21, 21, PM__STEP_STATE__STEP_UNKNOWN, "its connection ended");
	become(22, 36, PM__STEP_STATE__STEP_SENT, "");
	status.batch = 3;
}

static void of_a_hundred_the_odd_ones_have_lines_and_a_bar_tells_the_rest(void **state)
{
	struct rollout_view v = terminal(80);
	PM_BUF out = { 0 };

	(void)state;
	hundred();
	answer();
	tell(&v, &out);
	is_text(&out, "web021  unknown  its connection ended\n"
	              "web099  skipped  not reachable\n"
	              "web100  skipped  not reachable\n");
	live(&v, &out);
	is_text(&out, "[3/6] ██░░░░░░░░  23/100 done  20 healthy  15 waiting  1 FAILED  2 skipped  "
	              "0:…\n");
	v = terminal(120);
	live(&v, &out);
	is_text(&out,
	        "[3/6] ████░░░░░░░░░░░░░░░░  23/100 done  20 healthy  15 waiting  1 FAILED  2 "
	        "skipped  0:42  eta 2m 13s\n");
	v.utf8 = false;
	v.width = 60;
	live(&v, &out);
	is_text(&out, "[3/6] 23/100 done  20 healthy  15 waiting  1 FAILED  2 s...\n");
	become(22, 36, PM__STEP_STATE__STEP_HEALTHY, "");
	end_in(PM__ROLLOUT_STATE__ROLLOUT_PAUSED, "web021 was lost");
	finish(&v, &out);
	is_text(&out, "  web021: its connection ended\n"
	              "paused: web021 was lost\n"
	              "paused after 36 of 100: 35 new, 62 old, 1 down, 2 skipped\n"
	              "  pmctl rollout show r-7f3a | resume r-7f3a | undo r-7f3a\n");
}

static void thousand(void)
{
	static const uint32_t sizes[] = { 1, 50, 250, 250, 250, 199 };

	make(1000, 4, sizes, 6);
	app(1, "api", "1.4.1", "1.4.2", 'b', 4);
	become(1, 51, PM__STEP_STATE__STEP_HEALTHY, "");
	become(52, 290, PM__STEP_STATE__STEP_HEALTHY, "");
	become(291, 299, PM__STEP_STATE__STEP_FAILED, "http 503 /healthz");
	become(300, 300, PM__STEP_STATE__STEP_FAILED, "no memory\033[2J");
	become(301, 301, PM__STEP_STATE__STEP_ACCEPTED, "");
	status.batch = 3;
}

static void of_a_thousand_equal_failures_stand_together(void **state)
{
	struct rollout_view v = terminal(120);
	PM_BUF out = { 0 };

	(void)state;
	thousand();
	answer();
	assert_int_equal(copy.n_steps, 1000);
	heading(&v, &out);
	is_text(&out, "rollout r-7f3a  reload api  1000 hosts in 6 batches (1,50,250,250,250,199)  "
	              "max-fail 0  on-failure pause\n");
	tell(&v, &out);
	is_text(&out, "");
	live(&v, &out);
	is_text(&out,
	        "[3/6] ██████░░░░░░░░░░░░░░  300/1000 done  290 healthy  1 waiting  10 FAILED  "
	        "0:42  7/s  eta 1m 33s\n"
	        "   9 hosts  FAILED  web[0291-0299]  http 503 /healthz\n"
	        "   1 host   FAILED  web0300  no memory\\x1b[2J\n");
	v = terminal(80);
	live(&v, &out);
	is_text(&out, "[3/6] ███░░░░░░░  300/1000 done  290 healthy  1 waiting  10 FAILED  0:42  "
	              "7/s …\n"
	              "   9 hosts  FAILED  web[0291-0299]  http 503 /healthz\n"
	              "   1 host   FAILED  web0300  no memory\\x1b[2J\n");
	end_in(PM__ROLLOUT_STATE__ROLLOUT_PAUSED, "10 hosts failed, more than max-fail 0");
	finish(&v, &out);
	is_text(&out, "   9 hosts  FAILED  web[0291-0299]  http 503 /healthz\n"
	              "   1 host   FAILED  web0300  no memory\\x1b[2J\n"
	              "  web0291: http 503 /healthz\n"
	              "  9 more hosts failed\n"
	              "paused: 10 hosts failed, more than max-fail 0\n"
	              "paused after 301 of 1000: 291 new, 709 old, 0 down\n"
	              "  pmctl rollout show r-7f3a · resume r-7f3a · undo r-7f3a\n");
}

static void the_way_back_has_steps_of_its_own(void **state)
{
	PM_BUF out = { 0 };

	(void)state;
	ten();
	answer();
	tell(&pipe_view, &out);
	pm_buf_reset(&out);
	/* web04, web02 and web01 go back, in this order; the others were never changed. */
	batches[0] = 1;
	batches[1] = 2;
	status.n_batches = 2;
	status.undoing = true;
	status.batch = 1;
	for (unsigned i = 0; i < 10; i++)
		steps[i]->batch = i == 3 ? 1 : i < 2 ? 2 : 0;
	become(1, 4, PM__STEP_STATE__STEP_PENDING, "");
	become(3, 3, PM__STEP_STATE__STEP_SKIPPED, "it was not changed");
	become(5, 10, PM__STEP_STATE__STEP_SKIPPED, "it was not changed");
	for (unsigned i = 0; i < 10; i++)
		steps[i]->code = PM_OK;
	become(4, 4, PM__STEP_STATE__STEP_HEALTHY, "");
	status.state = PM__ROLLOUT_STATE__ROLLOUT_UNDOING;
	set(&status.why, "web03 failed");
	answer();
	assert_int_equal(copy.n_steps, 10);
	assert_int_equal(rollout_copy_account(&copy).fresh, 2);
	assert_int_equal(rollout_copy_account(&copy).old, 8);
	become(1, 2, PM__STEP_STATE__STEP_HEALTHY, "");
	status.batch = 2;
	end_in(PM__ROLLOUT_STATE__ROLLOUT_UNDONE, "web03 failed");
	tell(&pipe_view, &out);
	is_text(&out, "undoing: every host goes back to what it had; web03 failed\n"
	              "undo: batch 1 of 2: 1 host\n"
	              "web04  healthy\n"
	              "undo: batch 2 of 2: 2 hosts\n"
	              "web01  healthy\n"
	              "web02  healthy\n");
	finish(&pipe_view, &out);
	is_text(&out, "undone: web03 failed\n"
	              "undone after 3 of 10: 0 new, 10 old, 0 down\n"
	              "  pmctl rollout show r-7f3a\n");
	assert_int_equal(rollout_copy_exit_status(&copy), 14);
}

/* F-13: whatever becomes of the hosts, each is counted once. */
static void every_account_sums_up(void **state)
{
	static const uint32_t sizes[] = { 40 };
	uint32_t random = 12345;

	(void)state;
	make(50, 2, sizes, 1);
	for (unsigned round = 0; round < 300; round++) {
		struct rollout_account a;
		PM_BUF line = { 0 };
		unsigned long sum = 0;
		char *at;

		for (unsigned i = 1; i <= 50; i++) {
			random = random * 1664525 + 1013904223;
			become(i, i, (Pm__StepState)(1 + (random >> 16) % 7), "");
			steps[i - 1]->down = (random >> 8) % 2;
		}
		answer();
		a = rollout_copy_account(&copy);
		assert_int_equal(a.fresh + a.old + a.down + a.under_way + a.skipped, 50);
		rollout_view_account(&a, &line);
		for (at = line.bytes; at != NULL; at = strchr(at, ',')) {
			at += strspn(at, ", ");
			sum += strtoul(at, &at, 10);
		}
		assert_int_equal(sum, 50);
		if (round == 150) {
			status.undoing = true;
			for (unsigned i = 40; i < 50; i++)
				steps[i]->progress = ++progress;
		}
	}
}

static void the_status_tells_how_it_ended(void **state)
{
	static const struct {
		Pm__RolloutState state;
		uint32_t code;
		bool skipped;
		int want;
	} cases[] = {
		{ PM__ROLLOUT_STATE__ROLLOUT_SUCCEEDED, 0, false, 0 },
		{ PM__ROLLOUT_STATE__ROLLOUT_SUCCEEDED, 0, true, 11 },
		{ PM__ROLLOUT_STATE__ROLLOUT_FAILED, PM_FAILED, false, 10 },
		{ PM__ROLLOUT_STATE__ROLLOUT_FAILED, PM_PARTLY, true, 12 },
		{ PM__ROLLOUT_STATE__ROLLOUT_PAUSED, 0, false, 13 },
		{ PM__ROLLOUT_STATE__ROLLOUT_PAUSED, PM_FAILED, true, 13 },
		{ PM__ROLLOUT_STATE__ROLLOUT_PAUSED, PM_PAUSED, false, 13 },
		{ PM__ROLLOUT_STATE__ROLLOUT_PAUSED, PM_DEADLINE, false, 15 },
		{ PM__ROLLOUT_STATE__ROLLOUT_PAUSED, PM_LOCKED, false, 6 },
		{ PM__ROLLOUT_STATE__ROLLOUT_ABORTED, 0, false, 13 },
		{ PM__ROLLOUT_STATE__ROLLOUT_UNDONE, PM_UNDONE, false, 14 },
		{ PM__ROLLOUT_STATE__ROLLOUT_PLANNED, 0, false, 20 },
	};
	static const uint32_t sizes[] = { 2 };

	(void)state;
	make(2, 1, sizes, 1);
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		become(1, 2,
		       cases[i].skipped ? PM__STEP_STATE__STEP_SKIPPED
		                        : PM__STEP_STATE__STEP_HEALTHY,
		       "");
		status.state = cases[i].state;
		status.code = cases[i].code;
		answer();
		assert_int_equal(rollout_copy_exit_status(&copy), cases[i].want);
	}
	steps[0]->batch = steps[1]->batch = 0;
	become(1, 2, PM__STEP_STATE__STEP_SKIPPED, "nothing changes");
	answer();
	assert_int_equal(rollout_copy_exit_status(&copy), 0); /* a plan without a change */
}

/* S-20 */
static void what_could_act_on_a_terminal_is_refused_or_escaped(void **state)
{
	static const uint32_t sizes[] = { 1 };
	struct rollout_view v = terminal(0);
	PM_BUF out = { 0 };
	struct pm_error err;
	Pm__RolloutStep *list[1];

	(void)state;
	make(1, 1, sizes, 1);
	set(&status.what, "reload \033[2Japi");
	set(&status.hold, "can\033[Hary");
	status.hold_until_wall_ms = -1;
	status.options[0]->value[0] = '\033';
	become(1, 1, PM__STEP_STATE__STEP_FAILED, "a\nb\r\033[1A");
	answer();
	live(&v, &out);
	heading(&v, &out);
	tell(&pipe_view, &out);
	end_in(PM__ROLLOUT_STATE__ROLLOUT_ABORTED, "\033[31mwhy\n");
	finish(&pipe_view, &out);
	assert_null(strchr(out.bytes, '\033'));
	assert_null(strchr(out.bytes, '\r'));
	assert_non_null(strstr(out.bytes, "aborted: \\x1b[31mwhy\\x0a\n"));
	list[0] = steps[0];
	status.steps = list;
	status.n_steps = 1;
	set(&steps[0]->name, "web\033[2J");
	assert_int_equal(rollout_copy_take(&copy, &status, &err), -1);
	assert_int_equal(err.code, PM_PROTOCOL);
	set(&steps[0]->name, "web1");
	set(&status.id, "r-1; rm -rf");
	assert_int_equal(rollout_copy_take(&copy, &status, &err), -1);
	assert_int_equal(err.code, PM_PROTOCOL);
	status.n_steps = 0;
	status.steps = NULL;
}

static void programs_get_a_line_for_each_change_and_a_document(void **state)
{
	static const uint32_t sizes[] = { 1, 1 };
	struct rollout_json_news told = { 0 };
	PM_BUF out = { 0 };

	(void)state;
	make(2, 1, sizes, 2);
	become(1, 1, PM__STEP_STATE__STEP_SENT, "");
	answer();
	rollout_json_events(&copy, &told, &out);
	assert_non_null(strstr(out.bytes, "{\"schema\":1,\"event\":\"host\",\"rollout\":\"r-7f3a\","
	                                  "\"host\":\"web1\",\"id\":\"9e3779b1\",\"batch\":1,"
	                                  "\"state\":\"sent\",\"code\":\"ok\""));
	assert_non_null(strstr(out.bytes, "\"event\":\"rollout\""));
	pm_buf_reset(&out);
	answer();
	rollout_json_events(&copy, &told, &out);
	assert_int_equal(out.len, 0);
	become(1, 2, PM__STEP_STATE__STEP_HEALTHY, "");
	end_in(PM__ROLLOUT_STATE__ROLLOUT_SUCCEEDED, "");
	rollout_json_document(&copy, 0, &out);
	assert_non_null(strstr(out.bytes, "\"account\":{\"total\":2,\"new\":2,\"old\":0,\"down\":0,"
	                                  "\"under_way\":0,\"skipped\":0},\"exit\":0}\n"));
	pm_buf_reset(&out);
	rollout_json_end(&copy, 0, &out);
	assert_null(strstr(out.bytes, "\"hosts\":["));
}

#define VIEW_TEST(f) cmocka_unit_test_setup_teardown(f, begin, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VIEW_TEST(one_host_has_a_line_that_changes),
		VIEW_TEST(of_ten_each_has_a_line_on_a_terminal),
		VIEW_TEST(into_a_pipe_each_event_is_a_line_once),
		VIEW_TEST(who_looks_later_is_told_what_matters),
		VIEW_TEST(the_first_failure_is_told_in_full_and_made_harmless),
		VIEW_TEST(of_a_hundred_the_odd_ones_have_lines_and_a_bar_tells_the_rest),
		VIEW_TEST(of_a_thousand_equal_failures_stand_together),
		VIEW_TEST(the_way_back_has_steps_of_its_own),
		VIEW_TEST(every_account_sums_up),
		VIEW_TEST(the_status_tells_how_it_ended),
		VIEW_TEST(what_could_act_on_a_terminal_is_refused_or_escaped),
		VIEW_TEST(programs_get_a_line_for_each_change_and_a_document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
