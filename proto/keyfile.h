/* keyfile.h - a secret key in its file: made once, whole or not at all, for its owner's eyes only.
 */
#ifndef PM_PROTO_KEYFILE_H
#define PM_PROTO_KEYFILE_H

#include <stdbool.h>

#include "proto/keys.h"

/*
 * Load a key.  The file must be a regular one of ours (or root's), mode 0600 or less, and no link.
 *
 * errors     PM_NOT_FOUND, PM_DENIED (its mode or owner would let others read it), PM_CORRUPT
 */
PM_MUST_CHECK int pm_keyfile_load(const char *path, struct pm_key **out, struct pm_error *err);

/* Make the file.  A key that is there stays: errors PM_EXISTS; the system's. */
PM_MUST_CHECK int pm_keyfile_create(const char *path, const struct pm_key *key,
                                    struct pm_error *err);

/* Load the key, or make one; whoever makes one at the same time gets the same. */
PM_MUST_CHECK int pm_keyfile_load_or_create(const char *path, struct pm_key **out, bool *made,
                                            struct pm_error *err);

/*
 * The next key of a file, while both are good (S-06), is in PATH.next.  pm_keyfile_promote() puts
 * it in the place of the present one, on the disk when it returns; whoever is killed in between has
 * a key that is good in one of the two.
 *
 * errors     PM_LIMIT (the path is too long); promote: PM_NOT_FOUND (there is no next one), the
 *            system's
 */
PM_MUST_CHECK int pm_keyfile_next_path(const char *path, char *out, size_t size,
                                       struct pm_error *err);
PM_MUST_CHECK int pm_keyfile_promote(const char *path, struct pm_error *err);
/* Load the next key; no error, and NULL, when there is none. */
PM_MUST_CHECK int pm_keyfile_load_next(const char *path, struct pm_key **out, struct pm_error *err);

#endif
