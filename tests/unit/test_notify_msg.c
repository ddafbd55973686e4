#include "tests/unit/unit.h"

#include "agent/notify_msg.h"

static struct notify_msg parse(const char *text)
{
	struct notify_msg m;

	notify_msg_parse(text, strlen(text), &m);
	return m;
}

static void what_is_known_is_heard_and_the_rest_is_not(void **state)
{
	struct notify_msg m = parse("READY=1\nMAINPID=1\nSTATUS=two clients\nWATCHDOG=1\n");

	(void)state;
	assert_true(m.ready && m.watchdog && m.has_status);
	assert_false(m.stopping || m.trigger);
	assert_string_equal(m.status, "two clients");
	m = parse("STOPPING=1");
	assert_true(m.stopping);
	m = parse("READY=11\nREADY=\n READY=1\nXREADY=1\nWATCHDOG=trigger");
	assert_false(m.ready || m.watchdog);
	assert_true(m.trigger);
	m = parse("");
	assert_false(m.ready || m.has_status);
}

static void a_status_is_short_and_plain(void **state)
{
	char text[600] = "STATUS=";
	size_t len = strlen(text);
	struct notify_msg m;

	(void)state;
	m = parse("STATUS=a\x1b[31mb\xff\xc2\x9b"
	          "c\xc3\xa4");
	assert_string_equal(m.status, "a?[31mb??c\xc3\xa4");
	for (unsigned i = 0; i < 100; i++)
		memcpy(text + len + (size_t)3 * i, "\xe2\x82\xac", 3);
	m = parse(text);
	assert_int_equal(strlen(m.status), (NOTIFY_STATUS_MAX - 1) / 3 * 3);
	m = parse("STATUS=");
	assert_true(m.has_status);
	assert_string_equal(m.status, "");
	notify_msg_parse("STATUS=a\0b", 10, &m);
	assert_string_equal(m.status, "a?b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_known_is_heard_and_the_rest_is_not),
		cmocka_unit_test(a_status_is_short_and_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
