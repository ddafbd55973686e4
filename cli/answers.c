#include "cli/answers.h"

#include <stdlib.h>
#include <string.h>

#include "proto/hostlist.h"

void answer_groups_finish(struct answer_groups *g)
{
	for (size_t i = 0; i < g->n; i++)
		pm_buf_finish(&g->list[i].hosts);
	free(g->list);
	*g = (struct answer_groups){ 0 };
}

static int by_answer(const struct answer *a, const struct answer *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return strcmp(a->text, b->text);
}

static int by_answer_and_host(const void *a, const void *b)
{
	const struct answer *x = a, *y = b;
	int cmp = by_answer(x, y);

	return cmp != 0 ? cmp : hostlist_compare(x->host, y->host);
}

static int by_size(const void *a, const void *b)
{
	const struct answer_group *x = a, *y = b;

	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	return by_answer_and_host(x->answers, y->answers);
}

static int fold_names(struct answer_group *g, struct pm_error *err)
{
	PM_FREE const char **names = pm_calloc(g->n + 1, sizeof(*names));

	if (names == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < g->n; i++)
		names[i] = g->answers[i].host;
	return hostlist_fold(names, g->n, &g->hosts, err);
}

int answers_fold(struct answer *list, size_t n, struct answer_groups *out, struct pm_error *err)
{
	PM_GROUPS g = { 0 };

	g.list = pm_calloc(n + 1, sizeof(*g.list));
	if (g.list == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (n > 0)
		qsort(list, n, sizeof(*list), by_answer_and_host);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || by_answer(&list[i - 1], &list[i]) != 0)
			g.list[g.n++].answers = &list[i];
		g.list[g.n - 1].n++;
	}
	for (size_t i = 0; i < g.n; i++)
		if (fold_names(&g.list[i], err) < 0)
			return -1;
	if (g.n > 0)
		qsort(g.list, g.n, sizeof(*g.list), by_size);
	*out = g;
	g = (struct answer_groups){ 0 };
	return 0;
}
