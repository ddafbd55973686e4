/* width.h - how many columns text takes on a terminal, and cutting it to fit. Pure. */
#ifndef PM_PROTO_WIDTH_H
#define PM_PROTO_WIDTH_H

#include <stdbool.h>

#include "proto/base.h"

struct pm_buf;

/*
 * Columns of one character: 0 (combining, invisible), 2 (East Asian wide, emoji) or 1. Not
 * wcwidth(3), whose answer depends on the locale that a daemon or a cron job happens to have.
 */
int pm_char_width(uint32_t cp);

/* Columns of sanitised text; what is no UTF-8 counts as the one U+FFFD that is shown for it. */
size_t pm_text_width(const char *s, size_t len);

/*
 * Append text of at most width columns: all of it, or its beginning and end with an ellipsis
 * between them. Characters are kept whole, with the combining ones that belong to them.
 *
 * ascii  ".." instead of the one-column ellipsis
 */
void pm_text_fit(const char *s, size_t len, size_t width, bool ascii, struct pm_buf *out);

#endif
