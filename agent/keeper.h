/*
 * keeper.h - the first process of an agent: parent of every app and of the supervisor.
 *
 * A few hundred lines, no policy, no allocation after start, neither uv nor nng, because whatever
 * dies here takes exit statuses with it. It spawns what it is told, waits, keeps exits until they
 * are released, is the child subreaper, holds descriptors, restarts the supervisor with backoff,
 * and re-executes itself for an upgrade.
 */
#ifndef PM_AGENT_KEEPER_H
#define PM_AGENT_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/keeper_proto.h"
#include "proto/error.h"

struct keeper_options {
	const char *home; /* absolute */
	bool foreground;  /* the agent's own log goes to stderr as well */
	bool as_pm2;      /* the home has PM2's names */
	bool takeover;    /* an agent that has the home hands everything to us */
	int restore_fd;   /* memfd with a keeper's saved state (upgrade, promotion); -1: a fresh
	                     start */
	int fallback_fd;  /* with it: the program to go back to if we cannot read that state; -1 */
	bool fell_back;   /* we are that program */
};

/* What a keeper that cannot read the state it is given exits with. */
#define KEEPER_EXIT_STATE 71

/*
 * Be the keeper until told to stop: lock the home (exit status 6 when somebody else has it, naming
 * its pid), start the supervisor, serve.  Returns the process's exit status.
 *
 * SIGTERM, SIGINT and SIGQUIT stop everything in order: the supervisor gets SIGTERM as soon as it
 * is ready, answers with KEEPER_STOP, leaves, and we exit 0.  SIGHUP and SIGUSR2 are handed to it.
 */
int keeper_run(const struct keeper_options *options);

/*
 * What a saved keeper looks like to one that promotes itself: the supervisor's view of a slot.
 * A supervisor that finds its keeper dead calls keeper_promote(), which writes
 * the state, clears close-on-exec on the descriptors in it, and re-executes this program as the new
 * keeper.
 */
struct keeper_saved_slot {
	struct keeper_record record; /* op KEEPER_SLOT */
	int fds[KEEPER_FD_COUNT];    /* numbers in this process, -1: none */
};
struct keeper_saved_held {
	char name[KEEPER_NAME_MAX];
	int fd;
};

/*
 * Become the keeper: does not return on success. lock_fd is the home's lock, inherited by the
 * supervisor.
 */
int keeper_promote(const char *home, int lock_fd, const struct keeper_saved_slot *slots,
                   size_t n_slots, const struct keeper_saved_held *held, size_t n_held,
                   struct pm_error *err);

/* What keeper_promote() needs beside that, told once by agent_main(): the origin's memfd (borrowed)
 * and how the agent was started. */
void keeper_promote_prepare(int origin_fd, bool foreground, bool as_pm2);
/* What a promotion is to say of the last upgrade, under KEEPER_NAME_MAX bytes: the keeper was asked
 * for one, and what dies then is the new program. */
void keeper_promote_note(const char *text);

#endif
