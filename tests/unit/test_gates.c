/* Gates between the batches of a rollout (F-25): what is taken for one, whom they may ask, and what
 * a Prometheus says. */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>

#include "coordinator/gates.h"

static int parse(const char *text, struct rollout_gate *g, struct pm_error *err)
{
	return rollout_gate_parse(text, strlen(text), g, err);
}

static void f25_gates_are_read(void **state)
{
	struct rollout_gate g;
	struct pm_error err;

	(void)state;
	assert_int_equal(parse("  exec check-lb ", &g, &err), 0);
	assert_int_equal(g.kind, ROLLOUT_GATE_EXEC);
	assert_string_equal(g.value, "check-lb");
	assert_string_equal(g.text, "exec check-lb");
	assert_int_equal(parse("http http://lb:8080/health?full=1", &g, &err), 0);
	assert_int_equal(g.kind, ROLLOUT_GATE_HTTP);
	assert_string_equal(g.at.host, "lb");
	assert_int_equal(g.at.port, 8080);
	assert_string_equal(g.value, "/health?full=1");
	assert_int_equal(parse("http http://[::1]", &g, &err), 0);
	assert_string_equal(g.at.host, "::1");
	assert_int_equal(g.at.port, 80);
	assert_string_equal(g.value, "/");
	assert_int_equal(parse("prom up{job=\"api\"} > 0.99", &g, &err), 0);
	assert_int_equal(g.kind, ROLLOUT_GATE_PROM);
	assert_string_equal(g.value, "up{job=\"api\"}");
	assert_int_equal(g.op, ROLLOUT_GATE_MORE);
	assert_true(g.number > 0.98 && g.number < 1);
	assert_int_equal(parse("prom sum(rate(errors[5m])) / 2  <=  -1e3", &g, &err), 0);
	assert_string_equal(g.value, "sum(rate(errors[5m])) / 2");
	assert_int_equal(g.op, ROLLOUT_GATE_LESS_OR_EQUAL);
}

static void f25_what_is_none_is_refused_in_words(void **state)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{ "exec ./check.sh", "not the name of a gate" },
		{ "exec ../../bin/sh", "not the name of a gate" },
		{ "exec check; rm", "not the name of a gate" },
		{ "exec check arg", "not the name of a gate" },
		{ "exec .hidden", "not the name of a gate" },
		{ "exec -x", "not the name of a gate" },
		{ "exec", "not exec, http or prom" },
		{ "https https://lb/health", "not exec, http or prom" },
		{ "http https://lb/health", "no TLS" },
		{ "http ftp://lb/", "not an http:// URL" },
		{ "http http:///health", "no host" },
		{ "http http://user:pw@lb/", "more than a host" },
		{ "http http://lb:99999/", "gate" },
		{ "http http://lb/a b", "%XX" },
		{ "http http://lb/\r\nX: y", "control character" },
		{ "http http://lb/#top", "%XX" },
		{ "prom up", "an expression, an operator and a number" },
		{ "prom > 1", "an expression, an operator and a number" },
		{ "prom up => 1", "an expression, an operator and a number" },
		{ "prom up > one", "an expression, an operator and a number" },
		{ "prom up > nan", "an expression, an operator and a number" },
		{ "prom up > 1x", "an expression, an operator and a number" },
		{ "", "not exec, http or prom" },
	};
	char longest[ROLLOUT_GATE_BYTES + 1] = "exec ";
	struct rollout_gate g;
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		assert_int_equal(parse(rows[i].text, &g, &err), -1);
		if (strstr(err.what, rows[i].words) == NULL)
			fail_msg("%s: %s", rows[i].text, err.what);
	}
	memset(longest + 5, 'a', sizeof(longest) - 6);
	longest[ROLLOUT_GATE_BYTES] = '\0';
	assert_int_equal(parse(longest, &g, &err), -1);
	longest[ROLLOUT_GATE_BYTES - 1] = '\0';
	assert_int_equal(parse(longest, &g, &err), 0);
}

static void f25_several_are_a_line_each_and_replace_those_before(void **state)
{
	struct rollout_params p;
	struct rollout_gate g;
	struct pm_error err;
	char many[400];
	size_t at = 0;

	(void)state;
	rollout_params_default(&p);
	assert_false(rollout_params_gate(&p, 0, &g));
	assert_int_equal(rollout_params_set(&p, "gates", "exec a\n exec b \n", &err), 0);
	assert_true(rollout_params_gate(&p, 0, &g));
	assert_string_equal(g.value, "a");
	assert_true(rollout_params_gate(&p, 1, &g));
	assert_string_equal(g.value, "b");
	assert_false(rollout_params_gate(&p, 2, &g));
	assert_int_equal(rollout_params_set(&p, "gate", "exec a\nexec ./b", &err), -1);
	assert_true(rollout_params_gate(&p, 1, &g)); /* as it was */
	assert_int_equal(rollout_params_set(&p, "gate", "exec c", &err), 0);
	assert_false(rollout_params_gate(&p, 1, &g));
	assert_int_equal(rollout_params_set(&p, "gate", "", &err), 0);
	assert_false(rollout_params_gate(&p, 0, &g));
	for (unsigned i = 0; i < ROLLOUT_GATES_MAX; i++)
		at += (size_t)snprintf(many + at, sizeof(many) - at, "exec a\n");
	assert_int_equal(rollout_params_set(&p, "gate", many, &err), 0);
	(void)snprintf(many + at, sizeof(many) - at, "exec a");
	assert_int_equal(rollout_params_set(&p, "gate", many, &err), -1);
}

static void f25_samples_are_compared(void **state)
{
	static const struct {
		const char *gate;
		bool less, same, more;
	} rows[] = {
		{ "prom x < 1", true, false, false },  { "prom x <= 1", true, true, false },
		{ "prom x > 1", false, false, true },  { "prom x >= 1", false, true, true },
		{ "prom x == 1", false, true, false }, { "prom x != 1", true, false, true },
	};
	struct rollout_gate g;
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		assert_int_equal(parse(rows[i].gate, &g, &err), 0);
		assert_int_equal(rollout_gate_holds(&g, 0.5), rows[i].less);
		assert_int_equal(rollout_gate_holds(&g, 1), rows[i].same);
		assert_int_equal(rollout_gate_holds(&g, 1.5), rows[i].more);
		assert_false(rollout_gate_holds(&g, (double)NAN));
	}
}

static bool may_ask(const struct gates_config *c, const char *address)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
		return gates_may_ask(c, (struct sockaddr *)&v4);
	assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
	return gates_may_ask(c, (struct sockaddr *)&v6);
}

static void f25_only_addresses_that_were_allowed_are_asked(void **state)
{
	static const char *const bad[] = { "",     "lb",      "10.0.0.0/33", "10.0.0.0/-1",
		                           "10/8", "::1/129", "10.0.0.0/",   "10.0.0.0/8x" };
	struct gates_config c = { .n_allow = 0 };
	struct pm_error err;

	(void)state;
	assert_false(may_ask(&c, "127.0.0.1"));
	for (size_t i = 0; i < PM_COUNT(bad); i++)
		if (gates_allow(&c, bad[i], &err) == 0)
			fail_msg("%s is taken", bad[i]);
	assert_int_equal(gates_allow(&c, "10.1.16.0/20", &err), 0);
	assert_int_equal(gates_allow(&c, "192.168.7.9", &err), 0);
	assert_int_equal(gates_allow(&c, "fd00:1::/32", &err), 0);
	assert_true(may_ask(&c, "10.1.16.0") && may_ask(&c, "10.1.31.255"));
	assert_false(may_ask(&c, "10.1.15.255") || may_ask(&c, "10.1.32.0"));
	assert_true(may_ask(&c, "192.168.7.9") && !may_ask(&c, "192.168.7.8"));
	assert_true(may_ask(&c, "::ffff:192.168.7.9")); /* the same host, in other clothes */
	assert_true(may_ask(&c, "fd00:1:2::3") && !may_ask(&c, "fd00:2::3"));
	assert_false(may_ask(&c, "169.254.169.254") || may_ask(&c, "::1"));
	for (unsigned i = c.n_allow; i < GATES_ALLOW_MAX; i++)
		assert_int_equal(gates_allow(&c, "::1", &err), 0);
	assert_int_equal(gates_allow(&c, "::1", &err), -1);
	/* All there is: only that is everything. */
	c.n_allow = 0;
	assert_int_equal(gates_allow(&c, "0.0.0.0/0", &err), 0);
	assert_true(may_ask(&c, "8.8.8.8") && !may_ask(&c, "2001:db8::1"));
}

static void f25_what_is_not_allowed_is_refused_with_what_to_add(void **state)
{
	struct gates_config c = { .dir = "/nonexistent" };
	struct rollout_params p;
	struct pm_error err;

	(void)state;
	rollout_params_default(&p);
	assert_int_equal(gates_check(&c, &p, &err), 0);
	assert_int_equal(rollout_params_set(&p, "gate", "http http://lb/", &err), 0);
	assert_int_equal(gates_check(&c, &p, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	assert_non_null(strstr(err.hint, "--gate-allow"));
	assert_int_equal(gates_allow(&c, "::1", &err), 0);
	assert_int_equal(gates_check(&c, &p, &err), 0);
	assert_int_equal(rollout_params_set(&p, "gate", "http http://lb/\nprom up > 0", &err), 0);
	assert_int_equal(gates_check(&c, &p, &err), -1);
	assert_non_null(strstr(err.hint, "--prometheus"));
	assert_int_equal(gates_set_prometheus(&c, "http://prom:9090/base/", &err), 0);
	assert_string_equal(c.prometheus_path, "/base");
	assert_int_equal(gates_check(&c, &p, &err), 0);
	assert_int_equal(gates_set_prometheus(&c, "https://prom", &err), -1);
	assert_int_equal(gates_set_prometheus(&c, "http://prom/?a=b", &err), -1);
	assert_int_equal(rollout_params_set(&p, "gate", "exec check", &err), 0);
	assert_int_equal(gates_check(&c, &p, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
}

#define VECTOR(samples) \
	"{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[" samples "]}}"
#define SAMPLE(value) "{\"metric\":{\"job\":\"api\"},\"value\":[1700000000.1," value "]}"

static void f25_answers_of_a_prometheus(void **state)
{
	static const struct {
		const char *json;
		bool passes;
		const char *words;
	} rows[] = {
		{ VECTOR(SAMPLE("\"1\"")), true, "1 sample" },
		{ VECTOR(SAMPLE("\"1\"") "," SAMPLE("\"1.5\"")), true, "2 samples" },
		{ VECTOR(SAMPLE("\"1\"") "," SAMPLE("\"0.5\"") "," SAMPLE("\"0.1\"")), false,
		  "2 of 3 samples do not hold: 0.5" },
		{ VECTOR(SAMPLE("\"NaN\"")), false, "NaN" },
		{ VECTOR(SAMPLE("\"+Inf\"")), true, "1 sample" },
		{ VECTOR(""), false, "no such sample" },
		{ VECTOR(SAMPLE("1")), false, "no value" },
		{ VECTOR(SAMPLE("\"\"")), false, "no value" },
		{ VECTOR(SAMPLE("\"1 \"")), false, "no value" },
		{ VECTOR("7"), false, "no value" },
		{ "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\","
		  "\"result\":[1,\"2\"]}}",
		  true, "it is 2" },
		{ "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\","
		  "\"result\":[1,\"0\"]}}",
		  false, "it is 0" },
		{ "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}",
		  false, "no value at one time" },
		{ "{\"status\":\"error\",\"error\":\"parse error: no\"}", false,
		  "parse error: no" },
		{ "{\"status\":1}", false, "not an answer" },
		{ "[]", false, "not an answer" },
		{ "{\"status\":\"success\"}", false, "no value at one time" },
		{ "{\"status\":\"succ", false, "not JSON" },
		{ "", false, "not JSON" },
	};
	struct rollout_gate g;
	struct pm_error err;

	(void)state;
	assert_int_equal(parse("prom up > 0.9", &g, &err), 0);
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		char words[GATE_WORDS_MAX] = "";

		if (gate_prom_passes(&g, rows[i].json, strlen(rows[i].json), words,
		                     sizeof(words)) != rows[i].passes ||
		    strstr(words, rows[i].words) == NULL)
			fail_msg("%s: %s", rows[i].json, words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f25_gates_are_read),
		cmocka_unit_test(f25_what_is_none_is_refused_in_words),
		cmocka_unit_test(f25_several_are_a_line_each_and_replace_those_before),
		cmocka_unit_test(f25_samples_are_compared),
		cmocka_unit_test(f25_only_addresses_that_were_allowed_are_asked),
		cmocka_unit_test(f25_what_is_not_allowed_is_refused_with_what_to_add),
		cmocka_unit_test(f25_answers_of_a_prometheus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
