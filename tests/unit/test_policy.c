/* What a machine allows, whatever a coordinator says (S-08, S-09, S-12). */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/policy_file.h"
#include "proto/buf.h"

static struct policy_usage usage;
static uint64_t now_ms = 1000;

static struct policy *parse(const char *text)
{
	struct policy *p = NULL;
	struct pm_error err = { 0 };

	memset(&usage, 0, sizeof(usage));
	if (policy_parse(text, strlen(text), &p, &err) < 0)
		fail_msg("%s", err.what);
	return p;
}

static bool allows(const struct policy *p, struct policy_request r)
{
	struct policy_verdict v;

	policy_decide(p, &r, &usage, now_ms, &v);
	assert_int_equal(v.allowed, v.why[0] == '\0');
	return v.allowed;
}

static struct policy_request ask(enum pm_rank rank, enum pm_op op, const char *app)
{
	return (struct policy_request){ .rank = rank, .op = op, .app = app, .app_is_local = true };
}

static void without_a_file_one_may_see_and_run_what_is_defined_here(void **state)
{
	struct policy *p = parse(policy_default_text());

	(void)state;
	/* S-09: exactly what the table of operations says. */
	for (int op = 0; op < PM_OP_COUNT; op++)
		for (int rank = PM_RANK_NONE; rank <= PM_RANK_ADMIN; rank++) {
			struct policy_request r = ask((enum pm_rank)rank, (enum pm_op)op, "api");
			const struct pm_op_info *info = pm_op_info((enum pm_op)op);
			bool want = info->by_default && rank >= (int)info->least;

			assert_int_equal(allows(p, r), want);
			r.app_is_local = false;
			assert_int_equal(allows(p, r), want && !info->changes);
		}
	policy_destroy(p);
}

static void an_empty_policy_allows_nothing(void **state)
{
	struct policy *p = parse("\n# nothing\n   \n");

	(void)state;
	for (int op = 0; op < PM_OP_COUNT; op++)
		assert_false(allows(p, ask(PM_RANK_ADMIN, (enum pm_op)op, "api")));
	policy_destroy(p);
}

static void rules_are_of_roles_keys_apps(void **state)
{
	struct policy *p = parse("allow deployer reload,stop api,web-* # ours\r\n"
	                         "allow pmd-key:anna all\n"
	                         "allow viewer read *\n");
	struct policy_request anna = ask(PM_RANK_NONE, PM_OP_DEFINE, "x");

	(void)state;
	assert_true(allows(p, ask(PM_RANK_DEPLOYER, PM_OP_RELOAD, "web-1")));
	assert_true(allows(p, ask(PM_RANK_ADMIN, PM_OP_STOP, "api"))); /* the higher role, too */
	assert_false(allows(p, ask(PM_RANK_OPERATOR, PM_OP_STOP, "api")));
	assert_false(allows(p, ask(PM_RANK_ADMIN, PM_OP_STOP, "db")));
	assert_false(allows(p, ask(PM_RANK_ADMIN, PM_OP_STOP, NULL)));
	assert_true(allows(p, ask(PM_RANK_VIEWER, PM_OP_LOGS, "db")));
	assert_false(allows(p, anna));
	anna.key = "pmd-key:ann";
	assert_false(allows(p, anna));
	anna.key = "pmd-key:anna";
	assert_true(allows(p, anna));
	anna.op = PM_OP_UPGRADE;
	assert_true(allows(p, anna));
	for (int op = PM_OP_LOCAL; op < PM_OP_COUNT; op++) { /* not even with all */
		anna.op = (enum pm_op)op;
		assert_false(allows(p, anna));
	}
	policy_destroy(p);
}

static void a_rule_for_some_apps_is_none_for_the_machine(void **state)
{
	struct policy *p = parse("allow admin save,status,restart api\n"
	                         "allow operator run,status,save @local\n");

	(void)state;
	assert_false(allows(p, ask(PM_RANK_ADMIN, PM_OP_SAVE, NULL)));
	assert_false(allows(p, ask(PM_RANK_ADMIN, PM_OP_SAVE, "api")));
	assert_true(allows(p, ask(PM_RANK_OPERATOR, PM_OP_STATUS, NULL)));
	policy_destroy(p);
}

/* What can be asked of an agent can be allowed: pmctl has no verb that no policy lets through. */
static void every_operation_of_an_agent_has_its_word(void **state)
{
	(void)state;
	for (int op = 0; op < PM_OP_COUNT; op++) {
		const char *name = pm_op_info((enum pm_op)op)->name;
		struct pm_error err = { 0 };
		struct policy *p = NULL;
		char text[64];
		int rc;

		(void)snprintf(text, sizeof(text), "allow admin %s", name);
		rc = policy_parse(text, strlen(text), &p, &err);
		if (rc != (op < PM_OP_LOCAL ? 0 : -1))
			fail_msg("%s: %s", name, err.what);
		if (rc == 0)
			assert_true(allows(p, ask(PM_RANK_ADMIN, (enum pm_op)op, "api")));
		policy_destroy(p);
	}
}

static void what_is_no_rule_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "allow", "line 1, column 1: allow WHO OPERATIONS expected" },
		{ "\nallow operator", "line 2, column 1: allow WHO OPERATIONS expected" },
		{ "deny operator stop", "line 1, column 1: allow or min_up expected" },
		{ "allow root stop", "line 1, column 7: a role or a key expected" },
		{ "allow pmd-key: stop", "line 1, column 7: a role or a key expected" },
		{ "allow admin stop,strat", "line 1, column 18: no operation strat" },
		{ "allow admin stop,", "line 1, column 18: no operation " },
		{ "allow admin stop api 30",
		  "line 1, column 22: a rate such as 30/h, or the end of "
		  "the line, expected" },
		{ "allow admin stop 30/h api",
		  "line 1, column 23: a rate such as 30/h, or the end of "
		  "the line, expected" },
		{ "allow admin stop api 0/h",
		  "line 1, column 22: a rate such as 30/h, or the end of "
		  "the line, expected" },
		{ "allow admin stop a b c d e", "line 1, column 24: too many words" },
		{ "allow pmd-key:a exec /b", "line 1, column 17: no operation exec" },
		{ "allow admin local", "line 1, column 13: no operation local" },
		{ "allow admin node-change", "line 1, column 13: no operation node-change" },
		{ "min_up api", "line 1, column 1: min_up APPS NUMBER expected" },
		{ "min_up api x",
		  "line 1, column 12: a number of instances, or 1% to 100% expected" },
		{ "min_up api 101%",
		  "line 1, column 12: a number of instances, or 1% to 100% expected" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct policy *p;
		struct pm_error err = { 0 };

		assert_int_equal(policy_parse(rows[i].text, strlen(rows[i].text), &p, &err), -1);
		assert_int_equal(err.code, PM_CONFIG);
		assert_string_equal(err.what, rows[i].want);
	}
}

static void a_policy_has_a_largest_form(void **state)
{
	struct policy *p;
	struct pm_error err;
	PM_BUF b = { 0 };

	(void)state;
	for (unsigned i = 0; i < PM_POLICY_RULES_MAX; i++)
		pm_buf_str(&b, "allow admin stop\n");
	assert_int_equal(policy_parse(b.bytes, b.len, &p, &err), 0);
	policy_destroy(p);
	pm_buf_str(&b, "min_up x 1\n");
	assert_int_equal(policy_parse(b.bytes, b.len, &p, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	pm_buf_reset(&b);
	while (b.len <= PM_POLICY_MAX)
		pm_buf_str(&b,
		           "# ..............................................................\n");
	assert_int_equal(policy_parse(b.bytes, b.len, &p, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	assert_int_equal(policy_parse("allow\0", 6, &p, &err), -1);
	assert_int_equal(err.code, PM_CONFIG);
}

static void a_stop_loop_ends_with_the_rate(void **state)
{
	struct policy *p = parse("allow operator stop,start * 5/h\n");
	struct policy_request r = ask(PM_RANK_OPERATOR, PM_OP_STOP, "api");
	struct policy_verdict v;
	uint8_t boot[16] = { 1 };

	(void)state;
	policy_usage_resume(&usage, boot, now_ms);
	for (unsigned i = 0; i < 5; i++)
		assert_true(allows(p, r));
	policy_decide(p, &r, &usage, now_ms, &v);
	assert_false(v.allowed);
	assert_true(v.rate);
	r.op = PM_OP_START; /* each operation has its own */
	assert_true(allows(p, r));
	r.op = PM_OP_STOP;
	now_ms += 3599999;
	assert_false(allows(p, r));
	/* Our own restart frees nothing, a boot neither: the clock since boot is small again. */
	policy_usage_resume(&usage, boot, now_ms);
	assert_false(allows(p, r));
	boot[0] = 2;
	now_ms = 50;
	policy_usage_resume(&usage, boot, now_ms);
	assert_false(allows(p, r));
	now_ms += 3599999;
	assert_false(allows(p, r));
	now_ms += 1;
	assert_true(allows(p, r));
	policy_destroy(p);
	/* The rule goes on with its count when the file is edited elsewhere. */
	struct policy_usage before = usage;

	p = parse("allow viewer read\nallow operator stop,start * 5/h\n");
	usage = before;
	for (unsigned i = 0; i < 4; i++)
		assert_true(allows(p, r));
	assert_false(allows(p, r));
	policy_destroy(p);
}

static void changes_without_a_rate_have_one_and_looking_has_none(void **state)
{
	struct policy *p = parse("allow operator stop,status\n");

	(void)state;
	for (unsigned i = 0; i < PM_POLICY_RATE; i++)
		assert_true(allows(p, ask(PM_RANK_OPERATOR, PM_OP_STOP, "api")));
	assert_false(allows(p, ask(PM_RANK_OPERATOR, PM_OP_STOP, "api")));
	for (unsigned i = 0; i < 10 * PM_POLICY_RATE; i++)
		assert_true(allows(p, ask(PM_RANK_OPERATOR, PM_OP_STATUS, "api")));
	policy_destroy(p);
}

static void a_second_rule_may_have_room_when_the_first_has_not(void **state)
{
	struct policy *p = parse("allow operator stop * 1/h\nallow admin stop * 2/h\n");

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_true(allows(p, ask(PM_RANK_ADMIN, PM_OP_STOP, "api")));
	assert_false(allows(p, ask(PM_RANK_ADMIN, PM_OP_STOP, "api")));
	policy_destroy(p);
}

static void counters_run_out_closed_and_come_back(void **state)
{
	PM_BUF b = { 0 };
	struct policy *p;

	(void)state;
	for (unsigned i = 0; i < PM_POLICY_RULES_MAX; i++)
		pm_buf_printf(&b, "allow operator stop,start app%u 5/h\n", i);
	p = parse(b.bytes);
	for (unsigned i = 0; i < PM_POLICY_COUNTS_MAX; i++) {
		char app[16];

		(void)snprintf(app, sizeof(app), "app%u", i);
		assert_true(allows(p, ask(PM_RANK_OPERATOR, PM_OP_STOP, app)));
	}
	assert_false(allows(p, ask(PM_RANK_OPERATOR, PM_OP_START, "app0")));
	assert_true(allows(p, ask(PM_RANK_OPERATOR, PM_OP_STOP, "app0")));
	now_ms += 3600000;
	assert_true(allows(p, ask(PM_RANK_OPERATOR, PM_OP_START, "app0")));
	policy_destroy(p);
}

static void nothing_takes_an_app_below_its_floor(void **state)
{
	struct policy *p = parse("allow admin all\nmin_up api 2\nmin_up web-*,api 50%\n");
	static const struct {
		const char *app;
		uint32_t instances, now, least;
		bool want;
	} rows[] = {
		{ "api", 4, 4, 2, true },   { "api", 4, 4, 1, false }, { "api", 6, 6, 2, false },
		{ "api", 5, 5, 3, true },   { "api", 5, 5, 2, false }, /* half of five is three */
		{ "api", 4, 1, 1, true }, /* below already: not lower */
		{ "api", 4, 0, 1, true },   { "api", 4, 1, 0, false }, { "web-1", 1, 1, 0, false },
		{ "web-1", 2, 2, 1, true }, { "db", 1, 1, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct policy_request r = ask(PM_RANK_ADMIN, PM_OP_STOP, rows[i].app);

		r.instances = rows[i].instances;
		r.up_now = rows[i].now;
		r.up_least = rows[i].least;
		assert_int_equal(allows(p, r), rows[i].want);
		r.op = PM_OP_STATUS;
		assert_true(allows(p, r));
	}
	assert_int_equal(policy_min_up(p, "api", 4), 2);
	assert_int_equal(policy_min_up(p, "api", 9), 5);
	assert_int_equal(policy_min_up(p, "db", 9), 0);
	policy_destroy(p);
}

static void memory_may_run_out_while_reading(void **state)
{
	int rc = -1;

	(void)state;
	for (unsigned nth = 1; rc < 0; nth++) {
		struct policy *p = NULL;
		struct pm_error err;

		assert_true(nth < 10);
		pm_alloc_fail_at(nth);
		rc = policy_parse("allow admin stop", 16, &p, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
		policy_destroy(p);
	}
}

/* ---- the file ---- */

static void write_policy(const char *path, const char *text, mode_t mode)
{
	int fd;

	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static int load(const char *path, unsigned uid, struct pm_error *err)
{
	struct policy *p = NULL;
	int rc;

	*err = (struct pm_error){ 0 };
	rc = policy_load(path, uid, &p, err);
	policy_destroy(p);
	return rc;
}

static void a_file_that_others_can_write_counts_for_nothing(void **state)
{
	const char *tmp = getenv("TMPDIR");
	unsigned me = geteuid();
	struct pm_error err;
	char path[128], link[160];

	(void)state;
	(void)snprintf(path, sizeof(path), "%.60s/pmd-policy.%ld", tmp == NULL ? "/tmp" : tmp,
	               (long)getpid());
	(void)snprintf(link, sizeof(link), "%s.link", path);
	assert_int_equal(load(path, me, &err), 0); /* none: the default */
	write_policy(path, "allow admin all\n", 0644);
	assert_int_equal(load(path, me, &err), 0);
	assert_int_equal(load(path, me + 1, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	assert_int_equal(chmod(path, 0664), 0);
	assert_int_equal(load(path, me, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(load(link, me, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(load("/dev/null", 0, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	write_policy(path, "allow nobody\n", 0600);
	assert_int_equal(load(path, me, &err), -1);
	assert_int_equal(err.code, PM_CONFIG);
	assert_non_null(strstr(err.what, "line 1"));
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_file_one_may_see_and_run_what_is_defined_here),
		cmocka_unit_test(an_empty_policy_allows_nothing),
		cmocka_unit_test(rules_are_of_roles_keys_apps),
		cmocka_unit_test(a_rule_for_some_apps_is_none_for_the_machine),
		cmocka_unit_test(every_operation_of_an_agent_has_its_word),
		cmocka_unit_test(what_is_no_rule_is_refused_with_its_place),
		cmocka_unit_test(a_policy_has_a_largest_form),
		cmocka_unit_test(a_stop_loop_ends_with_the_rate),
		cmocka_unit_test(changes_without_a_rate_have_one_and_looking_has_none),
		cmocka_unit_test(a_second_rule_may_have_room_when_the_first_has_not),
		cmocka_unit_test(counters_run_out_closed_and_come_back),
		cmocka_unit_test(nothing_takes_an_app_below_its_floor),
		cmocka_unit_test(memory_may_run_out_while_reading),
		cmocka_unit_test(a_file_that_others_can_write_counts_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
