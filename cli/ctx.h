/* ctx.h - what every verb needs around its own work: the connection, status, messages. */
#ifndef PM_CLI_CTX_H
#define PM_CLI_CTX_H

#include "cli/args.h"
#include "cli/client.h"
#include "cli/cmd.h"
#include "cli/color.h"
#include "proto/buf.h"

/*
 * Connect to the agent of ctx->home, once; later calls do nothing.
 *
 * start      start an agent when nobody answers, as PM2 does
 */
PM_MUST_CHECK int ctx_connect(struct ctx *ctx, bool start, struct pm_error *err);

enum ctx_detail {
	CTX_LIST,        /* what a table shows */
	CTX_FULL,        /* everything about them, their specs too */
	CTX_ENVIRONMENT, /* and the values of their variables: of a fleet's host not everybody's */
};

/*
 * Status of the instances that a target names; text NULL: of all.
 *
 * ownership  *out is the caller's
 * errors     PM_NOT_FOUND, besides those of client_status()
 */
PM_MUST_CHECK int ctx_status(struct ctx *ctx, const char *text, enum ctx_detail detail,
                             struct client_status **out, struct pm_error *err);

#define PM_STATUS PM_CLEANUP(client_status_destroyp) struct client_status
#define PM_RESULT PM_CLEANUP(client_result_destroyp) struct client_result

/* ---- messages; text from outside is made harmless before it reaches a terminal ---- */

/* To stdout: "text", or "[PM2] text" under that name. Silent or with --json: nothing. */
void say(const struct ctx *ctx, const char *fmt, ...) PM_PRINTF(2, 3);
/* Without a prefix in either style. */
void say_plain(const struct ctx *ctx, const char *fmt, ...) PM_PRINTF(2, 3);
/* Likewise, in a colour. */
void say_colored(const struct ctx *ctx, enum color color, const char *fmt, ...) PM_PRINTF(3, 4);
/* "[PM2][WARN] text" on stdout, where PM2 has some of them. */
void say_warn_out(const struct ctx *ctx, const char *fmt, ...) PM_PRINTF(2, 3);
/* To stderr without a prefix. */
void say_plain_error(const struct ctx *ctx, const char *fmt, ...) PM_PRINTF(2, 3);
/* To stderr: "pmctl: warning: text", or "[PM2][WARN] text". */
void say_warn(const struct ctx *ctx, const char *fmt, ...) PM_PRINTF(2, 3);
/* To stderr: "pmctl: what; hint", or "[PM2][ERROR] what". */
void say_error(const struct ctx *ctx, const struct pm_error *err);

/* Text from outside on one line, harmless to a terminal; it lives as long as the scratch buffer. */
const char *say_cleaned(struct pm_buf *scratch, const char *text);

/* Print a buffer to stdout. errors: PM_NO_MEMORY when the buffer failed. */
PM_MUST_CHECK int say_buf(const struct pm_buf *buf, struct pm_error *err);

#endif
