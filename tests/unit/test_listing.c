/* E-04: rows of a list chosen, in order, and in every form. */
#include "unit.h"

#include "cli/listing.h"

static const struct listing_column list[] = {
	{ .key = "name", .title = "name", .least = 4, .name = true },
	{ .key = "state", .title = "state" },
	{ .key = "memory", .title = "mem", .right = true },
	{ .key = "note", .title = "what is of note", .wide = true },
};
static const struct listing_columns columns = { list, PM_COUNT(list), false };

static struct listing *sample(void)
{
	static const struct {
		const char *name, *state, *memory, *note;
		int64_t bytes;
	} rows[] = {
		{ "web", "online", "9.5mb", "", 9961472 },
		{ "api", "online", "1.2gb", "a b", 1288490188 },
		{ "web", "errored", "0b", "\x1b[2J", 0 },
		{ "db", "stopped", "0b", "", 0 },
	};
	struct listing *l;
	struct pm_error err;

	assert_int_equal(listing_create(&columns, &l, &err), 0);
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct json_out *j;

		listing_cell(l, rows[i].name, COLOR_NONE);
		listing_cell(l, rows[i].state, COLOR_GREEN);
		listing_number(l, rows[i].memory, rows[i].bytes, COLOR_NONE);
		listing_cell(l, rows[i].note, COLOR_NONE);
		j = listing_json(l);
		json_begin_object(j);
		json_kstr(j, "name", rows[i].name);
		json_kint(j, "memory", rows[i].bytes);
		json_end_object(j);
	}
	return l;
}

/* What is printed for -o FORM, --sort and --filters (NULL ends them). */
static void shown(const char *form, const char *sort, const char *const *filters, bool no_header,
                  const char *want)
{
	struct listing_options o = { .no_header = no_header, .sort = sort };
	struct listing_style style = { 0 };
	PM_LISTING *l = sample();
	PM_FREE size_t *rows = NULL;
	PM_BUF out = { 0 };
	struct pm_error err;
	size_t n;

	if (form != NULL)
		assert_int_equal(listing_form_parse(form, &o, &err), 0);
	for (size_t i = 0; filters != NULL && filters[i] != NULL; i++)
		assert_int_equal(listing_filter_parse(filters[i], &o, &err), 0);
	assert_int_equal(listing_check(&o, &columns, &err), 0);
	assert_int_equal(listing_choose(l, &o, &rows, &n, &err), 0);
	if (o.form == LISTING_JSON || o.form == LISTING_JSONL)
		assert_int_equal(
			listing_documents(l, &o, "rows", "\"more\":1", rows, n, &out, &err), 0);
	else
		assert_int_equal(listing_text(l, &o, &style, rows, n, &out, &err), 0);
	assert_string_equal(out.bytes == NULL ? "" : out.bytes, want);
}

#define FILTERS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void e04_every_form_has_its_rows(void **state)
{
	(void)state;
	shown(NULL, NULL, NULL, false,
	      "name  state      mem\n"
	      "web   online   9.5mb\n"
	      "api   online   1.2gb\n"
	      "web   errored     0b\n"
	      "db    stopped     0b\n");
	shown("wide", NULL, NULL, false,
	      "name  state      mem  what is of note\n"
	      "web   online   9.5mb\n"
	      "api   online   1.2gb  a b\n"
	      "web   errored     0b  \\x1b[2J\n"
	      "db    stopped     0b\n");
	shown("name", NULL, NULL, false, "web\napi\ndb\n");
	shown("custom=state,name,note", NULL, NULL, false,
	      "state    name  note\n"
	      "online   web   -\n"
	      "online   api   a b\n"
	      "errored  web   \\x1b[2J\n"
	      "stopped  db    -\n");
	shown("json", NULL, FILTERS("name=web"), false,
	      "{\"schema\":1,\"rows\":[{\"name\":\"web\",\"memory\":9961472},"
	      "{\"name\":\"web\",\"memory\":0}],\"more\":1}\n");
	shown("jsonl", NULL, FILTERS("name=db"), false,
	      "{\"schema\":1,\"name\":\"db\",\"memory\":0}\n");
	shown("json", NULL, FILTERS("name=nobody"), false,
	      "{\"schema\":1,\"rows\":[],\"more\":1}\n");
}

static void e04_titles_go_when_nobody_wants_them(void **state)
{
	(void)state;
	shown(NULL, NULL, FILTERS("name=api"), true, "api  online  1.2gb\n");
	shown("custom=name", NULL, FILTERS("name=api"), true, "api\n");
	shown(NULL, NULL, FILTERS("name=nobody"), true, "");
	shown(NULL, NULL, FILTERS("name=nobody"), false, "name  state  mem\n");
}

static void e04_numbers_are_in_order_as_numbers_and_equal_ones_as_they_came(void **state)
{
	(void)state;
	shown("custom=memory,name", "memory", NULL, true,
	      "   0b  web\n   0b  db\n9.5mb  web\n1.2gb  api\n");
	shown("custom=memory,name", "memory:desc", NULL, true,
	      "1.2gb  api\n9.5mb  web\n   0b  web\n   0b  db\n");
	shown("name", "name", NULL, true, "api\ndb\nweb\n");
	shown("name", "name:asc", NULL, true, "api\ndb\nweb\n");
	shown("name", "state", NULL, true, "web\napi\ndb\n");
}

static void e04_filters_are_texts_patterns_and_numbers_and_all_must_hold(void **state)
{
	(void)state;
	shown("name", NULL, FILTERS("state=online"), true, "web\napi\n");
	shown("name", NULL, FILTERS("state!=online"), true, "web\ndb\n");
	shown("name", NULL, FILTERS("state=*e*", "name=w*"), true, "web\n");
	shown("name", NULL, FILTERS("name=web", "name!=w?b"), true, "");
	shown("name", NULL, FILTERS("memory=0"), true, "web\ndb\n");
	shown("name", NULL, FILTERS("memory=1.2gb"), true, "api\n");
	shown("name", NULL, FILTERS("memory!=0"), true, "web\napi\n");
	shown("name", NULL, FILTERS("note="), true, "web\ndb\n");
}

static void refused(const char *form, const char *sort, const char *filter, const char *what,
                    const char *hint)
{
	struct listing_options o = { .sort = sort };
	struct pm_error err = { 0 };
	int rc = 0;

	if (form != NULL)
		rc = listing_form_parse(form, &o, &err);
	if (rc == 0 && filter != NULL)
		rc = listing_filter_parse(filter, &o, &err);
	if (rc == 0)
		rc = listing_check(&o, &columns, &err);
	assert_int_equal(rc, -1);
	assert_int_equal(err.code, PM_USAGE);
	assert_non_null(strstr(err.what, what));
	assert_string_equal(err.hint, hint);
}

static void e04_what_does_not_exist_is_refused_with_the_nearest(void **state)
{
	struct listing_options o = { 0 };
	struct pm_error err;

	(void)state;
	refused("wid", NULL, NULL, "found 'wid'", "did you mean 'wide'?");
	refused("csv", NULL, NULL, "found 'csv'", "");
	refused("wide=1", NULL, NULL, "found 'wide=1'", "did you mean 'wide'?");
	refused("custom", NULL, NULL, "it names no columns", "");
	refused("custom=", NULL, NULL, "it names no columns", "");
	refused("custom=name,stat", NULL, NULL, "-o custom: 'stat' is no key",
	        "did you mean 'state'?");
	refused("custom=name,", NULL, NULL, "-o custom: '' is no key", "");
	refused(NULL, "size", NULL,
	        "--sort: 'size' is no key of this list; it has name, state, "
	        "memory, note",
	        "");
	refused(NULL, "memry:desc", NULL, "--sort: 'memry' is no key", "did you mean 'memory'?");
	refused(NULL, "memory:down", NULL, "expected KEY, KEY:asc or KEY:desc", "");
	refused(NULL, NULL, "nam=web", "--filter: 'nam' is no key", "did you mean 'name'?");
	refused(NULL, NULL, "name", "expected KEY=VALUE", "");
	refused(NULL, NULL, "=web", "expected KEY=VALUE", "");
	refused(NULL, NULL, "name!web", "expected KEY=VALUE", "");
	for (int i = 0; i < LISTING_FILTERS_MAX; i++)
		assert_int_equal(listing_filter_parse("name=x", &o, &err), 0);
	assert_int_equal(listing_filter_parse("name=x", &o, &err), -1);
}

static void running_out_of_memory_is_an_error_at_every_allocation(void **state)
{
	bool done = false;

	(void)state;
	for (int nth = 1; !done; nth++) {
		struct listing_options o = { .form = LISTING_NAME, .sort = "name" };
		struct listing_style style = { 0 };
		struct listing *l = NULL;
		PM_FREE size_t *rows = NULL;
		PM_BUF out = { 0 };
		struct pm_error err;
		size_t n = 0;
		int rc;

		assert_true(nth < 1000);
		pm_alloc_fail_at(nth);
		rc = listing_create(&columns, &l, &err);
		for (int i = 0; rc == 0 && i < 40; i++) {
			struct json_out *j;

			for (size_t k = 0; k < columns.n; k++)
				listing_cell(l, "text", COLOR_NONE);
			j = listing_json(l);
			json_begin_object(j);
			json_end_object(j);
		}
		if (rc == 0)
			rc = listing_choose(l, &o, &rows, &n, &err);
		if (rc == 0)
			rc = listing_text(l, &o, &style, rows, n, &out, &err);
		o.form = LISTING_JSON;
		if (rc == 0)
			rc = listing_documents(l, &o, "rows", NULL, rows, n, &out, &err);
		pm_alloc_fail_at(0);
		done = rc == 0 && !out.failed;
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
		listing_destroy(l);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(e04_every_form_has_its_rows),
		cmocka_unit_test(e04_titles_go_when_nobody_wants_them),
		cmocka_unit_test(e04_numbers_are_in_order_as_numbers_and_equal_ones_as_they_came),
		cmocka_unit_test(e04_filters_are_texts_patterns_and_numbers_and_all_must_hold),
		cmocka_unit_test(e04_what_does_not_exist_is_refused_with_the_nearest),
		cmocka_unit_test(running_out_of_memory_is_an_error_at_every_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
