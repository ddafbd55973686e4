/* spec_diff.h - what differs between two versions of an app's declaration, in words. Pure. */
#ifndef PM_AGENT_SPEC_DIFF_H
#define PM_AGENT_SPEC_DIFF_H

#include "proto/buf.h"
#include "proto/error.h"
#include "proto/pm.pb-c.h"

/* So many bytes at most; what does not fit is counted. */
#define SPEC_DIFF_MAX 480

/*
 * Append "instances 2 -> 4; args; env: PORT, +DEBUG, -OLD (values not shown)", by the names that
 * keys have in a file; nothing when they have the same digest (spec_hash.h). Only numbers, switches
 * and words of a fixed choice are shown: any other value may hold a secret.
 *
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int spec_diff(const Pm__AppSpec *from, const Pm__AppSpec *to, struct pm_buf *out,
                            struct pm_error *err);

#endif
