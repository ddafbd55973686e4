/* versions.h - the last versions of one app's settings, as they are in a file. Pure. */
#ifndef PM_AGENT_VERSIONS_H
#define PM_AGENT_VERSIONS_H

#include "agent/spec_hash.h"
#include "proto/buf.h"
#include "proto/limits.h"

/* A SavedVersion, packed: most are only carried from one file to the next. */
struct version {
	struct spec_hash hash;
	uint8_t *bytes; /* owned */
	size_t len;
};

/*
 * Pack one.
 *
 * by, what   cut if they are long
 * ownership  *out is the caller's, for version_finish()
 * errors     PM_LIMIT, PM_NO_MEMORY
 */
PM_MUST_CHECK int version_make(const Pm__AppSpec *spec, const struct spec_hash *hash,
                               const char *by, const char *what, int64_t wall_ms,
                               struct version *out, struct pm_error *err);
void version_finish(struct version *v); /* a zeroed one is fine */
/* All of it; *out is freed by pm__saved_version__free_unpacked(v, NULL). errors: PM_NO_MEMORY */
PM_MUST_CHECK int version_unpack(const struct version *v, Pm__SavedVersion **out,
                                 struct pm_error *err);

struct versions {
	struct version list[PM_STORE_SPECS_KEPT]; /* newest first */
	size_t n;
	size_t n_bad; /* records left out: whole, but not what this pmd takes for a version */
};
void versions_finish(struct versions *v); /* a zeroed one is fine */

/*
 * Add a copy as the newest. One of the same name that is there becomes the newest, or stays where
 * and as it is when it is that already; keep: also when it is older. Over PM_STORE_SPECS_KEPT the
 * oldest goes.
 *
 * errors     PM_NO_MEMORY; nothing has changed then
 */
PM_MUST_CHECK int versions_add(struct versions *v, const struct version *one, bool keep,
                               struct pm_error *err);
const struct version *versions_find(const struct versions *v, const struct spec_hash *hash);

/* The bytes of a file. errors: PM_NO_MEMORY, PM_LIMIT (PM_VERSIONS_FILE_MAX) */
PM_MUST_CHECK int versions_encode(const struct versions *v, struct pm_buf *out,
                                  struct pm_error *err);
/* errors: PM_CORRUPT, PM_UNSUPPORTED (a newer pmd's), PM_NO_MEMORY */
PM_MUST_CHECK int versions_decode(const uint8_t *bytes, size_t len, struct versions *out,
                                  struct pm_error *err);

#endif
