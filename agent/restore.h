/*
 * restore.h - how a supervisor comes to its apps: from the keeper (a former supervisor's), or from
 * disk (first start).
 */
#ifndef PM_AGENT_RESTORE_H
#define PM_AGENT_RESTORE_H

#include "agent/super.h"

/* During adoption: keep what the keeper tells. */
void restore_slot(struct super *su, const struct keeper_record *r, const int fds[KEEPER_FD_COUNT]);
void restore_held(struct super *su, const char *name, int fd);

/* After it: make the apps and instances, give them their processes. Nothing is started or ended
 * yet. */
PM_MUST_CHECK int restore_apps(struct super *su, struct pm_error *err);

/* The loop is about to run: go on where things were. */
void restore_resume(struct super *su);

/* The control socket of a former supervisor; -1: none. The caller's. */
int restore_take_listener(struct super *su);

/* A process that no instance claimed is gone: free its slot. */
void restore_stray_exited(struct super *su, uint32_t slot);

/* The keeper has died: become it. Returns only on failure. */
void restore_promote(struct super *su);

#endif
