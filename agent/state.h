/*
 * state.h - the agent's files in PMD_HOME/state: what runs (autosave) and what `save` marked as
 * good.
 *
 * A file is a frame (state_frame.h) around a SavedHeader and one SavedApp each. It is written
 * beside the old one, flushed, renamed, and the directory flushed; the file before stays as .prev.
 * Loading takes the newest valid generation and keeps a damaged one aside as NAME.corrupt-DATE.
 *
 * state.c builds and checks the bytes and is pure; state_file.c reads and writes the files.
 */
#ifndef PM_AGENT_STATE_H
#define PM_AGENT_STATE_H

#include <stdbool.h>

#include "proto/buf.h"
#include "proto/error.h"
#include "proto/pm.pb-c.h"

#define STATE_AUTOSAVE "apps"  /* the last commanded state */
#define STATE_SAVED    "saved" /* the named good generation */

/* Apps as saved. A record that cannot be understood does not take the others with it. */
struct state_set {
	Pm__SavedApp **apps; /* owned, each freed by pm__saved_app__free_unpacked(app, NULL) */
	size_t n_apps;
	size_t n_bad; /* records left out: whole, but not what this version takes for an app */
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

/*
 * Write a generation; blocking (call it in uv_queue_work while the loop runs), one at a time for a
 * name. Each step has a fail point. On failure the generations before are as they were, or the new
 * one is in place and only its way to the disk is unsure; the caller writes again from scratch.
 *
 * errors     PM_NO_SPACE, PM_DENIED (also: state/ is a symbolic link), PM_INTERNAL
 */
PM_MUST_CHECK int state_write(const char *home, const char *name, const uint8_t *bytes, size_t len,
                              struct pm_error *err);

/* How a load went, for the log and for `list`. */
struct state_load_report {
	bool found;      /* some generation was valid */
	bool fell_back;  /* the newest was not */
	char words[256]; /* what was damaged and where it was put; "" when all is well */
};
/*
 * Load the newest valid generation: NAME, else NAME.prev. No file at all: found false, 0; *out is
 * then empty.
 *
 * errors     PM_CORRUPT (there are files and none is valid; they stay where they are, so that the
 *            next load says the same: see state_put_aside), PM_UNSUPPORTED (a newer version's;
 *            untouched), PM_DENIED (a symbolic link, or not a file), PM_NO_MEMORY
 */
PM_MUST_CHECK int state_load(const char *home, const char *name, struct state_set *out,
                             struct state_load_report *report, struct pm_error *err);

/*
 * Rename the generations of a name to NAME.corrupt-DATE, at most STATE_ASIDE_MAX of which are kept:
 * for whoever goes on with an empty set after PM_CORRUPT. words: where they are now.
 */
#define STATE_ASIDE_MAX 5
PM_MUST_CHECK int state_put_aside(const char *home, const char *name, char *words, size_t size,
                                  struct pm_error *err);

/*
 * Open home/state, made when it is missing.
 *
 * ownership  *fd is the caller's
 * errors     PM_DENIED (a symbolic link), the system's
 */
PM_MUST_CHECK int state_dir_open(const char *home, int *fd, struct pm_error *err);

/* Remove both generations of a name (cleardump). None there: 0. */
PM_MUST_CHECK int state_remove(const char *home, const char *name, struct pm_error *err);

#endif
