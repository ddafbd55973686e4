#include "cli/log_merge.h"

#include <stdlib.h>
#include <string.h>

/* A line that waits: in the heap by its time, in the list by its arrival. */
struct entry {
	struct entry *next, *prev;
	struct log_merge_line line;
	uint64_t due_ms, sequence;
	size_t place; /* in the heap */
	char text[];
};

struct log_merge {
	uint32_t window_ms;
	size_t max_bytes, n_bytes;
	struct entry **heap; /* owned; the earliest is at 0 */
	size_t n, cap;
	struct entry *first, *last; /* by arrival */
	uint64_t sequence;
	int64_t *newest; /* owned; of each source: no line of it may be before that */
	size_t n_sources;
	int64_t gone_ms;     /* time of the latest line that went on */
	struct entry *given; /* owned: what the last next() gave */
};

int log_merge_create(uint32_t window_ms, size_t max_bytes, struct log_merge **out,
                     struct pm_error *err)
{
	struct log_merge *m = pm_calloc(1, sizeof(*m));

	if (m == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	m->window_ms = window_ms;
	m->max_bytes = max_bytes;
	m->gone_ms = INT64_MIN;
	*out = m;
	return 0;
}

void log_merge_destroy(struct log_merge *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->n; i++)
		free(m->heap[i]);
	free(m->heap);
	free(m->newest);
	free(m->given);
	free(m);
}

void log_merge_destroyp(struct log_merge **m)
{
	log_merge_destroy(*m);
}

/* ---- the heap ---- */

static bool is_before(const struct entry *a, const struct entry *b)
{
	if (a->line.at_ms != b->line.at_ms)
		return a->line.at_ms < b->line.at_ms;
	return a->sequence < b->sequence;
}

static void set(struct log_merge *m, size_t place, struct entry *e)
{
	m->heap[place] = e;
	e->place = place;
}

static void rise(struct log_merge *m, struct entry *e)
{
	size_t at = e->place;

	while (at > 0 && is_before(e, m->heap[(at - 1) / 2])) {
		set(m, at, m->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	set(m, at, e);
}

static void sink(struct log_merge *m, struct entry *e)
{
	size_t at = e->place;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < m->n && is_before(m->heap[child + 1], m->heap[child]))
			child++;
		if (child >= m->n || !is_before(m->heap[child], e))
			break;
		set(m, at, m->heap[child]);
		at = child;
	}
	set(m, at, e);
}

static void unlist(struct log_merge *m, struct entry *e)
{
	if (e->prev != NULL)
		e->prev->next = e->next;
	else
		m->first = e->next;
	if (e->next != NULL)
		e->next->prev = e->prev;
	else
		m->last = e->prev;
}

static struct entry *take_first(struct log_merge *m)
{
	struct entry *e = m->heap[0], *moved = m->heap[--m->n];

	if (m->n > 0) {
		moved->place = 0;
		sink(m, moved);
	}
	unlist(m, e);
	m->n_bytes -= sizeof(*e) + e->line.len;
	return e;
}

/* ---- lines ---- */

static int make_room(struct log_merge *m, unsigned source, struct pm_error *err)
{
	if (m->n == m->cap) {
		size_t cap = m->cap == 0 ? 256 : m->cap * 2;
		struct entry **heap = pm_realloc(m->heap, cap * sizeof(struct entry *));

		if (heap == NULL)
			return pm_fail(err, PM_NO_MEMORY, "out of memory");
		m->heap = heap;
		m->cap = cap;
	}
	if (source >= m->n_sources) {
		size_t n = (size_t)source + 16;
		int64_t *newest = pm_realloc(m->newest, n * sizeof(*newest));

		if (newest == NULL)
			return pm_fail(err, PM_NO_MEMORY, "out of memory");
		for (size_t i = m->n_sources; i < n; i++)
			newest[i] = INT64_MIN;
		m->newest = newest;
		m->n_sources = n;
	}
	return 0;
}

/* The time it is sorted by: not before its source's last one, whose order is the file's. */
static int64_t settle_time(struct log_merge *m, const struct log_merge_line *line)
{
	int64_t *newest = &m->newest[line->source], at = line->at_ms;

	if (at == 0 && *newest == INT64_MIN)
		at = m->gone_ms == INT64_MIN ? 0 : m->gone_ms;
	if (at < *newest)
		at = *newest;
	*newest = at;
	return at;
}

int log_merge_put(struct log_merge *m, const struct log_merge_line *line, uint64_t now_ms,
                  struct pm_error *err)
{
	struct entry *e;

	if (make_room(m, line->source, err) < 0)
		return -1;
	e = pm_calloc(1, sizeof(*e) + line->len + 1);
	if (e == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	e->line = *line;
	e->sequence = m->sequence++;
	e->line.at_ms = m->window_ms == 0 ? 0 : settle_time(m, line);
	e->due_ms = now_ms + m->window_ms;
	if (line->len > 0)
		memcpy(e->text, line->text, line->len);
	e->line.text = e->text;
	e->prev = m->last;
	if (m->last != NULL)
		m->last->next = e;
	else
		m->first = e;
	m->last = e;
	m->n_bytes += sizeof(*e) + line->len;
	e->place = m->n++;
	rise(m, e);
	return 0;
}

/* Time is up for a line, or it would come out of order anyway. */
static bool is_due(const struct log_merge *m, uint64_t now_ms)
{
	return m->first->due_ms <= now_ms || m->n_bytes > m->max_bytes ||
	       m->heap[0]->line.at_ms < m->gone_ms;
}

bool log_merge_next(struct log_merge *m, uint64_t now_ms, bool flush, struct log_merge_line *out)
{
	struct entry *e;

	free(m->given);
	m->given = NULL;
	if (m->n == 0 || (!flush && !is_due(m, now_ms)))
		return false;
	e = m->given = take_first(m);
	e->line.late = e->line.at_ms < m->gone_ms;
	if (!e->line.late)
		m->gone_ms = e->line.at_ms;
	*out = e->line;
	return true;
}

uint64_t log_merge_due_ms(const struct log_merge *m)
{
	if (m->n == 0)
		return UINT64_MAX;
	return is_due(m, 0) ? 0 : m->first->due_ms;
}
