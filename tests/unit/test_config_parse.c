#include "tests/unit/unit.h"

#include "cli/config_parse.h"

typedef int parse_fn(const char *bytes, size_t len, struct doc *doc, const struct doc_node **root,
                     struct config_place *place, struct pm_error *err);

static void expect_values(parse_fn *parse, const char *const (*cases)[2], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		PM_DOC *doc = doc_create(1u << 20);
		const struct doc_node *root = NULL;
		struct config_place place = { 0 };
		struct pm_error err;
		PM_BUF json = { 0 };

		assert_non_null(doc);
		if (parse(cases[i][0], strlen(cases[i][0]), doc, &root, &place, &err) < 0)
			fail_msg("case %zu: %u:%u: %s", i, place.line, place.column, err.what);
		doc_to_json(root, &json);
		assert_string_equal(json.bytes, cases[i][1]);
	}
}

struct refusal {
	const char *text;
	unsigned line, column;
	enum pm_code code;
};

static void expect_errors(parse_fn *parse, const struct refusal *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		PM_DOC *doc = doc_create(1u << 20);
		const struct doc_node *root = NULL;
		struct config_place place = { 0 };
		struct pm_error err;

		assert_non_null(doc);
		if (parse(cases[i].text, strlen(cases[i].text), doc, &root, &place, &err) == 0)
			fail_msg("case %zu passed", i);
		if (place.line != cases[i].line || place.column != cases[i].column)
			fail_msg("case %zu: at %u:%u: %s", i, place.line, place.column, err.what);
		assert_int_equal(err.code, cases[i].code);
	}
}

static void json_is_read_as_javascript_reads_it(void **state)
{
	static const char *const cases[][2] = {
		{ "{}", "{}" },
		{ "\xef\xbb\xbf[1, 2 ,]", "[1,2]" },
		{ "// c\n{a:1, /* d\n */ $b_1: 'x', \"c d\": null, 5: true,}",
		  "{\"a\":1,\"$b_1\":\"x\",\"c d\":null,\"5\":true}" },
		{ "[0x1F, 0b11, 0o17, .5, 5., -1e3, +2, 1E-7]", "[31,3,15,0.5,5,-1000,2,1e-7]" },
		{ "[NaN, Infinity, -Infinity, undefined]", "[null,null,null,null]" },
		{ "'a\\'b\"\\x41\\u00e9\\ud83d\\ude00\\\nc'", "\"a'b\\\"A\xc3\xa9\xf0\x9f\x98\x80"
		                                              "c\"" },
		{ "{a:{b:[{c:[]}]}}", "{\"a\":{\"b\":[{\"c\":[]}]}}" },
		{ "'a\\tb\\u0001'", "\"a\\tb\\u0001\"" },
	};

	(void)state;
	expect_values(config_parse_json, cases, PM_COUNT(cases));
}

static void json_errors_say_where(void **state)
{
	static const struct refusal cases[] = {
		{ "", 1, 1, PM_CONFIG },
		{ "{\n  a: 1\n  b: 2}", 3, 3, PM_CONFIG },
		{ "{a: 1", 1, 6, PM_CONFIG },
		{ "[1, 2}", 1, 6, PM_CONFIG },
		{ "{a 1}", 1, 4, PM_CONFIG },
		{ "['x\n']", 1, 4, PM_CONFIG },
		{ "/* x", 1, 4, PM_CONFIG },
		{ "[1] 2", 1, 5, PM_CONFIG },
		{ "[,]", 1, 2, PM_CONFIG },
		{ "['\\u0000']", 1, 5, PM_CONFIG },
		{ "['\\ud800']", 1, 5, PM_CONFIG },
		{ "[12x]", 1, 2, PM_CONFIG },
		{ "{a: process.env.X}", 1, 5, PM_UNSUPPORTED },
		{ "{a: 1 + 1}", 1, 7, PM_UNSUPPORTED },
		{ "{a: 'x'.trim()}", 1, 8, PM_UNSUPPORTED },
		{ "{...a}", 1, 2, PM_UNSUPPORTED },
		{ "{[a]: 1}", 1, 2, PM_UNSUPPORTED },
		{ "{a, b}", 1, 3, PM_UNSUPPORTED },
		{ "{a() {}}", 1, 3, PM_UNSUPPORTED },
		{ "[`x`]", 1, 2, PM_UNSUPPORTED },
		{ "[/x/]", 1, 2, PM_UNSUPPORTED },
		{ "[1_000]", 1, 2, PM_UNSUPPORTED },
	};

	(void)state;
	expect_errors(config_parse_json, cases, PM_COUNT(cases));
}

static void yaml_is_read_as_js_yaml_reads_it(void **state)
{
	static const char *const cases[][2] = {
		{ "a: 1\nb: [x, 'y', \"z\\n\"]", "{\"a\":1,\"b\":[\"x\",\"y\",\"z\\n\"]}" },
		{ "[yes, no, on, true, False, ~, null, Null]",
		  "[\"yes\",\"no\",\"on\",true,false,null,null,null]" },
		{ "[0x1F, 0o17, 010, 1.10, -2, +3, 1e3, .5, .inf, 1.2.3, 12:30]",
		  "[31,15,10,1.1,-2,3,1000,0.5,null,\"1.2.3\",\"12:30\"]" },
		{ "['1', \"true\", !!str 5, !!int '7']", "[\"1\",\"true\",\"5\",7]" },
		{ "a: |\n  x\n  y\nb: >-\n  x\n  y", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}" },
		{ "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3",
		  "{\"a\":{\"x\":1,\"y\":2},\"b\":{\"x\":1,\"y\":3}}" },
		{ "b: {<<: [{x: 1}, {x: 2, z: 3}], y: 4}", "{\"b\":{\"z\":3,\"x\":1,\"y\":4}}" },
		{ "a: &s text\nb: *s", "{\"a\":\"text\",\"b\":\"text\"}" },
		{ "---\n# c\na:\n", "{\"a\":null}" },
	};

	(void)state;
	expect_values(config_parse_yaml, cases, PM_COUNT(cases));
}

static void yaml_errors_say_where(void **state)
{
	static const struct refusal cases[] = {
		{ "", 1, 1, PM_CONFIG },
		{ "a: 1\na: 2", 2, 1, PM_CONFIG },
		{ "a: [1", 2, 1, PM_CONFIG },
		{ "a: *b", 1, 4, PM_CONFIG },
		{ "a: &a [*a]", 1, 8, PM_CONFIG },
		{ "a: !x 1", 1, 4, PM_CONFIG },
		{ "? [a]\n: 1", 1, 3, PM_CONFIG },
		{ "a: 1\n---\nb: 2", 3, 1, PM_CONFIG },
		{ "a: {<<: 3}", 1, 10, PM_CONFIG },
		{ "a: \"\\0\"", 1, 4, PM_CONFIG },
	};

	(void)state;
	expect_errors(config_parse_yaml, cases, PM_COUNT(cases));
}

static void values_know_their_places(void **state)
{
	static const char json[] = "{\n  apps: [\n    {name: 'x'}]}";
	static const char yaml[] = "apps:\n  - name: x\n";
	static const struct {
		parse_fn *parse;
		const char *text;
		unsigned line, column;
	} cases[] = { { config_parse_json, json, 3, 12 }, { config_parse_yaml, yaml, 2, 11 } };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_DOC *doc = doc_create(1u << 20);
		const struct doc_node *root = NULL;
		struct config_place place;
		struct pm_error err;

		assert_int_equal(cases[i].parse(cases[i].text, strlen(cases[i].text), doc, &root,
		                                &place, &err),
		                 0);
		root = doc_get(doc_get(root, "apps")->first, "name");
		assert_int_equal(root->line, cases[i].line);
		assert_int_equal(root->column, cases[i].column);
		assert_int_equal(root->name_line, cases[i].line);
	}
}

/* Nesting, and anchors that double ten times a line, meet their limits instead of the stack. */
static void hostile_files_are_refused(void **state)
{
	static const struct {
		parse_fn *parse;
		const char *unit;
		size_t n;
	} cases[] = {
		{ config_parse_json, "[", 100000 },
		{ config_parse_json, "{a:", 100000 },
		{ config_parse_yaml, "[", 100000 },
		{ config_parse_yaml, "- ", 1000 },
	};
	PM_BUF text = { 0 };
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_DOC *doc = doc_create(1u << 20);
		const struct doc_node *root = NULL;
		struct config_place place = { 0 };

		pm_buf_reset(&text);
		for (size_t k = 0; k < cases[i].n; k++)
			pm_buf_str(&text, cases[i].unit);
		assert_int_equal(cases[i].parse(text.bytes, text.len, doc, &root, &place, &err),
		                 -1);
		assert_int_equal(err.code, PM_LIMIT);
	}
	pm_buf_reset(&text);
	pm_buf_str(&text, "a0: &a0 [x, x]\n");
	for (int i = 1; i < 40; i++)
		pm_buf_printf(&text, "a%d: &a%d [*a%d, *a%d]\n", i, i, i - 1, i - 1);
	{
		PM_DOC *doc = doc_create(1u << 20);
		const struct doc_node *root = NULL;
		struct config_place place = { 0 };

		assert_int_equal(config_parse_yaml(text.bytes, text.len, doc, &root, &place, &err),
		                 -1);
		assert_int_equal(err.code, PM_LIMIT);
		assert_true(doc_is_full(doc));
	}
}

static void running_out_of_memory_is_an_error_like_others(void **state)
{
	static const char text[] = "{\"a\": [1, \"x\\n\", {\"b\": null}], \"c\": {\"d\": [true]}}";
	static parse_fn *const parsers[] = { config_parse_json, config_parse_yaml };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(parsers); i++) {
		bool done = false;

		for (unsigned n = 1; !done && n < 100; n++) {
			PM_DOC *doc = doc_create(1u << 20);
			const struct doc_node *root = NULL;
			struct config_place place = { 0 };
			struct pm_error err = { 0 };

			assert_non_null(doc);
			pm_alloc_fail_at(n);
			done = parsers[i](text, strlen(text), doc, &root, &place, &err) == 0;
			pm_alloc_fail_at(0);
			if (!done)
				assert_int_equal(err.code, PM_NO_MEMORY);
		}
		assert_true(done);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_is_read_as_javascript_reads_it),
		cmocka_unit_test(json_errors_say_where),
		cmocka_unit_test(yaml_is_read_as_js_yaml_reads_it),
		cmocka_unit_test(yaml_errors_say_where),
		cmocka_unit_test(values_know_their_places),
		cmocka_unit_test(running_out_of_memory_is_an_error_like_others),
		cmocka_unit_test(hostile_files_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
