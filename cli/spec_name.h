/* spec_name.h - the digest of an app's declaration as text. Pure. */
#ifndef PM_CLI_SPEC_NAME_H
#define PM_CLI_SPEC_NAME_H

#include <stdbool.h>

#include "proto/pm.pb-c.h"

#define SPEC_NAME_BYTES 16
#define SPEC_NAME_TEXT  (2 * SPEC_NAME_BYTES + 1)
#define SPEC_NAME_SHORT 12 /* digits that people are shown */

/* Hexadecimal, at most so many digits; "" for one that is not known, or is none. */
void spec_name_text(const ProtobufCBinaryData *hash, unsigned digits, char out[SPEC_NAME_TEXT]);

/* Whether text is a beginning of it, of at least four digits. */
bool spec_name_begins(const ProtobufCBinaryData *hash, const char *text);

#endif
