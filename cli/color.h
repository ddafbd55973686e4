/* color.h - when output is coloured, and the sequences that do it. Pure. */
#ifndef PM_CLI_COLOR_H
#define PM_CLI_COLOR_H

#include <stdbool.h>

#include "proto/buf.h"

enum color {
	COLOR_NONE,
	COLOR_GREEN,
	COLOR_RED,
	COLOR_YELLOW,
	COLOR_BLUE,
	COLOR_CYAN,
	COLOR_GREY,
	COLOR_BOLD,
	COLOR_BOLD_GREY,
	COLOR_BOLD_CYAN,
	COLOR_BOLD_GREEN,
	COLOR_BOLD_RED,
	COLOR_BOLD_BLUE,
	COLOR_BOLD_INVERSE,
	COLOR_INVERSE,
	COLOR_COUNT,
};

/* The sequences that begin and end a colour; "" for COLOR_NONE. */
const char *color_on(enum color color);
const char *color_off(enum color color);

/* Append text in a colour, or plain when on is false. */
void color_add(struct pm_buf *out, bool on, enum color color, const char *text);

enum color_when {
	COLOR_AUTO,
	COLOR_ALWAYS,
	COLOR_NEVER,
};

/* "auto", "always" or "never"; false for anything else. */
PM_MUST_CHECK bool color_parse_when(const char *text, enum color_when *out);

/*
 * Whether to colour.
 *
 * asked      by --color or --no-color
 * no_color   $NO_COLOR, NULL when unset; any text but "" turns colour off (no-color.org)
 * force      $CLICOLOR_FORCE; any text but "" and "0" turns it on
 * term       $TERM; "dumb" has no colours
 */
bool color_wanted(enum color_when asked, bool is_terminal, const char *no_color, const char *force,
                  const char *term);

#endif
