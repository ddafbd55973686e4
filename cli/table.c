#include "cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"

struct cell {
	uint32_t at; /* of its text in `text` */
	uint16_t width;
	uint8_t color; /* enum color */
};

struct table {
	const struct table_column *columns; /* borrowed */
	size_t n_columns;
	struct cell *cells; /* owned */
	size_t n_cells, cap;
	struct pm_buf text; /* owned; all texts, each with its NUL */
	bool failed;
};

/* What a column gets when the table is drawn. */
struct place {
	unsigned natural, width;
	bool shown;
};

struct table *table_create(const struct table_column *columns, size_t n)
{
	struct table *t = pm_calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->columns = columns;
	t->n_columns = n;
	return t;
}

void table_destroy(struct table *t)
{
	if (t == NULL)
		return;
	free(t->cells);
	pm_buf_finish(&t->text);
	free(t);
}

void table_destroyp(struct table **t)
{
	table_destroy(*t);
}

void table_cell(struct table *t, const char *text, enum color color)
{
	if (t->n_cells == t->cap) {
		size_t cap = t->cap == 0 ? 64 : t->cap * 2;
		struct cell *cells = pm_realloc(t->cells, cap * sizeof(*cells));

		if (cells == NULL) {
			t->failed = true;
			return;
		}
		t->cells = cells;
		t->cap = cap;
	}
	if (t->text.len > UINT32_MAX / 2) {
		t->failed = true;
		return;
	}
	t->cells[t->n_cells++] = (struct cell){
		.at = (uint32_t)t->text.len,
		.width = (uint16_t)PM_MIN(text_width(text), UINT16_MAX),
		.color = (uint8_t)color,
	};
	pm_buf_add(&t->text, text, strlen(text) + 1);
}

void table_cellf(struct table *t, enum color color, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	table_cell(t, text, color);
}

static bool has_titles(const struct table *t)
{
	return t->n_columns > 0 && t->columns[0].title[0] != '\0';
}

static void measure(const struct table *t, struct place *places)
{
	for (size_t c = 0; c < t->n_columns; c++)
		places[c] = (struct place){ .shown = true };
	for (size_t i = 0; i < t->n_cells; i++) {
		struct place *p = &places[i % t->n_columns];

		p->natural = PM_MAX(p->natural, t->cells[i].width);
	}
	for (size_t c = 0; c < t->n_columns; c++) {
		const struct table_column *col = &t->columns[c];
		struct place *p = &places[c];

		p->natural += col->extra;
		p->natural = PM_MAX(p->natural, text_width(col->title));
		p->natural = PM_MAX(p->natural, col->fixed);
		if (col->most != 0)
			p->natural = PM_MIN(p->natural, col->most);
		p->width = p->natural;
	}
}

/* Columns of the lines and blanks around n cells. */
static unsigned around(size_t n, bool box)
{
	if (box)
		return (unsigned)(3 * n + 1);
	return n == 0 ? 0 : (unsigned)(2 * (n - 1));
}

static unsigned total_width(const struct table *t, const struct place *places, bool box)
{
	unsigned total = 0;
	size_t shown = 0;

	for (size_t c = 0; c < t->n_columns; c++)
		if (places[c].shown) {
			total += places[c].width;
			shown++;
		}
	return total + around(shown, box);
}

static unsigned least_width(const struct table *t, const struct place *places, size_t c)
{
	unsigned least = t->columns[c].least;

	return least == 0 ? places[c].natural : PM_MIN(least, places[c].natural);
}

/* Takes what is too much from the widest columns that may be cut; true when it fits then. */
static bool shrink(const struct table *t, struct place *places, unsigned width, bool box,
                   bool below_least)
{
	unsigned total;

	while ((total = total_width(t, places, box)) > width) {
		struct place *widest = NULL;

		for (size_t c = 0; c < t->n_columns; c++) {
			unsigned least = below_least ? 1 : least_width(t, places, c);

			if (places[c].shown && places[c].width > least &&
			    (widest == NULL || places[c].width > widest->width))
				widest = &places[c];
		}
		if (widest == NULL)
			return false;
		widest->width--;
	}
	return true;
}

static struct place *next_to_drop(const struct table *t, struct place *places)
{
	size_t drop = 0;
	unsigned rank = 0;

	for (size_t c = 0; c < t->n_columns; c++)
		if (places[c].shown && t->columns[c].rank > rank) {
			rank = t->columns[c].rank;
			drop = c;
		}
	return rank == 0 ? NULL : &places[drop];
}

/* Cut within the columns' own limits; then drop columns; in the end cut below the limits. */
static void fit(const struct table *t, const struct table_style *style, struct place *places)
{
	while (style->width != 0) {
		struct place *drop;

		for (size_t c = 0; c < t->n_columns; c++)
			places[c].width = places[c].natural;
		if (shrink(t, places, style->width, style->box, false))
			return;
		drop = next_to_drop(t, places);
		if (drop == NULL)
			break;
		drop->shown = false;
	}
	if (style->width != 0)
		(void)shrink(t, places, style->width, style->box, true); /* best effort */
}

struct lines {
	const char *bar, *dash, *left[3], *cross[3], *right[3]; /* top, middle, bottom */
};

static const struct lines unicode_lines = {
	.bar = "│",
	.dash = "─",
	.left = { "┌", "├", "└" },
	.cross = { "┬", "┼", "┴" },
	.right = { "┐", "┤", "┘" },
};
static const struct lines ascii_lines = {
	.bar = "|",
	.dash = "-",
	.left = { "+", "+", "+" },
	.cross = { "+", "+", "+" },
	.right = { "+", "+", "+" },
};

static void rule(const struct table *t, const struct table_style *style, const struct place *places,
                 int which, struct pm_buf *out)
{
	const struct lines *l = style->ascii ? &ascii_lines : &unicode_lines;
	bool first = true;

	if (!style->box)
		return;
	pm_buf_str(out, l->left[which]);
	for (size_t c = 0; c < t->n_columns; c++) {
		if (!places[c].shown)
			continue;
		if (!first)
			pm_buf_str(out, l->cross[which]);
		first = false;
		for (unsigned i = 0; i < places[c].width + 2; i++)
			pm_buf_str(out, l->dash);
	}
	pm_buf_str(out, l->right[which]);
	pm_buf_char(out, '\n');
}

struct pen {
	const struct table_style *style;
	const char *bar, *mark;
	unsigned owed; /* blanks not written yet: none may end a line of a plain table */
	bool first;
};

static void one_cell(struct pen *pen, const char *text, enum color color, unsigned width,
                     bool right, struct pm_buf *out)
{
	const struct table_style *style = pen->style;
	unsigned full = PM_MIN(text_width(text), width);
	bool colored = style->color && color != COLOR_NONE && text[0] != '\0';
	unsigned used;

	if (style->box) {
		pm_buf_str(out, pen->bar);
		pm_buf_char(out, ' ');
	} else {
		pen->owed += pen->first ? 0 : 2;
	}
	pen->first = false;
	if (right)
		pen->owed += width - full;
	if (text[0] != '\0' || style->box) {
		text_pad(out, pen->owed);
		pen->owed = 0;
	}
	if (colored)
		pm_buf_str(out, color_on(color));
	used = text_cut(out, text, width, style->cut_end ? TEXT_CUT_END : TEXT_CUT_MIDDLE,
	                pen->mark);
	if (colored)
		pm_buf_str(out, color_off(color));
	if (style->box)
		text_pad(out, right ? 1 : width + 1 - used);
	else
		pen->owed += right ? 0 : width - used;
}

static void line(const struct table *t, const struct table_style *style, const struct place *places,
                 const struct cell *cells, struct pm_buf *out)
{
	struct pen pen = {
		.style = style,
		.bar = style->ascii ? "|" : "│",
		.mark = style->ascii ? ".." : "…",
		.first = true,
	};

	for (size_t c = 0; c < t->n_columns; c++) {
		const struct table_column *col = &t->columns[c];

		if (!places[c].shown)
			continue;
		if (cells == NULL)
			one_cell(&pen, col->title, style->titles, places[c].width, col->right, out);
		else
			one_cell(&pen, t->text.bytes + cells[c].at, (enum color)cells[c].color,
			         places[c].width, col->right, out);
	}
	if (style->box)
		pm_buf_str(out, pen.bar);
	pm_buf_char(out, '\n');
}

unsigned table_full_width(const struct table *t, const struct table_style *style)
{
	PM_FREE struct place *places = pm_calloc(t->n_columns + 1, sizeof(*places));

	if (places == NULL)
		return 0;
	measure(t, places);
	return total_width(t, places, style->box);
}

int table_render(const struct table *t, const struct table_style *style, struct pm_buf *out,
                 struct pm_error *err)
{
	PM_FREE struct place *places = pm_calloc(t->n_columns + 1, sizeof(*places));
	size_t rows = t->n_columns == 0 ? 0 : t->n_cells / t->n_columns;

	if (places == NULL || t->failed || t->text.failed)
		return pm_fail(err, PM_NO_MEMORY, "lay out a table");
	measure(t, places);
	fit(t, style, places);
	rule(t, style, places, 0, out);
	if (has_titles(t))
		line(t, style, places, NULL, out);
	if (has_titles(t) && rows > 0)
		rule(t, style, places, 1, out);
	for (size_t r = 0; r < rows; r++)
		line(t, style, places, &t->cells[r * t->n_columns], out);
	rule(t, style, places, 2, out);
	return out->failed ? pm_fail(err, PM_NO_MEMORY, "lay out a table") : 0;
}
