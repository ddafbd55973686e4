/* upgrade.h - replaces keeper and supervisor by the program now on disk; the apps notice nothing.
 */
#ifndef PM_AGENT_UPGRADE_H
#define PM_AGENT_UPGRADE_H

#include "agent/session.h"
#include "agent/super.h"

/*
 * Check the new program (it must say that it can read what we hold), then have the keeper execute
 * it.
 *
 * s     gets a Result when the keeper was asked, or an Error; NULL: nobody waits (SIGHUP)
 * path  "": where this program was started from
 */
PM_MUST_CHECK int upgrade_start(struct super *su, struct session *s, uint64_t id, const char *path,
                                struct pm_error *err);

/* The path of this program, also when the file has been replaced since. */
void upgrade_own_path(char *out, size_t size);

#endif
