#include "tests/unit/unit.h"

#include "proto/check.h"
#include "proto/doc.h"
#include "proto/spec_builder.h"

static void checks_say_where_they_go(void **state)
{
	static const struct {
		const char *text;
		enum check_kind kind;
		enum check_family family;
		const char *address;
		uint16_t port;
		const char *path;
	} rows[] = {
		{ "notify", CHECK_NOTIFY, CHECK_NOWHERE, "", 0, "" },
		{ "exec", CHECK_EXEC, CHECK_NOWHERE, "", 0, "" },
		{ "http://:3000/healthz", CHECK_HTTP, CHECK_INET, "127.0.0.1", 3000, "/healthz" },
		{ "http://localhost:3000", CHECK_HTTP, CHECK_INET, "127.0.0.1", 3000, "/" },
		{ "http://localhost/x", CHECK_HTTP, CHECK_INET, "127.0.0.1", 80, "/x" },
		{ "http://10.0.0.1/a?b=c:1", CHECK_HTTP, CHECK_INET, "10.0.0.1", 80, "/a?b=c:1" },
		{ "http://[::1]:81/", CHECK_HTTP, CHECK_INET6, "::1", 81, "/" },
		{ "http://[::1]", CHECK_HTTP, CHECK_INET6, "::1", 80, "/" },
		{ "http://unix:/run/a.sock:/h", CHECK_HTTP, CHECK_UNIX, "/run/a.sock", 0, "/h" },
		{ "http://unix:/run/a.sock", CHECK_HTTP, CHECK_UNIX, "/run/a.sock", 0, "/" },
		{ "tcp://:5432", CHECK_CONNECT, CHECK_INET, "127.0.0.1", 5432, "" },
		{ "tcp://[::]:5432", CHECK_CONNECT, CHECK_INET6, "::1", 5432, "" },
		{ "unix:///run/a.sock", CHECK_CONNECT, CHECK_UNIX, "/run/a.sock", 0, "" },
		{ "unix://@name", CHECK_CONNECT, CHECK_UNIX, "@name", 0, "" },
	};
	struct check_target t;
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		if (check_parse(rows[i].text, &t, &err) < 0)
			fail_msg("%s", err.what);
		assert_int_equal(t.kind, rows[i].kind);
		assert_int_equal(t.family, rows[i].family);
		assert_string_equal(t.address, rows[i].address);
		assert_int_equal(t.port, rows[i].port);
		assert_string_equal(t.path, rows[i].path);
	}
}

static void what_is_no_check_is_said(void **state)
{
	static const char *const rows[] = {
		"",
		"healthz",
		"https://:1/",
		"http://example.org/",
		"http://:0/",
		"http://:99999/",
		"http://:80/a b",
		"http://:80/a\r\nX: y",
		"http://:80/\xc3\xa4",
		"http://unix:relative:/",
		"tcp://",
		"tcp://:x",
		"udp://:53",
		"unix://relative",
		"exec ./x", /* the builder splits it */
	};
	struct check_target t = { .port = 7 };
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		if (check_parse(rows[i], &t, &err) == 0)
			fail_msg("took \"%s\"", rows[i]);
		assert_int_equal(err.code, PM_CONFIG);
		assert_int_equal(t.port, 7);
	}
}

static struct doc_node *put(struct doc *doc, struct doc_node *map, const char *name,
                            const char *text)
{
	struct doc_node *v = doc_node(doc, DOC_TEXT, 1, 1);

	v->name = name;
	v->text = text;
	doc_append(map, v);
	return v;
}

static void an_object_says_more(void **state)
{
	PM_DOC *doc = doc_create(1 << 16);
	struct doc_node *map = doc_node(doc, DOC_MAP, 1, 1);
	struct doc_node *headers = doc_node(doc, DOC_MAP, 1, 1);
	const Pm__HealthCheck *c;
	struct spec_builder b;
	struct pm_error err;
	char text[64];

	(void)state;
	assert_int_equal(spec_builder_init(&b, &err), 0);
	put(doc, map, "check", "http://:3000/healthz");
	put(doc, map, "period", "10s");
	put(doc, map, "fail", "5");
	put(doc, map, "body", "fine");
	headers->name = "headers";
	put(doc, headers, "Host", "example.org");
	doc_append(map, headers);
	assert_int_equal(spec_set(&b, spec_key_find("ready"), map, &err), 0);
	c = b.spec->ready;
	assert_string_equal(c->what, "http://:3000/healthz");
	assert_int_equal(c->period_ms, 10000);
	assert_int_equal(c->timeout_ms, 2000);
	assert_int_equal(c->fail, 5);
	assert_int_equal(c->ok, 1);
	assert_string_equal(c->body, "fine");
	assert_string_equal(c->headers[0], "Host: example.org");
	put(doc, headers, "X", "a\r\nEvil: yes");
	assert_int_equal(spec_set(&b, spec_key_find("ready"), map, &err), -1);
	assert_non_null(strstr(err.what, "ready.headers"));
	assert_non_null(b.spec->ready); /* as it was */
	assert_int_equal(
		spec_set_option(&b, spec_key_find("live"), "exec ./c.sh 'a b'", false, &err), 0);
	assert_int_equal(b.spec->live->n_argv, 2);
	assert_int_equal(b.spec->live->period_ms, 10000);
	check_text(b.spec->live, text, sizeof(text));
	assert_string_equal(text, "exec ./c.sh a b");
	assert_int_equal(spec_set_option(&b, spec_key_find("live"), "none", false, &err), 0);
	assert_null(b.spec->live);
	spec_builder_finish(&b);
}

static void what_does_not_go_together_is_refused(void **state)
{
	static const struct {
		const char *key, *name, *value, *words;
	} rows[] = {
		{ "ready", "period", "1ms", "ready.period: expected 100" },
		{ "ready", "period", "never", "ready.period: expected a duration" },
		{ "live", "timeout", "1h", "live.timeout: expected 10" },
		{ "live", "fail", "0", "live.fail" },
		{ "live", "body", "x", "only an http check" },
		{ "ready", "retries", "1", "ready.retries: expected one of check" },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		PM_DOC *doc = doc_create(1 << 16);
		struct doc_node *map = doc_node(doc, DOC_MAP, 1, 1);
		struct spec_builder b;
		struct pm_error err;

		assert_int_equal(spec_builder_init(&b, &err), 0);
		put(doc, map, "check", "tcp://:80");
		put(doc, map, rows[i].name, rows[i].value);
		assert_int_equal(spec_set(&b, spec_key_find(rows[i].key), map, &err), -1);
		if (strstr(err.what, rows[i].words) == NULL)
			fail_msg("%s", err.what);
		spec_builder_finish(&b);
	}
}

static void running_out_of_memory_leaves_the_check_before(void **state)
{
	PM_DOC *doc = doc_create(1 << 16);
	struct doc_node *map = doc_node(doc, DOC_MAP, 1, 1);
	struct doc_node *headers = doc_node(doc, DOC_MAP, 1, 1);
	struct spec_builder b;
	struct pm_error err;
	int rc = -1;

	(void)state;
	put(doc, map, "check", "http://:1/");
	put(doc, map, "body", "fine");
	headers->name = "headers";
	put(doc, headers, "Host", "example.org");
	doc_append(map, headers);
	assert_int_equal(spec_builder_init(&b, &err), 0);
	assert_int_equal(spec_set_option(&b, spec_key_find("ready"), "exec a b", false, &err), 0);
	for (unsigned n = 1; rc < 0; n++) {
		pm_alloc_fail_at(n);
		rc = spec_set(&b, spec_key_find("ready"), map, &err);
		pm_alloc_fail_at(0);
		assert_int_equal(rc < 0 ? err.code : PM_NO_MEMORY, PM_NO_MEMORY);
		assert_string_equal(b.spec->ready->what, rc < 0 ? "exec" : "http://:1/");
	}
	spec_builder_finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checks_say_where_they_go),
		cmocka_unit_test(what_is_no_check_is_said),
		cmocka_unit_test(an_object_says_more),
		cmocka_unit_test(what_does_not_go_together_is_refused),
		cmocka_unit_test(running_out_of_memory_leaves_the_check_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
