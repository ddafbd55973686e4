#include "agent/elf.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "proto/base.h"

/* Program headers looked at; linkers write about a dozen. */
#define HEADERS_MAX 64

static bool has_interpreter(int fd, const Elf64_Ehdr *h)
{
	for (unsigned i = 0; i < PM_MIN(h->e_phnum, HEADERS_MAX); i++) {
		Elf64_Phdr p;

		if (pread(fd, &p, sizeof(p), (off_t)(h->e_phoff + i * sizeof(p))) != sizeof(p))
			return true; /* not what it says it is: the kernel will tell */
		if (p.p_type == PT_INTERP)
			return true;
	}
	return false;
}

/* The first word behind #!, in place. */
static const char *script_interpreter(char *line, size_t len)
{
	char *at = line + 2;

	line[len] = '\0';
	at += strspn(at, " \t");
	at[strcspn(at, " \t\n")] = '\0';
	return at;
}

static bool look(const char *path, bool may_be_script)
{
	PM_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_Alignas(Elf64_Ehdr) char bytes[256];
	ssize_t n = fd < 0 ? -1 : pread(fd, bytes, sizeof(bytes) - 1, 0);
	Elf64_Ehdr h;

	if (n > 2 && bytes[0] == '#' && bytes[1] == '!' && may_be_script)
		return look(script_interpreter(bytes, (size_t)n), false);
	if (n < (ssize_t)sizeof(h) || memcmp(bytes, ELFMAG, SELFMAG) != 0 ||
	    bytes[EI_CLASS] != ELFCLASS64)
		return false;
	memcpy(&h, bytes, sizeof(h));
	return h.e_phentsize == sizeof(Elf64_Phdr) && !has_interpreter(fd, &h);
}

bool elf_is_static(const char *path)
{
	return look(path, true);
}
