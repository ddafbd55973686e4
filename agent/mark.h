/*
 * mark.h - the generation of the agent's last session with its coordinator, on the disk.
 *
 * A session is confirmed only when its generation is kept: then whoever comes with the same key and
 * an older one is a copy of us, and a coordinator that knows only older ones has had an old
 * store put back.  A worker waits for the disk.
 */
#ifndef PM_AGENT_MARK_H
#define PM_AGENT_MARK_H

#include <uv.h>

#include "proto/membership.h"

struct mark;

/* What was taken last is on the disk. */
typedef void mark_fn(void *arg);

/*
 * loop       borrowed; outlives the mark
 * fn         borrowed, with arg, until mark_close()
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int mark_create(uv_loop_t *loop, const char *home, mark_fn *fn, void *arg,
                              struct mark **out, struct pm_error *err);
void mark_close(struct mark *m); /* NULL is fine */

/*
 * Keep the generation of a session, unless a later one is kept.
 *
 * id           the member that the agent is; another one than before begins anew
 * generation   0: only the member is news
 * number       the highest of a command that the agent has counted, of all memberships
 */
void mark_take(struct mark *m, const char *id, uint64_t generation, uint64_t number);

uint64_t mark_generation(const struct mark *m); /* the one that is on the disk; 0: none */
uint64_t mark_base(const struct mark *m);       /* pm_session_mark.base */

#endif
