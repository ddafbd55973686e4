/* hostlist.h - host names with ranges: web[01-20,25] spelled out, and folded back. Pure.
 *
 * A bracket that holds only digits, '-' and ',' is a range; any other is left to globs (glob.h).  A
 * range whose first number begins with 0 has numbers of at least that width: [08-12] is 08 09 10 11
 * 12, and [8-12] is 8 9 10 11 12.  Several brackets in a name give every combination.
 */
#ifndef PM_PROTO_HOSTLIST_H
#define PM_PROTO_HOSTLIST_H

#include <stdbool.h>

#include "proto/error.h"

struct pm_buf;

/* One name, NUL-terminated and valid during the call; -1 with err set ends the list. */
typedef int hostlist_fn(void *arg, const char *name, struct pm_error *err);

/* Whether the name of an agent is one: letters, digits, '.', '_', '-'; at most PM_NAME_MAX. */
bool hostlist_is_name(const char *name);

/*
 * Spell out one item; fn is called for each name, in order.
 *
 * errors     PM_USAGE (a range that is none), PM_LIMIT (over PM_HOSTS_MAX names, or a name over
 *            PM_NAME_MAX), and what fn says
 */
PM_MUST_CHECK int hostlist_expand(const char *item, size_t len, hostlist_fn *fn, void *arg,
                                  struct pm_error *err);

/*
 * How names are ordered and versions compared: runs of digits by their number, all else by bytes.
 *
 * returns    < 0, 0, > 0; 0 only for equal texts
 */
int hostlist_compare(const char *a, const char *b);

/*
 * Append the names as ranges with ',' between them. Duplicates count once; what hostlist_expand()
 * makes of the text is the set that was given. At most the last three numbers of a name fold.
 *
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int hostlist_fold(const char *const *names, size_t n, struct pm_buf *out,
                                struct pm_error *err);

#endif
