/* why.h - why an instance is in its state, and what to do about it, in words. Pure. */
#ifndef PM_CLI_WHY_H
#define PM_CLI_WHY_H

#include "proto/buf.h"
#include "proto/pm.pb-c.h"

/* The state and its cause, one line: "api (0) is errored: it ended 16 times in a row within 1s". */
void why_headline(const Pm__InstanceStatus *s, struct pm_buf *out);

/* How one run ended: "exited with code 1", "was killed by SIGSEGV (core dumped)". */
void why_exit(const Pm__ExitRecord *e, struct pm_buf *out);

/* Who or what ended it, from the record's cause: "it crashed", "its memory limit". */
const char *why_cause(const char *cause);

/* The restart policy, a sentence. */
void why_policy(const Pm__AppSpec *spec, struct pm_buf *out);

/*
 * What to do, one line or several; empty when all is well.
 *
 * tail   its last output, for well-known messages in it; NULL: none
 */
void why_advice(const Pm__InstanceStatus *s, const char *tail, struct pm_buf *out);

#endif
