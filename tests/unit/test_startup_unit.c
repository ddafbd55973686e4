#include "tests/unit/unit.h"

#include "cli/startup_unit.h"

static const struct startup_unit plain = {
	.user = "deploy",
	.home = "/home/deploy/.pmd",
	.path = "/usr/bin:/bin",
	.pmd = "/usr/bin/pmd",
	.pmctl = "/usr/bin/pmctl",
};

/* Whether the text has this line, whole. */
static bool has_line(const struct pm_buf *text, const char *line)
{
	size_t len = strlen(line);

	for (const char *p = text->bytes; (p = strstr(p, line)) != NULL; p++)
		if ((p == text->bytes || p[-1] == '\n') && p[len] == '\n')
			return true;
	return false;
}

static void assert_lines(const struct startup_unit *u, const char *const *lines, size_t n)
{
	struct pm_error err;
	PM_BUF text = { 0 };

	assert_int_equal(startup_unit_text(u, &text, &err), 0);
	for (size_t i = 0; i < n; i++)
		if (!has_line(&text, lines[i]))
			fail_msg("no line '%s' in:\n%s", lines[i], text.bytes);
}

static void the_unit_keeps_what_was_promised(void **state)
{
	static const char *const lines[] = {
		"[Unit]",
		"[Service]",
		"[Install]",
		"User=deploy",
		"After=network.target",
		"Environment=\"PMD_HOME=/home/deploy/.pmd\"",
		"Environment=\"PATH=/usr/bin:/bin\"",
		"ExecStart=\"/usr/bin/pmd\" agent --foreground --home \"/home/deploy/.pmd\"",
		"ExecReload=\"/usr/bin/pmctl\" agent upgrade",
		"Type=notify",
		"NotifyAccess=all",
		"KillMode=process",
		"WatchdogSec=30",
		"Restart=on-failure",
		"Delegate=yes",
		"OOMPolicy=continue",
		"StartLimitIntervalSec=0",
		"WantedBy=multi-user.target",
	};

	(void)state;
	assert_lines(&plain, lines, PM_COUNT(lines));
}

static void a_user_unit_names_no_user_and_starts_with_the_users_systemd(void **state)
{
	static const char *const lines[] = { "WantedBy=default.target", "KillMode=process" };
	struct startup_unit u = plain;
	struct pm_error err;
	PM_BUF text = { 0 };

	(void)state;
	u.user_unit = true;
	assert_lines(&u, lines, PM_COUNT(lines));
	assert_int_equal(startup_unit_text(&u, &text, &err), 0);
	assert_null(strstr(text.bytes, "\nUser="));
	assert_null(strstr(text.bytes, "network.target"));
}

static void a_home_of_pm2_is_said_so(void **state)
{
	static const char *const lines[] = {
		"Environment=\"PM2_HOME=/d/.pm2\"",
		"ExecStart=\"/usr/bin/pmd\" agent --foreground --home \"/d/.pm2\" --pm2",
		"ExecReload=/usr/bin/env \"PMD_HOME=/d/.pm2\" \"/usr/bin/pmctl\" agent upgrade",
	};
	struct startup_unit u = plain;

	(void)state;
	u.as_pm2 = true;
	u.home = "/d/.pm2";
	assert_lines(&u, lines, PM_COUNT(lines));
}

static void what_systemd_would_expand_is_quoted(void **state)
{
	static const char *const lines[] = {
		"Environment=\"PMD_HOME=/srv/a b/100%%/$x/\\\"q\\\"/b\\\\s\"",
		"ExecStart=\"/a %%i/pmd\" agent --foreground --home \"/srv/a b/100%%/$$x/\\\"q\\\"/b\\\\s\"",
	};
	struct startup_unit u = plain;

	(void)state;
	u.home = "/srv/a b/100%/$x/\"q\"/b\\s";
	u.pmd = "/a %i/pmd";
	assert_lines(&u, lines, PM_COUNT(lines));
}

static void what_cannot_be_written_is_refused(void **state)
{
	struct startup_unit bad[6];
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(bad); i++)
		bad[i] = plain;
	bad[0].home = "/home/x\nExecStartPre=/bin/evil";
	bad[1].user = "x\rUser=root";
	bad[2].path = "/bin:\x7f";
	bad[3].home = "relative";
	bad[4].pmd = "/opt/$HOME/pmd";
	bad[5].pmctl = "pmctl";
	for (size_t i = 0; i < PM_COUNT(bad); i++) {
		PM_BUF text = { 0 };

		assert_int_equal(startup_unit_text(&bad[i], &text, &err), -1);
		assert_int_equal(err.code, PM_CONFIG);
		assert_null(text.bytes);
	}
}

static void names_that_systemd_would_escape_are_not_for_units(void **state)
{
	static const char *const good[] = { "pmd-root", "pmd-a.b_c:d", "0" };
	static const char *const bad[] = { "", ".x", "a/b", "a b", "a@b", "dom\\user", "\xc3\xa4" };
	char long_name[300];

	(void)state;
	for (size_t i = 0; i < PM_COUNT(good); i++)
		assert_true(startup_name_ok(good[i]));
	for (size_t i = 0; i < PM_COUNT(bad); i++)
		assert_false(startup_name_ok(bad[i]));
	memset(long_name, 'n', sizeof(long_name));
	long_name[200] = '\0';
	assert_true(startup_name_ok(long_name));
	long_name[200] = 'n';
	long_name[201] = '\0';
	assert_false(startup_name_ok(long_name));
}

static void running_out_of_memory_is_an_error(void **state)
{
	struct pm_error err;
	int rc = -1;

	(void)state;
	for (unsigned n = 1; rc < 0; n++) {
		PM_BUF text = { 0 };

		pm_alloc_fail_at(n);
		rc = startup_unit_text(&plain, &text, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
		else
			assert_true(n > 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_unit_keeps_what_was_promised),
		cmocka_unit_test(a_user_unit_names_no_user_and_starts_with_the_users_systemd),
		cmocka_unit_test(a_home_of_pm2_is_said_so),
		cmocka_unit_test(what_systemd_would_expand_is_quoted),
		cmocka_unit_test(what_cannot_be_written_is_refused),
		cmocka_unit_test(names_that_systemd_would_escape_are_not_for_units),
		cmocka_unit_test(running_out_of_memory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
