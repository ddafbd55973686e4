/* How captured lines look in every form. */
#include "unit.h"

#include "cli/log_view.h"

static const struct log_source out_source = { .pm_id = 0,
	                                      .name = (char *)(uintptr_t) "tick",
	                                      .path = (char *)(uintptr_t) "/l/tick-out.log" };
static const struct log_source err_source = { .pm_id = 1,
	                                      .err = true,
	                                      .name = (char *)(uintptr_t) "longer-name-here",
	                                      .path = (char *)(uintptr_t) "/l/x-error.log" };
static const struct log_source agent_source = { .agent = true,
	                                        .name = (char *)(uintptr_t) "",
	                                        .path = (char *)(uintptr_t) "/h/pm2.log" };

static char *show(const struct log_style *style, const struct log_source *source, const char *text,
                  bool live)
{
	Pm__LogLine line = PM__LOG_LINE__INIT;
	struct pm_buf out = { 0 };

	line.text.data = (uint8_t *)(uintptr_t)text;
	line.text.len = strlen(text);
	line.wall_ms = 1795397576899;
	line.live = live;
	log_view_line(style, source, &line, 6, &out);
	return pm_buf_take(&out);
}

static void each_form_has_its_line(void **state)
{
	static const struct {
		struct log_style style;
		const struct log_source *source;
		bool live;
		const char *want;
	} cases[] = {
		{ { .as_pm2 = true }, &out_source, false, "0|tick     | a line\n" },
		{ { .as_pm2 = true }, &err_source, false, "1|longer-n | a line\n" },
		{ { .as_pm2 = true }, &agent_source, false, "PM2        | a line\n" },
		{ { .as_pm2 = true }, &out_source, true, "0|tick  | a line\n" },
		{ { 0 }, &out_source, false, "0|tick  | a line\n" },
		{ { .form = LOG_RAW }, &err_source, true, "a line\n" },
		{ { .form = LOG_JSON },
		  &err_source,
		  true,
		  "{\"message\":\"a line\",\"timestamp\":\"2026-11-23T01:32:56.899Z\",\"type\":\"err\","
		  "\"process_id\":1,\"app_name\":\"longer-name-here\"}\n" },
		{ { .form = LOG_FORMAT, .utc = true },
		  &err_source,
		  true,
		  "timestamp=2026-11-23-01:32:56+0000 app=longer-name-here id=1 type=error "
		  "message=a line\n" },
		{ { .as_pm2 = true, .utc = true, .time_format = "HH:mm:ss" },
		  &out_source,
		  true,
		  "01:32:56 0|tick  | a line\n" },
		{ { .as_pm2 = true, .utc = true, .time_format = "HH:mm:ss" },
		  &out_source,
		  false,
		  "0|tick     | a line\n" },
		{ { .utc = true, .time_format = "HH:mm:ss" },
		  &out_source,
		  false,
		  "01:32:56 0|tick  | a line\n" },
		{ { .color = true, .as_pm2 = true },
		  &out_source,
		  true,
		  "\033[32m0|tick  | \033[39ma line\n" },
		{ { .color = true, .as_pm2 = true },
		  &err_source,
		  false,
		  "\033[31m1|longer-n | \033[39ma line\n" },
		{ { .color = true, .highlight = "li" },
		  &out_source,
		  true,
		  "\033[32m0|tick  | \033[39ma \033[7mli\033[27mne\n" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_FREE char *text =
			show(&cases[i].style, cases[i].source, "a line", cases[i].live);

		assert_string_equal(text, cases[i].want);
	}
}

static void a_terminal_gets_harmless_text_and_a_pipe_the_bytes(void **state)
{
	static const char text[] = "a\033]52;c;x\007b\033[31mred\r\x9b";
	PM_FREE char *piped = show(&(struct log_style){ .form = LOG_RAW }, &out_source, text, true);
	PM_FREE char *shown = show(&(struct log_style){ .form = LOG_RAW, .clean = true },
	                           &out_source, text, true);

	(void)state;
	assert_memory_equal(piped, text, strlen(text));
	assert_null(strchr(shown, '\033'));
	assert_null(strchr(shown, '\007'));
	assert_null(strchr(shown, '\r'));
	assert_non_null(strstr(shown, "red"));
}

static void names_count_their_columns(void **state)
{
	(void)state;
	assert_int_equal(log_view_width(&out_source, true), 6);
	assert_int_equal(log_view_width(&agent_source, true), 3);
	assert_int_equal(log_view_width(&agent_source, false), 5);
}

static void instants_are_durations_back_or_points_in_time(void **state)
{
	static const int64_t now = 1795397576899; /* 2026-11-23T01:32:56.899Z */
	static const struct {
		const char *text;
		int64_t want; /* 0: refused */
	} cases[] = {
		{ "10m", 1795397576899 - 600000 },
		{ "1.5h", 1795397576899 - 5400000 },
		{ "2026-11-23", 1795392000000 },
		{ "2026-11-23T01:30:00Z", 1795397400000 },
		{ "2026-11-23 01:30", 1795397400000 },
		{ "01:30", 1795397400000 },
		{ "01:30:05", 1795397405000 },
		{ "yesterday", 0 },
		{ "2026-11-23T", 0 },
		{ "2026-11-23 01:30 x", 0 },
		{ "", 0 },
	};

	(void)state;
	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		int64_t got = 0;
		bool ok = log_view_instant(cases[i].text, now, &got);

		assert_int_equal(ok, cases[i].want != 0);
		assert_int_equal(got, cases[i].want);
	}
}

static void lines_of_hosts_tell_where_they_come_from(void **state)
{
	static const struct {
		struct log_style style;
		struct log_host host;
		const struct log_source *source;
		const char *want;
	} cases[] = {
		{ { 0 },
		  { .name = "web1", .width = 5, .utf8 = true },
		  &out_source,
		  "web1 │tick    │0   a line\n" },
		{ { 0 },
		  { .name = "web1", .width = 4, .late = true },
		  &err_source,
		  "web1|long~ere|1 ! ~ a line\n" },
		{ { 0 },
		  { .name = "web1", .width = 4 },
		  &agent_source,
		  "web1|agent      a line\n" },
		{ { .color = true },
		  { .name = "web1", .width = 4 },
		  &out_source,
		  "\033[32mweb1|tick    |0\033[39m   a line\n" },
		{ { .form = LOG_RAW }, { .name = "web1", .width = 4 }, &out_source, "a line\n" },
		{ { .form = LOG_JSON },
		  { .name = "web1", .width = 4, .late = true },
		  &out_source,
		  "{\"schema\":1,\"host\":\"web1\",\"message\":\"a line\","
		  "\"timestamp\":\"2026-11-23T01:32:56.899Z\",\"type\":\"out\",\"process_id\":0,"
		  "\"app_name\":\"tick\",\"late\":true}\n" },
		{ { .form = LOG_JSON }, /* F-31 */
		  { .name = "web1", .boot = (const uint8_t *)"0123456789abcdef" },
		  &out_source,
		  "{\"schema\":1,\"host\":\"web1\",\"message\":\"a line\","
		  "\"timestamp\":\"2026-11-23T01:32:56.899Z\",\"type\":\"out\",\"process_id\":0,"
		  "\"app_name\":\"tick\",\"boot\":\"30313233343536373839616263646566\","
		  "\"stream\":\"0000000000000abc\",\"sequence\":4096,\"monotonic_ms\":77}\n" },
	};
	Pm__LogLine line = PM__LOG_LINE__INIT;

	(void)state;
	line.text.data = (uint8_t *)(uintptr_t) "a line";
	line.text.len = 6;
	line.wall_ms = 1795397576899;
	line.file = 0xabc;
	line.offset = 4096;
	line.monotonic_ms = 77;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_BUF out = { 0 };

		log_view_host_line(&cases[i].style, &cases[i].host, cases[i].source, &line, 8,
		                   &out);
		assert_string_equal(out.bytes, cases[i].want);
	}
}

static void gaps_are_told_where_they_are(void **state)
{
	struct log_style json = { .form = LOG_JSON }, plain = { 0 };
	PM_BUF out = { 0 };

	(void)state;
	log_view_gap(&plain, "web7", &out_source, 1204, 99, "client too slow", &out);
	log_view_gap(&plain, "web7", &out_source, 0, 1234567, "rot\033ated", &out);
	log_view_gap(&plain, "web7", &out_source, 0, 0, "rotated away while nobody read", &out);
	log_view_gap(&json, "web7", NULL, 5, 0, "x", &out);
	log_view_bound("web7", &out_source, "enough", &out);
	assert_string_equal(
		out.bytes,
		"-- web7/tick: 1,204 lines not delivered (client too slow) --\n"
		"-- web7/tick: 1,234,567 bytes not delivered (rot\\x1bated) --\n"
		"-- web7/tick: lines not delivered (rotated away while nobody read) --\n"
		"{\"schema\":1,\"host\":\"web7\",\"type\":\"gap\",\"app_name\":\"\",\"lines\":5,"
		"\"bytes\":0,\"why\":\"x\"}\n"
		"{\"schema\":1,\"host\":\"web7\",\"type\":\"bound\",\"app_name\":\"tick\","
		"\"why\":\"enough\"}\n");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_of_hosts_tell_where_they_come_from),
		cmocka_unit_test(gaps_are_told_where_they_are),
		cmocka_unit_test(each_form_has_its_line),
		cmocka_unit_test(a_terminal_gets_harmless_text_and_a_pipe_the_bytes),
		cmocka_unit_test(names_count_their_columns),
		cmocka_unit_test(instants_are_durations_back_or_points_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
