/* restore_priv.h - what the restore_*.c files share; nobody else includes it. */
#ifndef PM_AGENT_RESTORE_PRIV_H
#define PM_AGENT_RESTORE_PRIV_H

#include "agent/restore.h"
#include "agent/tree.h"

/* ---- restore_orphans.c: processes that outlived their keeper, found by their tags ---- */
struct orphan {
	uint64_t tag;
	pid_t pid;
	uint64_t start_ticks;
};

struct orphans {
	struct orphan *list; /* owned */
	size_t n, cap;
};

/* A tree_fn: one orphan a tag, the oldest process, which is the main one. arg: struct orphans. */
void restore_note_orphan(void *arg, const struct tree_process *p);

/* The processes of an agent that is dead altogether, by the instances of its last saved state. */
PM_MUST_CHECK int restore_adopt_orphans(struct super *su, struct pm_error *err);
/* The state cannot be read, so nothing tells what they are: they run on, and that is said. */
void restore_leave_orphans(struct super *su);
/* A keeper that died over a spawn may have made the process and told nobody. */
PM_MUST_CHECK int restore_adopt_unheard(struct super *su, struct pm_error *err);
/* A supervisor that died over an exit may not have got to what that process left: kill it. */
void restore_sweep(struct super *su);
/* The keeper was asked for a process, and whether it made one is not known. */
bool restore_is_unheard(const struct instance *inst);

#endif
