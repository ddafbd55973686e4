/*
 * instance.h - one instance of an app: carries out what its life cycle (life.h) says.
 *
 * What must survive the supervisor is in the arena record; `core` is the working copy, committed
 * after each step and before anything outside is asked to happen.
 */
#ifndef PM_AGENT_INSTANCE_H
#define PM_AGENT_INSTANCE_H

#include <uv.h>

#include "agent/arena.h"
#include "agent/health.h"
#include "agent/procenv.h"
#include "agent/super.h"
#include "proto/check.h"

struct app;
struct notify_msg;
struct order;

/* What an instance is told to do and by whom. */
struct instance_order {
	enum life_event event; /* EV_START, EV_STOP, EV_RESTART, EV_DELETE */
	enum cause cause;
	uid_t uid;
	const char *who;     /* "pmctl"; borrowed for the call */
	struct order *order; /* gets the outcome; NULL: nobody waits */
	uint32_t at;         /* its place in the order */
	bool settle;         /* answer when it has stayed up for a moment, not at once */
	bool gated; /* EV_RESTART: by a successor beside it, where that can be (reload.h) */
	bool force; /* gated: also while another reload is going on, which is given up */
};

/* A new instance of the app, down. errors PM_LIMIT, PM_NO_MEMORY */
PM_MUST_CHECK int instance_create(struct app *app, uint32_t pm_id, uint32_t number,
                                  struct instance **out, struct pm_error *err);
/* One that a former supervisor left: its record, and its process if it has one. */
PM_MUST_CHECK int instance_adopt(struct app *app, uint32_t index, struct instance **out,
                                 struct pm_error *err);
void instance_set_process(struct instance *inst, struct process *p);
/* An orphan that was adopted: it is up. */
void instance_set_up(struct instance *inst);
/* Another has taken its place (reload.h). */
void instance_set_replaced(struct instance *inst);
/* After adoption of everything: go on from where the record says. */
void instance_resume(struct instance *inst);
/* Take counters and state of a saved one; true from instance_wanted() once: it shall run. */
void instance_restore(struct instance *inst, const Pm__SavedInstance *saved);
bool instance_take_wanted(struct instance *inst);
/* Forget without ceremony: the supervisor leaves, or the instance is gone. Frees it. */
void instance_close(struct instance *inst, bool forget);

void instance_give_order(struct instance *inst, const struct instance_order *o);

void instance_set_watching(struct instance *inst, bool on);

/* reset: counters to 0. */
void instance_reset(struct instance *inst);

/* A waiting order goes away (its session has closed). */
void instance_drop_order(struct instance *inst, const struct order *order);

/* ---- from the keeper, the process, the sampler ---- */
void instance_on_spawned(struct instance *inst, const struct keeper_record *r);
void instance_on_exited(struct instance *inst, const struct keeper_record *r);
void instance_on_message(struct instance *inst, const char *line, size_t len);
/* What people are to know of the present run, such as an address that it could not have. */
void instance_remark(struct instance *inst, const char *words);
const char *instance_remarked(const struct instance *inst); /* "": nothing */
/* A worker listens on an address, as text. */
void instance_on_listening(struct instance *inst, const char *address);
/* A worker has been given an address, and does not say whether it listens there. */
void instance_on_given(struct instance *inst);
/* A look at it has ended; changed: that has changed what is thought of it. */
void instance_on_check(struct instance *inst, enum check_role role, enum health_state state,
                       bool changed);
/* It did not say that it lives; in words. */
void instance_on_watchdog(struct instance *inst, const char *why);
/* It has said something over NOTIFY_SOCKET. */
void instance_on_notify(struct instance *inst, const struct notify_msg *m);

/*
 * It is to run, but nothing was done about that yet: restored, or waiting for its turn in an order.
 * Kept with the specs, so that a start that was accepted is finished whoever dies before its turn.
 */
void instance_intend(struct instance *inst);
bool instance_is_intended(const struct instance *inst);
/* It is about to be forgotten: who hears of it now may take it for gone. */
bool instance_is_leaving(const struct instance *inst);
/* Declared, and no start has reached it. */
bool instance_never_ran(const struct instance *inst);

/* Its process vanished while no supervisor looked: it ended, nobody saw how. */
void instance_on_lost(struct instance *inst);

/* ---- looking ---- */
const struct inst_core *instance_core(const struct instance *inst);
const struct inst_record *instance_record(const struct instance *inst);
/* What it runs with: until a reload with other settings is settled not always its app's (app.h). */
const Pm__AppSpec *instance_spec(const struct instance *inst);
/* The name of that version; of what its process was started with, if it has had one. */
const struct spec_hash *instance_hash(const struct instance *inst);
/* What its app has now is what it runs with already. */
void instance_keep_spec(struct instance *inst);
/* The same version has another name. */
void instance_set_hash(struct instance *inst, const struct spec_hash *hash);
struct app *instance_app(const struct instance *inst);
struct super *instance_super(const struct instance *inst);
struct process *instance_process(const struct instance *inst); /* NULL: none */
uint32_t instance_index(const struct instance *inst);
uint32_t instance_log_id(const struct instance *inst);
/* "waiting: ...", "not ready: http 503 from /healthz", or ""; in words or its own */
#define INSTANCE_NOTE_MAX 240
const char *instance_note(const struct instance *inst, char words[INSTANCE_NOTE_MAX]);
/* What its check says of it. false: it has none, or does not run. */
bool instance_health(const struct instance *inst, enum check_role role, enum health_state *out);
bool instance_is_online(const struct instance *inst);
/* It waits for its turn to be restarted (inst_core.awaits); CAUSE_NONE: no more. */
void instance_set_awaits(struct instance *inst, enum cause cause);
/* Its turn has come; true until it is up again, or has crashed since, or is to run no more. */
void instance_set_out(struct instance *inst);
bool instance_is_out(struct instance *inst);
/* Is a successor about to take its place? */
bool instance_is_replaced(const struct instance *inst);

/* Names of its files; the process's arguments and environment as they would be now. */
PM_MUST_CHECK int instance_log_names(const struct instance *inst, struct log_names *out,
                                     struct pm_error *err);
PM_MUST_CHECK int instance_procenv(const struct instance *inst, const struct user *user, int ipc_fd,
                                   const struct procenv_worker *worker, struct procenv *out,
                                   struct pm_error *err);
/* The same for display: without what env_files hold. */
PM_MUST_CHECK int instance_shown_env(const struct instance *inst, const struct user *user,
                                     struct procenv *out, struct pm_error *err);
size_t instance_limits(const struct instance *inst, struct spawn_limit out[SPAWN_LIMITS_MAX]);

/* What the sampler last saw, over the whole tree. */
struct instance_usage {
	uint64_t memory_bytes;
	uint32_t cpu_permille;
	uint32_t n_processes;
	uint64_t cpu_ticks, at_ms; /* of the sample before, for the difference */
	uint64_t tag;              /* which process's */
};
struct instance_usage *instance_usage(struct instance *inst);

#endif
