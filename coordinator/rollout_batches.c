/* rollout_batches.c - the order of a rollout's hosts, and the batches that they are changed in.
 * Pure. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/rollout.h"
#include "proto/hostlist.h"

/* A host while it is being sorted. */
struct place {
	const struct rollout_host *host;
	uint32_t at; /* among those that were given */
	int64_t when_ms;
};

static int compare_wave(const char *a, const char *b)
{
	if ((*a == '\0') != (*b == '\0'))
		return *a == '\0' ? 1 : -1; /* those without one are the last */
	return hostlist_compare(a, b);
}

static int compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int order = compare_wave(x->host->wave, y->host->wave);

	if (order == 0)
		order = hostlist_compare(x->host->name, y->host->name);
	return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

static int compare_newest(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->when_ms != y->when_ms)
		return x->when_ms < y->when_ms ? 1 : -1;
	return (x->at < y->at) - (x->at > y->at);
}

/* source: splitmix64, Steele, Lea and Flood 2014 */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* Within each wave; the same seed gives the same order. */
static void shuffle(struct place *list, size_t n, uint64_t seed)
{
	for (size_t from = 0, end; from < n; from = end) {
		end = from + 1;
		while (end < n && strcmp(list[end].host->wave, list[from].host->wave) == 0)
			end++;
		for (size_t i = end - from; i > 1; i--) {
			size_t k = from + (size_t)(next_random(&seed) % i);
			struct place one = list[from + i - 1];

			list[from + i - 1] = list[k];
			list[k] = one;
		}
	}
}

/* Number the batches of n hosts in their order; a batch ends with its wave. */
static void number(const struct rollout_params *p, const struct place *list, size_t n,
                   struct rollout_batches *out)
{
	size_t at = 0;

	out->n_batches = 0;
	out->n_waves = 0;
	while (at < n) {
		unsigned entry = PM_MIN(out->n_batches, p->n_batch - 1);
		size_t size = rollout_share_up(p->batch[entry], n, 1), end = at;

		out->n_batches++;
		while (end < n && end - at < size &&
		       (list[end].host == NULL ||
		        strcmp(list[end].host->wave, list[at].host->wave) == 0)) {
			out->batch[list[end].at] = out->n_batches;
			out->order[end] = list[end].at;
			end++;
		}
		at = end;
		if (at == n || (list[at].host != NULL &&
		                strcmp(list[at].host->wave, list[at - 1].host->wave) != 0))
			out->wave_ends[out->n_waves++] = out->n_batches;
	}
}

static int check_unreachable(const struct rollout_params *p, const struct rollout_host *hosts,
                             size_t n, struct pm_error *err)
{
	size_t n_down = 0, n_all = 0, most;
	const char *first = "";

	for (size_t i = 0; i < n; i++) {
		if (hosts[i].drained && !p->include_drained)
			continue;
		n_all++;
		if (hosts[i].down && n_down++ == 0)
			first = hosts[i].name;
	}
	most = p->unreachable == ROLLOUT_UNREACHABLE_FAIL
	               ? 0
	               : rollout_share_down(p->max_unreachable, n_all, 0);
	if (n_down <= most)
		return 0;
	(void)pm_fail(err, PM_UNREACHABLE, "%zu of %zu hosts are not reachable (%.60s%s)", n_down,
	              n_all, first, n_down > 1 ? ", ..." : "");
	pm_hint(err, "nothing was begun; let so many be left out with --max-unreachable %zu",
	        n_down);
	return -1;
}

/* A label that nobody has is a slip, and would change all zones at once. */
static int check_waves(const struct rollout_params *p, const struct place *list, size_t n,
                       struct pm_error *err)
{
	if (p->wave[0] == '\0')
		return 0;
	for (size_t i = 0; i < n; i++)
		if (list[i].host->wave[0] != '\0')
			return 0;
	return pm_fail(err, PM_NOT_FOUND, "wave: none of %zu hosts has a label %.60s", n, p->wave);
}

int rollout_batches(const struct rollout_params *p, const struct rollout_host *hosts, size_t n,
                    struct rollout_batches *out, struct pm_error *err)
{
	PM_FREE struct place *list = pm_calloc(n + 1, sizeof(*list));
	size_t n_list = 0, n_out = 0;

	if (list == NULL)
		return pm_fail(err, PM_NO_MEMORY, "order the hosts");
	if (check_unreachable(p, hosts, n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		out->batch[i] = 0;
		if ((!hosts[i].drained || p->include_drained) &&
		    (!hosts[i].down || p->unreachable == ROLLOUT_UNREACHABLE_WAIT))
			list[n_list++] = (struct place){ &hosts[i], (uint32_t)i, 0 };
	}
	if (n_list == 0)
		return pm_fail(err, PM_NOT_FOUND,
		               "no host is left: all are drained or not reachable");
	if (check_waves(p, list, n_list, err) < 0)
		return -1;
	qsort(list, n_list, sizeof(*list), compare);
	if (p->order == ROLLOUT_ORDER_SHUFFLE)
		shuffle(list, n_list, p->seed);
	number(p, list, n_list, out);
	for (size_t i = 0; i < n; i++)
		if (out->batch[i] == 0)
			out->order[n_list + n_out++] = (uint32_t)i;
	return 0;
}

int rollout_batches_back(const struct rollout *r, const bool *changed, struct rollout_batches *out,
                         struct pm_error *err)
{
	PM_FREE struct place *list = pm_calloc(r->n + 1, sizeof(*list));
	size_t n_list = 0, n_out = 0;

	if (list == NULL)
		return pm_fail(err, PM_NO_MEMORY, "order the hosts");
	for (size_t i = 0; i < r->n; i++) {
		out->batch[i] = 0;
		if (changed[i])
			list[n_list++] = (struct place){ NULL, (uint32_t)i, r->steps[i].done_ms };
	}
	if (n_list == 0)
		return pm_fail(err, PM_NOT_FOUND, "no host was changed");
	qsort(list, n_list, sizeof(*list), compare_newest);
	number(&r->params, list, n_list, out);
	for (size_t i = 0; i < r->n; i++)
		if (!changed[i])
			out->order[n_list + n_out++] = (uint32_t)i;
	return 0;
}
