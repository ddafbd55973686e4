#include "coordinator/ask.h"

#include <stdlib.h>

struct ask {
	struct ask *next;
	struct ask_list *list; /* borrowed */
	uint64_t id;
	ask_fn *fn; /* borrowed, with arg */
	void *arg;
};

static bool send_all(struct pm_link *link, Pm__Envelope *before, size_t n, Pm__Envelope *env)
{
	for (size_t i = 0; i < n; i++) {
		before[i].id = pm_link_next_id(link);
		if (!pm_link_send(link, &before[i]))
			return false;
	}
	env->id = pm_link_next_id(link);
	return pm_link_send(link, env);
}

struct ask *ask_send(struct ask_list *list, struct pm_link *link, Pm__Envelope *before, size_t n,
                     Pm__Envelope *env, ask_fn *fn, void *arg)
{
	struct ask *a;

	if (link == NULL || !pm_link_is_up(link))
		return NULL;
	a = pm_calloc(1, sizeof(*a));
	if (a == NULL || !send_all(link, before, n, env)) {
		free(a);
		return NULL;
	}
	*a = (struct ask){ list->first, list, env->id, fn, arg };
	list->first = a;
	return a;
}

void ask_forget(struct ask *a)
{
	struct ask **at = a == NULL ? NULL : &a->list->first;

	if (a == NULL)
		return;
	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	free(a);
}

/* -1: it answers nothing that is asked here. */
static int is_last(const Pm__Envelope *env)
{
	if (env->body_case == PM__ENVELOPE__BODY_RESULT)
		return !env->result->more;
	if (env->body_case == PM__ENVELOPE__BODY_STATUS_LIST)
		return !env->status_list->more;
	if (env->body_case == PM__ENVELOPE__BODY_PROGRESS)
		return 0;
	return env->body_case == PM__ENVELOPE__BODY_ERROR ? 1 : -1;
}

static void end(struct ask *a, enum ask_event event, const Pm__Envelope *env)
{
	ask_fn *fn = a->fn;
	void *arg = a->arg;

	ask_forget(a);
	fn(arg, event, env);
}

bool ask_on_answer(struct ask_list *list, const Pm__Envelope *env)
{
	struct ask *a = list->first;
	int last = is_last(env);

	while (a != NULL && a->id != env->re)
		a = a->next;
	if (a == NULL || last < 0)
		return false;
	if (last > 0)
		end(a, ASK_LAST, env);
	else
		a->fn(a->arg, ASK_PAGE, env);
	return true;
}

void ask_agent_gone(struct ask_list *list)
{
	while (list->first != NULL)
		end(list->first, ASK_GONE, NULL);
}
