/*
 * store.h - keeps what is declared where it outlives us: in a memfd that the keeper holds, at once,
 * and on disk, written by a worker thread, soon.
 */
#ifndef PM_AGENT_STORE_H
#define PM_AGENT_STORE_H

#include "agent/state.h"
#include "agent/super.h"

struct store;

PM_MUST_CHECK int store_create(struct super *su, struct store **out, struct pm_error *err);
/* After the loop has ended: waits for a write under way and writes what is not on disk yet. */
void store_close(struct store *s);

/* The table of apps has changed: publish before the next spawn, save to disk at the end of the
 * turn. */
void store_changed(struct store *s);
/* Only counters or states have: save. */
void store_touched(struct store *s);
/*
 * Call fn, once, as soon as what is commanded now is on disk: at once when it is, and also when
 * that fails or takes too long, which is shown as degraded. So what a command has answered is what
 * a power cut leaves.
 */
typedef void store_saved_fn(void *arg);
void store_when_saved(struct store *s, store_saved_fn *fn, void *arg);
/* Give the keeper what has changed, now. Called before anything is spawned. */
void store_publish(struct store *s);
/* The memfd that the keeper holds, borrowed; -1: nothing was published yet. */
int store_specs_fd(const struct store *s);
/* What a former supervisor published, and the keeper holds: fd is taken. A newer one of ours stays.
 */
void store_take_specs(struct store *s, int fd);
/* From now on the files stay as they are: the apps are being stopped, not commanded to be. */
void store_freeze(struct store *s);
/* The file of the last commanded state could not be read, or is a newer version's: never write it.
 */
void store_hands_off(struct store *s);
/* Write the named generation, or an empty one; blocking, as the one who asks waits for it. */
PM_MUST_CHECK int store_save(struct store *s, bool empty, struct pm_error *err);

/* Make apps of a loaded set: all of them with their ids and counters (adoption and start), nothing
 * started. */
PM_MUST_CHECK int store_restore(struct super *su, const struct state_set *set,
                                struct pm_error *err);

#endif
