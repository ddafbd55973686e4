#include "proto/facts.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "proto/base.h"
#include "proto/utf8.h"

static size_t read_some(const char *path, char *out, size_t size)
{
	PM_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	out[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

/* Cut to what is left of a text after its quotes; messages carry UTF-8 only. */
static void take(char *out, size_t size, const char *from, size_t len)
{
	len = pm_utf8_whole(from, PM_MIN(len, size - 1));
	if (!pm_utf8_ok((const uint8_t *)from, len))
		len = 0;
	memcpy(out, from, len);
	out[len] = '\0';
}

/* source     os-release(5) */
static void read_os(struct pm_facts *f)
{
	char text[4096];
	const char *at;

	if (read_some("/etc/os-release", text, sizeof(text)) == 0 &&
	    read_some("/usr/lib/os-release", text, sizeof(text)) == 0)
		return;
	at = strncmp(text, "PRETTY_NAME=", 12) == 0 ? text : strstr(text, "\nPRETTY_NAME=");
	if (at == NULL)
		return;
	at = strchr(at, '=') + 1;
	at += *at == '"' || *at == '\'';
	take(f->os, sizeof(f->os), at, strcspn(at, "\"'\n"));
}

/* source     proc(5), /proc/sys/kernel/random/boot_id */
static void read_boot_id(uint8_t out[16])
{
	char text[64];
	unsigned n = 0;

	(void)read_some("/proc/sys/kernel/random/boot_id", text, sizeof(text));
	for (const char *at = text;
	     isxdigit((unsigned char)at[0]) != 0 && isxdigit((unsigned char)at[1]) != 0 && n < 16;
	     at += at[2] == '-' ? 3 : 2) {
		const char two[3] = { at[0], at[1], '\0' };

		out[n++] = (uint8_t)strtoul(two, NULL, 16);
	}
}

const uint8_t *pm_facts_boot(void)
{
	static uint8_t id[16];
	static bool known;

	if (!known)
		read_boot_id(id);
	known = true;
	return id;
}

void pm_facts_gather(struct pm_facts *out)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	struct utsname name;
	struct sysinfo info;

	memset(out, 0, sizeof(*out));
	if (uname(&name) == 0) {
		take(out->hostname, sizeof(out->hostname), name.nodename, strlen(name.nodename));
		take(out->arch, sizeof(out->arch), name.machine, strlen(name.machine));
	}
	read_os(out);
	read_boot_id(out->boot_id);
	out->n_cpus = n > 0 ? (uint32_t)n : 1;
	if (sysinfo(&info) == 0)
		out->memory_bytes = (uint64_t)info.totalram * info.mem_unit;
}

void pm_facts_message(struct pm_facts *f, Pm__HostFacts *out)
{
	static char version[] = PM_VERSION;

	pm__host_facts__init(out);
	out->hostname = f->hostname;
	out->os = f->os;
	out->arch = f->arch;
	out->n_cpus = f->n_cpus;
	out->memory = f->memory_bytes;
	out->version = version;
}
