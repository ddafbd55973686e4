#include "tests/unit/unit.h"

#include <stdbool.h>

#include "proto/listen_addr.h"

static void an_address_is_read_as_meant(void **state)
{
	static const struct {
		const char *text;
		struct listen_addr want;
	} rows[] = {
		{ "tcp://127.0.0.1:8080", { LISTEN_TCP, false, false, "127.0.0.1", 8080, "" } },
		{ "tcp://0.0.0.0:1", { LISTEN_TCP, false, false, "", 1, "" } },
		{ "tcp://:65535", { LISTEN_TCP, true, true, "", 65535, "" } },
		{ "tcp://*:80", { LISTEN_TCP, true, true, "", 80, "" } },
		{ "tcp://[::]:80", { LISTEN_TCP, true, true, "", 80, "" } },
		{ "udp://[::1]:53", { LISTEN_UDP, true, false, "::1", 53, "" } },
		{ "unix:///run/a b=c.sock",
		  { LISTEN_UNIX, false, false, "/run/a b=c.sock", 0, "" } },
		{ "unix://@abstract", { LISTEN_UNIX, false, false, "@abstract", 0, "" } },
		{ "web-1.x=tcp://:80", { LISTEN_TCP, true, true, "", 80, "web-1.x" } },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		const struct listen_addr *want = &rows[i].want;
		struct listen_addr a;
		struct pm_error err;

		if (listen_addr_parse(rows[i].text, &a, &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.what);
		assert_int_equal(a.kind, want->kind);
		assert_int_equal(a.v6, want->v6);
		assert_int_equal(a.dual, want->dual);
		assert_string_equal(a.address, want->address);
		assert_int_equal(a.port, want->port);
		assert_string_equal(a.name, want->name);
		assert_true(listen_addr_same(&a, want));
	}
}

static void what_is_no_address_is_refused_with_a_hint(void **state)
{
	static const char *const bad[] = {
		"",
		"8080",
		":8080",
		"http://:80",
		"tcp://",
		"tcp://:",
		"tcp://:0",
		"tcp://:65536",
		"tcp://:080000",
		"tcp://:8 0",
		"tcp://:-1",
		"tcp://80",
		"tcp://localhost:80",
		"tcp://1.2.3:80",
		"tcp://::1:80",
		"tcp://[127.0.0.1]:80",
		"tcp://[]:80",
		"tcp://[::1:80",
		"tcp://[::1]80",
		"TCP://:80",
		"unix://relative",
		"unix://",
		"unix:///",
		"unix:///tmp/\n",
		"=tcp://:80",
		"a b=tcp://:80",
		"a:b=tcp://:80",
		"a=b=tcp://:80",
		/* One literal of two: over what sun_path holds. */
		("unix:///a23456789a123456789a123456789a123456789a123456789a123456789a123456789a"
		 "123456789a12345678901234567890123456789"),
		"n123456789n123456789n123456789n123456789n123456789n123456789n123=tcp://:80",
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(bad); i++) {
		struct listen_addr a = { .port = 7 };
		struct pm_error err = { .hint = "" };

		if (listen_addr_parse(bad[i], &a, &err) == 0)
			fail_msg("took %s", bad[i]);
		assert_int_equal(err.code, PM_CONFIG);
		assert_int_equal(a.port, 7);
		assert_true(err.hint[0] != '\0');
	}
}

static void the_same_address_may_have_two_names(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{ "tcp://:80", "web=tcp://*:80", true }, { "tcp://:80", "udp://:80", false },
		{ "tcp://:80", "tcp://:81", false },     { "tcp://:80", "tcp://0.0.0.0:80", false },
		{ "unix:///a", "unix:///b", false },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		struct listen_addr a, b;
		struct pm_error err;

		assert_int_equal(listen_addr_parse(rows[i].a, &a, &err), 0);
		assert_int_equal(listen_addr_parse(rows[i].b, &b, &err), 0);
		assert_int_equal(listen_addr_same(&a, &b), rows[i].same);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_read_as_meant),
		cmocka_unit_test(what_is_no_address_is_refused_with_a_hint),
		cmocka_unit_test(the_same_address_may_have_two_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
