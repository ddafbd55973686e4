#include "cli/fold.h"

#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/hostlist.h"
#include "proto/limits.h"

/* One text that some hosts have answered with. */
struct answer {
	enum fold_result result;
	enum pm_code code;
	char *text; /* owned */
	uint64_t hash;
	size_t first, n; /* its hosts in `sorted`, while groups are made */
};

struct host {
	char *name; /* owned */
	uint32_t answer;
};

/* Open addressing over indexes + 1; 0 is free. */
struct table {
	uint32_t *slots; /* owned */
	size_t cap;      /* a power of two, more than twice what is in it */
};

struct fold {
	struct host *hosts;     /* owned */
	struct answer *answers; /* owned; also those that no host has any more */
	size_t n_hosts, cap_hosts, n_answers, cap_answers;
	struct table by_name, by_answer;
	const char **sorted;       /* owned: names, group after group */
	struct fold_group *groups; /* owned */
};

/* FNV-1a; a peer that makes them meet slows its own listing only, and PM_HOSTS_MAX bounds that. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
	const unsigned char *b = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ b[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static uint64_t hash_text(const char *text)
{
	return hash_bytes(UINT64_C(0xcbf29ce484222325), text, strlen(text));
}

static uint64_t hash_answer(enum fold_result result, enum pm_code code, const char *text)
{
	uint32_t head[2] = { (uint32_t)result, (uint32_t)code };

	return hash_bytes(hash_text(text), head, sizeof(head));
}

int fold_create(struct fold **out, struct pm_error *err)
{
	*out = pm_calloc(1, sizeof(**out));
	return *out == NULL ? pm_fail(err, PM_NO_MEMORY, "collect the answers") : 0;
}

void fold_destroy(struct fold *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->n_hosts; i++)
		free(f->hosts[i].name);
	for (size_t i = 0; i < f->n_answers; i++)
		free(f->answers[i].text);
	free(f->hosts);
	free(f->answers);
	free(f->by_name.slots);
	free(f->by_answer.slots);
	free(f->sorted);
	free(f->groups);
	free(f);
}

void fold_destroyp(struct fold **f)
{
	fold_destroy(*f);
}

/* ---- tables ---- */

static void table_put(struct table *t, uint64_t hash, size_t index)
{
	size_t at = hash & (t->cap - 1);

	while (t->slots[at] != 0)
		at = (at + 1) & (t->cap - 1);
	t->slots[at] = (uint32_t)index + 1;
}

static int table_reserve(struct fold *f, struct table *t, size_t n, bool names)
{
	struct table grown = { .cap = t->cap == 0 ? 64 : t->cap * 2 };

	if (n * 2 < t->cap)
		return 0;
	grown.slots = pm_calloc(grown.cap, sizeof(*grown.slots));
	if (grown.slots == NULL)
		return -1;
	for (size_t i = 0; i < n; i++)
		table_put(&grown, names ? hash_text(f->hosts[i].name) : f->answers[i].hash, i);
	free(t->slots);
	*t = grown;
	return 0;
}

static struct host *find_host(const struct fold *f, const char *name, uint64_t hash)
{
	const struct table *t = &f->by_name;

	for (size_t at = hash & (t->cap - 1); t->cap > 0 && t->slots[at] != 0;
	     at = (at + 1) & (t->cap - 1))
		if (strcmp(f->hosts[t->slots[at] - 1].name, name) == 0)
			return &f->hosts[t->slots[at] - 1];
	return NULL;
}

static struct answer *find_answer(const struct fold *f, enum fold_result result, enum pm_code code,
                                  const char *text, uint64_t hash)
{
	const struct table *t = &f->by_answer;

	for (size_t at = hash & (t->cap - 1); t->cap > 0 && t->slots[at] != 0;
	     at = (at + 1) & (t->cap - 1)) {
		struct answer *a = &f->answers[t->slots[at] - 1];

		if (a->hash == hash && a->result == result && a->code == code &&
		    strcmp(a->text, text) == 0)
			return a;
	}
	return NULL;
}

/* ---- adding ---- */

/* Room for one more in a list; -1: no memory. */
static int reserve(void *list, size_t *cap, size_t n, size_t size)
{
	size_t more = *cap == 0 ? 16 : *cap * 2;
	void *old, *grown;

	if (n < *cap)
		return 0;
	memcpy(&old, list, sizeof(old));
	grown = pm_realloc(old, more * size);
	if (grown == NULL)
		return -1;
	memcpy(list, &grown, sizeof(grown));
	*cap = more;
	return 0;
}

static int add_answer(struct fold *f, struct answer a, const char *text, uint32_t *out)
{
	const struct answer *known = find_answer(f, a.result, a.code, text, a.hash);

	if (known != NULL) {
		*out = (uint32_t)(known - f->answers);
		return 0;
	}
	if (table_reserve(f, &f->by_answer, f->n_answers, false) < 0 ||
	    reserve(&f->answers, &f->cap_answers, f->n_answers, sizeof(a)) < 0)
		return -1;
	a.text = pm_strdup(text);
	if (a.text == NULL)
		return -1;
	f->answers[f->n_answers] = a;
	table_put(&f->by_answer, a.hash, f->n_answers);
	*out = (uint32_t)f->n_answers++;
	return 0;
}

static int add_host(struct fold *f, const char *name, uint64_t hash, uint32_t answer)
{
	struct host *known = find_host(f, name, hash);
	struct host h = { .answer = answer };

	if (known != NULL) {
		known->answer = answer;
		return 0;
	}
	if (table_reserve(f, &f->by_name, f->n_hosts, true) < 0 ||
	    reserve(&f->hosts, &f->cap_hosts, f->n_hosts, sizeof(h)) < 0)
		return -1;
	h.name = pm_strdup(name);
	if (h.name == NULL)
		return -1;
	f->hosts[f->n_hosts] = h;
	table_put(&f->by_name, hash, f->n_hosts++);
	return 0;
}

int fold_add(struct fold *f, const char *host, enum fold_result result, enum pm_code code,
             const char *text, struct pm_error *err)
{
	struct answer a = {
		.result = result,
		.code = code,
		.hash = hash_answer(result, code, text),
	};
	uint64_t hash = hash_text(host);
	uint32_t answer;

	if (f->n_hosts >= PM_HOSTS_MAX && find_host(f, host, hash) == NULL)
		return pm_fail(err, PM_LIMIT, "more than %d answers", PM_HOSTS_MAX);
	if (add_answer(f, a, text, &answer) < 0 || add_host(f, host, hash, answer) < 0)
		return pm_fail(err, PM_NO_MEMORY, "collect the answers");
	return 0;
}

size_t fold_count(const struct fold *f)
{
	return f->n_hosts;
}

/* ---- groups ---- */

static int by_name(const void *a, const void *b)
{
	return hostlist_compare(*(const char *const *)a, *(const char *const *)b);
}

static int by_size(const void *left, const void *right)
{
	const struct fold_group *a = left, *b = right;

	if (a->n != b->n)
		return a->n > b->n ? -1 : 1;
	if (a->result != b->result)
		return a->result < b->result ? -1 : 1;
	return hostlist_compare(a->hosts[0], b->hosts[0]);
}

/* Where the hosts of each answer stand in `sorted`, then the hosts there. */
static void sort_hosts(struct fold *f)
{
	size_t at = 0;

	for (size_t i = 0; i < f->n_answers; i++)
		f->answers[i].n = 0;
	for (size_t i = 0; i < f->n_hosts; i++)
		f->answers[f->hosts[i].answer].n++;
	for (size_t i = 0; i < f->n_answers; i++) {
		f->answers[i].first = at;
		at += f->answers[i].n;
		f->answers[i].n = 0;
	}
	for (size_t i = 0; i < f->n_hosts; i++) {
		struct answer *a = &f->answers[f->hosts[i].answer];

		f->sorted[a->first + a->n++] = f->hosts[i].name;
	}
	for (size_t i = 0; i < f->n_answers; i++)
		if (f->answers[i].n > 1)
			qsort(f->sorted + f->answers[i].first, f->answers[i].n, sizeof(char *),
			      by_name);
}

static size_t make_groups(struct fold *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_answers; i++) {
		const struct answer *a = &f->answers[i];

		if (a->n > 0) /* its hosts may have changed their mind */
			f->groups[n++] = (struct fold_group){
				.result = a->result,
				.code = a->code,
				.text = a->text,
				.hosts = f->sorted + a->first,
				.n = a->n,
			};
	}
	if (n > 0)
		qsort(f->groups, n, sizeof(f->groups[0]), by_size);
	if (n > 0 && f->groups[0].result == FOLD_OK && f->groups[0].n * 2 > f->n_hosts)
		f->groups[0].majority = true;
	return n;
}

int fold_groups(struct fold *f, const struct fold_group **out, size_t *n, struct pm_error *err)
{
	free(f->sorted);
	free(f->groups);
	f->sorted = pm_calloc(f->n_hosts + 1, sizeof(*f->sorted));
	f->groups = pm_calloc(f->n_answers + 1, sizeof(*f->groups));
	if (f->sorted == NULL || f->groups == NULL)
		return pm_fail(err, PM_NO_MEMORY, "fold the answers");
	sort_hosts(f);
	*n = make_groups(f);
	*out = f->groups;
	return 0;
}

/* ---- differences ---- */

struct lines {
	const char **at; /* owned */
	size_t *len;     /* owned */
	size_t n;
};

static void lines_finish(struct lines *l)
{
	free(l->at);
	free(l->len);
}

static int cut(const char *text, struct lines *l)
{
	size_t n = 1;

	for (const char *s = text; *s != '\0'; s++)
		n += *s == '\n';
	l->at = pm_calloc(n, sizeof(*l->at));
	l->len = pm_calloc(n, sizeof(*l->len));
	if (l->at == NULL || l->len == NULL)
		return -1;
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		l->at[l->n] = text;
		l->len[l->n++] = len;
		text += len + (text[len] == '\n');
	}
	return 0;
}

static bool same_line(const struct lines *a, size_t i, const struct lines *b, size_t j)
{
	return a->len[i] == b->len[j] && memcmp(a->at[i], b->at[j], a->len[i]) == 0;
}

struct diff {
	struct pm_buf *out;
	size_t shown, left;
};

static void put_line(struct diff *d, const char *mark, const struct lines *l, size_t i)
{
	if (d->shown == PM_FOLD_DIFF_MAX) {
		d->left++;
		return;
	}
	d->shown++;
	pm_buf_str(d->out, mark);
	pm_buf_add(d->out, l->at[i], l->len[i]);
	pm_buf_char(d->out, '\n');
}

/* How far ahead the same line stands, at most PM_FOLD_DIFF_MAX; SIZE_MAX: it does not. */
static size_t ahead(const struct lines *in, size_t from, const struct lines *of, size_t i)
{
	for (size_t j = from; j < in->n && j - from < PM_FOLD_DIFF_MAX; j++)
		if (same_line(in, j, of, i))
			return j - from;
	return SIZE_MAX;
}

/* Go through both; where they differ, the one whose line comes again sooner goes on. */
static void walk(struct diff *d, const struct lines *was, const struct lines *is)
{
	size_t i = 0, j = 0;

	while (i < was->n && j < is->n) {
		size_t skip_was, skip_is;

		if (same_line(was, i, is, j)) {
			i++;
			j++;
			continue;
		}
		skip_was = ahead(was, i, is, j);
		skip_is = ahead(is, j, was, i);
		if (skip_was <= skip_is)
			put_line(d, "- ", was, i++);
		if (skip_is <= skip_was)
			put_line(d, "+ ", is, j++);
	}
	while (i < was->n)
		put_line(d, "- ", was, i++);
	while (j < is->n)
		put_line(d, "+ ", is, j++);
}

int fold_diff(const char *majority, const char *text, struct pm_buf *out, struct pm_error *err)
{
	struct diff d = { .out = out };
	struct lines was = { 0 }, is = { 0 };

	if (cut(majority, &was) == 0 && cut(text, &is) == 0)
		walk(&d, &was, &is);
	else
		out->failed = true;
	lines_finish(&was);
	lines_finish(&is);
	if (d.left > 0)
		pm_buf_printf(out, "... and %zu more lines\n", d.left);
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "compare the answers") : 0;
}
