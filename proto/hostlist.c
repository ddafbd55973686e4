#include "proto/hostlist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/limits.h"

#define DIGITS_MAX 18 /* what a uint64_t holds with room to count on */
#define RANGES_MAX 4  /* brackets in one item */
#define FIELDS_MAX 3  /* numbers of a name that fold */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool hostlist_is_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > PM_NAME_MAX || name[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_digit(name[i]) && !(name[i] >= 'a' && name[i] <= 'z') &&
		    !(name[i] >= 'A' && name[i] <= 'Z') && strchr("._-", name[i]) == NULL)
			return false;
	return true;
}

/* ---- ranges ---- */

struct expansion {
	hostlist_fn *fn;
	void *arg;
	size_t n;
	unsigned ranges;
	char name[PM_NAME_MAX + 1];
};

static uint64_t number_of(const char *digits, size_t len)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len; i++)
		n = n * 10 + (uint64_t)(digits[i] - '0');
	return n;
}

/* The length of the range bracket at s, with both brackets; 0: it is none. */
static size_t range_len(const char *s, size_t len)
{
	size_t at = 1;

	if (len < 3 || s[0] != '[' || !is_digit(s[1]))
		return 0;
	while (at < len && (is_digit(s[at]) || s[at] == '-' || s[at] == ','))
		at++;
	return at < len && s[at] == ']' ? at + 1 : 0;
}

static int put_name(struct expansion *x, size_t at, const char *s, size_t len,
                    struct pm_error *err);

/* One of the numbers of a bracket, and everything behind the bracket. */
static int put_number(struct expansion *x, size_t at, uint64_t number, int width, const char *rest,
                      size_t rest_len, struct pm_error *err)
{
	int n = snprintf(x->name + at, sizeof(x->name) - at, "%0*llu", width,
	                 (unsigned long long)number);

	if (n < 0 || (size_t)n >= sizeof(x->name) - at)
		return pm_fail(err, PM_LIMIT, "a name is longer than %d bytes", PM_NAME_MAX);
	return put_name(x, at + (size_t)n, rest, rest_len, err);
}

/* "01-20" or "25", the piece of len bytes at s. */
static int put_piece(struct expansion *x, size_t at, const char *s, size_t len, const char *rest,
                     size_t rest_len, struct pm_error *err)
{
	const char *dash = memchr(s, '-', len);
	size_t low_len = dash == NULL ? len : (size_t)(dash - s);
	const char *high_text = dash == NULL ? s : dash + 1;
	size_t high_len = dash == NULL ? len : len - low_len - 1;
	uint64_t low, high;
	int width;

	if (low_len == 0 || high_len == 0 || low_len > DIGITS_MAX || high_len > DIGITS_MAX ||
	    memchr(high_text, '-', high_len) != NULL)
		return pm_fail(err, PM_USAGE, "[%.*s]: not a range of numbers",
		               (int)PM_MIN(len, 40u), s);
	low = number_of(s, low_len);
	high = number_of(high_text, high_len);
	if (high < low)
		return pm_fail(err, PM_USAGE, "[%.*s]: it ends before it begins", (int)len, s);
	width = s[0] == '0' ? (int)low_len : 1;
	for (uint64_t i = low; i <= high; i++)
		if (put_number(x, at, i, width, rest, rest_len, err) < 0)
			return -1;
	return 0;
}

static int put_range(struct expansion *x, size_t at, const char *s, size_t range, const char *rest,
                     size_t rest_len, struct pm_error *err)
{
	const char *end = s + range - 1;

	for (const char *piece = s + 1; piece <= end;) {
		const char *comma = memchr(piece, ',', (size_t)(end - piece));
		const char *stop = comma == NULL ? end : comma;

		if (put_piece(x, at, piece, (size_t)(stop - piece), rest, rest_len, err) < 0)
			return -1;
		piece = stop + 1;
	}
	return 0;
}

/* The rest of an item behind the at bytes of the name that are known. */
static int put_name(struct expansion *x, size_t at, const char *s, size_t len, struct pm_error *err)
{
	for (size_t i = 0; i < len; i++) {
		size_t range = range_len(s + i, len - i);
		int rc;

		if (range > 0) {
			if (++x->ranges > RANGES_MAX)
				return pm_fail(err, PM_LIMIT, "more than %d ranges in a name",
				               RANGES_MAX);
			rc = put_range(x, at, s + i, range, s + i + range, len - i - range, err);
			x->ranges--;
			return rc;
		}
		if (at >= PM_NAME_MAX)
			return pm_fail(err, PM_LIMIT, "a name is longer than %d bytes",
			               PM_NAME_MAX);
		x->name[at++] = s[i];
	}
	x->name[at] = '\0';
	if (++x->n > PM_HOSTS_MAX)
		return pm_fail(err, PM_LIMIT, "more than %d names", PM_HOSTS_MAX);
	return x->fn(x->arg, x->name, err);
}

int hostlist_expand(const char *item, size_t len, hostlist_fn *fn, void *arg, struct pm_error *err)
{
	struct expansion x = { .fn = fn, .arg = arg };

	return put_name(&x, 0, item, len, err);
}

/* ---- order ---- */

static size_t digits_at(const char *s)
{
	size_t n = 0;

	while (is_digit(s[n]))
		n++;
	return n;
}

/* Numbers of any length: without the zeros in front the longer one is the larger one. */
static int compare_numbers(const char *a, size_t n, const char *b, size_t m)
{
	while (n > 1 && *a == '0') {
		a++;
		n--;
	}
	while (m > 1 && *b == '0') {
		b++;
		m--;
	}
	if (n != m)
		return n < m ? -1 : 1;
	return memcmp(a, b, n);
}

int hostlist_compare(const char *a, const char *b)
{
	const char *from_a = a, *from_b = b;

	while (*a != '\0' && *b != '\0') {
		size_t n = digits_at(a), m = digits_at(b);
		int rc;

		if (n > 0 && m > 0) {
			rc = compare_numbers(a, n, b, m);
			a += n;
			b += m;
		} else {
			rc = (unsigned char)*a - (unsigned char)*b;
			a++;
			b++;
		}
		if (rc != 0)
			return rc;
	}
	if (*a != *b)
		return *a == '\0' ? -1 : 1;
	/* Equal but for zeros in front: 1 before 01. */
	if (strlen(from_a) != strlen(from_b))
		return strlen(from_a) < strlen(from_b) ? -1 : 1;
	return strcmp(from_a, from_b);
}

/* ---- folding ---- */

/* A name, or several that differ in their numbers only. */
struct folded {
	const char *name; /* borrowed: the first of them */
	unsigned n_fields;
	size_t from[FIELDS_MAX], len[FIELDS_MAX]; /* the numbers of `name`, from its end */
	char *range[FIELDS_MAX];                  /* owned; NULL: the number itself */
};

static void find_fields(struct folded *f)
{
	size_t at = strlen(f->name);

	while (at > 0 && f->n_fields < FIELDS_MAX) {
		size_t end = at;

		while (at > 0 && is_digit(f->name[at - 1]))
			at--;
		if (at == end) {
			at--;
		} else if (end - at <= DIGITS_MAX) {
			f->from[f->n_fields] = at;
			f->len[f->n_fields++] = end - at;
		}
	}
}

static int compare_spans(const char *a, size_t n, const char *b, size_t m)
{
	int rc = memcmp(a, b, PM_MIN(n, m));

	if (rc != 0 || n == m)
		return rc;
	return n < m ? -1 : 1;
}

static int compare_field(const struct folded *a, const struct folded *b, unsigned field)
{
	const char *s = a->range[field] != NULL ? a->range[field] : a->name + a->from[field];
	const char *t = b->range[field] != NULL ? b->range[field] : b->name + b->from[field];

	return compare_spans(s, a->range[field] != NULL ? strlen(s) : a->len[field], t,
	                     b->range[field] != NULL ? strlen(t) : b->len[field]);
}

/* Everything but one number; 0: the two fold on it. */
static int compare_but(const struct folded *a, const struct folded *b, unsigned but)
{
	size_t end_a = strlen(a->name), end_b = strlen(b->name);

	if (a->n_fields != b->n_fields)
		return a->n_fields < b->n_fields ? -1 : 1;
	for (unsigned i = 0; i < a->n_fields; i++) {
		size_t from_a = a->from[i] + a->len[i], from_b = b->from[i] + b->len[i];
		int rc = compare_spans(a->name + from_a, end_a - from_a, b->name + from_b,
		                       end_b - from_b);

		if (rc == 0 && i != but)
			rc = compare_field(a, b, i);
		if (rc != 0)
			return rc;
		end_a = a->from[i];
		end_b = b->from[i];
	}
	return compare_spans(a->name, end_a, b->name, end_b);
}

static int by_field(const void *left, const void *right, void *arg)
{
	const struct folded *a = left, *b = right;
	unsigned field = *(const unsigned *)arg;
	int rc = compare_but(a, b, field);

	if (rc == 0 && field < a->n_fields) {
		rc = compare_numbers(a->name + a->from[field], a->len[field],
		                     b->name + b->from[field], b->len[field]);
		if (rc == 0 && a->len[field] != b->len[field])
			rc = a->len[field] < b->len[field] ? -1 : 1;
	}
	return rc;
}

/* Whether the number at `next` is what follows `before` in a range that begins with `first`. */
static bool follows(const struct folded *first, const struct folded *before,
                    const struct folded *next, unsigned field)
{
	const char *start = first->name + first->from[field];
	int width = *start == '0' ? (int)first->len[field] : 1;
	char want[DIGITS_MAX + 4];
	int n = snprintf(want, sizeof(want), "%0*llu", width,
	                 (unsigned long long)number_of(before->name + before->from[field],
	                                               before->len[field]) +
	                         1);

	return n > 0 && (size_t)n == next->len[field] &&
	       memcmp(want, next->name + next->from[field], (size_t)n) == 0;
}

/* The numbers of n names that are equal but for that field: "[01-20,25]". */
static char *range_of(const struct folded *f, size_t n, unsigned field)
{
	PM_BUF b = { 0 };

	pm_buf_char(&b, '[');
	for (size_t i = 0; i < n;) {
		size_t last = i;

		while (last + 1 < n && follows(&f[i], &f[last], &f[last + 1], field))
			last++;
		if (i > 0)
			pm_buf_char(&b, ',');
		pm_buf_add(&b, f[i].name + f[i].from[field], f[i].len[field]);
		if (last > i) {
			pm_buf_char(&b, last > i + 1 ? '-' : ',');
			pm_buf_add(&b, f[last].name + f[last].from[field], f[last].len[field]);
		}
		i = last + 1;
	}
	pm_buf_char(&b, ']');
	return pm_buf_take(&b);
}

static void folded_finish(struct folded *f)
{
	for (unsigned i = 0; i < FIELDS_MAX; i++)
		free(f->range[i]);
}

/* Fold all on one field; *n becomes how many are left. -1: no memory. */
static int fold_field(struct folded *f, size_t *n, unsigned field)
{
	size_t kept = 0;

	qsort_r(f, *n, sizeof(*f), by_field, &field);
	for (size_t i = 0; i < *n;) {
		size_t same = 1;

		while (i + same < *n && field < f[i].n_fields &&
		       compare_but(&f[i], &f[i + same], field) == 0)
			same++;
		if (same > 1) {
			char *range = range_of(f + i, same, field);

			if (range == NULL) {
				/* Those between kept and i have moved down: not to be freed twice.
				 */
				memmove(f + kept, f + i, (*n - i) * sizeof(*f));
				*n -= i - kept;
				return -1;
			}
			for (size_t j = 1; j < same; j++)
				folded_finish(&f[i + j]);
			f[i].range[field] = range;
		}
		f[kept++] = f[i];
		i += same;
	}
	*n = kept;
	return 0;
}

static int by_name(const void *left, const void *right)
{
	const struct folded *a = left, *b = right;

	return hostlist_compare(a->name, b->name);
}

static void put_folded(const struct folded *f, struct pm_buf *out)
{
	size_t at = 0;

	for (unsigned i = f->n_fields; i-- > 0;) {
		pm_buf_add(out, f->name + at, f->from[i] - at);
		if (f->range[i] != NULL)
			pm_buf_str(out, f->range[i]);
		else
			pm_buf_add(out, f->name + f->from[i], f->len[i]);
		at = f->from[i] + f->len[i];
	}
	pm_buf_str(out, f->name + at);
}

static size_t drop_same(struct folded *f, size_t n)
{
	size_t kept = 0;

	qsort(f, n, sizeof(*f), by_name);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || strcmp(f[kept - 1].name, f[i].name) != 0)
			f[kept++] = f[i];
	return kept;
}

int hostlist_fold(const char *const *names, size_t n, struct pm_buf *out, struct pm_error *err)
{
	PM_FREE struct folded *f = pm_calloc(n + 1, sizeof(*f));
	int rc = 0;

	if (f == NULL)
		return pm_fail(err, PM_NO_MEMORY, "fold %zu names", n);
	for (size_t i = 0; i < n; i++) {
		f[i].name = names[i];
		find_fields(&f[i]);
	}
	n = drop_same(f, n);
	for (unsigned field = 0; field < FIELDS_MAX && rc == 0; field++)
		rc = fold_field(f, &n, field);
	if (rc == 0)
		qsort(f, n, sizeof(*f), by_name);
	for (size_t i = 0; i < n; i++) {
		if (rc == 0 && i > 0)
			pm_buf_char(out, ',');
		if (rc == 0)
			put_folded(&f[i], out);
		folded_finish(&f[i]);
	}
	if (rc < 0 || out->failed)
		return pm_fail(err, PM_NO_MEMORY, "fold the names");
	return 0;
}
