/* redact.h - which variables hold secrets, and texts without them (S-17). Pure. */
#ifndef PM_CLI_REDACT_H
#define PM_CLI_REDACT_H

#include <stdbool.h>

#include "proto/buf.h"

#define REDACTED "[redacted]"

/* Whether the name holds KEY, SECRET, TOKEN, PASS or CRED, in either case. */
bool redact_is_secret(const char *name);

/*
 * Append text, with REDACTED in the place of what looks like a secret: the value of NAME=VALUE and
 * of --name VALUE where the name is one of a secret, and user and password of
 * scheme://user:password@host.
 */
void redact_text(const char *text, struct pm_buf *out);

#endif
