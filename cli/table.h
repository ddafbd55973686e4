/* table.h - lays out rows and columns for a terminal of a given width, or for a pipe. Pure. */
#ifndef PM_CLI_TABLE_H
#define PM_CLI_TABLE_H

#include <stdbool.h>

#include "cli/color.h"
#include "proto/buf.h"
#include "proto/error.h"

struct table;

struct table_column {
	const char *title; /* "": a table without heading */
	unsigned rank;     /* 0: always shown; else the highest rank is dropped first */
	unsigned least;    /* columns of text it can be cut down to; 0: never cut */
	unsigned fixed;    /* columns of text at least, whatever the rows hold */
	unsigned extra;    /* added to the widest text */
	unsigned most;     /* wider text is cut; 0: no limit */
	bool right;        /* aligned right */
};

struct table_style {
	unsigned width; /* of the terminal; 0: no limit */
	bool box;       /* lines around the cells */
	bool ascii;     /* lines of + - | */
	bool color;
	enum color titles;
	bool cut_end; /* cut texts end in the mark, else the middle is left out */
};

/*
 * A table of the given columns.
 *
 * columns    borrowed while the table lives
 * returns    NULL: no memory
 */
struct table *table_create(const struct table_column *columns, size_t n) PM_MUST_CHECK;
void table_destroy(struct table *t); /* NULL is fine */
void table_destroyp(struct table **t);

#define PM_TABLE PM_CLEANUP(table_destroyp) struct table

/* The next cell, left to right, row by row. The text is copied; it must be free of control bytes.
 */
void table_cell(struct table *t, const char *text, enum color color);
void table_cellf(struct table *t, enum color color, const char *fmt, ...) PM_PRINTF(3, 4);

/* Columns that the table takes with every column shown and nothing cut. */
unsigned table_full_width(const struct table *t, const struct table_style *style);

/*
 * Append the table, each line ended by a newline.
 *
 * errors     PM_NO_MEMORY, of any call before too
 */
PM_MUST_CHECK int table_render(const struct table *t, const struct table_style *style,
                               struct pm_buf *out, struct pm_error *err);

#endif
