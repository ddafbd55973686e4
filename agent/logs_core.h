/*
 * logs_core.h - what the files behind logs.h share: the owner of all streams, files and readers.
 *
 * One thread runs all of this. The output buffer is one for all streams, because a stream uses it
 * only within one call: memory does not grow with the number of apps.
 */
#ifndef PM_AGENT_LOGS_CORE_H
#define PM_AGENT_LOGS_CORE_H

#include "agent/logs.h"
#include "proto/buf.h"

#define LOGS_BUCKETS 256

struct log_scratch;
struct log_tap;
struct logs_job;
struct logfile;

struct logs {
	uv_loop_t *loop; /* borrowed */
	struct logs_hooks hooks;
	char *home;                          /* owned */
	struct logfile *files[LOGS_BUCKETS]; /* by hash of the path */
	struct log_stream *streams;
	struct log_reader *readers;
	struct log_tap *taps;        /* readers of streams that have no file */
	struct pm_buf out;           /* scratch of capture */
	struct log_scratch *scratch; /* of readers; owned, NULL: there never was one */

	uv_timer_t timer;     /* armed only while something waits for its time */
	uint64_t wake_at_ms;  /* uv_now() time, 0: not armed */
	unsigned n_trouble;   /* files that cannot be written */
	struct logs_job *job; /* the compression helper that runs */
	bool closing;
	unsigned refs;      /* its handle, and readers whose handles are not closed yet */
	unsigned n_readers; /* those */
};

/* A reader's hold on the owner; the scratch goes with the last of them. */
struct logs *logs_ref(struct logs *l);
void logs_unref(struct logs *l);

/* Have logs_tick() of files and streams called at that uv_now() time or a little before. */
void logs_wake_at(struct logs *l, uint64_t at_ms);

/* capture.c: retry what is blocked, give back pages of idle stages. */
void streams_tick(struct logs *l, uint64_t now_ms);
/* capture.c: readers of streams without a file came or went. */
void streams_look_for_taps(struct logs *l);
/* log_tap.c: does anybody want that stream's lines? Hand them on. */
bool log_taps_want(const struct logs *l, uint32_t pm_id, bool err);
void log_taps_feed(struct logs *l, uint32_t pm_id, bool err, const char *bytes, size_t len);
/* logfile.c: retry what is in trouble, rotate by age. */
void logfiles_tick(struct logs *l, uint64_t now_ms);
/* logfile_rotate.c: a helper that still runs tells nobody. */
void logs_job_forget(struct logs *l);

#endif
