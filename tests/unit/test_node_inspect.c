/* Where the debugger of each worker listens. */
#include "tests/unit/unit.h"

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
		{ NULL, "\t--inspect", 9229 },
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_worker_has_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
