/*
 * history.h - the versions of each app's settings that can be gone back to: kept on the disk, and
 * in memory until they are there.
 *
 * A version is written when an app is defined or changed, by the worker that saves the state then
 * (store.h), never for a restart. Whatever changes an app hands over what it had as well, so that
 * this is kept even if nobody has written it down before. What an app had stays when it is deleted.
 */
#ifndef PM_AGENT_HISTORY_H
#define PM_AGENT_HISTORY_H

#include "agent/super.h"
#include "agent/versions.h"

struct history;

PM_MUST_CHECK int history_create(struct super *su, struct history **out, struct pm_error *err);
/* After the loop has ended: writes what is not on the disk yet. */
void history_close(struct history *h); /* NULL is fine */

/* Settings of an app; spec NULL: none. */
struct declared {
	const Pm__AppSpec *spec; /* borrowed */
	struct spec_hash hash;
};
/*
 * An app has other settings now, or has them no more. Saved with the next state: the caller tells
 * the store. Out of memory, it is logged and forgotten: no change fails for it.
 *
 * name       of the app from now on
 * by         who ordered it; NULL: not known
 */
void history_add(struct history *h, const char *name, const struct declared *before,
                 const struct declared *after, const char *by);

/*
 * All versions of an app, also of one that was deleted. Reads one file.
 *
 * ownership  *out is the caller's, for versions_finish(); empty when nothing is known
 * errors     PM_UNSUPPORTED, PM_DENIED, PM_NO_MEMORY, the system's
 */
PM_MUST_CHECK int history_read(struct history *h, const char *name, struct versions *out,
                               struct pm_error *err);

/* ---- for the store: one batch at a time ---- */

/* Take what waits, for history_write(). false: there is nothing */
bool history_begin(struct history *h);
void history_write(struct history *h); /* blocks: on a worker */
/* On the loop again. false: something could not be written, and waits for the next batch */
bool history_end(struct history *h);

#endif
