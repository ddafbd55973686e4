/* What is shown of 1, 5, 100 and 1,000 hosts: folded, counted, and an account that sums up. */
#include "unit.h"

#include <stdio.h>

#include "cli/host_view.h"
#include "cli/list_view.h"

#define NOW 1795824467000

static struct hosts hosts;

static int setup(void **state)
{
	(void)state;
	hosts = (struct hosts){ 0 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hosts_finish(&hosts);
	return 0;
}

/* web0001 ... with `width` digits. */
static void make_hosts(unsigned n, int width)
{
	struct pm_error err;
	char name[32], id[32];

	for (unsigned i = 1; i <= n; i++) {
		(void)snprintf(name, sizeof(name), "web%0*u", width, i);
		(void)snprintf(id, sizeof(id), "%08x", i * 2654435761u);
		assert_int_equal(hosts_add(&hosts, id, name, &err), 0);
	}
}

static Pm__Forwarded *from(unsigned nth, Pm__Forwarded *f)
{
	pm__forwarded__init(f);
	f->agent = hosts.list[nth - 1].id;
	return f;
}

static void take(Pm__Forwarded *f)
{
	struct host *h;
	struct pm_error err;
	bool last;

	assert_int_equal(hosts_take(&hosts, f, &h, &last, &err), 0);
	assert_true(last);
}

static void online(unsigned nth, const char *version, unsigned n, unsigned n_errored)
{
	Pm__InstanceStatus s[8], *list[8];
	Pm__StatusList body = PM__STATUS_LIST__INIT;
	Pm__Forwarded f;
	char name[] = "api", text[16];

	(void)snprintf(text, sizeof(text), "%s", version);
	for (unsigned i = 0; i < n; i++) {
		pm__instance_status__init(&s[i]);
		s[i].name = name;
		s[i].version = text;
		s[i].pm_id = i;
		s[i].pid = 100 + i;
		s[i].uptime_ms = 60000;
		s[i].memory = 1 << 20;
		s[i].state =
			i < n_errored ? PM__LIFE_STATE__LIFE_ERRORED : PM__LIFE_STATE__LIFE_ONLINE;
		list[i] = &s[i];
	}
	body.instances = list;
	body.n_instances = n;
	(void)from(nth, &f);
	f.what_case = PM__FORWARDED__WHAT_STATUS_LIST;
	f.status_list = &body;
	take(&f);
}

static void outcome(unsigned nth, unsigned n, enum pm_code code, const char *why)
{
	Pm__Outcome o[8], *list[8];
	Pm__Result body = PM__RESULT__INIT;
	Pm__Forwarded f;
	char name[] = "api", text[64], tail[] = "one\n\033[2Jtwo\n";

	(void)snprintf(text, sizeof(text), "%s", why);
	for (unsigned i = 0; i < n; i++) {
		pm__outcome__init(&o[i]);
		o[i].name = name;
		o[i].pm_id = i;
		o[i].has_id = true;
		list[i] = &o[i];
	}
	if (code != PM_OK && n > 0) {
		o[0].code = (uint32_t)code;
		o[0].text = text;
		o[0].log_tail.data = (uint8_t *)tail;
		o[0].log_tail.len = sizeof(tail) - 1;
	}
	body.code = (uint32_t)code;
	body.outcomes = list;
	body.n_outcomes = n;
	(void)from(nth, &f);
	f.what_case = PM__FORWARDED__WHAT_RESULT;
	f.result = &body;
	take(&f);
}

static void end(unsigned nth, Pm__ForwardState state, int64_t seen_wall_ms)
{
	Pm__ForwardTarget t = PM__FORWARD_TARGET__INIT, *list[] = { &t };
	Pm__ForwardEnd body = PM__FORWARD_END__INIT;
	struct pm_error err;

	t.agent = hosts.list[nth - 1].id;
	t.name = hosts.list[nth - 1].name;
	t.state = state;
	t.last_seen_wall_ms = seen_wall_ms;
	body.targets = list;
	body.n_targets = 1;
	assert_int_equal(hosts_take_end(&hosts, &body, &err), 0);
}

/* Lines as an action shows them: of each host as it is done, then the end. */
static char *acted(bool verbose)
{
	struct host_view view = { .done = "reloaded",
		                  .width = host_view_width(&hosts),
		                  .verbose = verbose,
		                  .now_wall_ms = NOW };
	struct pm_buf out = { 0 };
	struct pm_error err;

	for (size_t i = 0; i < hosts.n; i++)
		if (hosts.list[i].answered && hosts.list[i].state != HOST_UNKNOWN)
			host_view_progress(&view, &hosts, &hosts.list[i], &out);
	assert_int_equal(host_view_end(&view, &hosts, &out, &err), 0);
	return pm_buf_take(&out);
}

static char *listed(bool diff)
{
	struct list_view view = {
		.width = host_view_width(&hosts), .now_wall_ms = NOW, .diff = diff, .named = true
	};
	struct pm_buf out = { 0 };
	struct pm_error err;
	const struct host **list = pm_calloc(hosts.n, sizeof(*list));

	assert_non_null(list);
	for (size_t i = 0; i < hosts.n; i++)
		list[i] = &hosts.list[i];
	if (hosts.n <= LIST_VIEW_EACH)
		list_view_rows(&view, list, hosts.n, &out);
	else
		assert_int_equal(list_view_groups(&view, list, hosts.n, hosts.n, &out, &err), 0);
	assert_int_equal(list_view_account(&hosts, &out, &err), 0);
	free(list);
	return pm_buf_take(&out);
}

static void is_text(char *text, const char *want)
{
	assert_string_equal(text, want);
	free(text);
}

static void one_host_is_one_line(void **state)
{
	(void)state;
	make_hosts(1, 1);
	outcome(1, 4, PM_OK, "");
	is_text(acted(false), "web1  reloaded  api 4/4\n1 host: 1 reloaded\n");
	assert_int_equal(hosts_exit_status(&hosts, false), 0);
}

static void five_hosts_get_a_line_each_and_the_first_failure_in_full(void **state)
{
	(void)state;
	make_hosts(5, 1);
	outcome(1, 4, PM_OK, "");
	outcome(2, 4, PM_FAILED, "not ready in time");
	outcome(3, 2, PM_FAILED, "not ready in time");
	end(4, PM__FORWARD_STATE__FORWARD_OFFLINE, NOW - 720000);
	hosts.list[4].state = HOST_SKIPPED; /* as of a drained one that was left out */
	is_text(acted(false), "web1  reloaded  api 4/4\n"
	                      "web2  FAILED  api: not ready in time; api 3/4 reloaded\n"
	                      "web3  FAILED  api: not ready in time; api 1/2 reloaded\n"
	                      "web4  unreachable  last seen 12m ago\n"
	                      "web5  drained\n"
	                      "  web2: api (0): not ready in time\n"
	                      "  | one\n"
	                      "  | \\x1b[2Jtwo\n"
	                      "  1 more host failed\n"
	                      "5 hosts: 1 reloaded, 2 failed, 1 unreachable, 1 drained\n");
	assert_int_equal(hosts_exit_status(&hosts, false), 12);
}

static void of_a_hundred_only_the_odd_ones_get_a_line(void **state)
{
	(void)state;
	make_hosts(100, 3);
	for (unsigned i = 1; i <= 98; i++)
		outcome(i, 4, PM_OK, "");
	end(99, PM__FORWARD_STATE__FORWARD_OFFLINE, 0);
	end(100, PM__FORWARD_STATE__FORWARD_UNKNOWN, 0);
	is_text(acted(false), "web099  unreachable\n"
	                      "web100  unknown\n"
	                      "100 hosts: 98 reloaded, 1 unreachable, 1 unknown\n");
	assert_int_equal(hosts_exit_status(&hosts, false), 16);
	assert_int_equal(hosts_exit_status(&hosts, true), 15);
}

static void of_a_thousand_equal_failures_stand_together(void **state)
{
	(void)state;
	make_hosts(1000, 4);
	for (unsigned i = 1; i <= 950; i++)
		outcome(i, 4, PM_OK, "");
	for (unsigned i = 951; i <= 980; i++)
		outcome(i, 1, PM_FAILED, "http 503 /healthz");
	for (unsigned i = 981; i <= 985; i++)
		outcome(i, 1, PM_LOCKED, "http 503 /healthz"); /* another code: another group */
	for (unsigned i = 986; i <= 1000; i++)
		end(i, PM__FORWARD_STATE__FORWARD_OFFLINE, NOW);
	is_text(acted(false), "  30 hosts  FAILED  web[0951-0980]  api: http 503 /healthz\n"
	                      "  15 hosts  unreachable  web[0986-1000]\n"
	                      "   5 hosts  FAILED  web[0981-0985]  api: http 503 /healthz\n"
	                      "1000 hosts: 950 reloaded, 35 failed, 15 unreachable\n");
	assert_int_equal(hosts_exit_status(&hosts, false), 12);
}

static void the_list_of_five_has_a_line_for_each_host_and_app(void **state)
{
	(void)state;
	make_hosts(3, 1);
	online(1, "1.4.2", 4, 0);
	online(2, "1.4.1", 4, 1);
	end(3, PM__FORWARD_STATE__FORWARD_OFFLINE, NOW - 5000);
	is_text(listed(false), "host  app               version     status                  "
	                       "restarts      uptime      cpu  memory\n"
	                       "web1  api               v1.4.2      online 4/4                 "
	                       "    0          1m      0.0%  4.0mb\n"
	                       "web2  api               v1.4.1      online 3/4, errored 1      "
	                       "    0          1m      0.0%  4.0mb\n"
	                       "web3  unreachable  last seen 5s ago\n"
	                       "3 hosts: 2 answered, 1 unreachable\n");
	assert_int_equal(hosts_exit_status(&hosts, false), 11);
}

static void the_list_of_a_thousand_tells_what_differs(void **state)
{
	(void)state;
	make_hosts(1000, 4);
	for (unsigned i = 1; i < 1000; i++)
		online(i, i == 413 ? "1.4.1" : "1.4.2", 4, i == 20);
	end(1000, PM__FORWARD_STATE__FORWARD_OFFLINE, NOW - 720000);
	is_text(listed(false),
	        "api                997 hosts  v1.4.2      online 4/4              "
	        "web[0001-0019,0021-0412,0414-0999]\n"
	        "                     1 host   v1.4.2      online 3/4, errored 1   web0020"
	        "  <- differs: status\n"
	        "                     1 host   v1.4.1      online 4/4              web0413"
	        "  <- differs: version\n"
	        "                     1 host   unreachable  web1000  last seen 12m ago\n"
	        "1000 hosts: 997 same, 2 different, 1 unreachable\n");
	is_text(listed(true),
	        "api                  1 host   v1.4.2      online 3/4, errored 1   web0020"
	        "  <- differs: status\n"
	        "                     1 host   v1.4.1      online 4/4              web0413"
	        "  <- differs: version\n"
	        "                     1 host   unreachable  web1000  last seen 12m ago\n"
	        "1000 hosts: 997 same, 2 different, 1 unreachable\n");
	assert_int_equal(hosts_exit_status(&hosts, false), 11);
}

static void one_cause_of_all_has_its_own_status(void **state)
{
	(void)state;
	make_hosts(2, 1);
	outcome(1, 0, PM_NOT_FOUND, "");
	assert_int_equal(hosts_exit_status(&hosts, false), 16); /* the other is not known */
	outcome(2, 0, PM_NOT_FOUND, "");
	assert_int_equal(hosts_exit_status(&hosts, false), 4);
}

static void denied_by_all_is_not_permitted(void **state)
{
	(void)state;
	make_hosts(2, 1);
	end(1, PM__FORWARD_STATE__FORWARD_DENIED, 0);
	end(2, PM__FORWARD_STATE__FORWARD_DENIED, 0);
	assert_int_equal(hosts_exit_status(&hosts, false), 5);
}

/* F-13: whatever the answers, the numbers of the account sum up to the hosts. */
static void every_account_sums_up(void **state)
{
	uint32_t random = 12345;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct hosts_account a = { 0 };
		PM_BUF line = { 0 };
		unsigned long total, sum = 0, n;
		char *at;

		for (unsigned i = 0; i < HOST_N_STATES; i++) {
			random = random * 1664525 + 1013904223;
			a.n[i] = (random >> 16) % 3 == 0 ? 0 : (random >> 20) % 1000;
			a.total += a.n[i];
		}
		hosts_account_split(&a, a.n[HOST_DONE] / 2, "same", "different", &line);
		total = strtoul(line.bytes, &at, 10);
		assert_int_equal(total, a.total);
		for (at = strchr(at, ':'); at != NULL && at[1] != '\0'; at = strchr(at + 1, ',')) {
			n = strtoul(at + 1, NULL, 10);
			sum += n;
		}
		assert_int_equal(sum, total);
	}
}

static void what_a_host_repeats_counts_once(void **state)
{
	Pm__Outcome o = PM__OUTCOME__INIT;
	Pm__Progress progress = PM__PROGRESS__INIT;
	Pm__Forwarded f;
	struct host *h;
	struct pm_error err;
	char name[] = "api";
	bool last;

	(void)state;
	make_hosts(1, 1);
	o.name = name;
	o.has_id = true;
	progress.outcome = &o;
	(void)from(1, &f);
	f.what_case = PM__FORWARDED__WHAT_PROGRESS;
	f.progress = &progress;
	assert_int_equal(hosts_take(&hosts, &f, &h, &last, &err), 0);
	assert_false(last);
	outcome(1, 4, PM_OK, "");
	assert_int_equal(hosts.list[0].n_ok, 4);
	assert_int_equal(hosts_take(&hosts, &f, &h, &last, &err), 0);
	assert_int_equal(hosts.list[0].n_ok, 4); /* after its last word */
}

/* S-20 */
static void a_name_that_could_act_on_a_terminal_is_refused(void **state)
{
	struct pm_error err;

	(void)state;
	assert_int_equal(hosts_add(&hosts, "1", "web\033[2J", &err), -1);
	assert_int_equal(err.code, PM_PROTOCOL);
	assert_int_equal(hosts_add(&hosts, "1", "", &err), -1);
	assert_int_equal(hosts.n, 0);
}

static void a_bar_tells_how_far_it_is(void **state)
{
	struct hosts_account a = {
		.total = 40, .n = { [HOST_WAITING] = 20, [HOST_DONE] = 18, [HOST_FAILED] = 2 }
	};
	PM_BUF out = { 0 };

	(void)state;
	host_view_bar(&a, 10000, false, &out);
	assert_string_equal(out.bytes,
	                    "[20/40] ##########----------  2 FAILED  0:10  2/s  eta 0:10");
}

#define VIEW_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VIEW_TEST(one_host_is_one_line),
		VIEW_TEST(five_hosts_get_a_line_each_and_the_first_failure_in_full),
		VIEW_TEST(of_a_hundred_only_the_odd_ones_get_a_line),
		VIEW_TEST(of_a_thousand_equal_failures_stand_together),
		VIEW_TEST(the_list_of_five_has_a_line_for_each_host_and_app),
		VIEW_TEST(the_list_of_a_thousand_tells_what_differs),
		VIEW_TEST(one_cause_of_all_has_its_own_status),
		VIEW_TEST(denied_by_all_is_not_permitted),
		VIEW_TEST(every_account_sums_up),
		VIEW_TEST(what_a_host_repeats_counts_once),
		VIEW_TEST(a_name_that_could_act_on_a_terminal_is_refused),
		VIEW_TEST(a_bar_tells_how_far_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
