/* startup_unit.h - the text of the systemd unit that starts an agent at boot.  Pure. */
#ifndef PM_CLI_STARTUP_UNIT_H
#define PM_CLI_STARTUP_UNIT_H

#include <stdbool.h>

#include "proto/buf.h"
#include "proto/error.h"

struct startup_unit {
	const char *user;  /* whose agent; not written into a user unit */
	const char *home;  /* PMD_HOME, absolute */
	const char *path;  /* PATH that apps get; NULL: systemd's */
	const char *pmd;   /* absolute */
	const char *pmctl; /* absolute */
	bool user_unit;    /* for the user's own systemd, not the machine's */
	bool as_pm2;       /* the home has PM2's layout */
};

/*
 * Write the unit.
 *
 * errors     PM_CONFIG (a control character in a value, or a path that is not absolute),
 *            PM_NO_MEMORY
 * source     systemd.unit(5), systemd.service(5), systemd.syntax(7) for quoting
 */
PM_MUST_CHECK int startup_unit_text(const struct startup_unit *u, struct pm_buf *out,
                                    struct pm_error *err);

/* Whether a name may stand in a unit's file name without escaping: systemd.unit(5), less '\\'. */
bool startup_name_ok(const char *name);

#endif
