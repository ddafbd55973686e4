/*
 * failpoint.h - named places where a test makes us die or a call fail. Compiled in only with
 * PM_FAILPOINTS.
 *
 * Armed by the environment variable PMD_FAIL at start or by a control message while running, as
 * "name=[SKIP+]ACTION,...", where ACTION is kill (SIGKILL to ourselves), abort, stop (SIGSTOP),
 * exit (status 70) or an errno's name such as ENOSPC, and SKIP passes are let through first. An
 * armed point acts once.
 */
#ifndef PM_PROTO_FAILPOINT_H
#define PM_PROTO_FAILPOINT_H

#include "proto/error.h"

#ifdef PM_FAILPOINTS
/* Returns 0 or the errno to fail with; may not return. */
int pm_failpoint(const char *name);
#define PM_FAIL_POINT(name) pm_failpoint(name)
#else
#define PM_FAIL_POINT(name) 0
#endif

/* Arm points; PM_UNSUPPORTED in a build without them, PM_USAGE for words that are none. */
PM_MUST_CHECK int pm_failpoint_arm(const char *spec, struct pm_error *err);
/* Arm from PMD_FAIL, if set; bad words are ignored here, because a test would notice. */
void pm_failpoint_arm_from_env(void);

#endif
