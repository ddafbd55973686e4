/* Words of PM2 that are not here: each has a hint that fits, and none hides a command of ours. */
#include "unit.h"

#include <stdio.h>

#include "cli/args.h"
#include "cli/pm2_words.h"

/* PM2's commands, by PM2 7.0.4's own help. */
static const char *const theirs[] = {
	"start",
	"restart",
	"reload",
	"stop",
	"delete",
	"kill",
	"list",
	"jlist",
	"prettylist",
	"slist",
	"describe",
	"id",
	"pid",
	"env",
	"reset",
	"scale",
	"sendSignal",
	"send",
	"attach",
	"trigger",
	"inspect",
	"monit",
	"dashboard",
	"imonit",
	"logs",
	"flush",
	"reloadLogs",
	"logrotate",
	"save",
	"cleardump",
	"resurrect",
	"startup",
	"unstartup",
	"update",
	"deepUpdate",
	"ping",
	"get",
	"conf",
	"config",
	"set",
	"multiset",
	"unset",
	"install",
	"uninstall",
	"module:install",
	"module:update",
	"package",
	"publish",
	"monitor",
	"unmonitor",
	"link",
	"unlink",
	"plus",
	"login",
	"logout",
	"open",
	"deploy",
	"serve",
	"ecosystem",
	"startOrRestart",
	"startOrReload",
	"pull",
	"forward",
	"backward",
	"profile:cpu",
	"profile:mem",
	"create",
	"examples",
	"autoinstall",
	"completion",
	"install-otel",
	"uninstall-otel",
	"module:generate",
	"startOrGracefulReload",
};

static void each_command_of_pm2_is_here_or_has_words(void **state)
{
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(theirs); i++) {
		const char *words = pm2_words_of_verb(theirs[i]);

		if (cmd_find(theirs[i], false) != NULL) {
			assert_null(words);
			continue;
		}
		if (words == NULL)
			fail_msg("%s: not here, and no words for it", theirs[i]);
		assert_true(strlen(words) < sizeof(err.hint));
	}
	assert_null(pm2_words_of_verb("satrt"));
	assert_null(pm2_words_of_verb("monit dash"));
}

static void refused(const char *verb, const char *option, const char *what, const char *hint)
{
	char first[] = "pmctl", second[32], third[32];
	char *argv[] = { first, second, third, NULL };
	struct pm_error err = { 0 };
	struct args *a = NULL;

	(void)snprintf(second, sizeof(second), "%s", verb);
	(void)snprintf(third, sizeof(third), "%s", option == NULL ? "" : option);
	assert_int_equal(args_parse(option == NULL ? 2 : 3, argv, false, &a, &err), -1);
	assert_int_equal(err.code, PM_USAGE);
	assert_string_equal(err.what, what);
	assert_non_null(strstr(err.hint, hint));
}

static void what_is_not_here_is_refused_with_what_to_do(void **state)
{
	(void)state;
	refused("monit", NULL, "monit: no such command", "'list --watch'");
	refused("deploy", NULL, "deploy: no such command", "'apply FILE'");
	refused("start", "--no-daemon", "start --no-daemon: no such option", "--foreground");
	refused("start", "--port", "start --port: no such option", "behind --");
	refused("start", "--colour-of-sky", "start --colour-of-sky: no such option", "behind --");
	refused("list", "--srot", "list --srot: no such option", "--sort");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_command_of_pm2_is_here_or_has_words),
		cmocka_unit_test(what_is_not_here_is_refused_with_what_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
