/* What is told of a rollout before it begins, and afterwards: the plan, and the whole story. */
#include "unit.h"

#include "cli/rollout_plan_view.h"
#include "cli/rollout_show.h"
#include "cli/text.h"
#include "tests/unit/rollout_view_rig.h"

static const struct rollout_view view = { .utf8 = true };

static void is_plan(const char *want)
{
	PM_BUF out = { 0 };
	struct pm_error err;

	assert_int_equal(rollout_plan_view(&view, &copy, false, &out, &err), 0);
	is_text(&out, want);
}

static void is_shown(const char *want)
{
	PM_BUF out = { 0 };
	struct pm_error err;

	assert_int_equal(rollout_show(&view, &copy, NOW + 60000, true, false, &out, &err), 0);
	is_text(&out, want);
}

/* The rows of the hosts; what is told in sentences goes on in the next line by itself. */
static void fits(unsigned width)
{
	struct rollout_view v = { .utf8 = true, .width = width };
	PM_BUF out = { 0 };
	struct pm_error err;

	assert_int_equal(rollout_show(&v, &copy, NOW + 60000, true, false, &out, &err), 0);
	for (char *at = strstr(out.bytes, "\nhost  ") + 1; *at == 'h' || *at == 'w';) {
		size_t len = strcspn(at, "\n");

		at[len] = '\0';
		assert_true(text_width(at) <= width);
		at += len + 1;
	}
}

static void plan(const char *max_down)
{
	static char api[] = "api", *apps[] = { api };

	status.state = PM__ROLLOUT_STATE__ROLLOUT_PLANNED;
	status.apps = apps;
	status.n_apps = 1;
	status.batch = 0;
	option("max_down", max_down);
	answer();
}

/* F-26 */
static void a_plan_of_a_few_has_a_line_for_each_host_and_app(void **state)
{
	static const uint32_t sizes[] = { 1, 2 };

	(void)state;
	make(5, 1, sizes, 2);
	app(1, "api", "1.4.1", "1.4.2", 'b', 4);
	app(2, "api", "1.4.1", "1.4.2", 'b', 4);
	app(3, "api", "1.4.2", "1.4.2", 'a', 2);
	become(4, 4, PM__STEP_STATE__STEP_SKIPPED, "drained");
	become(5, 5, PM__STEP_STATE__STEP_SKIPPED, "not reachable when it was planned");
	plan("2");
	is_plan("plan r-7f3a  reload api  5 hosts in 2 batches (1,2)  max-fail 0  on-failure pause\n"
	        "web1  api  v1.4.1 (61616161) → v1.4.2 (62626262)  4 running\n"
	        "web2  api  v1.4.1 (61616161) → v1.4.2 (62626262)  4 running\n"
	        "web3  api  v1.4.2 (61616161)  2 running; nothing changes\n"
	        "   1 host   left out: drained  web4\n"
	        "   1 host   left out: not reachable when it was planned  web5\n"
	        "batch 1: 1 host  web1\n"
	        "batch 2: 2 hosts  web[2,3]\n"
	        "at most 2 hosts at a time\n"
	        "api: at least 2 of 10 instances serve at any time\n"
	        "plan r-7f3a: pmctl --apply r-7f3a within 1h\n");
	assert_int_equal(rollout_copy_exit_status(&copy), 20);
}

static void a_plan_of_many_is_folded(void **state)
{
	static const uint32_t sizes[] = { 1, 50, 250, 250, 250, 199 };

	(void)state;
	make(1000, 4, sizes, 6);
	for (unsigned i = 1; i <= 1000; i++)
		app(i, "api", i == 413 ? "1.4.0" : "1.4.1", "1.4.2", i == 1000 ? 'a' : 'b', 4);
	plan("10%");
	is_plan("plan r-7f3a  reload api  1000 hosts in 6 batches (1,50,250,250,250,199)  max-fail 0"
	        "  on-failure pause\n"
	        " 998 hosts  api  v1.4.1 (61616161) → v1.4.2 (62626262)  4 running  "
	        "web[0001-0412,0414-0999]\n"
	        "   1 host   api  v1.4.0 (61616161) → v1.4.2 (62626262)  4 running  web0413\n"
	        "   1 host   api  v1.4.1 (61616161) → v1.4.2 (61616161)  4 running; nothing changes"
	        "  web1000\n"
	        "batch 1: 1 host  web0001\n"
	        "batch 2: 50 hosts  web[0002-0051]\n"
	        "batch 3: 250 hosts  web[0052-0301]\n"
	        "batch 4: 250 hosts  web[0302-0551]\n"
	        "batch 5: 250 hosts  web[0552-0801]\n"
	        "batch 6: 199 hosts  web[0802-1000]\n"
	        "at most 100 hosts at a time\n"
	        "api: at least 3600 of 4000 instances serve at any time\n"
	        "plan r-7f3a: pmctl --apply r-7f3a within 1h\n");
}

static void a_plan_that_changes_nothing_says_so(void **state)
{
	static const uint32_t sizes[] = { 1 };

	(void)state;
	make(1, 1, sizes, 1);
	app(1, "api", "1.4.2", "1.4.2", 'a', 4);
	plan("1");
	assert_int_equal(rollout_copy_exit_status(&copy), 0);
	is_plan("plan r-7f3a  reload api  1 host in 1 batch (1)  max-fail 0  on-failure pause\n"
	        "web1  api  v1.4.2 (61616161)  4 running; nothing changes\n"
	        "batch 1: 1 host  web1\n"
	        "at most 1 host at a time\n"
	        "api: at least 0 of 4 instances serve at any time\n"
	        "nothing changes anywhere\n"
	        "plan r-7f3a: pmctl --apply r-7f3a within 1h\n");
}

/* ---- afterwards ---- */

static Pm__RolloutEvent events[3], *story[3];

static void tell_story(void)
{
	static char alice[] = "alice", bad[] = "web\033[2J", planned[] = "planned: why\nnot",
		    failed[] = "failed: not ready", paused[] = "paused";
	char *const who[] = { alice, bad, alice }, *const texts[] = { planned, failed, paused };

	for (unsigned i = 0; i < 3; i++) {
		pm__rollout_event__init(&events[i]);
		events[i].wall_ms = NOW + i * 1000;
		events[i].who = who[i];
		events[i].text = texts[i];
		events[i].progress = ++progress;
		story[i] = &events[i];
	}
	status.story = story;
	status.n_story = 3;
}

static void of_a_few_each_host_has_a_row_and_the_story_is_whole(void **state)
{
	static const uint32_t sizes[] = { 1, 2 };
	static char by[] = "alice", message[] = "new\tone", late[] = "web9", odd[] = "we b",
		    *lates[] = { late, odd };

	(void)state;
	make(3, 1, sizes, 2);
	app(1, "api", "1.4.1", "1.4.2", 'b', 4);
	app(2, "api", "1.4.1", "1.4.2", 'b', 4);
	app(3, "api", "1.4.1", "1.4.2", 'b', 4);
	become(1, 1, PM__STEP_STATE__STEP_HEALTHY, "");
	steps[0]->sent_wall_ms = NOW;
	steps[0]->done_wall_ms = NOW + 2500;
	become(2, 2, PM__STEP_STATE__STEP_FAILED, "api: not ready");
	tail(2, "boot\n\033[31mcannot bind\n");
	status.by = by;
	status.message = message;
	status.late = lates;
	status.n_late = 2;
	status.changed_wall_ms = NOW + 30000;
	tell_story();
	end_in(PM__ROLLOUT_STATE__ROLLOUT_PAUSED, "1 of 3 hosts failed");
	answer(); /* what was asked for twice is there once */
	is_shown("rollout r-7f3a  reload api  3 hosts in 2 batches (1,2)  max-fail 0  on-failure "
	         "pause\n"
	         "  state     paused: 1 of 3 hosts failed\n"
	         "  by        alice\n"
	         "  message   new\\x09one\n"
	         "  begun     1m ago\n"
	         "  changed   30s ago\n"
	         "  hosts     3: 1 new, 2 old, 0 down\n"
	         "  late      web9: came since, and not in it\n"
	         "  options   max_fail 0, on_failure pause\n"
	         "\n"
	         "host  batch  state    app                                        took  "
	         "what came of it\n"
	         "web1      1  healthy  api v1.4.1 (61616161) → v1.4.2 (62626262)  2.5s\n"
	         "web2      2  failed   api v1.4.1 (61616161) → v1.4.2 (62626262)        "
	         "api: not ready\n"
	         "web3      2  pending  api v1.4.1 (61616161) → v1.4.2 (62626262)\n"
	         "\n"
	         "failures\n"
	         "  web2: api: not ready\n"
	         "  | boot\n"
	         "  | \\x1b[31mcannot bind\n"
	         "\n"
	         "story\n"
	         "  11-28 00:07:47  alice       planned: why\\x0anot\n"
	         "  11-28 00:07:48  web\\x1b[2J  failed: not ready\n"
	         "  11-28 00:07:49  alice       paused\n");
	status.late = NULL;
	status.n_late = 0;
	fits(80);
	fits(120);
}

static void of_many_equal_ones_stand_together(void **state)
{
	static const uint32_t sizes[] = { 10, 90 };

	(void)state;
	make(101, 3, sizes, 2);
	become(1, 10, PM__STEP_STATE__STEP_HEALTHY, "");
	become(11, 13, PM__STEP_STATE__STEP_FAILED, "no\nmemory");
	become(101, 101, PM__STEP_STATE__STEP_SKIPPED, "not reachable");
	steps[11]->code = PM_DEADLINE; /* another code: another group */
	status.story = NULL;
	status.n_story = 0;
	answer();
	is_shown(
		"rollout r-7f3a  reload api  101 hosts in 2 batches (10,90)  max-fail 0  on-failure "
		"pause\n"
		"  state     running\n"
		"  begun     1m ago\n"
		"  hosts     101: 10 new, 90 old, 0 down, 1 skipped\n"
		"  options   max_fail 0, on_failure pause\n"
		"\n"
		"  87 hosts  pending   web[014-100]\n"
		"  10 hosts  healthy   web[001-010]\n"
		"   2 hosts  failed    web[011,013]  no\\x0amemory\n"
		"   1 host   failed    web012  no\\x0amemory\n"
		"   1 host   skipped   web101  not reachable\n"
		"\n"
		"failures\n"
		"  web011: no\\x0amemory\n"
		"  2 more hosts failed\n");
}

#define SHOW_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SHOW_TEST(a_plan_of_a_few_has_a_line_for_each_host_and_app),
		SHOW_TEST(a_plan_of_many_is_folded),
		SHOW_TEST(a_plan_that_changes_nothing_says_so),
		SHOW_TEST(of_a_few_each_host_has_a_row_and_the_story_is_whole),
		SHOW_TEST(of_many_equal_ones_stand_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
