/*
 * checks.h - the health checks of one run of an instance: looks when it is time, counts, and tells
 * the instance what that means.
 *
 * They live as long as the process is up. Each has one look under way at most, and no timer of
 * theirs runs for an app that declares none.
 */
#ifndef PM_AGENT_CHECKS_H
#define PM_AGENT_CHECKS_H

#include "agent/health.h"
#include "agent/instance.h"
#include "proto/check.h"

struct checks;

/* What there is to look at or to wait for, besides what the app says by itself. */
bool checks_are_declared(const Pm__AppSpec *spec);

/* errors  PM_NO_MEMORY, PM_CONFIG (a spec of another version) */
PM_MUST_CHECK int checks_create(struct instance *inst, struct checks **out, struct pm_error *err);
/* NULL is fine. Nothing is called back any more. */
void checks_close(struct checks *c);

/*
 * Which of them are to run now.
 *
 * starting  somebody waits for it to get ready: startup, then ready; else ready and live
 */
void checks_run(struct checks *c, bool starting);

/* Startup and readiness, as far as there are such, have passed. */
bool checks_passed(const struct checks *c);
/* What keeps it from that: "http 503 from /healthz"; "" when nothing was seen yet. */
const char *checks_why(const struct checks *c);
/* false: there is no such check. */
bool checks_state(const struct checks *c, enum check_role role, enum health_state *out);
/* What is wrong with one; "" when it passes. */
const char *checks_words(const struct checks *c, enum check_role role);

/* That it failed was acted upon: count anew. */
void checks_again(struct checks *c, enum check_role role);

/* It said WATCHDOG=1. */
void checks_heard_watchdog(struct checks *c);

#endif
