/*
 * remote.h - decides what is done of what comes from the fleet, and keeps account of it.
 *
 * In the supervisor, so that neither a stolen coordinator nor a subverted uplink gets past it: who
 * asks must say so, their role must allow it, and so must this machine's policy (S-08, S-09), at
 * the rate that it allows (S-12).  Each change and each refusal is in the audit (S-14) and in the
 * own log. A command that was carried out before is answered from a journal, and none is carried
 * out before that has its beginning on the disk: its session is held so long.
 */
#ifndef PM_AGENT_REMOTE_H
#define PM_AGENT_REMOTE_H

#include "agent/super.h"

struct remote;

/* errors PM_NO_MEMORY, those of op_sync_create() and trail_create() */
PM_MUST_CHECK int remote_create(struct super *su, struct remote **out, struct pm_error *err);
void remote_close(struct remote *r); /* NULL is fine */

/* For a session_guard: permit(), answer() and closed(). */
enum session_permit remote_permit(struct remote *r, struct session *s, const Pm__Envelope *env,
                                  struct pm_error *err);
void remote_answer(struct remote *r, struct session *s, const Pm__Envelope *env);
void remote_closed(struct remote *r, struct session *s);

/*
 * Commands have numbers, which their coordinator counts up.  The highest one that was seen,
 * over all coordinators that this agent has had: one that comes later counts from `base` on.
 */
uint64_t remote_number(const struct remote *r);
void remote_set_base(struct remote *r, uint64_t base);

/* An entry in the audit about the link itself: "fleet.connect". */
void remote_note(struct remote *r, const char *action, const char *target, const char *outcome);

#endif
