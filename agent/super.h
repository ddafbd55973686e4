/*
 * super.h - the supervisor's parts and what they share.
 *
 * Not a header for outsiders: supervisor.h is. One thread, one loop; every part below is reached
 * through here.
 */
#ifndef PM_AGENT_SUPER_H
#define PM_AGENT_SUPER_H

#include <uv.h>

#include "agent/arena.h"
#include "agent/cgroup.h"
#include "agent/control.h"
#include "agent/env_pool.h"
#include "agent/keeper_client.h"
#include "agent/logs.h"
#include "agent/lookup.h"
#include "proto/pm.pb-c.h"

struct app;
struct instance;
struct process;
struct sampler;
struct sweep;
struct tree_scan;
struct store;
struct history;
struct watch;
struct job;
struct notify_socket;
struct order;
struct probe_exec;
struct stream;
struct liaison;

#define DEGRADED_MAX 8

struct super {
	uv_loop_t *loop;
	char home[PM_PATH_MAX];
	bool pm2_home; /* PM2's file names */
	uint32_t home_nonce;
	struct cgroup_base cgroup; /* where each process gets a group of its own, if anywhere */
	bool foreground;
	int lock_fd; /* borrowed from the process */

	struct keeper_client *keeper;
	struct keeper_record welcome; /* the keeper's first words */
	struct arena *arena;
	struct logs *logs;
	struct control *control;
	struct sampler *sampler;
	struct tree_scan *scan;
	struct sweep *sweep;
	struct store *store;
	struct history *history;
	struct liaison *liaison; /* NULL: in none, and nothing of one is here */

	struct app *apps;     /* in order of declaration; each owns its instances */
	struct app *last_app; /* of them */
	struct env_pool envs; /* of the apps' specs */
	struct lookup lookup;
	uint32_t next_pm_id;
	uint32_t next_app_serial;

	/* By keeper slot: the process there, and named descriptors that adoption brought. */
	struct process *processes[PM_SLOTS_MAX];
	uint64_t connections_ms;   /* not before are connections counted again (reload.c) */
	bool strays[PM_SLOTS_MAX]; /* nothing claims them: released when their process is gone */
	struct order *orders;      /* those under way */
	struct job *jobs;
	struct probe_exec *execs;     /* checks that are programs: those that run, and wait */
	uint32_t check_serial;        /* names each of them */
	struct notify_socket *notify; /* owned; NULL: no app has asked for it */
	struct stream *streams;       /* logs and events that somebody follows */
	uint32_t next_slot;

	char *degraded[DEGRADED_MAX]; /* owned "what: words" */
	char upgrade_note[160];
	bool stopping;      /* all apps are being ended; then the keeper is told to stop */
	bool stop_checking; /* super_stop_check() is on the stack */
	uint32_t stop_wave; /* apps of this wave and above are being ended (app_deps.h) */
	bool quitting;      /* an upgrade replaces us; apps stay */
	bool killing;       /* the same, and every app is deleted */
	bool ended;         /* nothing runs any more */
	struct session *kill_session; /* a reference: who gave the order */
	uint64_t kill_id;
};

/* The path of the program that we run, as it was called when we started. false: unknown. */
bool super_program(char out[PM_PATH_MAX]);

/* Words for something that works less well than it should; NULL words: it is well again. */
void super_degraded(struct super *su, const char *what, const char *words);

/* What the keeper holds while that is under way, by name. */
#define SUPER_HELD_STOP "stop"
#define SUPER_HELD_KILL "kill"

/* Begin the orderly end: stop every app, then the keeper. Idempotent. */
void super_stop(struct super *su);
/* Delete every app, answer, then the same. */
void super_kill_all(struct super *su, struct session *s, uint64_t id);
/* Go on with one that a former supervisor began: nobody is answered. */
void super_kill_on(struct super *su);
/* Called by instances as they go down while stopping. */
void super_stop_check(struct super *su);

/* Add to the order what a restored state wants to run. */
PM_MUST_CHECK int super_start_wanted(struct super *su, struct order *o, struct pm_error *err);

/* A message of an app on its node channel that is not ours to act on. */
void super_on_message(struct super *su, struct instance *inst, const char *line, size_t len);

/* A slot of the keeper that no process uses; SLOT_NONE at the limit. */
uint32_t super_free_slot(struct super *su);

#endif
