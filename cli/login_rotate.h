/* login_rotate.h - `pmctl login --rotate`: another key in the place of a context's (S-06). */
#ifndef PM_CLI_LOGIN_ROTATE_H
#define PM_CLI_LOGIN_ROTATE_H

#include "cli/ctx.h"

/*
 * The next key is on the disk before the coordinator hears of it, and the present one until the
 * next one was let in: stopped in between, either the one or the other is good, and this goes on
 * from there.
 *
 * errors     PM_USAGE, PM_NOT_FOUND (no such context), those of the session, the system's
 */
PM_MUST_CHECK int login_rotate(struct ctx *ctx, struct pm_error *err);

#endif
