/* startup.h - makes this machine start the agent at boot, and undoes that. */
#ifndef PM_CLI_STARTUP_H
#define PM_CLI_STARTUP_H

#include <stdbool.h>
#include <stdio.h>

#include "proto/error.h"

struct startup_options {
	const char *platform; /* as PM2 names init systems: "systemd", "ubuntu"...; NULL: look */
	const char *user;     /* NULL: the caller */
	const char *hp;       /* the user's home directory; NULL: from the user database */
	const char *home;     /* PMD_HOME; NULL: hp/.pmd (hp/.pm2 for PM2) */
	const char *service;  /* the unit's name without ".service"; NULL: pmd-USER or pm2-USER */
	bool user_unit;       /* the user's own systemd: ~/.config/systemd/user/pmd.service */
	bool as_pm2;
};

/*
 * Write the unit, enable it and start it; for PM2 it is not started, because PM2 does not. An agent
 * that was started by hand hands its apps over to the one that the unit starts. What is done is
 * said on out.
 *
 * errors     PM_DENIED (not root: the line to run with sudo is on out), PM_UNSUPPORTED (another
 * init system, or systemd does not run here), PM_NOT_FOUND (no such user), PM_CONFIG, PM_FAILED
 * (systemctl said no)
 */
PM_MUST_CHECK int startup_install(const struct startup_options *o, FILE *out, struct pm_error *err);

/* Stop at boot no more: disable and remove the unit. Apps of a running agent are left alone. */
PM_MUST_CHECK int startup_remove(const struct startup_options *o, FILE *out, struct pm_error *err);

#endif
