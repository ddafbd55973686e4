/*
 * keeper_int.h - the keeper's parts among themselves; nobody else includes it.
 *
 *   keeper.c          start, loop, signals, requests
 *   keeper_slots.c    the table of processes, held descriptors, exits
 *   keeper_super.c    the supervisor's process and what is to be told to it
 *   keeper_home.c     the home: lock, pid file
 *   keeper_save.c     state over an exec: upgrade, way back, promotion
 *   keeper_takeover.c handing everything to another process
 */
#ifndef PM_AGENT_KEEPER_INT_H
#define PM_AGENT_KEEPER_INT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/keeper.h"
#include "agent/keeper_io.h"
#include "agent/origin.h"
#include "proto/limits.h"

#define PID_BUCKETS (2 * PM_SLOTS_MAX) /* a power of two, never over half full */

/* What the supervisor has not been told of a slot yet. */
#define DUE_SPAWNED 1u
#define DUE_EXITED  2u

struct slot {
	struct keeper_record r; /* op KEEPER_SLOT; state is FREE in an unused one */
	int fds[KEEPER_FD_COUNT];
	unsigned due;
	bool queued; /* stands in the line of out */
};

struct held {
	char name[KEEPER_NAME_MAX];
	int fd;
};

/* What keeper_wait() watches, in the upper half of the epoll data; the lower half is a slot. */
enum watched {
	WATCH_SIGNALS,
	WATCH_SUPERVISOR,
	WATCH_SLOT, /* the pidfd of a foreign process */
	WATCH_TAKEOVER_LISTEN,
	WATCH_TAKEOVER,
};

struct supervisor {
	pid_t pid; /* 0: none */
	int pidfd, sock;
	bool ready;             /* it said READY */
	bool leaving;           /* it was told to quit, or we stop: its death is no fault */
	uint64_t start_at_ms;   /* when to start the next one; 0: not waiting */
	uint64_t kill_at_ms;    /* when patience ends; 0: never */
	uint64_t alive_ms;      /* its last sign of life, by CLOCK_MONOTONIC */
	uint64_t check_at_ms;   /* when to see whether it hangs; 0: nobody wants a watchdog */
	uint64_t deaths_ms[10]; /* the last ones, a ring */
	unsigned n_deaths;      /* since the start; over 10 the ring is full */
	unsigned in_a_row;      /* deaths since the last READY */
	uint32_t restarts;      /* told in WELCOME */
};

struct out {
	bool greeted; /* HELLO came: before it nothing but QUIT is said */
	bool adopting;
	uint32_t next_slot, next_held;
	bool welcome_due;
	uint16_t line[PM_SLOTS_MAX]; /* slots with something due, a ring */
	uint32_t head, len;
	bool quit_due;
	char note[KEEPER_NAME_MAX]; /* "": none due; a newer one replaces it */
	bool want_write;            /* the socket was full */
	uint64_t retry_at_ms;       /* too many descriptors in flight; 0: not waiting */
};

enum upgrade_phase {
	UPGRADE_NONE,
	UPGRADE_TRYING,    /* we are the new program, and its supervisor is not ready yet */
	UPGRADE_FELL_BACK, /* we are the old one again */
	UPGRADE_PROMOTED,  /* a supervisor whose keeper died; not an upgrade, but the same way */
};

struct upgrade {
	enum upgrade_phase phase;
	unsigned deaths;
	uint64_t deadline_ms; /* for READY; 0: none runs */
	char from[32];        /* the version before */
	bool going_back;      /* wait for the new supervisor's death, then exec the old program */
};

struct takeover {
	int listen_fd, conn_fd;
	bool asked; /* HELLO came: the supervisor leaves, then everything goes over */
};

struct keeper {
	struct keeper_options opt;
	struct origin origin;
	int origin_fd, home_fd, lock_fd, epoll_fd, signal_fd;
	int exe_fd;     /* this program, as it was when we started */
	int old_exe_fd; /* the one before an unconfirmed upgrade; -1 */
	struct supervisor super;
	struct out out;
	struct upgrade upgrade;
	struct takeover takeover;
	uint64_t started_boot_ms;
	sigset_t forward;    /* signals that wait for a ready supervisor */
	bool stop_wanted;    /* SIGTERM came: every supervisor gets it until one stops us */
	bool stopping;       /* KEEPER_STOP came: exit when the supervisor has left */
	bool reap_more;      /* the last turn ended at its limit */
	bool notified_ready; /* READY=1 went to systemd */
	int exit_status;     /* -1: go on */
	uint32_t n_alive;
	uint32_t slots_top; /* no slot from here on was ever used */
	uint32_t n_held;
	struct held held[PM_HELD_MAX];
	uint16_t pids[PID_BUCKETS]; /* slot + 1 by pid, for our children */
	struct slot slots[PM_SLOTS_MAX];
};

/* ---- keeper.c ---- */
void keeper_watch(struct keeper *k, int fd, enum watched what, uint32_t slot, bool write_too);
void keeper_unwatch(struct keeper *k, int fd);
/* Serve what a dead supervisor had asked for: what it holds and has released must not be lost. */
void keeper_drain(struct keeper *k);

/* ---- keeper_slots.c ---- */
struct slot *slot_at(struct keeper *k, uint32_t index); /* NULL: no such number */
uint32_t slot_index(const struct keeper *k, const struct slot *s);
/* Take a slot for a process that lives. `fds` are taken over. */
void slot_fill(struct keeper *k, struct slot *s, const struct keeper_record *r,
               const int fds[KEEPER_FD_COUNT]);
void slot_release(struct keeper *k, struct slot *s);
void slot_set_fd(struct slot *s, unsigned role, int fd); /* closes what was there; takes fd */
/* A foreign process is gone: nobody saw how. */
void slot_lost(struct keeper *k, struct slot *s);
/* Reap at most PM_TURN_MAX children; sets reap_more. */
void slots_reap(struct keeper *k);
void slots_kill_jobs(struct keeper *k);
/* Watch a slot's process that is not our child, or find it dead. */
void slot_watch_foreign(struct keeper *k, struct slot *s);
/* Returns 0 or an errno; takes fd in either case. */
int held_put(struct keeper *k, const char *name, int fd);
void held_drop(struct keeper *k, const char *name);

/* ---- keeper_super.c ---- */
void keeper_super_start(struct keeper *k);
/* Attach the socket of one that lives on over our exec. */
void keeper_super_attach(struct keeper *k);
void keeper_super_on_exit(struct keeper *k, const siginfo_t *info);
/* It hung up, or is told to go: it has ms to be gone. */
void keeper_super_patience(struct keeper *k, uint64_t ms);
void keeper_super_kill(struct keeper *k);
void keeper_super_quit(struct keeper *k);
/* Send it a signal, now or as soon as it is ready. */
void keeper_super_forward(struct keeper *k, int signal);
void keeper_super_ready(struct keeper *k);
void keeper_super_alive(struct keeper *k); /* a sign of life, also passed on to systemd */
/* What is due by the clock; returns ms until it is worth calling again, -1: no need. */
int keeper_super_tick(struct keeper *k, uint64_t now_ms);

void keeper_out_hello(struct keeper *k);
void keeper_out_due(struct keeper *k, struct slot *s, unsigned due);
void keeper_out_note(struct keeper *k, const char *fmt, ...) PM_PRINTF(2, 3);
void keeper_out_flush(struct keeper *k);
void keeper_out_reset(struct keeper *k);

/* ---- keeper_home.c ---- */
/* returns  0, or an exit status after a message on stderr: 6 when somebody else has the home */
int keeper_home_take(struct keeper *k);
void keeper_home_write_pid(struct keeper *k);
void keeper_home_remove_pid(struct keeper *k);

/* ---- keeper_save.c ---- */
int keeper_restore(struct keeper *k); /* returns 0 or an exit status */
void keeper_upgrade_remember_failpoints(void);
void keeper_upgrade_begin(struct keeper *k, int exe_fd); /* takes exe_fd; returns when it failed */
void keeper_upgrade_go_back(struct keeper *k, const char *why);
void keeper_upgrade_exec_old(struct keeper *k);
void keeper_upgrade_confirmed(struct keeper *k);

/* ---- keeper_takeover.c ---- */
void takeover_listen(struct keeper *k);
void takeover_close(struct keeper *k); /* and remove its name */
void takeover_accept(struct keeper *k);
void takeover_input(struct keeper *k);
void takeover_offer(struct keeper *k, int sock); /* takes sock; somebody may say HELLO there */
void takeover_go(struct keeper *k);              /* the supervisor has left */
/* Ask the agent that has the home for everything.  Returns 0 when we have it, else -1. */
PM_MUST_CHECK int takeover_ask(struct keeper *k, struct pm_error *err);

#endif
