/* dump_own.h - the keys of an app that PM2 does not have, as one text of a dump's entry.
 *
 * The text is "16,22,...:" and, in base64, a packed AppSpec that has only these fields: all that
 * its writer knew to be of such keys.  PM2 keeps the text and does not look into it.
 */
#ifndef PM_CLI_DUMP_OWN_H
#define PM_CLI_DUMP_OWN_H

#include <stdbool.h>

#include "proto/buf.h"
#include "proto/error.h"
#include "proto/pm.pb-c.h"

#define DUMP_OWN_KEY "pmd_spec"

/* Whether such a text holds that field of AppSpec. */
bool dump_own_has(const char *member);

/* Append the text; nothing when each of these keys is as it is when not given.  See out->failed. */
void dump_own_write(const Pm__AppSpec *spec, struct pm_buf *out);

/*
 * Give a spec the values that a text has.
 *
 * spec       made by malloc(), as spec_build() makes it
 * errors     PM_CONFIG: it is none of ours; PM_NO_MEMORY; the spec is as it was then
 */
PM_MUST_CHECK int dump_own_read(const char *text, Pm__AppSpec *spec, struct pm_error *err);

#endif
