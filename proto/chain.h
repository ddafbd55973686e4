/* chain.h - a doubly linked ring inside the things it holds; a member leaves in one step.  Pure. */
#ifndef PM_PROTO_CHAIN_H
#define PM_PROTO_CHAIN_H

#include <stdbool.h>
#include <stddef.h>

/* Both the ring's head and a place in it.  A place that is in no ring is zeroed. */
struct pm_chain {
	struct pm_chain *prev, *next;
};

/* The thing that a place is part of. */
#define PM_CHAIN_OF(place, type, member) ((type *)(void *)((char *)(place)-offsetof(type, member)))

static inline void pm_chain_init(struct pm_chain *head)
{
	head->prev = head->next = head;
}

static inline bool pm_chain_is_in(const struct pm_chain *place)
{
	return place->next != NULL;
}

static inline void pm_chain_append(struct pm_chain *head, struct pm_chain *place)
{
	place->prev = head->prev;
	place->next = head;
	head->prev->next = place;
	head->prev = place;
}

/* From whatever ring it is in; from none is fine. */
static inline void pm_chain_remove(struct pm_chain *place)
{
	if (place->next == NULL)
		return;
	place->prev->next = place->next;
	place->next->prev = place->prev;
	place->prev = place->next = NULL;
}

/* NULL: it is empty. */
static inline struct pm_chain *pm_chain_first(const struct pm_chain *head)
{
	return head->next == head ? NULL : head->next;
}

/* Move all places of one ring to the end of another. */
static inline void pm_chain_move(struct pm_chain *to, struct pm_chain *from)
{
	struct pm_chain *place;

	while ((place = pm_chain_first(from)) != NULL) {
		pm_chain_remove(place);
		pm_chain_append(to, place);
	}
}

#endif
