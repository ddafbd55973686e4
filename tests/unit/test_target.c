/* Targets: regular expressions of JavaScript, files by their names, numbers. */
#include "unit.h"

#include "cli/target.h"
#include "status.h"

static void javascripts_classes_become_posix_ones(void **state)
{
	static const struct {
		const char *js, *want; /* NULL: refused */
	} cases[] = {
		{ "api", "api" },
		{ "^web-\\d+$", "^web-[0-9]+$" },
		{ "\\w\\s\\S", "[A-Za-z0-9_][[:space:]][^[:space:]]" },
		{ "[\\d.]", "[0-9.]" },
		{ "a\\.b\\-c", "a\\.b\\-c" },
		{ "(?:a|b)", "(a|b)" },
		{ "(?=a)", NULL },
		{ "\\bapi\\b", NULL },
		{ "a\\", NULL },
		{ "[\\D]", NULL },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		char out[128];
		struct pm_error err;
		int rc = target_translate_regex(cases[i].js, out, sizeof(out), &err);

		assert_int_equal(rc, cases[i].want == NULL ? -1 : 0);
		if (cases[i].want != NULL)
			assert_string_equal(out, cases[i].want);
		else
			assert_int_equal(err.code, PM_USAGE);
	}
}

static void a_regex_picks_instances_by_their_names(void **state)
{
	struct status_sample s[3];
	Pm__InstanceStatus *list[] = { &s[0].status, &s[1].status, &s[2].status };
	struct target_list targets = { 0 };
	struct pm_error err;

	(void)state;
	status_sample(&s[0], "web-1", 4);
	status_sample(&s[1], "api", 5);
	status_sample(&s[2], "web-22", 6);
	assert_int_equal(target_list_add_regex(&targets, "/web-\\d+/", list, 3, &err), 0);
	assert_int_equal(targets.n, 2);
	assert_string_equal(targets.targets[0]->text, "4");
	assert_true(targets.targets[1]->exact_id);
	target_list_finish(&targets);
	assert_int_equal(target_list_add_regex(&targets, "/nothing/", list, 3, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
	assert_int_equal(target_list_add_regex(&targets, "/a(/", list, 3, &err), -1);
	assert_int_equal(err.code, PM_USAGE);
	target_list_finish(&targets);
}

static void a_word_is_also_tried_as_a_path(void **state)
{
	struct target_list targets = { 0 };
	struct pm_error err;

	(void)state;
	assert_int_equal(target_list_add(&targets, "/srv/./x/../app.js", &err), 0);
	assert_int_equal(target_list_add(&targets, "12", &err), 0);
	assert_int_equal(target_list_add(&targets, "all", &err), 0);
	assert_string_equal(targets.targets[0]->script_path, "/srv/app.js");
	assert_string_equal(targets.targets[1]->script_path, "");
	assert_string_equal(targets.targets[2]->script_path, "");
	target_list_finish(&targets);
}

static void words_have_kinds(void **state)
{
	(void)state;
	assert_true(target_is_regex("/a/"));
	assert_false(target_is_regex("//"));
	assert_false(target_is_regex("/srv/app"));
	assert_true(target_is_number("0"));
	assert_false(target_is_number(""));
	assert_false(target_is_number("1a"));
	assert_true(target_is_config("x/ecosystem.config.js"));
	assert_false(target_is_config("app.js"));
}

static void memory_may_run_out_while_adding(void **state)
{
	(void)state;
	for (unsigned nth = 1; nth <= 3; nth++) {
		struct target_list targets = { 0 };
		struct pm_error err;
		int rc;

		pm_alloc_fail_at(nth);
		rc = target_list_add(&targets, "12", &err);
		pm_alloc_fail_at(0);
		assert_int_equal(rc, -1);
		assert_int_equal(err.code, PM_NO_MEMORY);
		target_list_finish(&targets);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(javascripts_classes_become_posix_ones),
		cmocka_unit_test(a_regex_picks_instances_by_their_names),
		cmocka_unit_test(a_word_is_also_tried_as_a_path),
		cmocka_unit_test(words_have_kinds),
		cmocka_unit_test(memory_may_run_out_while_adding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
