/*
 * logs.h - all captured output of an agent: pipes in, files out, rotation, and readers that follow
 * them.
 *
 * One `struct logs` per supervisor. A log_stream is one pipe of one process; streams that name the
 * same path share one open file. What has been read from a pipe and is not yet in a file lies in a
 * memfd whose file position the kernel keeps (splice into it, so that reading and counting are one
 * step) and in a capture_state in shared memory: a supervisor killed at any instruction loses and
 * repeats nothing.
 */
#ifndef PM_AGENT_LOGS_H
#define PM_AGENT_LOGS_H

#include <stdbool.h>
#include <uv.h>

#include "agent/keeper_proto.h"
#include "proto/error.h"
#include "proto/pm.pb-c.h"

struct logs;
struct log_stream;

/* Lives in memory that outlives the supervisor; zero is a fresh start. Only agent/capture.c reads
 * or writes it. */
struct capture_state {
	uint64_t words[24];
};

/* Each function but arg's may be NULL: then nothing is held, compressed, told. */
struct logs_hooks {
	void *arg;
	/* Have the keeper hold a duplicate of fd under the slot's role, so that the next supervisor
	 * gets it. */
	void (*hold)(void *arg, uint32_t slot, enum keeper_fd role, int fd);
	/*
	 * Run this program's own helper as a child of the keeper at low priority. argv is what
	 * follows the program's name, ended by NULL: "compress", "--gzip", FILE. Returns 0, and
	 * done(done_arg, status) is called once, later, also after logs_close(); or -1, and it is
	 * not.
	 */
	int (*run_job)(void *arg, const char *const argv[],
	               void (*done)(void *done_arg, int status), void *done_arg);
	/* Something degraded or recovered: "disk" with words, or NULL for recovered. */
	void (*degraded)(void *arg, const char *what, const char *words);
};

struct log_stream_config {
	uint32_t slot; /* the process's slot in the keeper */
	uint32_t pm_id;
	bool err;                  /* stderr */
	const char *path;          /* absolute file, already with its -<id>; "/dev/null": none */
	const char *combined_path; /* absolute, or NULL */
	const Pm__AppSpec *spec;   /* formats and limits; copied as far as needed */
	uid_t uid;                 /* owner of the files; (uid_t)-1: ours */
	gid_t gid;
};

PM_MUST_CHECK int logs_create(uv_loop_t *loop, const char *home, const struct logs_hooks *hooks,
                              struct logs **out, struct pm_error *err);
/* Writes out what it can without waiting and lets go; streams must be detached. */
void logs_close(struct logs *l);

/*
 * Start capturing.
 *
 * pipe_fd   read end, non-blocking; taken
 * stage_fd  memfd of a former supervisor (taken), or -1
 * state     shared memory, borrowed until the stream is freed
 *
 * After a restart of the supervisor attach all streams before the loop runs: what was half written
 * is seen from the end of the files, so nobody may have written to them meanwhile.
 */
PM_MUST_CHECK int log_stream_attach(struct logs *l, const struct log_stream_config *config,
                                    int pipe_fd, int stage_fd, struct capture_state *state,
                                    struct log_stream **out, struct pm_error *err);

/*
 * The process is gone (or daemonised): what is in the pipe is written out, a last unfinished line
 * too. When heirs still hold the pipe's write end it stays open until the last of them lets go;
 * done is called then, once, and may come before this returns.  After done the stream is freed and
 * `state` is no longer touched.
 */
void log_stream_detach(struct log_stream *s, void (*done)(void *arg), void *arg);
/* Stop at once and free, whatever is still to come (the supervisor leaves; the keeper holds the
 * pipe). */
void log_stream_abandon(struct log_stream *s);

/* Counters since attach: bytes taken from the pipe, lines and bytes dropped by policy. */
struct log_counts {
	uint64_t bytes_in, dropped_lines, dropped_bytes;
};
struct log_counts log_stream_counts(const struct log_stream *s);

/* The last `max` bytes that this stream wrote, for error reports; the caller frees. "" when
 * unknown. */
char *log_stream_tail(const struct log_stream *s, size_t max);

/* Close and open again every file (reloadLogs, SIGUSR2). Truncate the files of one path. */
void logs_reopen(struct logs *l);
PM_MUST_CHECK int logs_flush(struct logs *l, const char *path, struct pm_error *err);

/* ---- readers ---- */

struct log_reader;
struct log_reader_source {
	uint32_t source, pm_id;
	const char *name, *namespace_, *path;
	bool err, agent, merged;
	bool json; /* the file holds one JSON record a line */
};

/*
 * Read the last lines of the sources, merged in time order as far as times are known, then follow
 * them, with no line missing or twice at the seam or over rotation. Reads from the files at the
 * speed of the receiver.
 *
 * send   hands on one message; false: no credit now, log_reader_go() is called when there is some
 * end    called once when a reader that does not follow is done, or on error
 */
struct log_reader_hooks {
	void *arg;
	bool (*send)(void *arg, const Pm__StreamData *data);
	void (*end)(void *arg, const struct pm_error *err /* NULL: well */);
};
PM_MUST_CHECK int log_reader_open(struct logs *l, const Pm__LogQuery *query,
                                  const struct log_reader_source *sources, size_t n_sources,
                                  const struct log_reader_hooks *hooks, struct log_reader **out,
                                  struct pm_error *err);
void log_reader_go(struct log_reader *r); /* credit has come */
void log_reader_close(struct log_reader *r);
/* An instance started while a reader follows: add its files (ignored when already there). */
PM_MUST_CHECK int log_reader_add(struct log_reader *r, const struct log_reader_source *source,
                                 struct pm_error *err);

/* ---- names ---- */

/*
 * PM2's file names: logs/<name>-out.log with characters outside [A-Za-z0-9.-] replaced by '-',
 * -<pm_id> before .log unless merged; a given path relative to cwd was made absolute by pmctl.
 * combined: "" when there is none.
 */
struct log_names {
	char out[4096], err[4096], combined[4096], pid[4096];
};
PM_MUST_CHECK int log_names_make(const char *home, const Pm__AppSpec *spec, uint32_t pm_id,
                                 struct log_names *out, struct pm_error *err);

#endif
