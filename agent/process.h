/*
 * process.h - one process of an instance: its descriptors, its keeper slot, its captured output.
 *
 * A process outlives its instance's interest in it while descendants still hold its pipes: the slot
 * is released when the process is gone and its output is drained.
 */
#ifndef PM_AGENT_PROCESS_H
#define PM_AGENT_PROCESS_H

#include "agent/instance.h"
#include "agent/super.h"

struct process {
	struct super *su;      /* borrowed */
	struct instance *inst; /* borrowed; NULL when its instance has let it go */
	uint32_t slot;
	uint32_t index, pm_id, app_serial; /* whose it is or was */
	pid_t pid;                         /* 0 until spawned */
	int pidfd;                         /* owned, -1 */
	uint64_t start_ticks;
	uint64_t tag;  /* names this run; on the process itself too, unless untagged */
	bool untagged; /* the kernel refused the tag: its descendants cannot be found */
	bool exited;
	int stdin_fd;             /* owned, -1 */
	int fds[KEEPER_FD_COUNT]; /* borrowed numbers, for a promotion: pipes, channel, stages; -1
	                           */
	struct ipc *ipc;
	struct worker *worker;         /* owned; NULL: it shares no sockets, or has ended */
	struct log_stream *streams[2]; /* stdout, stderr; NULL when done */
};

/*
 * Ask the keeper for a new process of the instance; instance_on_spawned() answers later.
 *
 * errors  what could be known before: no such user, interpreter, env_file; PM_LIMIT (slots,
 * descriptors)
 */
PM_MUST_CHECK int process_spawn(struct instance *inst, struct process **out, struct pm_error *err);

/* Take over a process of a former supervisor; fds by role as the keeper sent them (taken). */
PM_MUST_CHECK int process_adopt(struct super *su, struct instance *inst,
                                const struct keeper_record *r, const int fds[KEEPER_FD_COUNT],
                                struct process **out, struct pm_error *err);

/* The keeper's answers. */
void process_on_spawned(struct process *p, const struct keeper_record *r, int pidfd);
void process_on_exited(struct process *p);

/* The instance has no more use for it: it goes when its output is drained. */
void process_let_go(struct process *p);

/* All of them at once, when the supervisor leaves: the keeper holds everything. */
void process_abandon(struct process *p);

/* Text to its stdin: PM_FAILED when it does not read, or has no stdin. */
PM_MUST_CHECK int process_write_stdin(struct process *p, const char *text, struct pm_error *err);

/* The directory of its control group; "" where there are none. */
void process_cgroup(const struct process *p, char *out, size_t size);

/* Signal the main process alone. */
PM_MUST_CHECK int process_signal(struct process *p, int signal, struct pm_error *err);

#endif
