/* utf8.h - one decoder of UTF-8 for all that checks, shows or escapes text. Pure. */
#ifndef PM_PROTO_UTF8_H
#define PM_PROTO_UTF8_H

#include <stdbool.h>

#include "proto/base.h"

/*
 * Decode the sequence at the start of s; len > 0.
 *
 * returns  its length, 1 to 4, with *cp set; or -n when the first n bytes (1 to 3) are no sequence:
 *          then they stand for one U+FFFD. Surrogates and overlong forms are invalid. A sequence
 *          that the end cuts off is invalid too; see pm_utf8_whole().
 * source   Unicode 15, 3.9, table 3-7 and "maximal subparts" (what Node and Python do)
 */
int pm_utf8_next(const char *s, size_t len, uint32_t *cp);

/* The longest length <= len after which no valid sequence is cut in two: len, or up to 3 less. */
size_t pm_utf8_whole(const char *s, size_t len);

/* Writes 1 to 4 bytes; returns how many. cp <= 0x10FFFF. */
size_t pm_utf8_put(char out[4], uint32_t cp);

/* Whether len bytes are UTF-8 (RFC 3629: shortest form, no surrogates) without NUL. */
bool pm_utf8_ok(const uint8_t *bytes, size_t len);

#endif
