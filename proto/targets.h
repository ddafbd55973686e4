/* targets.h - which hosts are meant: the one reader of target options for all programs. Pure.
 *
 *   SET   = item ("," item)*      item = ["!"] (glob | range | "@" group | "~" regex)
 *
 * Options of one kind add up, different kinds narrow each other: --hosts web* --label env=prod are
 * the web hosts with that label.  Whatever is excluded stays out, wherever it stands.
 */
#ifndef PM_PROTO_TARGETS_H
#define PM_PROTO_TARGETS_H

#include <stdbool.h>

#include "proto/error.h"
#include "proto/labels.h"
#include "proto/where.h"

struct pm_buf;

/* What was asked for.  Texts are borrowed; NULL: not given. */
struct targets_query {
	bool all;
	const char *hosts;   /* SET */
	const char *label;   /* labels.h */
	const char *group;   /* the name of one group */
	const char *where;   /* where.h */
	const char *exclude; /* SET */
	bool lenient; /* a part of a SET that names nobody is fine: for rules, not for acts */
	/* Narrowing, after all that. */
	uint32_t limit; /* at most so many; 0: no limit */
	bool limit_pct; /* limit is of a hundred, rounded up */
	bool random;    /* which ones: by the seed, not the first */
	uint64_t seed;
};

struct targets_host {
	const char *name;
	struct pm_labels labels;  /* confirmed at the coordinator */
	struct pm_labels claimed; /* what the agent says of itself: only for claimed.KEY (F-07) */
};

/* All that there is to choose from. */
struct targets_fleet {
	const struct targets_host *hosts; /* sorted by targets_host_compare(), names unique */
	size_t n;
	/* A fact of a host (WHERE_HOST but "name", WHERE_APP), as where_fn; NULL: none are known.
	 */
	const char *(*fact)(void *arg, size_t host, const struct where_path *path);
	/* The definition of a group; false: no such group.  NULL: there are none. */
	bool (*group)(void *arg, const char *name, struct targets_query *out);
	void *arg;
};

/* Hosts by their index in the fleet, ascending: the list is what later steps go by (F-03). */
struct targets {
	uint32_t *hosts; /* owned */
	size_t n;
};

void targets_finish(struct targets *t);

/* For qsort(3): by name, numbers by their value. */
int targets_host_compare(const void *a, const void *b);

/*
 * Find the hosts that are meant.
 *
 * errors     PM_USAGE (nothing was asked for, or not in this grammar, with the position),
 *            PM_NOT_FOUND (nothing matches, or a part of a SET that includes does not: the hint has
 *            the nearest name), PM_LIMIT, PM_NO_MEMORY
 */
PM_MUST_CHECK int targets_expand(const struct targets_query *q, const struct targets_fleet *fleet,
                                 struct targets *out, struct pm_error *err);

/* "10" or "25%" of --limit into q. errors: PM_USAGE */
PM_MUST_CHECK int targets_parse_limit(const char *text, struct targets_query *q,
                                      struct pm_error *err);

/* Append the names as ranges. errors: PM_NO_MEMORY */
PM_MUST_CHECK int targets_fold(const struct targets *t, const struct targets_fleet *fleet,
                               struct pm_buf *out, struct pm_error *err);

#endif
