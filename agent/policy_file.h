/* policy_file.h - the policy of this machine, from the file that only root may write. */
#ifndef PM_AGENT_POLICY_FILE_H
#define PM_AGENT_POLICY_FILE_H

#include "agent/policy.h"

#define POLICY_FILE "/etc/pmd/policy"

/*
 * Load a policy: the file's, or the default where there is none.
 *
 * trusted_uid  who must own the file: 0
 * errors       PM_DENIED (a link, not a file, of another owner, or others may write it), PM_CONFIG,
 *              PM_LIMIT, PM_NO_MEMORY, the system's.  Then nothing may be allowed: a policy that
 *              cannot be read is not one that allows the default
 */
PM_MUST_CHECK int policy_load(const char *path, unsigned trusted_uid, struct policy **out,
                              struct pm_error *err);

#endif
