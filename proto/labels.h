/* labels.h - labels of a host, and the selectors of label expressions. Pure.
 *
 *   k=v   k!=v   k   !k   k in (a,b)   k notin (a,b)      joined by ',' which means "and"
 *
 * As in Kubernetes, k!=v and notin are also true of a host that has no label k.
 */
#ifndef PM_PROTO_LABELS_H
#define PM_PROTO_LABELS_H

#include <stdbool.h>

#include "proto/error.h"

struct pm_label {
	const char *key, *value;
};

/* A set of labels, sorted by key; keys are unique. */
struct pm_labels {
	struct pm_label *list; /* owned; the texts live in `text` */
	size_t n;
	char *text; /* owned */
};

void pm_labels_finish(struct pm_labels *labels);

/*
 * Read "k=v,k2=v2"; "" is no label. The later of two with one key wins.
 *
 * errors     PM_USAGE with the position, PM_LIMIT (PM_LABELS_MAX), PM_NO_MEMORY
 */
PM_MUST_CHECK int pm_labels_parse(const char *text, struct pm_labels *out, struct pm_error *err);

/* The value of a key, borrowed; NULL: no such label. */
const char *pm_labels_get(const struct pm_labels *labels, const char *key);

/* Whether key and value are ones: letters, digits and "._-/" (a value may be empty). */
bool pm_label_key_ok(const char *key, size_t len);
bool pm_label_value_ok(const char *value, size_t len);

struct pm_selector;

/* errors: PM_USAGE with the position, PM_LIMIT, PM_NO_MEMORY; *out is for pm_selector_destroy() */
PM_MUST_CHECK int pm_selector_parse(const char *text, struct pm_selector **out,
                                    struct pm_error *err);
void pm_selector_destroy(struct pm_selector *s); /* NULL is fine */
void pm_selector_destroyp(struct pm_selector **s);

bool pm_selector_matches(const struct pm_selector *s, const struct pm_labels *labels);

#endif
