/* inspect.h - a JSON document as node's util.inspect() prints the same value. Pure. */
#ifndef PM_CLI_INSPECT_H
#define PM_CLI_INSPECT_H

#include "proto/buf.h"
#include "proto/error.h"

/*
 * Append what util.inspect(JSON.parse(json), { depth: null }) gives, without a newline at the end.
 * PM2's prettylist is this text, and scripts grep it. Scalars may stand at the top, too.
 *
 * errors     PM_CORRUPT (not JSON, or nested deeper than INSPECT_DEPTH_MAX), PM_NO_MEMORY
 * source     node v20, doc/api/util.md; checked against node itself by the tests
 */
#define INSPECT_DEPTH_MAX 64
PM_MUST_CHECK int inspect_json(const char *json, size_t len, struct pm_buf *out,
                               struct pm_error *err);

#endif
