#include "tests/unit/unit.h"

#include "proto/http_reply.h"

static enum http_verdict read_all(struct http_reply *r, const char *needle, const char *text,
                                  size_t chunk)
{
	size_t len = strlen(text);

	http_reply_init(r, needle);
	for (size_t at = 0; at < len; at += chunk)
		if (http_reply_feed(r, text + at, PM_MIN(chunk, len - at)) != HTTP_MORE)
			break;
	return http_reply_end(r);
}

static void answers_pass_or_do_not(void **state)
{
	static const struct {
		const char *needle, *text;
		enum http_verdict verdict;
		int status;
		bool passes;
	} rows[] = {
		{ "", "HTTP/1.1 200 OK\r\n\r\n", HTTP_DONE, 200, true },
		{ "", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", HTTP_DONE, 200, true },
		{ "", "HTTP/1.0 204\n\n", HTTP_DONE, 204, true },
		{ "", "HTTP/1.1 302 Found\r\nLocation: http://else/\r\n\r\n", HTTP_DONE, 302,
		  true },
		{ "", "HTTP/1.1 404 Not Found\r\n\r\n", HTTP_DONE, 404, false },
		{ "", "HTTP/1.1 503 x\r\n\r\n", HTTP_DONE, 503, false },
		{ "", "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", HTTP_DONE,
		  200, true },
		{ "", "HTTP/1.1 101 Switching\r\n\r\n", HTTP_DONE, 101, false },
		{ "ok", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{ok}", HTTP_DONE, 200, true },
		{ "ok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{ok}", HTTP_DONE, 200, false },
		{ "ok", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", HTTP_DONE, 200, false },
		{ "ok", "HTTP/1.1 200 OK\r\n\r\nall is ok", HTTP_DONE, 200, true },
		{ "ok", "HTTP/1.1 500 OK\r\n\r\nok", HTTP_DONE, 500, false },
		{ "okok",
		  "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3;x\r\noko\r\n"
		  "A\r\nkkkkkkkkkk\r\n0\r\n\r\n",
		  HTTP_DONE, 200, true },
		{ "no", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		  HTTP_DONE, 200, false },
		{ "ok", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\no", HTTP_BAD, 200, false },
		{ "ok", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", HTTP_BAD,
		  200, false },
		{ "ok", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok", HTTP_BAD, 200, false },
		{ "", "HTTP/1.1 200 OK\r\n", HTTP_BAD, 200, false },
		{ "", "", HTTP_BAD, 0, false },
		{ "", "HTTP/2 200\r\n\r\n", HTTP_BAD, 0, false },
		{ "", "HTTP/1.1 20\r\n\r\n", HTTP_BAD, 0, false },
		{ "", "HTTP/1.1 2000\r\n\r\n", HTTP_BAD, 0, false },
		{ "", "+OK POP3 ready\r\n", HTTP_BAD, 0, false },
	};
	struct http_reply r;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++)
		for (size_t chunk = 1; chunk < 100; chunk += 33) {
			if (read_all(&r, rows[i].needle, rows[i].text, chunk) != rows[i].verdict)
				fail_msg("row %zu", i);
			assert_int_equal(r.status, rows[i].status);
			assert_int_equal(http_reply_passes(&r), rows[i].passes);
		}
}

static void what_never_ends_is_cut(void **state)
{
	static char text[2 * HTTP_BODY_MAX];
	struct http_reply r;

	(void)state;
	memset(text, 'a', sizeof(text));
	http_reply_init(&r, "");
	assert_int_equal(http_reply_feed(&r, "HTTP/1.1 200 OK\r\nX: ", 20), HTTP_MORE);
	assert_int_equal(http_reply_feed(&r, text, sizeof(text)), HTTP_BAD);
	http_reply_init(&r, "b");
	assert_int_equal(http_reply_feed(&r, "HTTP/1.1 200 OK\r\n\r\n", 19), HTTP_MORE);
	assert_int_equal(http_reply_feed(&r, text, HTTP_BODY_MAX - 1), HTTP_MORE);
	assert_int_equal(http_reply_feed(&r, text, 2), HTTP_DONE);
	assert_false(http_reply_passes(&r));
}

static void a_body_is_kept_up_to_its_bound(void **state)
{
	static char text[2 * HTTP_BODY_MAX];
	struct http_reply r;
	PM_BUF body = { 0 };

	(void)state;
	memset(text, 'a', sizeof(text));
	http_reply_init(&r, NULL);
	http_reply_keep(&r, &body);
	(void)http_reply_feed(&r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 47);
	assert_int_equal(http_reply_feed(&r, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 22), HTTP_DONE);
	assert_int_equal(body.len, 5);
	assert_memory_equal(body.bytes, "abcde", 5);
	assert_true(http_reply_passes(&r));
	pm_buf_reset(&body);
	http_reply_init(&r, NULL);
	http_reply_keep(&r, &body);
	(void)http_reply_feed(&r, "HTTP/1.1 200 OK\r\n\r\n", 19);
	assert_int_equal(http_reply_feed(&r, text, sizeof(text)), HTTP_DONE);
	assert_int_equal(body.len, HTTP_BODY_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_pass_or_do_not),
		cmocka_unit_test(what_never_ends_is_cut),
		cmocka_unit_test(a_body_is_kept_up_to_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
