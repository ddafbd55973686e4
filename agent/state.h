/*
 * state.h - the agent's files in PMD_HOME/state: what runs (autosave) and what `save` marked as
 * good.
 *
 * A file is a magic, version, length and BLAKE2b checksum over a body of length-prefixed records:
 * SavedHeader, then one SavedApp each. It is written beside the old one, flushed, renamed, and the
 * directory flushed; the file before stays as .prev. Loading takes the newest valid generation and
 * keeps a damaged one aside as NAME.corrupt-DATE.
 */
#ifndef PM_AGENT_STATE_H
#define PM_AGENT_STATE_H

#include <stdbool.h>

#include "proto/buf.h"
#include "proto/error.h"
#include "proto/pm.pb-c.h"

#define STATE_AUTOSAVE "apps"  /* the last commanded state */
#define STATE_SAVED    "saved" /* the named good generation */

/* Apps in memory: packed SavedApp messages, so that loading one bad app does not take the others.
 */
struct state_set {
	Pm__SavedApp **apps; /* owned, each freed by pm__saved_app__free_unpacked(app, NULL) */
	size_t n_apps;
	uint32_t next_id;
	uint64_t generation;
};
void state_set_finish(struct state_set *set);

/* Build the bytes of a file. Pure. errors: PM_NO_MEMORY, PM_LIMIT (PM_STATE_MAX) */
PM_MUST_CHECK int state_encode(const Pm__SavedApp *const *apps, size_t n_apps, uint32_t next_id,
                               uint64_t generation, int64_t wall_ms, struct pm_buf *out,
                               struct pm_error *err);
/* Check and unpack. Pure. errors: PM_CORRUPT (damaged), PM_UNSUPPORTED (a newer major version; file
 * untouched) */
PM_MUST_CHECK int state_decode(const uint8_t *bytes, size_t len, struct state_set *out,
                               struct pm_error *err);

/* Write a generation; blocking (call it in uv_queue_work while the loop runs). Each step has a fail
 * point. */
PM_MUST_CHECK int state_write(const char *home, const char *name, const uint8_t *bytes, size_t len,
                              struct pm_error *err);

/* How a load went, for the log and for `list`. */
struct state_load_report {
	bool found;      /* some generation was valid */
	bool fell_back;  /* the newest was not */
	char words[256]; /* what was damaged and where it was put; "" when all is well */
};
/*
 * Load the newest valid generation. No file at all: found false, 0. All present ones damaged: -1,
 * PM_CORRUPT.
 */
PM_MUST_CHECK int state_load(const char *home, const char *name, struct state_set *out,
                             struct state_load_report *report, struct pm_error *err);

#endif
