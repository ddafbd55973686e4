/* What is preloaded into workers: where it is found, and how node is told. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/preload.h"

static void options_name_the_file_before_the_users_own(void **state)
{
	static const struct {
		const char *path, *theirs, *want; /* NULL: not to be preloaded */
	} cases[] = {
		{ "/a/b.cjs", NULL, "--require \"/a/b.cjs\"" },
		{ "/a/b.cjs", "", "--require \"/a/b.cjs\"" },
		{ "/a/b.cjs", "--no-warnings -r x", "--require \"/a/b.cjs\" --no-warnings -r x" },
		{ "/a b/\"c\\d", NULL, "--require \"/a b/\\\"c\\\\d\"" },
		{ "/a\nb", NULL, NULL },
		{ "/a", "--permission --allow-fs-read=/app", NULL },
		{ "/a", "--no-warnings --experimental-permission", NULL },
	};

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		PM_BUF out = { 0 };

		if (cases[i].want == NULL) {
			assert_false(preload_node_options(cases[i].path, cases[i].theirs, &out));
			continue;
		}
		assert_true(preload_node_options(cases[i].path, cases[i].theirs, &out));
		assert_string_equal(out.bytes, cases[i].want);
	}
}

static void nothing_is_promised_without_memory(void **state)
{
	PM_BUF out = { 0 };

	(void)state;
	pm_alloc_fail_at(1);
	assert_false(preload_node_options("/a/b.cjs", "--no-warnings", &out));
	pm_alloc_fail_at(0);
}

static void touch(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static void a_file_is_found_beside_the_program(void **state)
{
	char folder[] = "/tmp/preload-XXXXXX", program[64], file[64], found[256] = "as before";

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(program, sizeof(program), "%s/pmd", folder);
	(void)snprintf(file, sizeof(file), "%s/%s", folder, PRELOAD_DRAIN);
	assert_false(preload_find(program, PRELOAD_DRAIN, false, found, sizeof(found)));
	assert_string_equal(found, "as before");
	touch(file, 0644);
	assert_false(preload_find(program, PRELOAD_SHIM, false, found, sizeof(found)));
	assert_true(preload_find(program, PRELOAD_DRAIN, false, found, sizeof(found)));
	assert_string_equal(found, file);
	assert_false(preload_find(program, PRELOAD_DRAIN, false, found, strlen(file)));
	assert_false(preload_find("pmd", PRELOAD_DRAIN, false, found, sizeof(found)));
	/* mkdtemp(3): the folder is the owner's alone */
	assert_false(preload_find(program, PRELOAD_DRAIN, true, found, sizeof(found)));
	assert_int_equal(chmod(folder, 0755), 0);
	assert_true(preload_find(program, PRELOAD_DRAIN, true, found, sizeof(found)));
	assert_int_equal(chmod(file, 0640), 0);
	assert_false(preload_find(program, PRELOAD_DRAIN, true, found, sizeof(found)));
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_name_the_file_before_the_users_own),
		cmocka_unit_test(nothing_is_promised_without_memory),
		cmocka_unit_test(a_file_is_found_beside_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
