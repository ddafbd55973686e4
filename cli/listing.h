/* listing.h - a list whose rows can be chosen, put in order, and shown in several forms (E-04).
 * Pure.
 *
 * A verb fills in rows; what of them is shown, and how, is the same for every list.
 */
#ifndef PM_CLI_LISTING_H
#define PM_CLI_LISTING_H

#include "cli/color.h"
#include "cli/json_out.h"
#include "proto/error.h"

#define LISTING_FILTERS_MAX 16 /* on one command line; more are refused */

struct listing_column {
	const char *key;      /* what --sort, --filter and custom= call it */
	const char *title;    /* of the table */
	unsigned rank, least; /* as struct table_column's */
	unsigned most;
	bool right;
	bool wide; /* in a table only with -o wide */
	bool name; /* what -o name prints */
};

struct listing_columns {
	const struct listing_column *list;
	size_t n;
	bool cut_end; /* cut texts lose their end, else their middle */
};

enum listing_form {
	LISTING_TABLE,
	LISTING_WIDE, /* every column, nothing cut */
	LISTING_JSON,
	LISTING_JSONL, /* a document for each row */
	LISTING_NAME,  /* names alone, each once */
	LISTING_CUSTOM,
};

struct listing_filter {
	const char *key; /* borrowed; key_len bytes of it */
	size_t key_len;
	const char *value; /* borrowed; fnmatch(3) */
	bool differs;      /* KEY!=VALUE */
};

/* What the command line says about a list. */
struct listing_options {
	enum listing_form form;
	bool no_header;
	const char *custom; /* borrowed: "KEY,KEY" of custom= */
	const char *sort;   /* borrowed: "KEY[:asc|desc]"; NULL: as they come */
	struct listing_filter filters[LISTING_FILTERS_MAX];
	size_t n_filters;
};

/* Read "wide", "custom=KEY,KEY" and the like.  errors PM_USAGE */
PM_MUST_CHECK int listing_form_parse(const char *text, struct listing_options *o,
                                     struct pm_error *err);
/* Read "KEY=VALUE" or "KEY!=VALUE" and add it.  errors PM_USAGE, PM_LIMIT */
PM_MUST_CHECK int listing_filter_parse(const char *text, struct listing_options *o,
                                       struct pm_error *err);
/* Whether all keys that are named exist.  errors PM_USAGE, with the nearest one */
PM_MUST_CHECK int listing_check(const struct listing_options *o,
                                const struct listing_columns *columns, struct pm_error *err);

struct listing;

/* columns: borrowed while the listing lives.  errors PM_NO_MEMORY */
PM_MUST_CHECK int listing_create(const struct listing_columns *columns, struct listing **out,
                                 struct pm_error *err);
void listing_destroy(struct listing *l); /* NULL is fine */
void listing_destroyp(struct listing **l);
#define PM_LISTING PM_CLEANUP(listing_destroyp) struct listing

/* The next cell, left to right, row by row; the text is copied and made harmless. */
void listing_cell(struct listing *l, const char *text, enum color color);
/* One that is put in order by a number, and chosen by its text or that number. */
void listing_number(struct listing *l, const char *text, int64_t number, enum color color);
/* Whatever the number is, it is also the text. */
void listing_count(struct listing *l, uint64_t number, enum color color);

/* After the cells of a row: where its object goes, which the caller begins and ends. */
struct json_out *listing_json(struct listing *l);

size_t listing_rows(const struct listing *l);

/*
 * The rows that the filters leave, in order.
 *
 * ownership  *rows is the caller's
 * errors     PM_NO_MEMORY, PM_USAGE as listing_check()'s
 */
PM_MUST_CHECK int listing_choose(const struct listing *l, const struct listing_options *o,
                                 size_t **rows, size_t *n, struct pm_error *err);

struct listing_style {
	unsigned width; /* of the terminal; 0: no limit.  Of -o wide and custom= there is none */
	bool color, box, ascii;
};

/* Append the rows as a table, as names, or as columns that were asked for; not as JSON. */
PM_MUST_CHECK int listing_text(const struct listing *l, const struct listing_options *o,
                               const struct listing_style *style, const size_t *rows, size_t n,
                               struct pm_buf *out, struct pm_error *err);

/*
 * Append the rows as {"schema":1,"KEY":[...]}, or as a line for each.
 *
 * more       further members of the one document, as JSON text; NULL: none
 */
PM_MUST_CHECK int listing_documents(const struct listing *l, const struct listing_options *o,
                                    const char *key, const char *more, const size_t *rows, size_t n,
                                    struct pm_buf *out, struct pm_error *err);

/* Append an object as a document on a line of its own: with its schema number first. */
void listing_line(const char *object, size_t len, struct pm_buf *out);

#endif
