/* Which programs can have a library preloaded. */
#include "tests/unit/unit.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/elf.h"

static char folder[] = "/tmp/pmd-elf-XXXXXX";

static const char *path_of(const char *name)
{
	static char path[4][128];
	static unsigned next;
	char *out = path[next++ % PM_COUNT(path)];

	(void)snprintf(out, sizeof(path[0]), "%s/%s", folder, name);
	return out;
}

static const char *make(const char *name, const void *bytes, size_t len)
{
	const char *path = path_of(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	(void)close(fd);
	return path;
}

struct program {
	Elf64_Ehdr head;
	Elf64_Phdr parts[3];
};

static struct program make_program(uint32_t last_part)
{
	struct program p = { .head = { .e_phoff = sizeof(Elf64_Ehdr),
		                       .e_phentsize = sizeof(Elf64_Phdr),
		                       .e_phnum = 3 },
		             .parts = { { .p_type = PT_LOAD },
		                        { .p_type = PT_DYNAMIC },
		                        { .p_type = last_part } } };

	memcpy(p.head.e_ident, ELFMAG, SELFMAG);
	p.head.e_ident[EI_CLASS] = ELFCLASS64;
	return p;
}

static void a_program_without_a_dynamic_linker_is_static(void **state)
{
	struct program with = make_program(PT_INTERP), without = make_program(PT_LOAD);

	(void)state;
	assert_false(elf_is_static(make("dynamic", &with, sizeof(with))));
	assert_true(elf_is_static(make("static", &without, sizeof(without))));
	assert_false(elf_is_static("/proc/self/exe"));
}

static void a_script_is_what_runs_it(void **state)
{
	struct program without = make_program(PT_LOAD), with = make_program(PT_INTERP);
	char text[256];
	int len;

	(void)state;
	(void)make("static", &without, sizeof(without));
	(void)make("dynamic", &with, sizeof(with));
	len = snprintf(text, sizeof(text), "#! %s -x\n", path_of("static"));
	assert_true(elf_is_static(make("script", text, (size_t)len)));
	len = snprintf(text, sizeof(text), "#!%s", path_of("dynamic"));
	assert_false(elf_is_static(make("script", text, (size_t)len)));
	len = snprintf(text, sizeof(text), "#!%s\n", path_of("script")); /* of itself */
	assert_false(elf_is_static(make("script", text, (size_t)len)));
	assert_false(elf_is_static(make("script", "#!", 2)));
	assert_false(elf_is_static(make("script", "#!\n", 3)));
}

static void what_is_none_or_lies_is_left_to_the_kernel(void **state)
{
	struct program p = make_program(PT_LOAD);

	(void)state;
	assert_false(elf_is_static("/no/such/file"));
	assert_false(elf_is_static("/tmp"));
	assert_false(elf_is_static(make("empty", "", 0)));
	for (size_t len = 1; len < sizeof(p); len += 7)
		assert_false(elf_is_static(make("cut", &p, len)));
	p.head.e_ident[EI_CLASS] = ELFCLASS32;
	assert_false(elf_is_static(make("other", &p, sizeof(p))));
	p.head.e_ident[EI_CLASS] = ELFCLASS64;
	p.head.e_phentsize = 1;
	assert_false(elf_is_static(make("other", &p, sizeof(p))));
	p.head.e_phentsize = sizeof(Elf64_Phdr);
	p.head.e_phoff = UINT64_MAX - 8;
	assert_false(elf_is_static(make("other", &p, sizeof(p))));
	assert_int_equal(mkfifo(path_of("fifo"), 0700), 0);
	assert_false(elf_is_static(path_of("fifo"))); /* and does not wait */
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "dynamic", "static", "script", "empty",
		                             "cut",     "other",  "fifo" };

	(void)state;
	for (size_t i = 0; i < PM_COUNT(names); i++)
		(void)unlink(path_of(names[i]));
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_without_a_dynamic_linker_is_static),
		cmocka_unit_test(a_script_is_what_runs_it),
		cmocka_unit_test(what_is_none_or_lies_is_left_to_the_kernel),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
