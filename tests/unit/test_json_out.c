/* The JSON writer, and node's way of printing the same values. */
#include "unit.h"

#include "cli/inspect.h"
#include "cli/json_out.h"

static void commas_and_escapes_are_put_where_they_belong(void **state)
{
	PM_BUF buf = { 0 };
	struct json_out j;

	(void)state;
	json_init(&j, &buf);
	json_begin_array(&j);
	json_begin_object(&j);
	json_kstr(&j, "text", "a\"b\\c\n\t\x01\x7fé日");
	json_kint(&j, "least", INT64_MIN);
	json_kuint(&j, "most", UINT64_MAX);
	json_kint(&j, "minus", -7);
	json_kbool(&j, "yes", true);
	json_knull(&j, "none");
	json_kstr(&j, "missing", NULL);
	json_key(&j, "cpu");
	json_tenths(&j, 125);
	json_key(&j, "idle");
	json_tenths(&j, 0);
	json_key(&j, "list");
	json_begin_array(&j);
	json_uint(&j, 1);
	json_str(&j, "bad \xff byte");
	json_end_array(&j);
	json_key(&j, "raw");
	json_raw(&j, "{\"x\":1}");
	json_end_object(&j);
	json_begin_object(&j);
	json_end_object(&j);
	json_end_array(&j);
	assert_string_equal(buf.bytes,
	                    "[{\"text\":\"a\\\"b\\\\c\\n\\t\\u0001\x7fé日\","
	                    "\"least\":-9223372036854775808,\"most\":18446744073709551615,"
	                    "\"minus\":-7,\"yes\":true,\"none\":null,\"missing\":null,"
	                    "\"cpu\":12.5,\"idle\":0,"
	                    "\"list\":[1,\"bad \xef\xbf\xbd byte\"],\"raw\":{\"x\":1}},{}]");
}

static void it_is_laid_out_as_node_does(void **state)
{
	/* JSON.stringify(value, null, 2) */
	static const char flat[] = "[{\"a\":{},\"b\":[],\"c\\\"{\":[1,\"x,[:\\\\\"]},[{}]]";
	PM_BUF buf = { 0 };

	(void)state;
	json_indent(flat, sizeof(flat) - 1, &buf);
	assert_string_equal(buf.bytes, "[\n  {\n    \"a\": {},\n    \"b\": [],\n"
	                               "    \"c\\\"{\": [\n      1,\n      \"x,[:\\\\\"\n"
	                               "    ]\n  },\n  [\n    {}\n  ]\n]");
	pm_buf_reset(&buf);
	json_indent("[]", 2, &buf);
	assert_string_equal(buf.bytes, "[]");
}

static void node_prints_these_values_so(void **state)
{
	/* Every wanted text here is node v20's util.inspect(JSON.parse(json), {depth: null}). */
	static const struct {
		const char *json, *want;
	} cases[] = {
		{ "[]", "[]" },
		{ "{}", "{}" },
		{ "[0,3]", "[ 0, 3 ]" },
		{ "[\"a\", \"b\"]", "[ 'a', 'b' ]" },
		{ "{\"msg\":\"pong\"}", "{ msg: 'pong' }" },
		{ "\"it's\"", "\"it's\"" },
		{ "\"it's \\\"q\\\"\"", "`it's \"q\"`" },
		{ "\"it's \\\"q\\\" ${x}\"", "'it\\'s \"q\" ${x}'" },
		{ "\"\\u0001\\n\\u007f\\u0085\"", "'\\x01\\n\\x7F\\x85'" },
		{ "{\"a b\":1,\"km:x\":-2.5,\"_y\":null,\"9z\":true}",
		  "{ 'a b': 1, 'km:x': -2.5, _y: null, '9z': true }" },
		{ "[0,1,2,3,4,5,6,7,8,9,10]", "[\n   0, 1, 2, 3, 4,\n   5, 6, 7, 8, 9,\n  10\n]" },
		{ "{\"a\":{\"b\":{\"c\":{}}}}", "{ a: { b: { c: {} } } }" },
		{ "{\"a\":{\"b\":{\"c\":{\"d\":1}}}}", "{\n  a: { b: { c: { d: 1 } } }\n}" },
		{ "{\"action_name\":\"km:heapdump\",\"action_type\":\"internal\",\"arity\":2}",
		  "{ action_name: 'km:heapdump', action_type: 'internal', arity: 2 }" },
		{ "[{\"action_name\":\"km:cpu:profiling:start\",\"action_type\":\"internal\","
		  "\"arity\":2}]",
		  "[\n  {\n    action_name: 'km:cpu:profiling:start',\n    action_type: 'internal',\n"
		  "    arity: 2\n  }\n]" },
		{ "{\"t\":\"line one of a longer text that is broken\\nline two of the same rather longer "
		  "text\"}",
		  "{\n  t: 'line one of a longer text that is broken\\n' +\n"
		  "    'line two of the same rather longer text'\n}" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_BUF out = { 0 };
		struct pm_error err;

		assert_int_equal(inspect_json(cases[i].json, strlen(cases[i].json), &out, &err), 0);
		assert_string_equal(out.bytes, cases[i].want);
	}
}

static void what_is_not_json_is_refused(void **state)
{
	static const char *const cases[] = { "",        "[",      "[1,]",  "{\"a\"}",   "{a:1}",
		                             "\"\\x\"", "\"open", "[1] 2", "\"\\u12\"", "nul" };
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_BUF out = { 0 };

		assert_int_equal(inspect_json(cases[i], strlen(cases[i]), &out, &err), -1);
		assert_int_equal(err.code, PM_CORRUPT);
		assert_int_equal(out.len, 0);
	}
}

static void nesting_has_a_limit(void **state)
{
	char json[4 * INSPECT_DEPTH_MAX];
	PM_BUF out = { 0 };
	struct pm_error err;

	(void)state;
	memset(json, '[', sizeof(json));
	assert_int_equal(inspect_json(json, sizeof(json), &out, &err), -1);
	assert_int_equal(err.code, PM_CORRUPT);
}

static void memory_may_run_out_anywhere(void **state)
{
	static const char json[] = "{\"a\":[1,2,3,4,5,6,7,8],\"b\":{\"c\":\"text\"}}";
	unsigned nth = 1;
	int rc;

	(void)state;
	do {
		PM_BUF out = { 0 };
		struct pm_error err;

		pm_alloc_fail_at(nth++);
		rc = inspect_json(json, strlen(json), &out, &err);
		pm_alloc_fail_at(0);
		if (rc < 0)
			assert_int_equal(err.code, PM_NO_MEMORY);
	} while (rc < 0);
	assert_true(nth > 10);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_and_escapes_are_put_where_they_belong),
		cmocka_unit_test(it_is_laid_out_as_node_does),
		cmocka_unit_test(node_prints_these_values_so),
		cmocka_unit_test(what_is_not_json_is_refused),
		cmocka_unit_test(nesting_has_a_limit),
		cmocka_unit_test(memory_may_run_out_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
