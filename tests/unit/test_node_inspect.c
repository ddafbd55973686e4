/* Where the debugger of each worker listens. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "agent/node_inspect.h"

static unsigned port(const char *arg, const char *options, unsigned worker, unsigned generation)
{
	char *args[] = { (char *)(uintptr_t) "--no-warnings", (char *)(uintptr_t)arg };

	return node_inspect_port(args, arg == NULL ? 1 : 2, options, worker, generation);
}

static void each_worker_has_its_own(void **state)
{
	static const struct {
		const char *arg, *options;
		unsigned want; /* of the first worker in its first generation; 0: none */
	} cases[] = {
		{ NULL, NULL, 0 },
		{ NULL, "", 0 },
		{ "--inspectors", "--inspection=9 --no-inspect", 0 },
		{ "--inspect-publish-uid=http", NULL, 0 },
		{ "--inspect", NULL, 9229 },
		{ "--inspect-brk", NULL, 9229 },
		{ "--inspect-wait=9300", NULL, 9300 },
		{ "--inspect=9300", NULL, 9300 },
		{ "--inspect=0.0.0.0:9300", NULL, 9300 },
		{ "--inspect=localhost", NULL, 9229 },
		{ "--inspect=host7", NULL, 9229 },
		{ "--inspect=[::1]:9300", NULL, 9300 },
		{ "--inspect=[::1]", NULL, 9229 },
		{ "--inspect-port=9301", NULL, 9301 },
		{ "--inspect=", NULL, 9229 },
		{ "--inspect=0", NULL, 0 },
		{ "--inspect=127.0.0.1:0", NULL, 0 },
		{ "--inspect=65535", NULL, 65535 },
		{ "--inspect=65536", NULL, 0 },
		{ "--inspect=4294967296", NULL, 9229 }, /* node refuses it itself */
		{ NULL, "--no-warnings  --inspect=9500 ", 9500 },
		{ NULL, "\t--inspect", 0 }, /* node knows no such option */
		{ "--inspect_port=9301", NULL, 9301 },
		{ "--inspect_brk", NULL, 9229 },
		{ "__inspect", NULL, 0 },
		{ NULL, "--inspect-port 9501", 9501 },
		{ NULL, "--inspect-port  \"127.0.0.1:9501\" --inspect", 9501 },
		{ NULL, "--debug-port", 9229 },
		{ "--inspect", "--inspect-port", 9229 },
		{ NULL, "\"--inspect=9502\"", 9502 },
		{ NULL, "--require \"./a b.js\" --insp\"ect=9\"503", 9503 },
		{ NULL, "--title=\"a --inspect=9504\"", 0 },
		{ NULL, "--title=\"a\\\" --inspect=9504\"", 0 },
		{ NULL, "\"--inspect=95\\04\"", 9504 },
		{ NULL, "\"--inspect\\", 0 }, /* no end of it: node refuses it itself */
		{ "--inspect", "--inspect=9500", 9500 },
		{ "--inspect=9300", "--inspect=9500", 9300 },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++)
		assert_int_equal(port(cases[i].arg, cases[i].options, 0, 0), cases[i].want);
	assert_int_equal(port("--inspect", NULL, 0, 1), 9230);
	assert_int_equal(port("--inspect", NULL, 1, 0), 9231);
	assert_int_equal(port("--inspect", NULL, 7, 1), 9244);
	assert_int_equal(port("--inspect=65535", NULL, 0, 1), 0);
	assert_int_equal(port("--inspect", NULL, UINT32_MAX, 1), 0);
}

static void a_port_may_be_an_argument_of_its_own(void **state)
{
	static const char *const args[] = { "--inspect", "--inspect-port", "9310", "--debug-port" };
	char long_option[1000] = "--title=";

	(void)state;
	assert_int_equal(
		node_inspect_port((char *const *)(uintptr_t)args, PM_COUNT(args), NULL, 1, 0),
		9312);
	memset(long_option + strlen(long_option), 'x', 900);
	(void)snprintf(long_option + 900, sizeof(long_option) - 900, " --inspect=9311");
	assert_int_equal(node_inspect_port(NULL, 0, long_option, 0, 0), 9311);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_worker_has_its_own),
		cmocka_unit_test(a_port_may_be_an_argument_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
