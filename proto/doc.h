/* doc.h - a tree of values as configuration files hold them, with their places. Pure. */
#ifndef PM_PROTO_DOC_H
#define PM_PROTO_DOC_H

#include <stdbool.h>

#include "proto/base.h"
#include "proto/buf.h"

enum doc_type {
	DOC_NULL,
	DOC_BOOL,
	DOC_NUMBER,
	DOC_TEXT,
	DOC_LIST,
	DOC_MAP
};

/* One value; it belongs to its doc and is read-only once the tree is built. */
struct doc_node {
	enum doc_type type;
	unsigned line, column; /* from 1; 0: not from a file */
	bool truth;            /* DOC_BOOL */
	double number;         /* DOC_NUMBER */
	const char *text;      /* DOC_TEXT, without NUL bytes inside; never NULL there */
	const char *name;      /* in a map; else NULL */
	unsigned name_line, name_column;
	const struct doc_node *next;  /* in its list or map */
	const struct doc_node *first; /* DOC_LIST, DOC_MAP */
	struct doc_node *last;
	size_t n;
};

struct doc;

/*
 * An empty tree.
 *
 * max_bytes  memory it may take; what needs more fails as if memory ran out (doc_is_full() tells)
 */
struct doc *doc_create(size_t max_bytes) PM_MUST_CHECK;
void doc_destroy(struct doc *doc); /* with all its nodes; NULL is fine */
void doc_destroyp(struct doc **doc);
bool doc_is_full(const struct doc *doc);

#define PM_DOC PM_CLEANUP(doc_destroyp) struct doc

/* New parts, owned by doc; NULL when there is no room. doc_text() copies len bytes and adds a NUL.
 */
struct doc_node *doc_node(struct doc *doc, enum doc_type type, unsigned line,
                          unsigned column) PM_MUST_CHECK;
const char *doc_text(struct doc *doc, const char *bytes, size_t len) PM_MUST_CHECK;

void doc_append(struct doc_node *parent, struct doc_node *child);

/* The value of that name; of several the last, as in JavaScript. NULL if there is none. */
const struct doc_node *doc_get(const struct doc_node *map, const char *name);

/* "text", "number", "list" ...; for error messages. */
const char *doc_type_name(enum doc_type type);

/* The value as JSON, on one line. */
void doc_to_json(const struct doc_node *node, struct pm_buf *out);

/* The value as an environment variable holds it: text as it is, lists and maps as JSON. */
void doc_to_text(const struct doc_node *node, struct pm_buf *out);

#endif
