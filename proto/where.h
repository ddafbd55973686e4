/* where.h - expressions over the facts of a host: parser and evaluator. Pure.
 *
 *   EXPR  = AND ("or" AND)*        AND = NOT ("and" NOT)*       NOT = "not" NOT | TERM
 *   TERM  = "(" EXPR ")" | PATH | PATH OP VALUE | PATH "in" "(" VALUE ("," VALUE)* ")"
 *   PATH  = host.FIELD | label.KEY | claimed.KEY | app.NAME.FIELD
 *   OP    = == = != < <= > >= ~
 *   VALUE = number with an optional unit | "text" | 'text' | word
 *
 * A path alone is true when the host has it and it is not "", "0" or "false". Any comparison with
 * what a host has not is false, != too. Two numbers compare as numbers, all else as
 * hostlist_compare() does, so that "1.10" is above "1.9"; == and != of texts are of their bytes.
 * ~ is a regular expression (regex.h).
 */
#ifndef PM_PROTO_WHERE_H
#define PM_PROTO_WHERE_H

#include <stdbool.h>

#include "proto/error.h"

enum where_root {
	WHERE_HOST,
	WHERE_LABEL,
	WHERE_CLAIMED, /* labels that the agent gives itself (F-07) */
	WHERE_APP,
};

struct where_path {
	enum where_root root;
	const char *name;  /* of the field, the label or the app */
	const char *field; /* WHERE_APP only */
};

/* The value of a path for the host at hand, as text valid during the call; NULL: it has none. */
typedef const char *where_fn(void *arg, const struct where_path *path);

struct where;

/*
 * ownership  *out is the caller's, for where_destroy()
 * errors     PM_USAGE with the position, PM_LIMIT (PM_TARGETS_TEXT_MAX, PM_WHERE_TERMS_MAX,
 *            PM_WHERE_DEPTH_MAX), PM_NO_MEMORY
 */
PM_MUST_CHECK int where_parse(const char *text, struct where **out, struct pm_error *err);
void where_destroy(struct where *w); /* NULL is fine */
void where_destroyp(struct where **w);

bool where_matches(const struct where *w, where_fn *fn, void *arg);

/* The fields that host.FIELD and app.NAME.FIELD may name, each list ended by NULL. */
extern const char *const where_host_fields[];
extern const char *const where_app_fields[];

#endif
