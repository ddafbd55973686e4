/* buf.h - a growing byte buffer with a sticky error: append freely, check once. */
#ifndef PM_PROTO_BUF_H
#define PM_PROTO_BUF_H

#include <stdbool.h>

#include "proto/base.h"

/*
 * The bytes are always followed by a NUL that len does not count.
 * Once an append has failed (no memory, or over max) `failed` is set and further appends do
 * nothing.
 */
struct pm_buf {
	char *bytes; /* owned; NULL while empty */
	size_t len, cap;
	size_t max; /* 0: no limit */
	bool failed;
};

void pm_buf_finish(struct pm_buf *b);
void pm_buf_reset(struct pm_buf *b); /* empty again, keeps the memory, clears `failed` */
void pm_buf_add(struct pm_buf *b, const void *bytes, size_t len);
void pm_buf_str(struct pm_buf *b, const char *s);
void pm_buf_char(struct pm_buf *b, char c);
void pm_buf_printf(struct pm_buf *b, const char *fmt, ...) PM_PRINTF(2, 3);
/* Appends len bytes for the caller to write, valid until the next append; NULL if failed. */
uint8_t *pm_buf_extend(struct pm_buf *b, size_t len);
void pm_buf_drop(struct pm_buf *b, size_t len); /* removes the first len bytes */
char *pm_buf_take(struct pm_buf *b);            /* the caller's string; NULL if failed */

#define PM_BUF PM_CLEANUP(pm_buf_finish) struct pm_buf

#endif
