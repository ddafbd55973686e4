#include "agent/spawn_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/spawn.h"

#define PLAN_MAGIC   0x4e4c5032u /* "2PLN" */
#define PLAN_STRINGS (2u << 20)  /* arguments and environment; the kernel's own limit is near */
#define PLAN_MAX     (PLAN_STRINGS * 9u + (64u << 10)) /* with a pointer for every byte */
#define PLAN_SEALS   (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/*
 * The block: this header, the limits, the groups, then argv and envp as arrays of offsets, which
 * the reader turns into pointers in its private mapping, then the strings.  The last byte is a NUL.
 * Offsets are from the start; 0 is NULL.
 */
struct plan_block {
	uint32_t magic, size;
	uint32_t path, cwd, cgroup, argv, envp, limits, groups, strings;
	uint32_t n_argv, n_envp, n_limits, n_groups, n_child_fds;
	uint32_t uid, gid;
	int32_t umask, nice, oom_score_adj;
	uint8_t nice_set, oom_score_adj_set, no_new_privs, reserved;
	int32_t child_fds[SPAWN_FDS_MAX];
	uint64_t tag;
};

struct writer {
	char *base;
	size_t at; /* next free byte of the strings */
};

static size_t list_size(const char *const *list, size_t *n)
{
	size_t size = 0;

	for (*n = 0; list[*n] != NULL; ++*n)
		size += strlen(list[*n]) + 1;
	return size;
}

static uint32_t put_string(struct writer *w, const char *s)
{
	size_t at = w->at, len;

	if (s == NULL)
		return 0;
	len = strlen(s) + 1;
	memcpy(w->base + at, s, len);
	w->at += len;
	return (uint32_t)at;
}

static void put_list(struct writer *w, uint32_t at, const char *const *list, size_t n)
{
	uintptr_t *offsets = (uintptr_t *)(void *)(w->base + at);

	for (size_t i = 0; i < n; i++)
		offsets[i] = put_string(w, list[i]);
	offsets[n] = 0;
}

static void put_plan(struct plan_block *b, const struct spawn_plan *p)
{
	struct writer w = { (char *)b, b->strings };

	put_list(&w, b->argv, p->argv, b->n_argv);
	put_list(&w, b->envp, p->envp, b->n_envp);
	b->path = put_string(&w, p->path);
	b->cwd = put_string(&w, p->cwd);
	b->cgroup = put_string(&w, p->cgroup);
	for (size_t i = 0; i < p->n_limits; i++)
		memcpy(w.base + b->limits + i * sizeof(p->limits[0]), &p->limits[i],
		       sizeof(p->limits[0]));
	for (size_t i = 0; i < p->n_groups; i++)
		memcpy(w.base + b->groups + i * sizeof(gid_t), &p->groups[i], sizeof(gid_t));
	for (size_t i = 0; i < p->n_child_fds; i++)
		b->child_fds[i] = p->child_fds[i];
	b->uid = p->uid;
	b->gid = p->gid;
	b->umask = p->umask;
	b->nice = p->nice;
	b->nice_set = p->nice_set;
	b->oom_score_adj = p->oom_score_adj;
	b->oom_score_adj_set = p->oom_score_adj_set;
	b->no_new_privs = p->no_new_privs;
	b->tag = p->tag;
}

/* Fill in where everything goes; the counts are checked, so nothing overflows. */
static void lay_out(struct plan_block *b, size_t strings)
{
	size_t at = sizeof(*b);

	b->limits = (uint32_t)at;
	at += b->n_limits * sizeof(struct spawn_limit);
	b->argv = (uint32_t)at;
	at += (b->n_argv + 1) * sizeof(uintptr_t);
	b->envp = (uint32_t)at;
	at += (b->n_envp + 1) * sizeof(uintptr_t);
	b->groups = (uint32_t)at;
	at += b->n_groups * sizeof(gid_t);
	b->strings = (uint32_t)at;
	b->size = (uint32_t)(at + strings + 1);
}

static int check_counts(const struct spawn_plan *p, struct pm_error *err)
{
	bool taken[SPAWN_FD_NUMBER_MAX] = { false };

	if (p->n_child_fds > SPAWN_FDS_MAX || p->n_groups > SPAWN_GROUPS_MAX ||
	    p->n_limits > SPAWN_LIMITS_MAX)
		return pm_fail(err, PM_LIMIT, "start %s: too many descriptors, groups or limits",
		               p->path);
	for (size_t i = 0; i < p->n_child_fds; i++) {
		int fd = p->child_fds[i];

		if (fd < 0 || fd >= SPAWN_FD_NUMBER_MAX || taken[fd])
			return pm_fail(err, PM_LIMIT,
			               "start %s: descriptor number %d is over %d or used twice",
			               p->path, fd, SPAWN_FD_NUMBER_MAX - 1);
		taken[fd] = true;
	}
	return 0;
}

/* Environments hold secrets: nothing of them stays in memory that is free. */
static void wipe_block(char *block, size_t size)
{
	explicit_bzero(block, size);
	free(block);
}

static int write_block(const char *block, size_t size, const char *path, int *fd,
                       struct pm_error *err)
{
	PM_CLOSE int mem = memfd_create("pmd-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (mem < 0)
		return pm_fail_errno(err, errno, "start %s: memfd", path);
	if (write(mem, block, size) != (ssize_t)size || fcntl(mem, F_ADD_SEALS, PLAN_SEALS) < 0)
		return pm_fail_errno(err, errno, "start %s: write its plan", path);
	*fd = PM_STEAL_FD(mem);
	return 0;
}

int spawn_plan_write(const struct spawn_plan *plan, int *fd, struct pm_error *err)
{
	struct plan_block head = { .magic = PLAN_MAGIC };
	size_t n_argv, n_envp, strings;
	char *block;
	int rc;

	if (check_counts(plan, err) < 0)
		return -1;
	strings = list_size(plan->argv, &n_argv);
	strings += list_size(plan->envp, &n_envp);
	if (strings > PLAN_STRINGS)
		return pm_fail(err, PM_CONFIG,
		               "start %s: arguments and environment of %zu bytes are over 2 MiB",
		               plan->path, strings);
	strings += strlen(plan->path) + 1 + (plan->cwd == NULL ? 0 : strlen(plan->cwd) + 1) +
	           (plan->cgroup == NULL ? 0 : strlen(plan->cgroup) + 1);
	head.n_argv = (uint32_t)n_argv;
	head.n_envp = (uint32_t)n_envp;
	head.n_limits = (uint32_t)plan->n_limits;
	head.n_groups = (uint32_t)plan->n_groups;
	head.n_child_fds = (uint32_t)plan->n_child_fds;
	lay_out(&head, strings);
	block = pm_calloc(1, head.size);
	if (block == NULL)
		return pm_fail(err, PM_NO_MEMORY, "start %s", plan->path);
	memcpy(block, &head, sizeof(head));
	put_plan((struct plan_block *)(void *)block, plan);
	rc = write_block(block, head.size, plan->path, fd, err);
	wipe_block(block, head.size);
	return rc;
}

/* ---- the keeper's side: what it did not write itself it checks ---- */

static bool array_fits(const struct plan_block *b, uint32_t at, uint64_t n, size_t size,
                       size_t align)
{
	return at >= sizeof(*b) && at % align == 0 && at + n * size <= b->size;
}

static bool string_fits(const struct plan_block *b, uint64_t at)
{
	return at == 0 || (at >= b->strings && at < b->size);
}

static bool block_is_sound(const struct plan_block *b, size_t size)
{
	const char *bytes = (const char *)b;

	return b->magic == PLAN_MAGIC && b->size == size && bytes[size - 1] == '\0' &&
	       b->n_limits <= SPAWN_LIMITS_MAX && b->n_groups <= SPAWN_GROUPS_MAX &&
	       b->n_child_fds <= SPAWN_FDS_MAX && b->strings >= sizeof(*b) && b->strings < size &&
	       array_fits(b, b->limits, b->n_limits, sizeof(struct spawn_limit), 8) &&
	       array_fits(b, b->groups, b->n_groups, sizeof(gid_t), sizeof(gid_t)) &&
	       array_fits(b, b->argv, (uint64_t)b->n_argv + 1, sizeof(uintptr_t), 8) &&
	       array_fits(b, b->envp, (uint64_t)b->n_envp + 1, sizeof(uintptr_t), 8) &&
	       b->path != 0 && string_fits(b, b->path) && string_fits(b, b->cwd) &&
	       string_fits(b, b->cgroup);
}

static bool relocate(struct plan_block *b, uint32_t at, uint32_t n)
{
	uintptr_t *list = (uintptr_t *)(void *)((char *)b + at);

	for (uint32_t i = 0; i < n; i++) {
		if (list[i] == 0 || !string_fits(b, list[i]))
			return false;
		list[i] += (uintptr_t)b;
	}
	return list[n] == 0;
}

static const char *string_at(const struct plan_block *b, uint32_t at)
{
	return at == 0 ? NULL : (const char *)b + at;
}

static bool unpack(struct plan_block *b, struct spawn_plan *p)
{
	char *base = (char *)b;

	if (!relocate(b, b->argv, b->n_argv) || !relocate(b, b->envp, b->n_envp))
		return false;
	*p = (struct spawn_plan){
		.path = string_at(b, b->path),
		.argv = (const char *const *)(void *)(base + b->argv),
		.envp = (const char *const *)(void *)(base + b->envp),
		.cwd = string_at(b, b->cwd),
		.uid = b->uid,
		.gid = b->gid,
		.groups = (const gid_t *)(void *)(base + b->groups),
		.n_groups = b->n_groups,
		.umask = b->umask,
		.limits = (const struct spawn_limit *)(void *)(base + b->limits),
		.n_limits = b->n_limits,
		.nice = b->nice,
		.nice_set = b->nice_set,
		.oom_score_adj = b->oom_score_adj,
		.oom_score_adj_set = b->oom_score_adj_set,
		.no_new_privs = b->no_new_privs,
		.tag = b->tag,
		.n_child_fds = b->n_child_fds,
		.cgroup = string_at(b, b->cgroup),
	};
	for (size_t i = 0; i < b->n_child_fds; i++) {
		if (b->child_fds[i] < 0 || b->child_fds[i] >= SPAWN_FD_NUMBER_MAX)
			return false;
		p->child_fds[i] = b->child_fds[i];
	}
	return true;
}

int spawn_plan_map(int fd, struct spawn_mapped *out)
{
	struct spawn_mapped m;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	/* Sealed: nobody can shrink it under our mapping. */
	if (seals < 0 || (seals & PLAN_SEALS) != PLAN_SEALS || fstat(fd, &st) < 0)
		return EINVAL;
	if (st.st_size < (off_t)sizeof(struct plan_block) || st.st_size > (off_t)PLAN_MAX)
		return EINVAL;
	m.size = (size_t)st.st_size;
	m.map = mmap(NULL, m.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (m.map == MAP_FAILED)
		return errno;
	if (!block_is_sound(m.map, m.size) || !unpack(m.map, &m.plan)) {
		(void)munmap(m.map, m.size);
		return EINVAL;
	}
	*out = m;
	return 0;
}

void spawn_plan_unmap(struct spawn_mapped *m)
{
	if (m->map != NULL)
		(void)munmap(m->map, m->size);
	m->map = NULL;
}
