/* redact.h - which environment variables hold secrets (S-17). Pure. */
#ifndef PM_CLI_REDACT_H
#define PM_CLI_REDACT_H

#include <stdbool.h>

#define REDACTED "[redacted]"

/* Whether the name holds KEY, SECRET, TOKEN, PASS or CRED, in either case. */
bool redact_is_secret(const char *name);

#endif
