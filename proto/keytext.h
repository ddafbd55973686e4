/* keytext.h - bytes as text that survives copying: a prefix, base64url, a check sum inside.  Pure.
 */
#ifndef PM_PROTO_KEYTEXT_H
#define PM_PROTO_KEYTEXT_H

#include "proto/error.h"

#define KEYTEXT_SUM 4 /* bytes of the check sum */

/* Bytes of the text, NUL included. */
size_t keytext_size(const char *prefix, size_t len);

/* Write the text; `room` is at least keytext_size(). */
void keytext_put(const char *prefix, const uint8_t *bytes, size_t len, char *out, size_t room);

/*
 * Read a text; white space may follow it.
 *
 * errors     PM_CONFIG (another prefix, a character that does not belong, over `room` bytes, a
 *            wrong check sum); `out` may hold some of the bytes then
 */
PM_MUST_CHECK int keytext_take(const char *prefix, const char *text, uint8_t *out, size_t room,
                               size_t *len, struct pm_error *err);

#endif
