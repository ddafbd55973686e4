/* rollout_run.h - one rollout in memory: as the store has it, and as people are shown it. */
#ifndef PM_COORDINATOR_ROLLOUT_RUN_H
#define PM_COORDINATOR_ROLLOUT_RUN_H

#include "coordinator/ask.h"
#include "coordinator/coord.h"
#include "coordinator/gates.h"
#include "coordinator/rollout.h"

#define RUN_ID_TEXT 11 /* "r-", eight digits, and NUL */

struct run;

struct run_step {
	struct run *run; /* borrowed */
	struct store_id agent, token;
	Pm__RolloutStep *msg;      /* owned */
	enum step_state committed; /* as the store has it; 0: it has none */
	enum step_state packed;    /* as it is being brought there */
	bool dirty;
	struct ask *ask;        /* the step; NULL: its answer is not awaited in this session */
	struct ask *check;      /* its instances */
	bool check_again;       /* something changed since that was asked */
	bool unfit;             /* so says the answer so far, in msg->text */
	size_t n_seen;          /* of its instances, in the answer so far */
	int64_t check_began_ms; /* wall clock */
	int64_t checked_ms;     /* when the last good check began; 0: none */
	uint64_t revision;      /* of the agent's state at the last check */
	int64_t again_ms;       /* it was not taken: asked again then */
	enum pm_code code;      /* of the answer so far */
};

struct run {
	struct rollouts *all; /* borrowed */
	struct run *next;
	struct store_id id;
	char id_text[RUN_ID_TEXT];
	Pm__RolloutRecord *rec;             /* owned; its status has no steps */
	struct run_step *steps;             /* owned; by batch, as they will be done */
	struct rollout_step *machine_steps; /* owned; as many */
	size_t n;
	struct rollout m;
	uint64_t revision; /* of the store's row; 0: it is not there yet */
	bool committing, record_dirty, steps_dirty;
	unsigned n_commits, n_committed; /* asked for, and on the disk */
	bool locked, locking;
	bool unlock; /* once what is dirty now is on the disk */
	uint64_t n_locks;
	/* When a lease was asked for, and when it was last granted. */
	int64_t renewed_ms, granted_ms, lock_asked_ms, alive_ms;
	int64_t retry_ms;    /* nothing is written before */
	char store_why[160]; /* the store does not write; "": it does */
	int64_t catch_ms;    /* no host catches up before */
	struct gates *gates; /* owned; being asked; NULL: none is */
	uint32_t gate_batch; /* before which batch */
	char gate_why[GATE_WORDS_MAX];
	uint32_t told_batch; /* that has begun, as the story has it */
	char audit[256];     /* goes with the next commit; "": nothing */
	char auditor[128];
};

/* NULL: no memory. */
struct run *run_new(void);
void run_free(struct run *run); /* NULL is fine */
void run_set_id(struct run *run, const struct store_id *id);

/* Give it n steps, zeroed but for their messages.  errors: PM_NO_MEMORY */
PM_MUST_CHECK int run_set_steps(struct run *run, size_t n, struct pm_error *err);
/* From the store's rows.  errors: PM_CORRUPT, PM_NO_MEMORY */
PM_MUST_CHECK int run_load(struct run *run, const struct store_rollout *row, struct pm_error *err);
PM_MUST_CHECK int run_load_steps(struct run *run, const struct store_step *rows, size_t n,
                                 struct pm_error *err);

/* Change what a message owns; what does not fit memory is left as "". */
void run_text(char **field, const char *text);
void run_bytes(ProtobufCBinaryData *field, const uint8_t *bytes, size_t len);

/* Every change of what people see: the state, a step, the story. */
void run_state(struct run *run, enum rollout_state state, const char *why, enum pm_code code);
void run_step_state(struct run_step *s, enum step_state state, const char *text, enum pm_code code,
                    int64_t now_ms);
/* An operator goes on knowing of those that have failed. */
void run_forgive(struct run *run);
void run_tell(struct run *run, const char *who, const char *fmt, ...) PM_PRINTF(3, 4);
bool run_is_over(const struct run *run);
const char *run_state_name(enum rollout_state state); /* "running" */
const char *run_step_name(enum step_state state);     /* "healthy" */

/* Whether another version of its spec comes of it. */
bool run_changes_spec(const Pm__StepApp *app);

/* Between messages and the machine's own struct. */
PM_MUST_CHECK int run_take_options(struct rollout_params *p, Pm__RolloutOption *const *options,
                                   size_t n, struct pm_error *err);
PM_MUST_CHECK int run_put_options(struct run *run, const struct rollout_params *p,
                                  struct pm_error *err);
void run_to_machine(struct run *run);   /* from the record, after it was loaded or made */
void run_from_machine(struct run *run); /* what the record keeps of the machine */

/* The store's request to bring it to the disk; the lists are the caller's to free (release). */
struct run_packed {
	struct store_request request;
	uint8_t *plan;
	struct store_step *steps;
	uint8_t **infos;
	size_t n;
};
PM_MUST_CHECK int run_pack(struct run *run, struct run_packed *out, struct pm_error *err);
void run_packed_finish(struct run_packed *p);

/* Answer a request with it, in as many pages as it needs.  after: only steps behind that. */
void run_reply(struct run *run, struct pm_link *link, uint64_t re, bool steps, uint64_t after);

#endif
