/* Command lines: options in every form and place, and what is refused in which words. */
#include "unit.h"

#include <stdio.h>

#include "cli/args.h"

#define ARGV_MAX 16

static int parse(const char *line, bool as_pm2, struct args **out, struct pm_error *err)
{
	static char text[256];
	char *argv[ARGV_MAX + 1] = { NULL };
	static char *kept[ARGV_MAX + 1];
	int argc = 0;
	char *save = NULL;

	(void)snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok_r(text, " ", &save); word != NULL && argc < ARGV_MAX;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	memcpy(kept, argv, sizeof(kept));
	*out = NULL;
	return args_parse(argc, kept, as_pm2, out, err);
}

#define PM_ARGS PM_CLEANUP(args_destroyp) struct args

static void options_stand_before_and_after_the_verb_in_every_form(void **state)
{
	static const char *const lines[] = {
		"pmctl logs api --lines 20",           "pmctl logs --lines=20 api",
		"pmctl --lines 20 logs api",           "pmctl --lines=20 logs api",
		"pmctl logs --lines 7 api --lines 20",
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(lines); i++) {
		PM_ARGS *a = NULL;
		struct pm_error err;
		int64_t n;

		assert_int_equal(parse(lines[i], false, &a, &err), 0);
		assert_string_equal(args_cmd(a)->name, "logs");
		assert_int_equal(args_count(a), 1);
		assert_string_equal(args_at(a, 0), "api");
		assert_int_equal(args_number(a, "lines", 0, 100, 15, &n, &err), 0);
		assert_int_equal(n, 20);
	}
}

static void app_options_are_found_by_long_and_short_names(void **state)
{
	PM_ARGS *a = NULL;
	struct pm_error err;
	size_t n;

	(void)state;
	assert_int_equal(parse("pmctl start -fn api -i4 app.js --no-autorestart --watch src -l "
	                       "-- --port 80",
	                       false, &a, &err),
	                 0);
	assert_int_equal(args_count(a), 1);
	assert_string_equal(args_at(a, 0), "app.js");
	assert_true(args_has(a, "force"));
	assert_int_equal(args_n_app_options(a), 5);
	assert_string_equal(args_app_option(a, 0)->key->name, "name");
	assert_string_equal(args_app_option(a, 0)->value, "api");
	assert_string_equal(args_app_option(a, 1)->key->name, "instances");
	assert_string_equal(args_app_option(a, 1)->value, "4");
	assert_string_equal(args_app_option(a, 2)->key->name, "autorestart");
	assert_true(args_app_option(a, 2)->off);
	assert_string_equal(args_app_option(a, 3)->key->name, "watch");
	assert_string_equal(args_app_option(a, 3)->value, "src");
	assert_null(args_app_option(a, 4)->value);
	assert_string_equal(args_script(a, &n)[0], "--port");
	assert_int_equal(n, 2);
}

static void an_optional_value_never_eats_the_script(void **state)
{
	PM_ARGS *a = NULL;
	struct pm_error err;

	(void)state;
	assert_int_equal(parse("pmctl start --watch app.js", false, &a, &err), 0);
	assert_string_equal(args_at(a, 0), "app.js");
	assert_null(args_app_option(a, 0)->value);
}

static void a_number_with_a_sign_is_an_argument_where_numbers_are(void **state)
{
	PM_ARGS *a = NULL;
	struct pm_error err;

	(void)state;
	assert_int_equal(parse("pmctl scale api -2", false, &a, &err), 0);
	assert_string_equal(args_at(a, 1), "-2");
}

static void aliases_name_the_same_verb(void **state)
{
	static const struct {
		const char *line, *want;
	} cases[] = {
		{ "pmctl ls", "list" },
		{ "pmctl l", "list" },
		{ "pmctl ps", "list" },
		{ "pmctl status", "list" },
		{ "pmctl del x", "delete" },
		{ "pmctl show x", "describe" },
		{ "pmctl info x", "describe" },
		{ "pmctl desc x", "describe" },
		{ "pmctl log", "logs" },
		{ "pmctl dump", "save" },
		{ "pmctl updatePM2", "update" },
		{ "pmctl startOrGracefulReload a.json", "startOrReload" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_ARGS *a = NULL;
		struct pm_error err;

		assert_int_equal(parse(cases[i].line, false, &a, &err), 0);
		assert_string_equal(args_cmd(a)->name, cases[i].want);
	}
}

static void mistakes_are_told_with_the_nearest_word(void **state)
{
	static const struct {
		const char *line;
		bool as_pm2;
		enum pm_code code;
		const char *what, *hint;
	} cases[] = {
		{ "pmctl lsit", false, PM_USAGE, "lsit: no such command", "did you mean 'list'?" },
		{ "pmctl xyzzy", false, PM_USAGE, "xyzzy: no such command",
		  "run 'pmctl help' to see the commands" },
		{ "pmctl list --srot name", false, PM_USAGE, "list --srot: no such option",
		  "did you mean --sort?" },
		{ "pmctl start a.js --max-memroy-restart 1G", false, PM_USAGE,
		  "start --max-memroy-restart: no such option",
		  "did you mean --max-memory-restart?" },
		{ "pmctl list --name x", false, PM_USAGE, "list --name: no such option",
		  "other commands have it; 'pmctl help list' shows what this one takes" },
		{ "pmctl logs --lines", false, PM_USAGE, "--lines: its value is missing", "" },
		{ "pmctl logs --nostream=1", false, PM_USAGE, "--nostream takes no value", "" },
		{ "pmctl stop", false, PM_USAGE, "stop: an argument is missing",
		  "usage: pmctl stop APP..." },
		{ "pmctl id a b", false, PM_USAGE, "id: 'b' is one argument too many",
		  "usage: pmctl id APP" },
		{ "pmctl --all check x.json", false, PM_USAGE,
		  "check --all: this command takes no hosts",
		  "'pmctl help check' shows what it takes" },
		{ "pmctl token list --hosts web1", false, PM_USAGE,
		  "token --hosts: this command takes no hosts",
		  "'pmctl help token' shows what it takes" },
		{ "pm2 --all list", true, PM_USAGE, "unknown option `--all'", "" },
		{ "pm2 list --nosuch", true, PM_USAGE, "unknown option `--nosuch'", "" },
		{ "pm2 ls --sort", true, PM_USAGE, "option `--sort' argument missing", "" },
		{ "pm2 why x", true, PM_USAGE, "why: no such command", "" },
		{ "pm2 slist", true, PM_USAGE, "slist: no such command",
		  "'list' has the apps' use, 'doctor' looks at the machine" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_ARGS *a = NULL;
		struct pm_error err = { 0 };

		assert_int_equal(parse(cases[i].line, cases[i].as_pm2, &a, &err), -1);
		assert_int_equal(err.code, cases[i].code);
		assert_string_equal(err.what, cases[i].what);
		assert_string_equal(err.hint, cases[i].hint);
	}
}

static void under_the_name_pm2_its_options_are_known_at_every_verb(void **state)
{
	static const char *const lines[] = {
		"pm2 list --name x -f", "pm2 stop api --sort name",    "pm2 save --attach -i 2",
		"pm2 -s jlist",         "pm2 kill --no-color --watch",
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(lines); i++) {
		PM_ARGS *a = NULL;
		struct pm_error err;

		assert_int_equal(parse(lines[i], true, &a, &err), 0);
	}
}

static void numbers_of_options_have_limits(void **state)
{
	PM_ARGS *a = NULL;
	struct pm_error err;
	int64_t n = 5;

	(void)state;
	assert_int_equal(parse("pmctl logs --lines x", false, &a, &err), 0);
	assert_int_equal(args_number(a, "lines", 0, 100, 15, &n, &err), -1);
	assert_string_equal(err.what, "--lines: expected a number from 0 to 100, found 'x'");
	assert_int_equal(n, 5);
}

static void memory_may_run_out_while_reading(void **state)
{
	(void)state;
	for (unsigned nth = 1; nth <= 4; nth++) {
		PM_ARGS *a = NULL;
		struct pm_error err;

		pm_alloc_fail_at(nth);
		assert_int_equal(parse("pmctl list", false, &a, &err), -1);
		pm_alloc_fail_at(0);
		assert_int_equal(err.code, PM_NO_MEMORY);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_stand_before_and_after_the_verb_in_every_form),
		cmocka_unit_test(app_options_are_found_by_long_and_short_names),
		cmocka_unit_test(an_optional_value_never_eats_the_script),
		cmocka_unit_test(a_number_with_a_sign_is_an_argument_where_numbers_are),
		cmocka_unit_test(aliases_name_the_same_verb),
		cmocka_unit_test(mistakes_are_told_with_the_nearest_word),
		cmocka_unit_test(under_the_name_pm2_its_options_are_known_at_every_verb),
		cmocka_unit_test(numbers_of_options_have_limits),
		cmocka_unit_test(memory_may_run_out_while_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
