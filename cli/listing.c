#include "cli/listing.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "proto/nearest.h"
#include "proto/sanitize.h"
#include "proto/units.h"

#define COLUMNS_MAX 64 /* of custom=; more are refused */

struct cell {
	size_t at; /* of its text */
	int64_t number;
	bool is_number;
	uint8_t color; /* enum color */
};

struct listing {
	struct listing_columns columns; /* borrowed */
	struct cell *cells;             /* owned */
	size_t n_cells, cap;
	struct pm_buf text;    /* owned: of all cells, each with its NUL */
	struct pm_buf objects; /* owned: of all rows, as JSON */
	size_t *starts;        /* owned: of each row's */
	size_t n_objects, cap_objects;
	struct json_out json;
	bool failed;
};

int listing_create(const struct listing_columns *columns, struct listing **out,
                   struct pm_error *err)
{
	struct listing *l = pm_calloc(1, sizeof(*l));

	if (l == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	l->columns = *columns;
	*out = l;
	return 0;
}

void listing_destroy(struct listing *l)
{
	if (l == NULL)
		return;
	free(l->cells);
	free(l->starts);
	pm_buf_finish(&l->text);
	pm_buf_finish(&l->objects);
	free(l);
}

void listing_destroyp(struct listing **l)
{
	listing_destroy(*l);
}

/* ---- rows ---- */

static void add(struct listing *l, const char *text, const struct cell *cell)
{
	if (l->n_cells == l->cap) {
		size_t cap = l->cap == 0 ? 64 : l->cap * 2;
		struct cell *cells = pm_realloc(l->cells, cap * sizeof(*cells));

		if (cells == NULL) {
			l->failed = true;
			return;
		}
		l->cells = cells;
		l->cap = cap;
	}
	l->cells[l->n_cells] = *cell;
	l->cells[l->n_cells++].at = l->text.len;
	pm_sanitize(text, strlen(text), PM_SANITIZE_ONE_LINE, &l->text);
	pm_buf_char(&l->text, '\0');
}

void listing_cell(struct listing *l, const char *text, enum color color)
{
	add(l, text, &(struct cell){ .color = (uint8_t)color });
}

void listing_number(struct listing *l, const char *text, int64_t number, enum color color)
{
	add(l, text,
	    &(struct cell){ .number = number, .is_number = true, .color = (uint8_t)color });
}

void listing_count(struct listing *l, uint64_t number, enum color color)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, number);
	listing_number(l, text, number > INT64_MAX ? INT64_MAX : (int64_t)number, color);
}

struct json_out *listing_json(struct listing *l)
{
	if (l->n_objects == l->cap_objects) {
		size_t cap = l->cap_objects == 0 ? 16 : l->cap_objects * 2;
		size_t *starts = pm_realloc(l->starts, cap * sizeof(*starts));

		if (starts == NULL) {
			l->failed = true;
		} else {
			l->starts = starts;
			l->cap_objects = cap;
		}
	}
	if (!l->failed)
		l->starts[l->n_objects++] = l->objects.len;
	json_init(&l->json, &l->objects);
	return &l->json;
}

size_t listing_rows(const struct listing *l)
{
	return l->columns.n == 0 ? 0 : l->n_cells / l->columns.n;
}

static const struct cell *cell_at(const struct listing *l, size_t row, size_t column)
{
	return &l->cells[row * l->columns.n + column];
}

static const char *text_of(const struct listing *l, const struct cell *cell)
{
	return l->text.bytes + cell->at;
}

/* ---- what was asked for ---- */

int listing_form_parse(const char *text, struct listing_options *o, struct pm_error *err)
{
	static const char *const words[] = {
		[LISTING_TABLE] = "table", [LISTING_WIDE] = "wide", [LISTING_JSON] = "json",
		[LISTING_JSONL] = "jsonl", [LISTING_NAME] = "name", [LISTING_CUSTOM] = "custom",
	};
	size_t len = strcspn(text, "=");
	struct nearest near;

	nearest_init(&near, text);
	for (size_t i = 0; i < PM_COUNT(words); i++) {
		nearest_offer(&near, words[i]);
		if (strlen(words[i]) != len || strncmp(words[i], text, len) != 0 ||
		    (i != LISTING_CUSTOM && text[len] == '='))
			continue;
		o->form = (enum listing_form)i;
		o->custom = i == LISTING_CUSTOM ? text + len + (text[len] == '=') : NULL;
		if (o->custom == NULL || o->custom[0] != '\0')
			return 0;
		return pm_fail(err, PM_USAGE,
		               "-o custom: it names no columns; write custom=KEY,KEY");
	}
	pm_fail(err, PM_USAGE,
	        "-o: expected table, wide, json, jsonl, name or custom=KEY,KEY, found '%.60s'",
	        text);
	if (nearest_found(&near))
		pm_hint(err, "did you mean '%s'?", near.best);
	return -1;
}

int listing_filter_parse(const char *text, struct listing_options *o, struct pm_error *err)
{
	size_t len = strcspn(text, "=!");
	bool differs = text[len] == '!';

	if (len == 0 || text[len] == '\0' || text[len + differs] != '=')
		return pm_fail(err, PM_USAGE,
		               "--filter: expected KEY=VALUE or KEY!=VALUE, found '%.60s'", text);
	if (o->n_filters == PM_COUNT(o->filters))
		return pm_fail(err, PM_USAGE, "--filter: more than %d of them",
		               LISTING_FILTERS_MAX);
	o->filters[o->n_filters++] =
		(struct listing_filter){ text, len, text + len + differs + 1, differs };
	return 0;
}

static bool find_column(const struct listing_columns *c, const char *key, size_t len, size_t *out)
{
	for (size_t i = 0; i < c->n; i++)
		if (strlen(c->list[i].key) == len && memcmp(c->list[i].key, key, len) == 0) {
			*out = i;
			return true;
		}
	return false;
}

/* The column of that key, or an error that says which ones there are. */
static int need_column(const struct listing_columns *c, const char *option, const char *key,
                       size_t len, size_t *out, struct pm_error *err)
{
	PM_BUF all = { 0 };
	struct nearest near;
	char typed[64];

	if (find_column(c, key, len, out))
		return 0;
	(void)snprintf(typed, sizeof(typed), "%.*s", (int)PM_MIN(len, sizeof(typed) - 1), key);
	nearest_init(&near, typed);
	for (size_t i = 0; i < c->n; i++) {
		nearest_offer(&near, c->list[i].key);
		pm_buf_printf(&all, "%s%s", i == 0 ? "" : ", ", c->list[i].key);
	}
	pm_fail(err, PM_USAGE, "%s: '%s' is no key of this list; it has %s", option, typed,
	        all.failed || all.bytes == NULL ? "none" : all.bytes);
	if (nearest_found(&near))
		pm_hint(err, "did you mean '%s'?", near.best);
	return -1;
}

static int read_sort(const struct listing_options *o, const struct listing_columns *c,
                     size_t *column, int *sign, struct pm_error *err)
{
	size_t len = strcspn(o->sort, ":");
	const char *way = o->sort + len;

	if (need_column(c, "--sort", o->sort, len, column, err) < 0)
		return -1;
	*sign = strcmp(way, ":desc") == 0 ? -1 : 1;
	if (*way == '\0' || *sign < 0 || strcmp(way, ":asc") == 0)
		return 0;
	return pm_fail(err, PM_USAGE, "--sort: expected KEY, KEY:asc or KEY:desc, found '%.60s'",
	               o->sort);
}

static int read_custom(const struct listing_options *o, const struct listing_columns *c,
                       size_t *columns, size_t *n, struct pm_error *err)
{
	*n = 0;
	for (const char *at = o->custom;; at++) {
		size_t len = strcspn(at, ",");

		if (*n == COLUMNS_MAX)
			return pm_fail(err, PM_USAGE, "-o custom: more than %d columns",
			               COLUMNS_MAX);
		if (need_column(c, "-o custom", at, len, &columns[*n], err) < 0)
			return -1;
		(*n)++;
		at += len;
		if (*at == '\0')
			return 0;
	}
}

int listing_check(const struct listing_options *o, const struct listing_columns *columns,
                  struct pm_error *err)
{
	size_t column, n, custom[COLUMNS_MAX];
	int sign;

	if (o->custom != NULL && read_custom(o, columns, custom, &n, err) < 0)
		return -1;
	if (o->sort != NULL && read_sort(o, columns, &column, &sign, err) < 0)
		return -1;
	for (size_t i = 0; i < o->n_filters; i++)
		if (need_column(columns, "--filter", o->filters[i].key, o->filters[i].key_len,
		                &column, err) < 0)
			return -1;
	return 0;
}

/* ---- choosing ---- */

static bool passes(const struct listing *l, const struct listing_filter *f, size_t column,
                   size_t row)
{
	const struct cell *cell = cell_at(l, row, column);
	int64_t number;
	bool same = fnmatch(f->value, text_of(l, cell), 0) == 0;

	if (!same && cell->is_number && pm_parse_int(f->value, &number))
		same = number == cell->number;
	return same != f->differs;
}

struct order {
	const struct listing *l;
	size_t column;
	int sign;
};

static int compare_cells(const struct listing *l, const struct cell *a, const struct cell *b)
{
	if (a->is_number && b->is_number)
		return (a->number > b->number) - (a->number < b->number);
	if (a->is_number != b->is_number)
		return a->is_number ? -1 : 1;
	return strcmp(text_of(l, a), text_of(l, b));
}

/* Equal ones stay in the order in which they came. */
static int compare(const void *x, const void *y, void *arg)
{
	size_t a = *(const size_t *)x, b = *(const size_t *)y;
	const struct order *o = arg;
	int c = o->sign *
	        compare_cells(o->l, cell_at(o->l, a, o->column), cell_at(o->l, b, o->column));

	return c != 0 ? c : (a > b) - (a < b);
}

int listing_choose(const struct listing *l, const struct listing_options *o, size_t **rows,
                   size_t *n, struct pm_error *err)
{
	size_t n_all = listing_rows(l), columns[LISTING_FILTERS_MAX];
	PM_FREE size_t *chosen = pm_calloc(n_all + 1, sizeof(*chosen));
	struct order order = { .l = l };

	if (chosen == NULL || l->failed || l->text.failed)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	for (size_t k = 0; k < o->n_filters; k++)
		if (need_column(&l->columns, "--filter", o->filters[k].key, o->filters[k].key_len,
		                &columns[k], err) < 0)
			return -1;
	if (o->sort != NULL && read_sort(o, &l->columns, &order.column, &order.sign, err) < 0)
		return -1;
	*n = 0;
	for (size_t i = 0; i < n_all; i++) {
		size_t k = 0;

		while (k < o->n_filters && passes(l, &o->filters[k], columns[k], i))
			k++;
		if (k == o->n_filters)
			chosen[(*n)++] = i;
	}
	if (o->sort != NULL && *n > 1)
		qsort_r(chosen, *n, sizeof(*chosen), compare, &order);
	*rows = PM_STEAL(chosen);
	return 0;
}

/* ---- showing ---- */

static size_t name_column(const struct listing *l)
{
	for (size_t i = 0; i < l->columns.n; i++)
		if (l->columns.list[i].name)
			return i;
	return 0;
}

/* Each name once, where it comes first: of an app with four instances there is one. */
static int names(const struct listing *l, const size_t *rows, size_t n, struct pm_buf *out,
                 struct pm_error *err)
{
	PM_FREE size_t *sorted = pm_calloc(n + 1, sizeof(*sorted));
	PM_FREE bool *first = pm_calloc(listing_rows(l) + 1, sizeof(*first));
	struct order order = { .l = l, .column = name_column(l), .sign = 1 };

	if (sorted == NULL || first == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	/* Of equal ones the first that came stays; what order they are printed in is another. */
	for (size_t i = 0; i < n; i++)
		sorted[i] = rows[i];
	if (n > 1)
		qsort_r(sorted, n, sizeof(*sorted), compare, &order);
	for (size_t i = 0; i < n; i++)
		first[sorted[i]] =
			i == 0 || compare_cells(l, cell_at(l, sorted[i - 1], order.column),
		                                cell_at(l, sorted[i], order.column)) != 0;
	for (size_t i = 0; i < n; i++)
		if (first[rows[i]])
			pm_buf_printf(out, "%s\n", text_of(l, cell_at(l, rows[i], order.column)));
	return 0;
}

/* The columns that the form has; custom ones go by their keys, and an empty cell is a word, too. */
static int columns_of(const struct listing *l, const struct listing_options *o, size_t *shown,
                      size_t *n, struct pm_error *err)
{
	*n = 0;
	if (o->form == LISTING_CUSTOM)
		return read_custom(o, &l->columns, shown, n, err);
	for (size_t i = 0; i < l->columns.n && *n < COLUMNS_MAX; i++)
		if (o->form == LISTING_WIDE || !l->columns.list[i].wide)
			shown[(*n)++] = i;
	return 0;
}

int listing_text(const struct listing *l, const struct listing_options *o,
                 const struct listing_style *style, const size_t *rows, size_t n,
                 struct pm_buf *out, struct pm_error *err)
{
	bool custom = o->form == LISTING_CUSTOM, whole = custom || o->form == LISTING_WIDE;
	struct table_column columns[COLUMNS_MAX];
	struct table_style ts = { .width = whole ? 0 : style->width,
		                  .color = style->color,
		                  .box = style->box && !whole,
		                  .ascii = style->ascii,
		                  .cut_end = l->columns.cut_end,
		                  .titles = COLOR_BOLD };
	size_t shown[COLUMNS_MAX], n_shown;
	PM_TABLE *table = NULL;

	if (l->failed || l->text.failed)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (o->form == LISTING_NAME)
		return names(l, rows, n, out, err);
	if (columns_of(l, o, shown, &n_shown, err) < 0)
		return -1;
	for (size_t i = 0; i < n_shown; i++) {
		const struct listing_column *c = &l->columns.list[shown[i]];

		columns[i] = (struct table_column){
			.title = o->no_header ? ""
			         : custom     ? c->key
			                      : c->title,
			.rank = whole ? 0 : c->rank,
			.least = whole ? 0 : c->least,
			.most = whole ? 0 : c->most,
			.right = c->right,
		};
	}
	table = table_create(columns, n_shown);
	if (table == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n_shown; k++) {
			const struct cell *cell = cell_at(l, rows[i], shown[k]);
			const char *text = text_of(l, cell);

			table_cell(table, custom && text[0] == '\0' ? "-" : text,
			           (enum color)cell->color);
		}
	return table_render(table, &ts, out, err);
}

/* ---- JSON ---- */

void listing_line(const char *object, size_t len, struct pm_buf *out)
{
	bool empty = len <= 2; /* {} */

	pm_buf_str(out, empty ? "{\"schema\":1" : "{\"schema\":1,");
	if (len > 0)
		pm_buf_add(out, object + 1, len - 1);
	pm_buf_char(out, '\n');
}

static const char *object_of(const struct listing *l, size_t row, size_t *len)
{
	size_t from = l->starts[row];
	size_t to = row + 1 == l->n_objects ? l->objects.len : l->starts[row + 1];

	*len = to - from;
	return l->objects.bytes + from;
}

int listing_documents(const struct listing *l, const struct listing_options *o, const char *key,
                      const char *more, const size_t *rows, size_t n, struct pm_buf *out,
                      struct pm_error *err)
{
	if (l->failed || l->objects.failed)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	if (o->form != LISTING_JSONL)
		pm_buf_printf(out, "{\"schema\":1,\"%s\":[", key);
	for (size_t i = 0; i < n; i++) {
		size_t len;
		const char *object = object_of(l, rows[i], &len);

		if (o->form == LISTING_JSONL) {
			listing_line(object, len, out);
			continue;
		}
		if (i > 0)
			pm_buf_char(out, ',');
		pm_buf_add(out, object, len);
	}
	if (o->form != LISTING_JSONL) {
		pm_buf_char(out, ']');
		if (more != NULL)
			pm_buf_printf(out, ",%s", more);
		pm_buf_str(out, "}\n");
	}
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "out of memory") : 0;
}
