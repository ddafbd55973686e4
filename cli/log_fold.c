#include "cli/log_fold.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024

struct group {
	struct group *next;    /* that began after it */
	struct group *chained; /* in its bucket: the newest first */
	struct log_fold_group g;
	uint64_t due_ms;
	uint32_t hash;
	size_t bytes; /* of it all */
	char rest[];  /* a byte for each host, the app's name, the text */
};

struct log_fold {
	uint32_t window_ms;
	bool clocked;
	size_t max_bytes, n_bytes, n_hosts;
	struct group *first, *last;
	struct group *buckets[BUCKETS];
	int64_t newest_ms;   /* of all lines; 0: none had a time */
	struct group *given; /* owned: what the last next() gave */
};

int log_fold_create(uint32_t window_ms, bool clocked, size_t max_bytes, size_t n_hosts,
                    struct log_fold **out, struct pm_error *err)
{
	struct log_fold *f = pm_calloc(1, sizeof(*f));

	if (f == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	f->window_ms = window_ms;
	f->clocked = clocked;
	f->max_bytes = max_bytes;
	f->n_hosts = n_hosts;
	*out = f;
	return 0;
}

void log_fold_destroy(struct log_fold *f)
{
	struct group *g;

	if (f == NULL)
		return;
	while ((g = f->first) != NULL) {
		f->first = g->next;
		free(g);
	}
	free(f->given);
	free(f);
}

void log_fold_destroyp(struct log_fold **f)
{
	log_fold_destroy(*f);
}

static uint32_t add_hash(uint32_t hash, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * 16777619u;
	return hash;
}

static uint32_t hash_of(const struct log_fold_line *l)
{
	const char kind[] = { (char)l->err, (char)l->agent, (char)l->line.partial };
	uint32_t hash = add_hash(2166136261u, kind, sizeof(kind));

	hash = add_hash(hash, l->app, strlen(l->app) + 1);
	return add_hash(hash, l->line.text, l->line.len);
}

static bool is_same(const struct log_fold_line *a, const struct log_fold_line *b)
{
	return a->err == b->err && a->agent == b->agent && a->line.partial == b->line.partial &&
	       a->line.len == b->line.len && strcmp(a->app, b->app) == 0 &&
	       (a->line.len == 0 || memcmp(a->line.text, b->line.text, a->line.len) == 0);
}

/* Times that are not known keep nothing apart. */
static bool is_near(const struct log_fold *f, int64_t a, int64_t b)
{
	int64_t apart = a < b ? b - a : a - b;

	return a == 0 || b == 0 || apart <= (int64_t)f->window_ms;
}

static struct group *find(const struct log_fold *f, const struct log_fold_line *l, uint32_t hash)
{
	for (struct group *g = f->buckets[hash % BUCKETS]; g != NULL; g = g->chained)
		if (g->hash == hash && is_same(&g->g.first, l) &&
		    is_near(f, g->g.first.line.at_ms, l->line.at_ms))
			return g;
	return NULL;
}

static struct group *begin(struct log_fold *f, const struct log_fold_line *l, uint32_t hash,
                           uint64_t now_ms)
{
	size_t app = strlen(l->app) + 1;
	size_t bytes = sizeof(struct group) + f->n_hosts + app + l->line.len + 1;
	struct group *g = pm_calloc(1, bytes);
	char *name, *text;

	if (g == NULL)
		return NULL;
	name = g->rest + f->n_hosts;
	text = name + app;
	memcpy(name, l->app, app);
	if (l->line.len > 0)
		memcpy(text, l->line.text, l->line.len);
	g->g.first = *l;
	g->g.first.app = name;
	g->g.first.line.text = text;
	g->g.hosts = (const uint8_t *)g->rest;
	g->due_ms = now_ms + f->window_ms;
	g->hash = hash;
	g->bytes = bytes;
	f->n_bytes += bytes;
	if (f->last != NULL)
		f->last->next = g;
	else
		f->first = g;
	f->last = g;
	g->chained = f->buckets[hash % BUCKETS];
	f->buckets[hash % BUCKETS] = g;
	return g;
}

int log_fold_put(struct log_fold *f, const struct log_fold_line *line, uint64_t now_ms,
                 struct pm_error *err)
{
	uint32_t hash = hash_of(line);
	struct group *g = find(f, line, hash);

	if (g == NULL)
		g = begin(f, line, hash, now_ms);
	if (g == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	g->g.n_lines++;
	g->g.n_hosts += g->rest[line->host] == 0;
	g->rest[line->host] = 1;
	if (line->line.at_ms > f->newest_ms)
		f->newest_ms = line->line.at_ms;
	return 0;
}

/* Nothing that comes in its order can be near the group any more, or it has waited enough. */
static bool is_over(const struct log_fold *f, const struct group *g, uint64_t now_ms)
{
	int64_t at = g->g.first.line.at_ms;

	return (f->clocked && g->due_ms <= now_ms) || f->n_bytes > f->max_bytes ||
	       (at != 0 && f->newest_ms > at && !is_near(f, at, f->newest_ms));
}

bool log_fold_next(struct log_fold *f, uint64_t now_ms, bool flush, struct log_fold_group *out)
{
	struct group *g = f->first, **at;

	free(f->given);
	f->given = NULL;
	if (g == NULL || (!flush && !is_over(f, g, now_ms)))
		return false;
	f->first = g->next;
	if (f->first == NULL)
		f->last = NULL;
	for (at = &f->buckets[g->hash % BUCKETS]; *at != g; at = &(*at)->chained)
		;
	*at = g->chained;
	f->n_bytes -= g->bytes;
	f->given = g;
	*out = g->g;
	return true;
}

uint64_t log_fold_due_ms(const struct log_fold *f)
{
	if (f->first == NULL)
		return UINT64_MAX;
	if (is_over(f, f->first, 0))
		return 0;
	return f->clocked ? f->first->due_ms : UINT64_MAX;
}
