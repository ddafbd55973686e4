/* Why an instance is as it is: 25 causes, each with its words. */
#include "unit.h"

#include <signal.h>

#include "cli/why.h"
#include "status.h"

struct cause {
	Pm__LifeState state;
	bool known;
	int code, signal;
	const char *cause, *tail;
	const char *headline, *advice; /* advice: a part of it; NULL: none at all */
};

#define ONLINE    PM__LIFE_STATE__LIFE_ONLINE
#define STOPPED   PM__LIFE_STATE__LIFE_STOPPED
#define ERRORED   PM__LIFE_STATE__LIFE_ERRORED
#define WAITING   PM__LIFE_STATE__LIFE_WAITING
#define LAUNCHING PM__LIFE_STATE__LIFE_LAUNCHING
#define STOPPING  PM__LIFE_STATE__LIFE_STOPPING

static const struct cause causes[] = {
	{ ONLINE, true, 0, 0, "restart", NULL, "api (3) is online, for 1m 10s now", NULL },
	{ LAUNCHING, true, 1, 0, "exit", NULL, "api (3) is launching: its process is being started",
	  "" },
	{ STOPPING, true, 1, 0, "exit", NULL,
	  "api (3) is stopping: it was told to stop, and its processes are not all gone yet", "" },
	{ STOPPED, true, 0, SIGINT, "stop", NULL, "api (3) is stopped: it was ordered to stop",
	  "'pmctl start 3' starts it" },
	{ STOPPED, true, 0, 0, "scale", NULL, "api (3) is stopped: the app was scaled down",
	  "'pmctl start 3' starts it" },
	{ STOPPED, true, 0, 0, "exit", NULL,
	  "api (3) is stopped: its process ended by itself, with code 0 after 340ms, and the "
	  "restart policy lets it be",
	  "is done" },
	{ ERRORED, true, 1, 0, "exit", NULL,
	  "api (3) is errored: pmd has given up on it; its process exited with code 1 after 340ms",
	  "'pmctl restart 3' gives it a new start" },
	{ WAITING, true, 1, 0, "exit", NULL,
	  "api (3) is waiting restart: the next start is in 5s; its process exited with code 1 "
	  "after 340ms",
	  "'pmctl restart 3' starts it now" },
	{ ERRORED, true, 127, 0, "exit", NULL, NULL, "a command was not found" },
	{ ERRORED, true, 126, 0, "exit", NULL, NULL, "could not be run" },
	{ ERRORED, true, 0, SIGKILL, "exit", NULL, NULL, "kernel short of memory" },
	{ ERRORED, true, 0, SIGSEGV, "exit", NULL, NULL, "coredumpctl" },
	{ ERRORED, true, 0, SIGABRT, "exit", NULL, NULL, "aborted itself" },
	{ ERRORED, true, 0, SIGTERM, "exit", NULL, NULL, "from outside pmd" },
	{ WAITING, true, 0, SIGKILL, "memory limit", NULL, NULL, "raise max_memory_restart" },
	{ WAITING, true, 0, SIGINT, "watch", NULL, NULL, "ignore_watch" },
	{ ERRORED, false, 0, 0, "exit", NULL,
	  "api (3) is errored: pmd has given up on it; its process ended while nobody watched: its "
	  "status is unknown after 340ms",
	  "'pmctl restart 3'" },
	{ ERRORED, true, 1, 0, "exit", "Error: listen EADDRINUSE: address already in use :::3000",
	  NULL, "ss -ltnp" },
	{ ERRORED, true, 1, 0, "exit", "Error: Cannot find module 'express'", NULL, "npm ci" },
	{ ERRORED, true, 1, 0, "exit", "ModuleNotFoundError: No module named 'flask'", NULL,
	  "virtual environment" },
	{ ERRORED, true, 1, 0, "exit", "EACCES: permission denied, open '/etc/x'", NULL,
	  "uid and gid" },
	{ ERRORED, true, 1, 0, "exit", "connect ECONNREFUSED 127.0.0.1:5432", NULL, "depends_on" },
	{ ERRORED, true, 1, 0, "exit", "ENOSPC: no space left on device", NULL, "df" },
	{ ERRORED, true, 1, 0, "exit", "EMFILE: too many open files", NULL, "limits.nofile" },
	{ ERRORED, true, 0, SIGABRT, "exit", "JavaScript heap out of memory", NULL, "aborted" },
	{ ERRORED, true, 1, 0, "exit", "SyntaxError: Unexpected token", NULL, "does not parse" },
};

static void every_cause_has_its_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < PM_COUNT(causes); i++) {
		const struct cause *c = &causes[i];
		struct status_sample s;
		PM_BUF headline = { 0 };
		PM_BUF advice = { 0 };

		status_sample(&s, "api", 3);
		s.status.state = c->state;
		s.status.next_start_ms = 5000;
		s.status.exits = s.exits;
		s.status.n_exits = 1;
		s.exit.known = c->known;
		s.exit.code = c->code;
		s.exit.signal = c->signal;
		s.exit.cause = (char *)(uintptr_t)c->cause;
		why_headline(&s.status, &headline);
		why_advice(&s.status, c->tail, &advice);
		if (c->headline != NULL)
			assert_string_equal(headline.bytes, c->headline);
		if (c->advice == NULL)
			assert_int_equal(advice.len, 0);
		else if (strstr(advice.bytes == NULL ? "" : advice.bytes, c->advice) == NULL)
			fail_msg("cause %zu: '%s' is not in '%s'", i, c->advice, advice.bytes);
	}
}

static void an_app_that_was_never_started_says_so(void **state)
{
	struct status_sample s;
	PM_BUF headline = { 0 };

	(void)state;
	status_sample(&s, "api", 3);
	s.status.state = STOPPED;
	why_headline(&s.status, &headline);
	assert_string_equal(headline.bytes, "api (3) is stopped: it was never started");
}

static void the_policy_is_a_sentence(void **state)
{
	struct status_sample s;
	int32_t codes[] = { 0, 3 };
	PM_BUF out = { 0 };

	(void)state;
	status_sample(&s, "api", 3);
	why_policy(&s.spec, &out);
	assert_string_equal(out.bytes,
	                    "restarted whenever it ends; given up after 16 runs in a row "
	                    "shorter than 1s");
	pm_buf_reset(&out);
	s.spec.stop_exit_codes = codes;
	s.spec.n_stop_exit_codes = 2;
	s.spec.restart_delay_ms = 2000;
	s.spec.max_memory = 300u << 20;
	s.spec.cron = (char *)(uintptr_t) "0 3 * * *";
	why_policy(&s.spec, &out);
	assert_string_equal(
		out.bytes,
		"restarted whenever it ends; given up after 16 runs in a row shorter than "
		"1s; not after exit code 0, 3; 2s later each time; replaced when it takes "
		"more than 300.0mb; restarted by cron: 0 3 * * *");
	pm_buf_reset(&out);
	s.spec.autorestart = false;
	s.spec.cron = (char *)(uintptr_t) "";
	s.spec.restart_delay_ms = 0;
	s.spec.max_memory = 0;
	why_policy(&s.spec, &out);
	assert_string_equal(out.bytes, "never restarted by itself (autorestart is off)");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cause_has_its_words),
		cmocka_unit_test(an_app_that_was_never_started_says_so),
		cmocka_unit_test(the_policy_is_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
