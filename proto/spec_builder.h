/* spec_builder.h - an app on its way to a spec: takes values key by key. Pure. */
#ifndef PM_PROTO_SPEC_BUILDER_H
#define PM_PROTO_SPEC_BUILDER_H

#include "proto/doc.h"
#include "proto/spec.h"
#include "proto/spec_keys.h"

/*
 * Values are checked as they come. Paths stay as they were written, and the number of instances may
 * still be relative to the CPUs: cli/spec_build.h finishes that, with what only the caller knows.
 */
struct spec_builder {
	Pm__AppSpec *spec; /* owned */
	uint64_t given[SPEC_KEYS_MAX / 64];
	int64_t instances; /* as written; 0 is max, below 0 is CPUs and that many less */
	char *name_prefix; /* owned; NULL: none */
	char **take_env;   /* owned: patterns of names */
	size_t n_take_env;
	int64_t port; /* -1: not given */
	bool append_env_to_name;
};

PM_MUST_CHECK int spec_builder_init(struct spec_builder *b, struct pm_error *err);
void spec_builder_finish(struct spec_builder *b);

/*
 * Set a key to the value of a file; a second value replaces the first.
 *
 * errors  PM_CONFIG: "kill_timeout: expected a duration ..., found true"; PM_NO_MEMORY
 */
PM_MUST_CHECK int spec_set(struct spec_builder *b, const struct spec_key *key,
                           const struct doc_node *value, struct pm_error *err);

/*
 * Set a key from an option of the command line. An option given twice adds to a list.
 *
 * text    its argument; NULL: it was given without one
 * off     it was the "no-" form
 */
PM_MUST_CHECK int spec_set_option(struct spec_builder *b, const struct spec_key *key,
                                  const char *text, bool off, struct pm_error *err);

bool spec_is_given(const struct spec_builder *b, const char *key);

/* Take over every key that was given to `over`, as options override a file. */
PM_MUST_CHECK int spec_builder_merge(struct spec_builder *b, const struct spec_builder *over,
                                     struct pm_error *err);

/*
 * The fields that the keys given so far set, for SpecPatch.set.
 *
 * ownership  *fields is the caller's: spec_clear_list()
 * errors     PM_USAGE: a key that only a new start can change
 */
PM_MUST_CHECK int spec_patch_fields(const struct spec_builder *b, char ***fields, size_t *n,
                                    struct pm_error *err);

/*
 * Split text at blanks; '...' and "..." keep blanks and are taken off, as PM2 does. Backslashes are
 * ordinary characters.
 */
PM_MUST_CHECK int spec_split(const char *text, char ***list, size_t *n, struct pm_error *err);

/* A profile, env_<name>; the values of a later one of that name replace the earlier. */
PM_MUST_CHECK int spec_set_profile(struct spec_builder *b, const char *name,
                                   const struct doc_node *vars, struct pm_error *err);

/* Names and values of an object into a list of variables, as text. key: for error messages. */
PM_MUST_CHECK int spec_env_from_doc(const char *key, const struct doc_node *map, Pm__EnvVar ***list,
                                    size_t *n, struct pm_error *err);

/* A signal's number by name ("TERM", "SIGTERM", "sigterm") or number; 0: none. */
int spec_signal_number(const char *text);

#endif
