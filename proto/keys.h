/* keys.h - static keys, who one is in the fleet: made, written as text, named by words.  Pure.
 *
 * A member's identity is its key pair and nothing else.  Texts end with a check sum, so that a
 * character that was lost in copying is an error and not another key.
 */
#ifndef PM_PROTO_KEYS_H
#define PM_PROTO_KEYS_H

#include <stdbool.h>

#include "proto/error.h"

#define PM_KEY_BYTES        32
#define PM_KEY_TEXT         64 /* room for any of the texts below, NUL included */
#define PM_FINGERPRINT_TEXT 30 /* five words of five letters */

/* A key pair, in secret memory. */
struct pm_key;

/* A new pair.  errors PM_NO_MEMORY */
PM_MUST_CHECK int pm_key_create(struct pm_key **out, struct pm_error *err);
/* A pair from its secret half.  errors PM_NO_MEMORY */
PM_MUST_CHECK int pm_key_from_secret(const uint8_t secret[PM_KEY_BYTES], struct pm_key **out,
                                     struct pm_error *err);
void pm_key_destroy(struct pm_key *key); /* wipes; NULL is fine */
void pm_key_destroyp(struct pm_key **key);
const uint8_t *pm_key_public(const struct pm_key *key); /* borrowed */
const uint8_t *pm_key_secret(const struct pm_key *key); /* borrowed */
bool pm_key_same(const uint8_t a[PM_KEY_BYTES], const uint8_t b[PM_KEY_BYTES]);

/* "pmd-key:" and 48 characters that files, arguments and mails leave alone. */
void pm_key_format(const uint8_t public[PM_KEY_BYTES], char out[PM_KEY_TEXT]);
/* errors     PM_CONFIG (not such a text, or damaged), PM_CONFIG for a key of low order too */
PM_MUST_CHECK int pm_key_parse(const char *text, uint8_t public[PM_KEY_BYTES],
                               struct pm_error *err);

/* The same for the secret half, "pmd-secret-key:"; the caller wipes `out`.  For the file only. */
void pm_key_format_secret(const struct pm_key *key, char out[PM_KEY_TEXT]);
PM_MUST_CHECK int pm_key_parse_secret(const char *text, struct pm_key **out, struct pm_error *err);

/*
 * Words for people to compare (F-41): 80 bits of a hash of the key, as proquints.
 *
 * source     D. S. Wilkerson, A Proposal for Proquints, arXiv:0901.4016
 */
void pm_key_fingerprint(const uint8_t public[PM_KEY_BYTES], char out[PM_FINGERPRINT_TEXT]);

#endif
