/* spec_hash.h - the name of one version of an app's declaration: a digest of what its owner
 * declared (SpecRef in pm.proto). Pure.
 */
#ifndef PM_AGENT_SPEC_HASH_H
#define PM_AGENT_SPEC_HASH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/pm.pb-c.h"

#define SPEC_HASH_BYTES 16

/* All zeros: not known. */
struct spec_hash {
	uint8_t bytes[SPEC_HASH_BYTES];
};

/*
 * What the owner did not say is left out: variables that came from a shell, who declared it, the
 * versions that were found on the machine. What has no order has none here either: variables,
 * profiles, limits and extra keys. So the same file gives the same digest on every machine where it
 * means the same.
 *
 * errors     PM_NO_MEMORY; *out is untouched then
 */
PM_MUST_CHECK int spec_hash_make(const Pm__AppSpec *spec, struct spec_hash *out,
                                 struct pm_error *err);

bool spec_hash_is_known(const struct spec_hash *hash);
bool spec_hash_equal(const struct spec_hash *a, const struct spec_hash *b);

/*
 * The owner's part of a declaration alone, as the digest takes it: to compare two of them.
 * Borrows all but the lists that it sorts.
 */
struct owner_spec {
	Pm__AppSpec spec;
	void *lists; /* owned */
};
/* false: out of memory, and nothing was made */
bool owner_spec_make(struct owner_spec *o, const Pm__AppSpec *spec);
void owner_spec_finish(struct owner_spec *o); /* a zeroed one is fine */

#endif
