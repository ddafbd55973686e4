/* rotation.h - a member's keys when a new one takes over: both open for a while, then one. Pure.
 *
 * A further key is announced (KEY_NEXT) and opens beside the active one.  With its first session it
 * becomes the active one, and the others of its owner get an end: until then a restored or slow
 * copy of the old state is let in, behind it not (S-06).
 */
#ifndef PM_COORDINATOR_ROTATION_H
#define PM_COORDINATOR_ROTATION_H

#include "coordinator/store_types.h"

/* Whether a key opens now; its overlap counts even before its end is stored. */
bool rotation_opens(const struct store_key_row *row, int64_t now_ms);

/*
 * An announced key has opened its first session: what is to be stored, one STORE_SET_KEY each.
 *
 * keys       of all owners, or of its owner only
 * returns    how many rows of out, at most max: the key as active first, then the others with the
 *            end of their overlap; 0: it was not announced
 */
size_t rotation_promote(const struct store_key_row *keys, size_t n, const struct store_key *key,
                        int64_t now_ms, int64_t overlap_ms, struct store_key_row *out, size_t max);

/* Keys whose overlap is over: rows to be stored as retired, and sessions to be ended. */
size_t rotation_due(const struct store_key_row *keys, size_t n, int64_t now_ms,
                    struct store_key_row *out, size_t max);

#endif
