#include "agent/tree_scan.h"

#include <stdlib.h>

#include <uv.h>

/* A walk of D is followed by a pause of so many D. */
#define PAUSE_TIMES 4
#define NS_PER_MS   1000000u

struct seen {
	uint64_t tag;
	pid_t pid;
};

struct tree_scan {
	struct seen *list; /* owned; by tag */
	size_t n, cap;
	bool fresh, failed;
	uint64_t end_ns, cost_ns; /* of the last walk */
};

int tree_scan_create(struct tree_scan **out, struct pm_error *err)
{
	struct tree_scan *s = pm_calloc(1, sizeof(*s));

	if (s == NULL)
		return pm_fail(err, PM_NO_MEMORY, "look for processes");
	*out = s;
	return 0;
}

void tree_scan_destroy(struct tree_scan *s)
{
	if (s != NULL)
		free(s->list);
	free(s);
}

void tree_scan_stale(struct tree_scan *s)
{
	s->fresh = false;
}

uint64_t tree_scan_wait_ms(const struct tree_scan *s)
{
	uint64_t now = uv_hrtime(), due = s->end_ns + s->cost_ns * PAUSE_TIMES;

	return s->fresh || now >= due ? 0 : (due - now + NS_PER_MS - 1) / NS_PER_MS;
}

static void add(void *arg, pid_t pid, uint64_t tag)
{
	struct tree_scan *s = arg;

	if (s->n == s->cap) {
		size_t cap = s->cap == 0 ? 64 : s->cap * 2;
		struct seen *more = pm_realloc(s->list, cap * sizeof(*more));

		if (more == NULL) {
			s->failed = true;
			return;
		}
		s->list = more;
		s->cap = cap;
	}
	s->list[s->n++] = (struct seen){ tag, pid };
}

static int by_tag(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static int walk(struct tree_scan *s, struct pm_error *err)
{
	uint64_t start = uv_hrtime();

	s->n = 0;
	s->failed = false;
	if (tree_pids(add, s, err) < 0)
		return -1;
	if (s->failed)
		return pm_fail(err, PM_NO_MEMORY, "look for processes");
	if (s->n > 1)
		qsort(s->list, s->n, sizeof(s->list[0]), by_tag);
	s->end_ns = uv_hrtime();
	s->cost_ns = s->end_ns - start;
	s->fresh = true;
	return 0;
}

static size_t first_of(const struct tree_scan *s, uint64_t tag)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->list[middle].tag < tag)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* *gone: some that was seen lives no more, and may have forked before it went. */
static int signal_seen(const struct tree_scan *s, uint64_t tag, pid_t main_pid, int signal,
                       bool *gone)
{
	int n = 0;

	*gone = false;
	for (size_t i = first_of(s, tag); i < s->n && s->list[i].tag == tag; i++) {
		if (s->list[i].pid == main_pid)
			continue;
		if (tree_signal_one(s->list[i].pid, tag, signal))
			n++;
		else
			*gone = true;
	}
	return n;
}

int tree_scan_signal(struct tree_scan *s, uint64_t tag, pid_t main_pid, bool main_alive, int signal,
                     int *n_alive, struct pm_error *err)
{
	bool again = s->fresh, gone;
	int n;

	if (!s->fresh && walk(s, err) < 0)
		return -1;
	n = signal_seen(s, tag, main_pid, signal, &gone);
	if (n == 0 && gone && again) {
		if (walk(s, err) < 0)
			return -1;
		n = signal_seen(s, tag, main_pid, signal, &gone);
	}
	if (main_alive && tree_signal_one(main_pid, tag, signal))
		n++;
	*n_alive = n;
	return 0;
}
