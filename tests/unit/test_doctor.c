/* The doctor's judgement, edge by edge, and how its findings are shown. */
#include "unit.h"

#include "cli/doctor.h"
#include "cli/redact.h"

#define MIB (1024ULL * 1024)
#define GIB (1024 * MIB)

static struct doctor d;

static void begin(void)
{
	memset(&d, 0, sizeof(d));
}

/* The only finding: its level, and parts of its text and of what to do (NULL: nothing). */
static void found(enum doctor_level level, const char *text, const char *fix)
{
	assert_int_equal(d.n, 1);
	if (d.list[0].level != level || strstr(d.list[0].text, text) == NULL)
		fail_msg("%s: %s", doctor_level_name(d.list[0].level), d.list[0].text);
	if (fix == NULL)
		assert_string_equal(d.list[0].fix, "");
	else
		assert_non_null(strstr(d.list[0].fix, fix));
	assert_int_equal(doctor_status(&d), level == DOCTOR_BAD ? 10 : 0);
}

static void a_disk_is_judged_by_what_is_free(void **state)
{
	static const struct {
		struct doctor_disk disk;
		enum doctor_level level;
		const char *text, *fix;
	} cases[] = {
		{ { "home", "/h", 100 * GIB, 50 * GIB, 1000, 900, false },
		  DOCTOR_OK,
		  "50.0gb",
		  NULL },
		{ { "home", "/h", 100 * GIB, 5 * GIB, 0, 0, false }, DOCTOR_OK, "(5%)", NULL },
		{ { "home", "/h", 100 * GIB, 5 * GIB - 1, 0, 0, false },
		  DOCTOR_WARN,
		  "(4%)",
		  "du -xh /h" },
		{ { "logs", "/l", 1 * GIB, 256 * MIB, 0, 0, false }, DOCTOR_OK, "logs: ", NULL },
		{ { "logs", "/l", 1 * GIB, 256 * MIB - 1, 0, 0, false },
		  DOCTOR_WARN,
		  "logs: ",
		  "du" },
		{ { "home", "/h", 1 * GIB, 16 * MIB, 0, 0, false }, DOCTOR_WARN, "16.0mb", "du" },
		{ { "home", "/h", 1 * GIB, 16 * MIB - 1, 0, 0, false }, DOCTOR_BAD, "only", "du" },
		{ { "home", "/h", 0, 0, 0, 0, false }, DOCTOR_BAD, "only 0b", "du" },
		{ { "home", "/h", GIB, GIB, 0, 0, true }, DOCTOR_BAD, "read-only", "read-write" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		begin();
		doctor_disk(&d, &cases[i].disk);
		found(cases[i].level, cases[i].text, cases[i].fix);
	}
}

static void inodes_are_told_when_they_get_few(void **state)
{
	struct doctor_disk disk = { "home", "/h", 100 * GIB, 50 * GIB, 1000, 50, false };

	(void)state;
	begin();
	doctor_disk(&d, &disk);
	assert_int_equal(d.n, 1);
	disk.inodes_free = 49;
	begin();
	doctor_disk(&d, &disk);
	assert_int_equal(d.counts[DOCTOR_WARN], 1);
	disk.inodes_free = 0;
	begin();
	doctor_disk(&d, &disk);
	assert_int_equal(d.counts[DOCTOR_BAD], 1);
	assert_non_null(strstr(d.list[1].text, "0 inodes"));
}

static void limits_are_judged_by_what_is_open_and_what_may_be(void **state)
{
	struct doctor_limits l = { 4096, 4096, UINT64_MAX, 3276, false, true };

	(void)state;
	begin();
	doctor_limits(&d, &l);
	found(DOCTOR_OK, "the agent may open 4096", NULL);
	l.open_files = 3277; /* 80 % */
	begin();
	doctor_limits(&d, &l);
	found(DOCTOR_BAD, "3277 files open, of 4096", "LimitNOFILE=");
	l = (struct doctor_limits){ 1024, 4095, 256, 0, false, false };
	begin();
	doctor_limits(&d, &l);
	found(DOCTOR_WARN, "an agent started here may open 4095", "ulimit -Hn");
	l = (struct doctor_limits){ UINT64_MAX, UINT64_MAX, 255, 1000000, false, true };
	begin();
	doctor_limits(&d, &l);
	assert_non_null(strstr(d.list[0].text, "unlimited"));
	assert_int_equal(d.counts[DOCTOR_WARN], 1);
	assert_non_null(strstr(d.list[1].text, "255 processes"));
	l.is_root = true; /* whom that limit does not bind */
	begin();
	doctor_limits(&d, &l);
	found(DOCTOR_OK, "unlimited", NULL);
}

static void a_clock_behind_what_was_saved_is_bad(void **state)
{
	struct doctor_clock c = { true, true, 1000, 1060 };

	(void)state;
	begin();
	doctor_clock(&d, &c);
	found(DOCTOR_OK, "synchronised", NULL);
	c.newest_s = 1061;
	begin();
	doctor_clock(&d, &c);
	found(DOCTOR_BAD, "behind the last saved state by 1m 1s", "timedatectl");
	c = (struct doctor_clock){ true, false, 1000, 0 };
	begin();
	doctor_clock(&d, &c);
	found(DOCTOR_WARN, "nothing keeps it synchronised", "timedatectl");
	c.known = false;
	begin();
	doctor_clock(&d, &c);
	found(DOCTOR_OK, "does not say", NULL);
}

static void groups_are_missed_only_where_there_could_be_some(void **state)
{
	static const struct {
		struct doctor_cgroup c;
		enum doctor_level level;
		const char *text, *fix;
	} cases[] = {
		{ { "v2", "/sys/fs/cgroup/x", true }, DOCTOR_OK, "in /sys/fs/cgroup/x", NULL },
		{ { "v2", "", true }, DOCTOR_WARN, "none is delegated", "pmctl startup" },
		{ { "hybrid", "", true }, DOCTOR_WARN, "none is delegated", "Delegate=yes" },
		{ { "v1", "", true }, DOCTOR_WARN, "need version 2", "unified_cgroup_hierarchy" },
		{ { "none", "", false }, DOCTOR_OK, "by their tags", NULL },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		begin();
		doctor_cgroup(&d, &cases[i].c);
		found(cases[i].level, cases[i].text, cases[i].fix);
	}
}

static void versions_that_differ_are_told(void **state)
{
	static const struct {
		struct doctor_versions v;
		enum doctor_level level;
		const char *text, *fix;
	} cases[] = {
		{ { "1", "1", "1", "/p", false, false },
		  DOCTOR_OK,
		  "pmctl, the agent and pmd on disk are 1",
		  NULL },
		{ { "1", "1", NULL, "/p", false, false },
		  DOCTOR_OK,
		  "pmctl and the agent are 1",
		  NULL },
		{ { "1", NULL, "1", NULL, false, false },
		  DOCTOR_OK,
		  "pmctl and pmd on disk are 1",
		  NULL },
		{ { "1", NULL, NULL, NULL, false, false }, DOCTOR_OK, "pmctl is 1", NULL },
		{ { "2", "1", "2", "/p", false, true },
		  DOCTOR_WARN,
		  "pmctl is 2, and the agent that runs is 1",
		  "agent upgrade" },
		{ { "1", "1", "2", "/p", false, false },
		  DOCTOR_WARN,
		  "on disk (2)",
		  "agent upgrade" },
		{ { "1", "1", "1", "/p", false, true },
		  DOCTOR_WARN,
		  "another one than the agent",
		  "agent upgrade" },
		{ { "1", NULL, "2", NULL, false, false },
		  DOCTOR_WARN,
		  "on disk (2)",
		  "agent upgrade" },
		{ { "1", "1", "1", "/p/pmd", true, false },
		  DOCTOR_BAD,
		  "/p/pmd, which is no more",
		  "install" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		begin();
		doctor_versions(&d, &cases[i].v);
		found(cases[i].level, cases[i].text, cases[i].fix);
	}
}

static void what_starts_it_at_boot_is_judged_by_the_units(void **state)
{
	static const struct {
		struct doctor_boot b;
		enum doctor_level level;
		const char *text, *fix;
	} cases[] = {
		{ { .user = "ann" }, DOCTOR_WARN, "systemd does not run here", "--foreground" },
		{ { .systemd = true, .user = "ann" },
		  DOCTOR_WARN,
		  "nothing starts ann's agent",
		  "pmctl startup" },
		{ { .systemd = true, .user = "ann", .unit = "u.service", .enabled = true },
		  DOCTOR_OK,
		  "u.service starts it",
		  NULL },
		{ { .systemd = true, .user = "ann", .unit = "u.service" },
		  DOCTOR_WARN,
		  "not enabled",
		  "systemctl enable u.service" },
		{ { .systemd = true, .user = "ann", .unit = "u.service", .user_unit = true },
		  DOCTOR_WARN,
		  "not enabled",
		  "systemctl --user enable" },
		{ { .systemd = true,
		    .user = "ann",
		    .unit = "u.service",
		    .user_unit = true,
		    .enabled = true },
		  DOCTOR_WARN,
		  "first login",
		  "enable-linger ann" },
		{ { .systemd = true,
		    .user = "ann",
		    .unit = "u.service",
		    .user_unit = true,
		    .enabled = true,
		    .lingers = true },
		  DOCTOR_OK,
		  "starts it",
		  NULL },
		{ { .systemd = true,
		    .user = "ann",
		    .unit = "u.service",
		    .enabled = true,
		    .other_home = true },
		  DOCTOR_WARN,
		  "another home",
		  "PMD_HOME" },
		{ { .systemd = true,
		    .user = "ann",
		    .unit = "u.service",
		    .enabled = true,
		    .program_gone = true,
		    .program = "/p" },
		  DOCTOR_BAD,
		  "/p, which cannot be executed",
		  "install" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		begin();
		doctor_boot(&d, &cases[i].b);
		found(cases[i].level, cases[i].text, cases[i].fix);
	}
}

static void a_link_that_is_down_is_bad_and_says_why(void **state)
{
	Pm__UplinkState u = PM__UPLINK_STATE__INIT;
	char address[] = "fleet.example:7443", why[] = "Connection refused";

	(void)state;
	u.address = address;
	u.since_wall_ms = 1000;
	u.connected = true;
	begin();
	doctor_uplink(&d, &u, 61000);
	found(DOCTOR_OK, "connected to fleet.example:7443 for 1m", NULL);
	u.connected = false;
	begin();
	doctor_uplink(&d, &u, 500); /* a clock that went back */
	found(DOCTOR_BAD, "still connecting", "fleet.example:7443");
	u.why = why;
	begin();
	doctor_uplink(&d, &u, 61000);
	found(DOCTOR_BAD, "Connection refused", "fleet.example:7443");
}

static void what_is_degraded_is_bad_unless_there_is_another_way(void **state)
{
	char disk[] = "disk: log file x: No space left on device", cgroup[] = "cgroup: make x",
	     other[] = "versions of settings: x";
	char *words[] = { disk, cgroup, other };

	(void)state;
	begin();
	doctor_degraded(&d, words, 3);
	assert_int_equal(d.list[0].level, DOCTOR_BAD);
	assert_non_null(strstr(d.list[0].fix, "make room"));
	assert_int_equal(d.list[1].level, DOCTOR_WARN);
	assert_int_equal(d.list[2].level, DOCTOR_BAD);
	assert_non_null(strstr(d.list[2].fix, "pmd.log"));
}

static void findings_over_the_limit_are_counted(void **state)
{
	PM_BUF out = { 0 };

	(void)state;
	begin();
	for (int i = 0; i < DOCTOR_FINDINGS_MAX + 2; i++)
		doctor_add(&d, "x", i == 0 ? DOCTOR_OK : DOCTOR_BAD, NULL, "%d", i);
	doctor_text(&d, 0, false, &out);
	assert_non_null(strstr(out.bytes, "\nand 2 more\n50 checks: 1 ok, 0 to look at, 49 bad\n"));
}

static void a_narrow_terminal_gets_lines_that_fit(void **state)
{
	PM_BUF out = { 0 };

	(void)state;
	begin();
	doctor_add(&d, "disk", DOCTOR_WARN, "free some space, and then a little more of it all",
	           "one two three four five six seven eight nine ten");
	doctor_text(&d, 40, false, &out);
	assert_string_equal(out.bytes, "warn  disk        one two three four\n"
	                               "                  five six seven eight\n"
	                               "                  nine ten\n"
	                               "                  to do: free some\n"
	                               "                  space, and then a\n"
	                               "                  little more of it all\n"
	                               "1 checks: 0 ok, 1 to look at, 0 bad\n");
}

static void the_same_in_json(void **state)
{
	PM_BUF out = { 0 };
	struct json_out j;

	(void)state;
	begin();
	doctor_add(&d, "a", DOCTOR_OK, NULL, "fine");
	doctor_add(&d, "b", DOCTOR_BAD, "mend it", "not fine");
	json_init(&j, &out);
	json_begin_object(&j);
	doctor_json(&d, &j);
	json_end_object(&j);
	assert_string_equal(
		out.bytes,
		"{\"findings\":[{\"check\":\"a\",\"level\":\"ok\",\"text\":\"fine\"},"
		"{\"check\":\"b\",\"level\":\"bad\",\"text\":\"not fine\",\"fix\":\"mend it\"}],"
		"\"account\":{\"total\":2,\"ok\":1,\"warn\":0,\"bad\":1}}");
}

static void what_looks_like_a_secret_is_hidden(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "exec /a/b: Permission denied", "exec /a/b: Permission denied" },
		{ "API_TOKEN=abc PORT=80", "API_TOKEN=[redacted] PORT=80" },
		{ "--db-password hunter2 -x", "--db-password [redacted] -x" },
		{ "--db-password=hunter2", "--db-password=[redacted]" },
		{ "dial tcp://ann:pw@host:1/x@y", "dial tcp://[redacted]@host:1/x@y" },
		{ "http://host/a@b", "http://host/a@b" },
		{ "keys: /h/keys is bad", "keys: /h/keys is bad" },
		{ "=x --password", "=x --password" },
		{ " two  blanks ", " two  blanks " },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_BUF out = { 0 };

		redact_text(cases[i][0], &out);
		assert_string_equal(out.bytes == NULL ? "" : out.bytes, cases[i][1]);
	}
	begin();
	doctor_add(&d, "agent", DOCTOR_BAD, NULL, "%s", "connect SECRET_URL=x");
	assert_string_equal(d.list[0].text, "connect SECRET_URL=[redacted]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disk_is_judged_by_what_is_free),
		cmocka_unit_test(inodes_are_told_when_they_get_few),
		cmocka_unit_test(limits_are_judged_by_what_is_open_and_what_may_be),
		cmocka_unit_test(a_clock_behind_what_was_saved_is_bad),
		cmocka_unit_test(groups_are_missed_only_where_there_could_be_some),
		cmocka_unit_test(versions_that_differ_are_told),
		cmocka_unit_test(what_starts_it_at_boot_is_judged_by_the_units),
		cmocka_unit_test(a_link_that_is_down_is_bad_and_says_why),
		cmocka_unit_test(what_is_degraded_is_bad_unless_there_is_another_way),
		cmocka_unit_test(findings_over_the_limit_are_counted),
		cmocka_unit_test(a_narrow_terminal_gets_lines_that_fit),
		cmocka_unit_test(the_same_in_json),
		cmocka_unit_test(what_looks_like_a_secret_is_hidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
