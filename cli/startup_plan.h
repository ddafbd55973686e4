/* startup_plan.h - what startup and unstartup are about to work on, settled before they change
 * anything. */
#ifndef PM_CLI_STARTUP_PLAN_H
#define PM_CLI_STARTUP_PLAN_H

#include <stdbool.h>
#include <sys/types.h>

#include "cli/startup.h"
#include "proto/limits.h"

struct startup_plan {
	char user[64];
	uid_t uid;
	char user_home[PM_PATH_MAX];
	char home[PM_PATH_MAX]; /* PMD_HOME */
	bool home_given;        /* it is not what user_home alone says */
	char service[256];      /* without ".service" */
	char unit_dir[PM_PATH_MAX];
	char pmd[PM_PATH_MAX], pmctl[PM_PATH_MAX];
	bool user_unit, as_pm2;
};

/*
 * Find the init system, the user, the home, our programs and the unit's name.
 *
 * errors     as startup_install()
 */
PM_MUST_CHECK int startup_plan_make(struct startup_plan *p, const struct startup_options *o,
                                    struct pm_error *err);

/* Whether somebody answers at the home's socket: the keeper holds it as long as an agent lives. */
bool startup_agent_runs(const struct startup_plan *p);

#endif
