/*
 * logindex.h - when which part of a log file was written: a sparse list of (time, offset) beside
 * the state, for --since and for merging files in time order.
 *
 * A hint, never needed for correctness: losing it loses times, not lines. Nothing is reported.
 */
#ifndef PM_AGENT_LOGINDEX_H
#define PM_AGENT_LOGINDEX_H

#include <stdbool.h>
#include <sys/types.h>

#include "proto/base.h"

/* Entries a file's index holds; a full one loses every second entry. 1 MiB. */
#define LOGINDEX_ENTRIES_MAX 65536

/* An entry is made at most this often: what follows one was written up to that much later. */
#define LOGINDEX_EVERY_MS 100

struct logindex_entry {
	int64_t wall_ms;
	uint64_t offset; /* bytes from here on were written then or later */
};

/* Note that what starts at `offset` was written at wall_ms. ino tells one file of the path from
 * the next. */
void logindex_append(const char *home, const char *path, ino_t ino, int64_t wall_ms,
                     uint64_t offset);
void logindex_rename(const char *home, const char *from, const char *to);
void logindex_remove(const char *home, const char *path);

/*
 * What tells this file from every other one that has or had a path: it stays when it is renamed or
 * packed.  An inode alone does not: it is used again.
 *
 * ino        as logindex_load()
 * returns    0: not known
 */
uint64_t logindex_file(const char *home, const char *path, ino_t ino);

struct logindex {
	struct logindex_entry *entries; /* owned; ascending offsets */
	size_t n_entries;
};

/*
 * Load it.  ino 0: whatever file (a compressed one has another inode than what was indexed).
 * Nothing known, no memory, damaged: an empty index.
 */
void logindex_load(const char *home, const char *path, ino_t ino, struct logindex *out);
/* Forget what is not needed from `offset` on. */
void logindex_trim(struct logindex *x, uint64_t offset);
void logindex_finish(struct logindex *x);

/* The entry that `offset` falls in; -1: before the first. Pure. */
ssize_t logindex_find(const struct logindex *x, uint64_t offset);
/* The least offset written at or after wall_ms; UINT64_MAX: nothing was. Pure. */
uint64_t logindex_since(const struct logindex *x, int64_t wall_ms);

#endif
