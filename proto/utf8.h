/* utf8.h - whether bytes are text.  Pure. */
#ifndef PM_PROTO_UTF8_H
#define PM_PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether len bytes are UTF-8 (RFC 3629: shortest form, no surrogates) without NUL. */
bool pm_utf8_ok(const uint8_t *bytes, size_t len);

#endif
