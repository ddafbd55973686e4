#include "agent/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARENA_MAGIC 0x706d642d6172656eull /* "pmd-aren" */

struct arena_header {
	uint64_t magic;
	uint32_t version;
	uint32_t inst_size, slot_size;
	uint32_t n;
	uint8_t reserved[4096 - 24];
};

struct arena {
	int fd;    /* owned */
	void *map; /* owned */
	size_t len;
	uint32_t next; /* where the search for a free record starts */
};

static size_t arena_len(void)
{
	return sizeof(struct arena_header) +
	       PM_SLOTS_MAX * (sizeof(struct inst_record) + sizeof(struct slot_record));
}

static int arena_map(int fd, struct arena **out, struct pm_error *err)
{
	struct arena *a = pm_calloc(1, sizeof(*a));

	if (a == NULL)
		return pm_fail(err, PM_NO_MEMORY, "map the instances");
	a->len = arena_len();
	a->map = mmap(NULL, a->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (a->map == MAP_FAILED) {
		free(a);
		return pm_fail_errno(err, errno, "map the instances");
	}
	a->fd = fd;
	*out = a;
	return 0;
}

int arena_create(struct arena **out, struct pm_error *err)
{
	PM_CLOSE int fd = memfd_create("pmd-arena", MFD_CLOEXEC);
	struct arena_header *h;

	if (fd < 0 || ftruncate(fd, (off_t)arena_len()) < 0)
		return pm_fail_errno(err, errno, "memory for the instances");
	if (arena_map(fd, out, err) < 0)
		return -1;
	(void)PM_STEAL_FD(fd); /* the arena's now */
	h = (*out)->map;
	h->version = ARENA_VERSION;
	h->inst_size = sizeof(struct inst_record);
	h->slot_size = sizeof(struct slot_record);
	h->n = PM_SLOTS_MAX;
	h->magic = ARENA_MAGIC;
	return 0;
}

int arena_open(int fd_taken, struct arena **out, struct pm_error *err)
{
	PM_CLOSE int fd = fd_taken;
	const struct arena_header *h;

	if (lseek(fd, 0, SEEK_END) != (off_t)arena_len())
		return pm_fail(err, PM_UNSUPPORTED, "the instances of another version");
	if (arena_map(fd, out, err) < 0)
		return -1;
	(void)PM_STEAL_FD(fd);
	h = (*out)->map;
	if (h->magic != ARENA_MAGIC || h->version != ARENA_VERSION ||
	    h->inst_size != sizeof(struct inst_record) ||
	    h->slot_size != sizeof(struct slot_record) || h->n != PM_SLOTS_MAX) {
		arena_close(PM_STEAL(*out));
		return pm_fail(err, PM_UNSUPPORTED, "the instances of another version");
	}
	return 0;
}

void arena_close(struct arena *a)
{
	if (a == NULL)
		return;
	(void)munmap(a->map, a->len);
	(void)close(a->fd);
	free(a);
}

int arena_fd(const struct arena *a)
{
	return a->fd;
}

struct inst_record *arena_inst(struct arena *a, uint32_t index)
{
	uint8_t *base = (uint8_t *)a->map + sizeof(struct arena_header);

	return (struct inst_record *)(void *)base + index;
}

struct slot_record *arena_slot(struct arena *a, uint32_t slot)
{
	return (struct slot_record *)(void *)arena_inst(a, PM_SLOTS_MAX) + slot;
}

struct inst_record *arena_inst_take(struct arena *a, uint32_t *index)
{
	for (uint32_t i = 0; i < PM_SLOTS_MAX; i++) {
		uint32_t at = (a->next + i) % PM_SLOTS_MAX;
		struct inst_record *r = arena_inst(a, at);

		if (atomic_load_explicit(&r->used, memory_order_relaxed) != 0)
			continue;
		memset(r, 0, sizeof(*r));
		r->core[0].slot = r->core[1].slot = SLOT_NONE;
		atomic_store_explicit(&r->used, 1, memory_order_release);
		a->next = at + 1;
		*index = at;
		return r;
	}
	return NULL;
}

void arena_inst_free(struct arena *a, uint32_t index)
{
	atomic_store_explicit(&arena_inst(a, index)->used, 0, memory_order_release);
	if (index < a->next)
		a->next = index;
}

const struct inst_core *inst_core_get(const struct inst_record *r)
{
	return &r->core[atomic_load_explicit(&r->active, memory_order_acquire) & 1u];
}

void inst_core_commit(struct inst_record *r, const struct inst_core *core)
{
	unsigned next = (atomic_load_explicit(&r->active, memory_order_relaxed) & 1u) ^ 1u;

	r->core[next] = *core;
	atomic_store_explicit(&r->active, next, memory_order_release);
}

const char *cause_word(enum cause cause)
{
	static const char *const words[] = {
#define CAUSE_WORD(c, word) [c] = (word),
		CAUSES(CAUSE_WORD)
#undef CAUSE_WORD
	};

	return (size_t)cause < PM_COUNT(words) ? words[cause] : "";
}
