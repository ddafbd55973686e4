/* instance_priv.h - what the instance_*.c files share of an instance; nobody else includes it. */
#ifndef PM_AGENT_INSTANCE_PRIV_H
#define PM_AGENT_INSTANCE_PRIV_H

#include "agent/instance.h"

/* Polls of a tree that is ending start short and grow to the app's kill_retry_time. */
#define POLL_MIN_MS 5

struct order_outcome;

struct waiter {
	struct waiter *next;
	struct order *order; /* borrowed */
	uint32_t at;
	bool settle;
};

struct reload;
struct checks;

struct instance {
	struct super *su;
	struct app *app;            /* borrowed; owns us */
	struct inst_record *record; /* borrowed from the arena */
	uint32_t index;
	struct inst_core core;   /* committed to the record after each step */
	struct process *process; /* borrowed; NULL: none */
	uv_timer_t timer;        /* owned: readiness, delay, kill and heirs; the state says which */
	pid_t last_pid;          /* of the process before, until its tree is gone; 0: unknown */
	bool closing;
	bool wanted;  /* restored, and not started yet */
	bool leaving; /* it is about to be forgotten, in this turn */
	bool out;     /* restarted in its turn (turns.h), and not up again */
	bool again;   /* the start under way is the second half of a restart that was ordered */
	uint32_t poll_ms;
	struct waiter *waiters; /* owned */
	struct reload *reload;  /* borrowed; NULL: none is under way */
	struct instance_usage usage;
	char *note;   /* owned; NULL: none. Words, here and below, are few, and instances many */
	char *status; /* owned: what it said last over NOTIFY_SOCKET; lost with the supervisor */
	struct checks *checks; /* owned; NULL: none is declared, or it does not run */
	char *why;             /* owned: of the last failure, for the orders that wait */
	char *hint;            /* owned */
	enum pm_code why_code;
	off_t log_start[2]; /* sizes of the log files at the spawn */
};

/* ---- instance.c: the life cycle ---- */
void inst_step(struct instance *inst, enum life_event event);
/* The two halves of a step: change and commit the state, then carry out what it says. */
uint32_t inst_advance(struct instance *inst, enum life_event event);
void inst_act(struct instance *inst, uint32_t actions);
/* What follows from a step that inst_act() has carried out. */
void inst_after_step(struct instance *inst);
void inst_arm(struct instance *inst, uint64_t ms);
void inst_disarm(struct instance *inst);

/* ---- instance_gate.c: when it counts as online ---- */
/* Begin to wait for it, or do not. */
void inst_arm_gate(struct instance *inst);
/* The time for that is over. */
void inst_gate_over(struct instance *inst);
/* Whoever asked for it waited ms for it to get ready, and does not any longer: say what it lacks.
 */
void inst_gate_late(struct instance *inst, uint64_t ms);

/* It may be over now. */
void inst_try_gate(struct instance *inst);
/* It has said something of itself: SAID_*. */
void inst_say(struct instance *inst, uint32_t what);

/* ---- instance_health.c ---- */
/* Begin, or end, to look at it, as its state wants it. Later than at its start only for one that is
 * adopted: what is declared meanwhile is for its next run. */
void inst_refresh_checks(struct instance *inst, bool adopted);

/* Its time to get ready is over: what its readiness check says counts. Not committed. */
void inst_mark_unfit(struct instance *inst);

/* ---- instance_run.c: start, exit, stop ---- */
/* Name the next run. Committed together with the state that wants it, so that no crash leaves that
 * state with the name of the run before. */
void inst_prepare_spawn(struct instance *inst);
void inst_spawn(struct instance *inst);
void inst_write_pid_file(struct instance *inst);
/* After a restart: the supervisor may have died before it wrote the file, or while it did. */
void inst_mend_pid_file(struct instance *inst);
void inst_begin_stop(struct instance *inst);
void inst_kill_tree(struct instance *inst);
/* While ending: is anything left? Looks again after a while. */
void inst_check_tree(struct instance *inst);
void inst_check_heirs(struct instance *inst);

/* ---- instance_wait.c: orders that wait for an answer ---- */
bool inst_add_waiter(struct instance *inst, const struct instance_order *o);
/* Answer all that wait; leave_settlers: but those that want to see it stay up. */
void inst_settle(struct instance *inst, enum pm_code code, bool leave_settlers);
/* What the last run wrote: the caller's to free; NULL: nothing. */
char *inst_log_tail(struct instance *inst, size_t *len);
/* Answer an order that is not taken. */
void inst_refuse(struct instance *inst, const struct instance_order *o, enum pm_code code,
                 const char *text);
/* What is in the log files now is of earlier runs. */
void inst_remember_log_sizes(struct instance *inst);

/* ---- instance_facts.c: the record and what is read from it ---- */
void inst_commit(struct instance *inst);
void inst_note(struct instance *inst, const char *text);
/* Why the last start or run failed, for the orders that wait. */
void inst_fail_words(struct instance *inst, enum pm_code code, const char *what, const char *hint);
void inst_add_exit(struct instance *inst, const struct keeper_record *r, uint64_t run_ms);
void inst_make_unique_id(char out[40]);

#endif
