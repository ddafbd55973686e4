#include "proto/secret.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define PAGE  4096u
#define SMALL 128u /* two cipher states, a key */

struct slab {
	struct slab *next;
	uint8_t *page; /* owned; PAGE bytes of sodium_malloc() */
	uint32_t used; /* a bit for each piece */
	unsigned size; /* of a piece: SMALL or PM_SECRET_MAX */
};

static struct slab *slabs; /* few: 32 sessions to a page */

static uint32_t full_mask(const struct slab *s)
{
	return s->size == SMALL ? UINT32_MAX : (1u << (PAGE / PM_SECRET_MAX)) - 1;
}

static struct slab *add_slab(unsigned size)
{
	struct slab *s;

	if (sodium_init() < 0)
		return NULL;
	s = pm_calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->page = sodium_malloc(PAGE);
	if (s->page == NULL) {
		free(s);
		return NULL;
	}
	sodium_memzero(s->page, PAGE);
	s->size = size;
	s->next = slabs;
	slabs = s;
	return s;
}

void *pm_secret_alloc(size_t size)
{
	unsigned piece = size <= SMALL ? SMALL : PM_SECRET_MAX;
	struct slab *s = slabs;
	unsigned i;

	assert(size <= PM_SECRET_MAX);
	while (s != NULL && (s->size != piece || s->used == full_mask(s)))
		s = s->next;
	if (s == NULL)
		s = add_slab(piece);
	if (s == NULL)
		return NULL;
	i = (unsigned)__builtin_ctz(~s->used);
	s->used |= 1u << i;
	return s->page + (size_t)i * piece;
}

void pm_secret_free(void *secret)
{
	uint8_t *p = secret;
	struct slab **at = &slabs, *s;

	if (p == NULL)
		return;
	while (*at != NULL && !(p >= (*at)->page && p < (*at)->page + PAGE))
		at = &(*at)->next;
	assert(*at != NULL); /* it came from here */
	s = *at;
	sodium_memzero(p, s->size);
	s->used &= ~(1u << ((size_t)(p - s->page) / s->size));
	if (s->used != 0)
		return;
	*at = s->next;
	sodium_free(s->page);
	free(s);
}

void pm_secret_freep(void *p)
{
	void *secret;

	memcpy(&secret, p, sizeof(secret));
	pm_secret_free(secret);
}

unsigned pm_secret_pages(void)
{
	unsigned n = 0;

	for (const struct slab *s = slabs; s != NULL; s = s->next)
		n++;
	return n;
}
