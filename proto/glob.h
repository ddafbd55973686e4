/* glob.h - names by pattern: * ? [..], in time that no pattern can blow up. Pure. */
#ifndef PM_PROTO_GLOB_H
#define PM_PROTO_GLOB_H

#include <stdbool.h>

#include "proto/base.h"

/*
 * Whether the whole name matches.
 *
 * pattern    * any bytes, ? one, [abc] [a-z] [!a-z] one of or none of; a backslash makes the next
 *            byte mean itself, and a bracket that nothing closes is a byte as any other
 * source     fnmatch(3) without flags, in the C locale; unlike it in time length x length at most
 */
bool glob_match(const char *pattern, size_t len, const char *name);

/* Whether there is anything in it that matches more than one name. */
bool glob_is_pattern(const char *pattern, size_t len);

/* Whether one of several globs matches, that are separated by commas; "" matches nothing. */
bool glob_match_any(const char *list, const char *name);

#endif
