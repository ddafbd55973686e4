/* The list as a table, for people and as PM2 has it; its order. */
#include "unit.h"

#include "cli/apps.h"
#include "status.h"

static void pm2s_table_is_drawn_to_the_column(void **state)
{
	/* As PM2 7.0.4 drew it for the same facts, without colours. */
	static const char want[] =
		"┌────┬─────────┬─────────────┬─────────┬─────────┬──────────┬────────┬──────┬──────"
		"─────┬──────────┬──────────┬──────────┬──────────┐\n"
		"│ id │ name    │ namespace   │ version │ mode    │ pid      │ uptime │ ↺    │ "
		"status    │ cpu      │ mem      │ user     │ watching │\n"
		"├────┼─────────┼─────────────┼─────────┼─────────┼──────────┼────────┼──────┼──────"
		"─────┼──────────┼──────────┼──────────┼──────────┤\n"
		"│ 0  │ echo    │ default     │ N/A     │ fork    │ 4242     │ 70s    │ 0    │ "
		"online    │ 2.5%     │ 51.4mb   │ root     │ disabled │\n"
		"└────┴─────────┴─────────────┴─────────┴─────────┴──────────┴────────┴──────┴──────"
		"─────┴──────────┴──────────┴──────────┴──────────┘\n";
	struct apps_style style = { .as_pm2 = true };
	struct status_sample s;
	Pm__InstanceStatus *list[] = { &s.status };
	PM_BUF out = { 0 };
	struct pm_error err;

	(void)state;
	status_sample(&s, "echo", 0);
	assert_int_equal(apps_table(list, 1, &style, &out, &err), 0);
	assert_string_equal(out.bytes, want);
}

static void pm2s_table_has_three_widths(void **state)
{
	static const struct {
		unsigned width;
		const char *head;
	} cases[] = {
		{ 160, "│ id │ name    │ namespace   │" },
		{ 100, "│ id │ name    │ mode     │ ↺    │ status    │ cpu      │ memory   │\n" },
		{ 60, "│ id │ name    │ status    │ cpu    │ mem      │\n" },
		{ 20, "│ id │ name    │ status    │ cpu    │ mem      │\n" },
	};
	struct status_sample s;
	Pm__InstanceStatus *list[] = { &s.status };

	(void)state;
	status_sample(&s, "echo", 0);
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		struct apps_style style = { .as_pm2 = true, .width = cases[i].width };
		PM_BUF out = { 0 };
		struct pm_error err;

		assert_int_equal(apps_table(list, 1, &style, &out, &err), 0);
		assert_non_null(strstr(out.bytes, cases[i].head));
	}
}

static void a_pipe_gets_every_column_and_no_lines(void **state)
{
	struct apps_style style = { .utf8 = true };
	struct status_sample s;
	Pm__InstanceStatus *list[] = { &s.status };
	PM_BUF out = { 0 };
	struct pm_error err;

	(void)state;
	status_sample(&s, "echo", 17);
	s.status.state = PM__LIFE_STATE__LIFE_WAITING;
	assert_int_equal(apps_table(list, 1, &style, &out, &err), 0);
	assert_string_equal(
		out.bytes,
		"id  name  namespace  version  mode   pid  uptime  ↺  status            cpu     mem  "
		"user  watching\n"
		"17  echo  default    N/A      fork  4242       0  0  waiting restart  2.5%  51.4mb  "
		"root  disabled\n");
}

static void a_hostile_name_cannot_act_on_the_terminal(void **state)
{
	struct apps_style style = { .utf8 = true, .box = true, .width = 200 };
	struct status_sample s;
	Pm__InstanceStatus *list[] = { &s.status };
	PM_BUF out = { 0 };
	struct pm_error err;

	(void)state;
	status_sample(&s, "a\033]0;owned\007\n\xc2\x9b", 0);
	assert_int_equal(apps_table(list, 1, &style, &out, &err), 0);
	assert_null(strchr(out.bytes, '\033'));
	assert_null(strchr(out.bytes, '\007'));
	assert_null(strstr(out.bytes, "\xc2\x9b"));
	assert_non_null(strstr(out.bytes, "owned"));
}

static void the_order_is_by_name_unless_asked_otherwise(void **state)
{
	static const struct {
		const char *by;
		uint32_t want[3];
	} cases[] = {
		{ NULL, { 2, 0, 1 } },     { "name:desc", { 0, 1, 2 } },
		{ "id", { 0, 1, 2 } },     { "id:desc", { 2, 1, 0 } },
		{ "memory", { 1, 0, 2 } }, { "cpu:desc", { 2, 0, 1 } },
		{ "status", { 0, 2, 1 } },
	};
	struct status_sample s[3];
	struct pm_error err;

	(void)state;
	status_sample(&s[0], "b", 0);
	status_sample(&s[1], "b", 1);
	status_sample(&s[2], "a", 2);
	s[1].status.state = PM__LIFE_STATE__LIFE_STOPPED;
	s[1].status.memory = 0;
	s[2].status.memory = 1u << 31;
	s[2].status.cpu_permille = 900;
	s[1].status.cpu_permille = 0;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		Pm__InstanceStatus *list[] = { &s[0].status, &s[1].status, &s[2].status };

		assert_int_equal(apps_sort(list, 3, cases[i].by, &err), 0);
		for (size_t k = 0; k < 3; k++)
			assert_int_equal(list[k]->pm_id, cases[i].want[k]);
	}
	assert_int_equal(apps_sort(NULL, 0, "size", &err), -1);
	assert_int_equal(err.code, PM_USAGE);
	assert_int_equal(apps_sort(NULL, 0, "name:up", &err), -1);
}

static void the_compact_form_has_pm2s_lines(void **state)
{
	struct status_sample s;
	Pm__InstanceStatus *list[] = { &s.status };
	PM_BUF out = { 0 };

	(void)state;
	status_sample(&s, "echo", 3);
	s.status.error_file = (char *)(uintptr_t) "/h/logs/echo-error.log";
	s.status.pid_file = (char *)(uintptr_t) "/h/pids/echo-3.pid";
	apps_mini(list, 1, &out);
	assert_string_equal(out.bytes, "+--- echo\n"
	                               "namespace : default\n"
	                               "version : N/A\n"
	                               "pid : 4242\n"
	                               "pm2 id : 3\n"
	                               "status : online\n"
	                               "mode : fork\n"
	                               "restarted : 0\n"
	                               "uptime : 70s\n"
	                               "memory usage : 51.4mb \n"
	                               "error log : /h/logs/echo-error.log\n"
	                               "watching : no\n"
	                               "PID file : /h/pids/echo-3.pid\n"
	                               "\n");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(pm2s_table_is_drawn_to_the_column),
		cmocka_unit_test(pm2s_table_has_three_widths),
		cmocka_unit_test(a_pipe_gets_every_column_and_no_lines),
		cmocka_unit_test(a_hostile_name_cannot_act_on_the_terminal),
		cmocka_unit_test(the_order_is_by_name_unless_asked_otherwise),
		cmocka_unit_test(the_compact_form_has_pm2s_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
