/* text.h - pieces of UTF-8 text: decoding, columns, cutting to fit. Pure. */
#ifndef PM_CLI_TEXT_H
#define PM_CLI_TEXT_H

#include <stdbool.h>

#include "proto/buf.h"

#define TEXT_BAD UINT32_MAX

/*
 * The first character of len > 0 bytes.
 *
 * code       its code point, or TEXT_BAD for a byte that begins no character
 * returns    the bytes it takes, at least 1
 */
size_t text_decode(const char *bytes, size_t len, uint32_t *code);

/* Columns that the text takes on a terminal. */
unsigned text_width(const char *text);

/* Length as JavaScript counts it, in UTF-16 units; a bad byte counts as one. */
size_t text_utf16_len(const char *bytes, size_t len);

enum text_cut {
	TEXT_CUT_END,
	TEXT_CUT_MIDDLE,
};

/*
 * Append text, cut to at most width columns with `mark` where something was left out.
 *
 * mark       such as "…"; it counts towards the width
 * returns    the columns appended
 */
unsigned text_cut(struct pm_buf *out, const char *text, unsigned width, enum text_cut how,
                  const char *mark);

/* Append text from elsewhere as one harmless line. */
void text_add_clean(struct pm_buf *out, const char *text);

/* The same in so many columns, cut in the middle or with blanks behind it. */
void text_add_padded(struct pm_buf *out, const char *text, unsigned width);

void text_pad(struct pm_buf *out, unsigned columns); /* that many blanks */

/* "####----": so much of it; all of nothing is full. */
void text_add_bar(struct pm_buf *out, size_t done, size_t total, unsigned width, bool utf8);

/* Append the last output of a program, line by line, set off from our own words and harmless. */
void text_add_tail(struct pm_buf *out, const char *bytes, size_t len, bool color);

#endif
