/* act.h - what the verbs that change something share: targets, the command, its account. */
#ifndef PM_CLI_ACT_H
#define PM_CLI_ACT_H

#include "cli/ctx.h"

/* How an action is called. */
struct action {
	Pm__Verb verb;
	const char *name;        /* "restart": for messages */
	const char *done;        /* "restarted" */
	const char *done_again;  /* of what was in the list before; NULL: the same word */
	const char *pm2_rpc;     /* "restartProcessId": PM2's messages name it */
	const char *pm2_unknown; /* what PM2 says of an unknown id; %s is the id */
	bool pm2_table;          /* PM2 ends with the table */
};

/* What all commands of one verb's run did, target by target. */
struct account {
	size_t n_ok, n_failed;
	size_t n_again;    /* of n_ok: were in the list before */
	size_t n_changes;  /* of n_ok, apps then: with --plan, something would be done */
	enum pm_code code; /* of the first failure */
	uint32_t *ids;     /* owned: the instances acted on */
	size_t n_ids;
	struct pm_buf json; /* the outcomes, with --json */
	bool failed;        /* no memory */
};

struct json_out;
/* One outcome as an object. */
void act_outcome_json(struct json_out *j, const Pm__Outcome *o);

void account_finish(struct account *a);
#define PM_ACCOUNT PM_CLEANUP(account_finish) struct account

/*
 * Send a command and print what becomes of each instance.
 *
 * cmd        with its targets, or use_staged
 * errors     those of client_command(); a failed outcome is no error, it is in the account
 */
PM_MUST_CHECK int act_send(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
                           struct account *account, struct pm_error *err);

/*
 * Carry out an action on the targets that the command line names. pmctl resolves all of them first
 * and acts then; PM2 goes from left to right and the first failure ends the run.
 *
 * cmd        options of the command; the targets are filled in here
 */
PM_MUST_CHECK int act_on_words(struct ctx *ctx, const struct action *action, Pm__Command *cmd,
                               const char *const *words, size_t n, struct account *account,
                               struct pm_error *err);

/* --only chooses from a configuration file: with none, it would widen what is done to all that the
 * words name.  errors PM_USAGE (PM2 goes on without a word) */
PM_MUST_CHECK int act_check_only(const struct ctx *ctx, size_t n_files, struct pm_error *err);

/* The end of a run: the table for PM2, the account line or JSON. Returns the exit status or -1. */
int act_finish(struct ctx *ctx, const struct action *action, const struct account *account,
               struct pm_error *err);

/* All of it for a verb whose arguments are its targets. */
int act_run(struct ctx *ctx, const struct action *action, struct pm_error *err);

/* PM2's lines for an action that is done: on which app and ids. */
void act_pm2_applied(struct ctx *ctx, const struct action *action, const char *name);

/* Print the process table, as `list` does. */
PM_MUST_CHECK int act_print_table(struct ctx *ctx, struct pm_error *err);

/* One read of a configuration file: its apps' names. ownership: act_names_free() */
struct names {
	char **names;
	size_t n;
};
void act_names_free(struct names *names);
PM_MUST_CHECK int act_config_names(struct ctx *ctx, const char *path, struct names *out,
                                   struct pm_error *err);

#endif
