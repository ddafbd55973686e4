/* spec_keys.h - the table of all keys of an app: names, options, types, defaults, meanings. Pure.
 */
#ifndef PM_PROTO_SPEC_KEYS_H
#define PM_PROTO_SPEC_KEYS_H

#include <stdbool.h>

#include "proto/base.h"

enum spec_type {
	SPEC_TEXT,
	SPEC_NAME, /* fits a file name */
	SPEC_VAR,  /* the name of an environment variable */
	SPEC_PATH,
	SPEC_LOG_PATH, /* a path, or true: the default name */
	SPEC_INT,
	SPEC_DURATION,
	SPEC_SIZE,
	SPEC_BOOL,
	SPEC_WORDS, /* a list, or text split at blanks */
	SPEC_PATHS, /* the same, of paths */
	SPEC_CODES, /* exit codes: one or a list */
	SPEC_ENV,
	SPEC_ENUM,
	SPEC_CRON,
	SPEC_SIGNAL,
	SPEC_LIMITS,
	SPEC_UMASK,
	SPEC_OWNER, /* a user or group: name or number */
	SPEC_INSTANCES,
	SPEC_WATCH,   /* true, or paths */
	SPEC_FILTER,  /* true, or texts */
	SPEC_ROLLOUT, /* an object of rollout_params.h's options */
	SPEC_CHECK,   /* a health check: text, a program and its arguments, or an object */
	SPEC_KEPT,    /* any value; kept for jlist */
};

enum spec_arg {
	SPEC_ARG_NONE,
	SPEC_ARG_REQUIRED,
	SPEC_ARG_OPTIONAL
};

enum spec_flags {
	SPEC_OURS = 1 << 0,      /* PM2 has no such key */
	SPEC_FILE_TOO = 1 << 1,  /* under the name pm2, the option counts for apps of a file too */
	SPEC_NO_EFFECT = 1 << 2, /* accepted, because files written for PM2 hold it */
	SPEC_INVERT = 1 << 3,    /* its field holds the opposite */
	SPEC_DELAY_S = 1 << 4,   /* a bare number given with the option counts seconds */
	SPEC_NO_PATCH = 1 << 5,  /* restart with options cannot change it */
};

struct spec_word {
	const char *word; /* NULL ends a list */
	int value;
};

struct spec_key {
	const char *name;
	const char *aliases; /* further names, blank-separated; NULL: none */
	const char *opts;    /* long options, blank-separated; "no-x" sets false; NULL: none */
	char opt;            /* short option; 0: none */
	enum spec_arg arg;   /* of the option */
	enum spec_type type;
	int64_t min, max;              /* SPEC_INT, SPEC_DURATION (ms), SPEC_SIZE (bytes) */
	const struct spec_word *words; /* SPEC_ENUM */
	size_t offset, width; /* of the member of Pm__AppSpec; width 0: the builder keeps it */
	const char *fields;   /* fields of the message that it sets, blank-separated; NULL: none */
	const char *def;      /* the default, in words */
	unsigned flags;       /* enum spec_flags */
	const char *help;
};

extern const struct spec_key spec_keys[];
extern const size_t spec_n_keys;
#define SPEC_KEYS_MAX 128 /* more than there are: sizes the sets of keys */

/* The key of that name or alias, or written in camelCase; NULL if there is none. */
const struct spec_key *spec_key_find(const char *name);

/*
 * The key of an option.
 *
 * name   without the dashes
 * short  0, or the letter of a short option (then name is NULL)
 * off    true when the option is the "no-" form
 */
const struct spec_key *spec_key_by_option(const char *name, char letter, bool *off);

/* "a duration such as 1500, 30s or 2m": what a value of the key must look like. */
void spec_key_expects(const struct spec_key *key, char *out, size_t size);

size_t spec_key_index(const struct spec_key *key);

/* Calls fn for each word of a blank-separated list; stops when it returns false. */
bool spec_each_word(const char *list, bool (*fn)(void *arg, const char *word, size_t len),
                    void *arg);

#endif
