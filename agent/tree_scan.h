/*
 * tree_scan.h - signals to trees and counts of them that share one walk of /proc.
 *
 * Two hundred instances that stop together ask two hundred times within a turn of the loop who is
 * left; one walk answers them all. The owner says when what was seen is too old to rely on.
 */
#ifndef PM_AGENT_TREE_SCAN_H
#define PM_AGENT_TREE_SCAN_H

#include "agent/tree.h"

struct tree_scan;

PM_MUST_CHECK int tree_scan_create(struct tree_scan **out, struct pm_error *err);
void tree_scan_destroy(struct tree_scan *s); /* NULL is fine */

/* Forget what was seen: a turn of the loop begins, or a main process has ended and may have forked
 * since. */
void tree_scan_stale(struct tree_scan *s);

/*
 * How long to wait, in ms, until another walk takes no more than a fifth of the time; 0: now is
 * fine, or what was seen is still fresh.
 */
uint64_t tree_scan_wait_ms(const struct tree_scan *s);

/*
 * As tree_signal(), to what the last walk saw and still lives.
 *
 * main_pid    the main process, also when it has ended: it is then no reason to look again
 * main_alive  it is signalled too, last
 * returns     how many are alive in *n_alive; 0 is certain
 */
PM_MUST_CHECK int tree_scan_signal(struct tree_scan *s, uint64_t tag, pid_t main_pid,
                                   bool main_alive, int signal, int *n_alive, struct pm_error *err);

#endif
