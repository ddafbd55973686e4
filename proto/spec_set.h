/* spec_set.h - the setters by type behind spec_builder.h; for its own files only. Pure. */
#ifndef PM_PROTO_SPEC_SET_H
#define PM_PROTO_SPEC_SET_H

#include "proto/spec_builder.h"

/* Where a value goes: the builder, the key, and whether it adds to what an option gave before. */
struct spec_target {
	struct spec_builder *b;
	const struct spec_key *key;
	bool option, again;
};

typedef int spec_set_fn(const struct spec_target *t, const struct doc_node *v,
                        struct pm_error *err);

/* "KEY: expected ..., found ...". */
int spec_mismatch(const struct spec_target *t, const struct doc_node *v, struct pm_error *err);

/* The member of the spec that the key names. */
void *spec_member(const struct spec_target *t);

/* Whole numbers and booleans, also written as text. */
bool spec_to_int(const struct doc_node *v, int64_t *out);
bool spec_to_bool(const struct doc_node *v, bool *out);

spec_set_fn spec_set_words, spec_set_codes, spec_set_env, spec_set_limits, spec_set_watch,
	spec_set_filter, spec_set_kept, spec_set_take_env, spec_set_check, spec_set_rollout;

#endif
