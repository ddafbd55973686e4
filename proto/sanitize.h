/* sanitize.h - makes foreign text safe to show on a terminal (S-20). Pure. */
#ifndef PM_PROTO_SANITIZE_H
#define PM_PROTO_SANITIZE_H

#include <stdbool.h>

#include "proto/base.h"

struct pm_buf;

enum pm_sanitize {
	PM_SANITIZE_COLOURS = 1 << 0,  /* let SGR sequences (colours, bold) through */
	PM_SANITIZE_ONE_LINE = 1 << 1, /* newline and tab are escaped too: names, error texts */
};

/*
 * Append text in a form that can move no cursor, set no title, fill no clipboard and turn no
 * direction. Text that is printable already comes out as it is.
 *
 * escapes   C0 controls but newline and tab, DEL, and bytes that are no UTF-8: \xNN. C1 controls,
 *           bidirectional and other invisible formatting, line and paragraph separators, tags:
 *           \uNNNN. A carriage return right before a newline is left out.
 * colours   a sequence is let through when it is digits and ';' of bounded length and hides
 *           nothing (SGR 8); if one was, the colours are reset at the end of each line and of the
 *           text, so that no line colours what follows it
 * lines     whole lines may be given in any number of calls; a part of a line may not
 */
void pm_sanitize(const char *s, size_t len, unsigned flags, struct pm_buf *out);

#endif
