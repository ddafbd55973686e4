/* fleet_act.h - a command on several hosts: sent, shown as the answers come, accounted for. */
#ifndef PM_CLI_FLEET_ACT_H
#define PM_CLI_FLEET_ACT_H

#include "cli/act.h"
#include "cli/fleet.h"

/* Ask before a command that is hard to undo goes to every host: fleet_confirm(). */
PM_MUST_CHECK int act_confirm(struct ctx *ctx, const struct action *action, const Pm__Command *cmd,
                              struct pm_error *err);

/*
 * For verbs that take files and names: with several hosts all of it must be one command, so that
 * nothing is half done.  errors PM_USAGE
 */
PM_MUST_CHECK int fleet_act_check_words(const struct ctx *ctx, struct pm_error *err);

/* act_send() on the hosts of ctx->fleet: prints what becomes of each. */
PM_MUST_CHECK int fleet_act_send(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
                                 struct pm_error *err);

/* act_finish(): the account, or JSON.  Returns the exit status or -1. */
int fleet_act_finish(struct ctx *ctx, const struct action *action, struct pm_error *err);

/* The account as an object of a document that is being written, and the exit status after it. */
void fleet_account_json(const struct fleet *f, struct json_out *j);
int fleet_exit_status(const struct fleet *f);

/* Of those that have not answered when the user stops waiting: who, and that they go on (F-11). */
void fleet_say_missing(struct ctx *ctx);

#endif
