/* complete.h - what may stand where a command line is being typed: for the shells' completion.
 * Pure. */
#ifndef PM_CLI_COMPLETE_H
#define PM_CLI_COMPLETE_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/cmd.h"
#include "proto/buf.h"
#include "proto/pm.pb-c.h"
#include "proto/spec_keys.h"

/* Files that the shell is to offer besides; it knows how. */
enum complete_files {
	COMPLETE_NO_FILES,
	COMPLETE_FILES,
	COMPLETE_CONFIGS, /* configuration files */
	COMPLETE_DIRECTORIES,
};

/* What the word under the cursor may be. The pointers are borrowed from the words and tables. */
struct complete {
	const char *lead; /* printed before each candidate: "--color=" */
	size_t lead_len;
	const char *prefix; /* what is typed of it; never NULL */
	const char *home;   /* the value of --home; NULL: not given */

	const struct cmd *cmd; /* options of this verb; NULL: none is known yet */
	bool verbs, options;
	const char *args; /* "APP|+N": what the argument may be; NULL: no argument */
	size_t args_len;
	bool many;                    /* more arguments of the kind may follow */
	const struct cmd_option *own; /* or the value of one of these two; NULL: neither */
	const struct spec_key *key;

	bool apps, ids; /* words that only the agent knows are wanted */
	bool contexts;  /* names of coordinators are wanted */
	bool hosts;     /* names of a fleet's hosts are, which only a coordinator knows */
	bool rollouts;  /* likewise ids of rollouts */
	enum complete_files files;
};

/*
 * Find out what the last word may be. Whatever is wrong with the words before it is passed over:
 * somebody is in the middle of typing them.
 *
 * words      as they follow the program's name; the last one is the one to complete, maybe ""
 */
void complete_plan(char *const *words, size_t n, struct complete *out);

/* Append the candidates that need no agent, a line each: "word<TAB>what it is". */
void complete_words(const struct complete *c, struct pm_buf *out);

/* Likewise the names, namespaces or ids of these instances. Names that would break a line are left
 * out. */
void complete_instances(const struct complete *c, Pm__InstanceStatus *const *instances, size_t n,
                        struct pm_buf *out);

/* Likewise a name that is known already, and what it is of. */
void complete_name(const struct complete *c, const char *name, const char *help,
                   struct pm_buf *out);

/* ":files", ":configs" or ":directories"; NULL for none. */
const char *complete_files_word(enum complete_files files);

#endif
