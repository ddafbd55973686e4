#include "agent/rotate.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* A name taken apart. */
struct parts {
	const char *stamp; /* into the name */
	unsigned n;        /* -n; 0: none */
	size_t plain_len;  /* of the name without .gz or .zst */
};

bool rotate_due(const struct rotate_config *c, uint64_t size, uint64_t age_ms)
{
	if (size == 0)
		return false;
	return (c->max_size != 0 && size >= c->max_size) ||
	       (c->every_ms != 0 && age_ms >= c->every_ms);
}

static const char *extension(const char *file)
{
	const size_t len = strlen(file);

	return len > 4 && strcmp(file + len - 4, ".log") == 0 ? ".log" : "";
}

static size_t stem_len(const char *file)
{
	return strlen(file) - strlen(extension(file));
}

static bool is_stamp(const char *s)
{
	static const char form[] = "dddd-dd-dd_dd-dd-dd";

	for (size_t i = 0; i < ROTATE_STAMP_LEN; i++)
		if (form[i] == 'd' ? !isdigit((unsigned char)s[i]) : s[i] != form[i])
			return false; /* a NUL fails too */
	return true;
}

/* "-n" as rotate_name() writes it; returns what follows, or NULL when it is none of ours. */
static const char *scan_n(const char *s, unsigned *n)
{
	*n = 0;
	if (*s != '-')
		return s;
	s++;
	if (*s < '1' || *s > '9')
		return NULL;
	while (isdigit((unsigned char)*s) && *n <= ROTATE_SAME_SECOND_MAX)
		*n = *n * 10 + (unsigned)(*s++ - '0');
	return *n <= ROTATE_SAME_SECOND_MAX ? s : NULL;
}

static bool take_apart(const char *file, const char *name, struct parts *out)
{
	const size_t stem = stem_len(file);
	const char *ext = extension(file);
	const char *rest;

	if (strncmp(name, file, stem) != 0 || strncmp(name + stem, "__", 2) != 0)
		return false;
	out->stamp = name + stem + 2;
	if (!is_stamp(out->stamp))
		return false;
	rest = scan_n(out->stamp + ROTATE_STAMP_LEN, &out->n);
	if (rest == NULL || strncmp(rest, ext, strlen(ext)) != 0)
		return false;
	rest += strlen(ext);
	out->plain_len = (size_t)(rest - name);
	return *rest == '\0' || strcmp(rest, ".gz") == 0 || strcmp(rest, ".zst") == 0;
}

bool rotate_is_of(const char *file, const char *name)
{
	struct parts parts;

	return take_apart(file, name, &parts);
}

int rotate_name(const char *file, const char *stamp, const struct rotate_file *files, size_t n,
                char *out, size_t size, struct pm_error *err)
{
	const int stem = (int)stem_len(file);
	unsigned next = 0;
	int len;

	for (size_t i = 0; i < n; i++) {
		struct parts parts;

		if (take_apart(file, files[i].name, &parts) && parts.n >= next &&
		    strncmp(parts.stamp, stamp, ROTATE_STAMP_LEN) == 0)
			next = parts.n + 1;
	}
	if (next > ROTATE_SAME_SECOND_MAX)
		return pm_fail(err, PM_LIMIT, "%s was rotated %d times within a second", file,
		               ROTATE_SAME_SECOND_MAX);
	if (next == 0)
		len = snprintf(out, size, "%.*s__%.*s%s", stem, file, ROTATE_STAMP_LEN, stamp,
		               extension(file));
	else
		len = snprintf(out, size, "%.*s__%.*s-%u%s", stem, file, ROTATE_STAMP_LEN, stamp,
		               next, extension(file));
	if (len < 0 || (size_t)len >= size)
		return pm_fail(err, PM_INTERNAL, "the name of %s is too long to rotate it", file);
	return 0;
}

/* Negative when a is older. */
static int compare(const char *file, const struct rotate_file *a, const struct rotate_file *b)
{
	struct parts pa, pb;
	int order;

	if (a->mtime_s != b->mtime_s)
		return a->mtime_s < b->mtime_s ? -1 : 1;
	if (!take_apart(file, a->name, &pa) || !take_apart(file, b->name, &pb))
		return 0; /* not reached: both are of this log */
	order = strncmp(pa.stamp, pb.stamp, ROTATE_STAMP_LEN);
	return order != 0 ? order : (int)pa.n - (int)pb.n;
}

/* Heap sort: bounded, without recursion or memory, and qsort(3) cannot be handed `file`. */
static void sink(const char *file, const struct rotate_file *files, size_t *heap, size_t at,
                 size_t n)
{
	for (size_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
		const size_t moved = heap[at];

		if (child + 1 < n &&
		    compare(file, &files[heap[child]], &files[heap[child + 1]]) < 0)
			child++;
		if (compare(file, &files[moved], &files[heap[child]]) >= 0)
			return;
		heap[at] = heap[child];
		heap[child] = moved;
		at = child;
	}
}

static void sort(const char *file, const struct rotate_file *files, size_t *order, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sink(file, files, order, i, n);
	while (n > 1) {
		const size_t newest = order[0];

		order[0] = order[--n];
		order[n] = newest;
		sink(file, files, order, 0, n);
	}
}

/* A plain file whose compressed form is there. */
static bool has_compressed(const char *file, const struct rotate_file *files, size_t n,
                           const char *name)
{
	struct parts parts;
	size_t len;

	if (!take_apart(file, name, &parts) || name[parts.plain_len] != '\0')
		return false;
	len = parts.plain_len;
	for (size_t i = 0; i < n; i++)
		if (strncmp(files[i].name, name, len) == 0 &&
		    (strcmp(files[i].name + len, ".gz") == 0 ||
		     strcmp(files[i].name + len, ".zst") == 0))
			return true;
	return false;
}

size_t rotate_prune(const struct rotate_config *c, const char *file,
                    const struct rotate_file *files, size_t n, size_t *out)
{
	size_t n_gone = 0, end, first;
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++)
		if (has_compressed(file, files, n, files[i].name))
			out[n_gone++] = i;
	end = first = n_gone;
	for (size_t i = 0; i < n; i++) {
		if (!rotate_is_of(file, files[i].name) ||
		    has_compressed(file, files, n, files[i].name))
			continue;
		total += PM_MIN(files[i].size, UINT64_MAX - total);
		out[end++] = i;
	}
	sort(file, files, out + first, end - first);
	while (n_gone < end &&
	       (end - n_gone > c->keep || (c->total_cap != 0 && total > c->total_cap)))
		total -= files[out[n_gone++]].size;
	return n_gone;
}
