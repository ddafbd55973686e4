#include "proto/codec.h"

#include <errno.h>
#include <stdlib.h>

#define BLOCK_FIRST (8u * 1024)
#define BLOCK_KEPT  (64u * 1024)
#define BLOCK_MOST  (256u * 1024)
#define ALIGN       16u

struct pm_arena_block {
	struct pm_arena_block *next;
	size_t size, used; /* of bytes */
	_Alignas(ALIGN) uint8_t bytes[];
};

/* A new block in front, for at least `need` bytes; sizes double, so that few are made. */
static struct pm_arena_block *add_block(struct pm_arena *a, size_t need)
{
	size_t size = a->blocks == NULL ? BLOCK_FIRST : PM_MIN(a->blocks->size * 2, BLOCK_MOST);
	struct pm_arena_block *b;

	size = PM_MAX(size, need);
	b = pm_calloc(1, sizeof(*b) + size);
	if (b == NULL)
		return NULL;
	b->size = size;
	b->next = a->blocks;
	a->blocks = b;
	return b;
}

void *pm_arena_alloc(struct pm_arena *a, size_t size)
{
	struct pm_arena_block *b = a->blocks;
	void *p;

	if (size > SIZE_MAX / 4) {
		errno = ENOMEM;
		return NULL;
	}
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (a->limit != 0 && a->used + size > a->limit) {
		a->refused = true;
		errno = ENOMEM;
		return NULL;
	}
	if (b == NULL || b->size - b->used < size)
		b = add_block(a, size);
	if (b == NULL)
		return NULL;
	p = b->bytes + b->used;
	b->used += size;
	a->used += size;
	return p;
}

void pm_arena_reset(struct pm_arena *a)
{
	struct pm_arena_block *kept = NULL, *next;

	for (struct pm_arena_block *b = a->blocks; b != NULL; b = next) {
		next = b->next;
		if (kept == NULL && b->size <= BLOCK_KEPT)
			kept = b;
		else
			free(b);
	}
	if (kept != NULL) {
		kept->next = NULL;
		kept->used = 0;
	}
	*a = (struct pm_arena){ .blocks = kept };
}

void pm_arena_finish(struct pm_arena *a)
{
	pm_arena_reset(a);
	free(a->blocks);
	a->blocks = NULL;
}
