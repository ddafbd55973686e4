/* rollout_copy.h - what pmctl knows of one rollout: the coordinator's answers put together. Pure.
 */
#ifndef PM_CLI_ROLLOUT_COPY_H
#define PM_CLI_ROLLOUT_COPY_H

#include <stdbool.h>

#include "proto/error.h"
#include "proto/pm.pb-c.h"

#define ROLLOUT_STEP_STATES 8 /* by Pm__StepState */

struct copy_step {
	Pm__RolloutStep *msg; /* owned; its name is a host's, its state one that is known */
	Pm__StepState told;   /* what the user was told last */
};

/* Zeroed is empty.  Public because its owner embeds it. */
struct rollout_copy {
	Pm__RolloutStatus *status; /* owned, without steps and story; NULL: nothing came yet */
	struct copy_step *steps;   /* owned; in the order in which they are done */
	size_t n_steps, cap_steps;
	uint32_t *by_agent;       /* owned; indices of the steps, sorted by the agents' ids */
	Pm__RolloutEvent **story; /* owned */
	size_t n_story, cap_story;
};

void rollout_copy_finish(struct rollout_copy *c);
#define PM_ROLLOUT PM_CLEANUP(rollout_copy_finish) struct rollout_copy

/*
 * Take one page of an answer: the status is the new one, steps and story go on.  When the way back
 * has begun its steps take the place of all others.
 *
 * errors     PM_PROTOCOL (an id or a host's name that is none), PM_LIMIT, PM_NO_MEMORY
 */
PM_MUST_CHECK int rollout_copy_take(struct rollout_copy *c, const Pm__RolloutStatus *page,
                                    struct pm_error *err);

/* Whether nothing more will come of it without an operator: paused, over, or only planned. */
bool rollout_copy_rests(const struct rollout_copy *c);

/* The last batch of which some host has begun; 0: none yet. */
uint32_t rollout_copy_batch(const struct rollout_copy *c);

/* Every host is in exactly one of new, old, down, under_way and skipped (F-13). */
struct rollout_account {
	size_t total;
	size_t fresh, old;
	size_t down;      /* unknown ones too: nobody knows that they serve */
	size_t under_way; /* asked, and not answered */
	size_t skipped;   /* left as they are */
	size_t by_state[ROLLOUT_STEP_STATES];
	size_t begun; /* they were asked, whatever came of it */
	size_t ended; /* nothing more is expected of them */
};
struct rollout_account rollout_copy_account(const struct rollout_copy *c);

/* The status to exit with when the user has seen it through: FLEET 1.5. */
int rollout_copy_exit_status(const struct rollout_copy *c);

/* The value of an option as it holds; "" for one that is not told. */
const char *rollout_copy_option(const struct rollout_copy *c, const char *name);

const char *rollout_state_word(Pm__RolloutState state); /* "running" */
const char *rollout_step_word(Pm__StepState state);     /* "healthy" */

#endif
