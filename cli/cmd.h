/* cmd.h - what a verb is: its names, options, help and function; and what the function is given. */
#ifndef PM_CLI_CMD_H
#define PM_CLI_CMD_H

#include <stdbool.h>

#include "proto/error.h"
#include "proto/limits.h"

struct args;
struct client;
struct fleet;
struct json_out;

enum cmd_value {
	CMD_NO_VALUE,
	CMD_VALUE,
	CMD_OPTIONAL,   /* --opt, --opt=value, --opt value (once the verb has its arguments) */
	CMD_OPTIONAL_EQ /* --opt, --opt=value */
};

struct cmd_option {
	const char *name; /* long, without dashes; NULL ends a list */
	char letter;      /* 0: none */
	enum cmd_value value;
	const char *value_name; /* "N", "FILE"; NULL without value */
	const char *help;
};

enum cmd_flags {
	CMD_APP_OPTIONS = 1 << 0, /* takes the options of app keys (proto/spec_keys.h) */
	CMD_JSON = 1 << 1,        /* has --json */
	CMD_SCRIPT_ARGS = 1 << 2, /* what follows -- belongs to the script */
	CMD_NUMBERS = 1 << 3,     /* -3 is an argument */
	CMD_PM2_ONLY = 1 << 4,    /* exists under the name pm2 only */
	CMD_PMCTL_ONLY = 1 << 5,
	CMD_HIDDEN = 1 << 6,       /* for programs, not for people: in no help */
	CMD_FLEET = 1 << 7,        /* takes hosts; without them it acts on the local agent */
	CMD_FLEET_ONLY = 1 << 8,   /* takes hosts, and asks the coordinator in any case */
	CMD_COORDINATOR = 1 << 9,  /* asks the coordinator: --context and --jsonl, but no hosts */
	CMD_DESTRUCTIVE = 1 << 10, /* with --all it wants a yes */
	CMD_ROLLOUT = 1 << 11,     /* over hosts it may be a rollout, and has the options of one */
	CMD_ROLLS = 1 << 12,       /* over hosts it always is one */
	CMD_PLANS = 1 << 13,       /* takes --plan */
	CMD_LISTS = 1 << 14,       /* is or has a list: takes the options of lists */
	CMD_PAGED = 1 << 15,       /* what it prints is for reading: a pager is of use */
};

#define CMD_ANY 1000000

/* How the command line looks to a verb. */
struct ctx {
	bool as_pm2; /* called under the name pm2 */
	bool silent; /* no messages */
	bool json;   /* one document on stdout, nothing else there */
	bool jsonl;  /* with json: a document a line, as each host answers */
	bool color_out, color_err;
	bool utf8;               /* the locale has box drawing */
	bool tty_out;            /* stdout is a terminal */
	unsigned width;          /* of the terminal; 0: stdout is no terminal, no limit */
	uint32_t timeout_ms;     /* --timeout; 0: the verb's own */
	const char *program;     /* "pmctl" or "pm2" */
	const struct args *args; /* borrowed */
	struct client *client;   /* owned; NULL until ctx_connect() */
	struct fleet *fleet;     /* owned; NULL: the local agent is meant */
	char home[PM_PATH_MAX];
};

struct cmd {
	const char *name;
	const char *aliases;   /* blank-separated; NULL: none */
	const char *args;      /* "APP..."; "" for none */
	const char *pm2_needs; /* what PM2 calls its first argument; NULL: it needs none */
	const char *summary;   /* one line, without a full stop */
	const char *help;      /* further paragraphs; NULL: none */
	const struct cmd_option *options; /* NULL: none */
	int min_args, max_args;
	unsigned flags; /* enum cmd_flags */
	/*
	 * Returns the exit status, or -1 with err set: then the caller prints it and takes the
	 * status from its code.
	 */
	int (*run)(struct ctx *ctx, struct pm_error *err);
};

/* All verbs, in the order of the help; NULL ends the list. */
extern const struct cmd *const cmd_all[];

/* The verb of that name or alias; NULL if there is none. */
const struct cmd *cmd_find(const char *name, bool as_pm2);

/* Whether help shows the verb. */
bool cmd_is_listed(const struct cmd *cmd, bool as_pm2);

/* The name most like this one, at most two slips away; NULL if there is none. */
const char *cmd_nearest(const char *name, bool as_pm2);

/* Whether `name` is one of the blank-separated words. */
bool cmd_word_in(const char *words, const char *name);

/* Options that every verb has, and those of verbs that take hosts. */
extern const struct cmd_option cmd_global_options[];
extern const struct cmd_option cmd_fleet_options[];
/* Those of lists (cli/listing.h). */
extern const struct cmd_option cmd_list_options[];
/* Those of a rollout, of verbs that may be one: proto/rollout_params.h, and how it is watched. */
const struct cmd_option *cmd_rollout_options(void);
/* Options that PM2 knows at every verb, with or without effect there. */
extern const struct cmd_option cmd_pm2_options[];

/* Whether an option of all verbs does not exist under the name pm2. */
bool cmd_option_is_own(const struct cmd_option *option);

const struct cmd_option *cmd_option_find(const struct cmd_option *list, const char *name,
                                         char letter);

#endif
