/* fuzz_spawn_plan.c - the plan of a process, as the keeper maps it from a memfd. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/spawn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t touched;

static void walk(const char *const *list, size_t limit)
{
	for (size_t i = 0; list[i] != NULL; i++)
		if (strlen(list[i]) >= limit)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct spawn_mapped m;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	if (spawn_plan_map(fd, &m) == 0) {
		uint64_t sum = 0;

		walk(m.plan.argv, size);
		walk(m.plan.envp, size);
		if (strlen(m.plan.path) >= size ||
		    (m.plan.cwd != NULL && strlen(m.plan.cwd) >= size))
			abort();
		for (size_t i = 0; i < m.plan.n_groups; i++)
			sum += m.plan.groups[i];
		for (size_t i = 0; i < m.plan.n_limits; i++)
			sum += m.plan.limits[i].hard;
		for (size_t i = 0; i < m.plan.n_child_fds; i++)
			if (m.plan.child_fds[i] < 0 || m.plan.child_fds[i] >= SPAWN_FD_NUMBER_MAX)
				abort();
		touched ^= sum; /* so that the reads happen */
		spawn_plan_unmap(&m);
	}
	(void)close(fd);
	return 0;
}
