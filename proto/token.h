/* token.h - a one-time token: how to find and know a coordinator, and a secret to be let in.  Pure.
 *
 * It travels by file or standard input, never in an argument.  The coordinator keeps the hash.
 */
#ifndef PM_PROTO_TOKEN_H
#define PM_PROTO_TOKEN_H

#include "proto/address.h"
#include "proto/buf.h"
#include "proto/keys.h"

#define PM_TOKEN_ID_BYTES     8
#define PM_TOKEN_SECRET_BYTES 32
#define PM_TOKEN_HASH_BYTES   32
#define PM_TOKEN_TEXT_MAX     4096 /* bytes of a token's text; longer ones are refused */

enum pm_token_kind {
	PM_TOKEN_JOIN,     /* lets an agent join: "pmd-join:..." */
	PM_TOKEN_OPERATOR, /* lets an operator log in: "pmd-login:..." */
	PM_TOKEN_N_KINDS,
};

struct pm_token {
	enum pm_token_kind kind;
	struct pm_address addresses[PM_ADDRESSES_MAX]; /* tried in this order */
	unsigned n_addresses;
	uint8_t coordinator[PM_KEY_BYTES]; /* its public key */
	uint8_t id[PM_TOKEN_ID_BYTES];
	uint8_t *secret;         /* owned secret memory, PM_TOKEN_SECRET_BYTES */
	uint64_t expires_wall_s; /* a hint for people; the coordinator's clock decides.  0: never */
};

/*
 * A new id and secret; the rest of the token is zero and the caller's to fill in.
 *
 * errors     PM_NO_MEMORY, PM_INTERNAL (no randomness)
 */
PM_MUST_CHECK int pm_token_create(enum pm_token_kind kind, struct pm_token *out,
                                  struct pm_error *err);
void pm_token_finish(struct pm_token *t); /* wipes; a zeroed one is fine */

/* Append the text, without a newline.  Wipe it with pm_token_wipe().  errors PM_NO_MEMORY */
PM_MUST_CHECK int pm_token_format(const struct pm_token *t, struct pm_buf *out,
                                  struct pm_error *err);
void pm_token_wipe(struct pm_buf *text); /* and free it */

/* Read a token of either kind.  errors PM_CONFIG (no token, or damaged), PM_NO_MEMORY */
PM_MUST_CHECK int pm_token_parse(const char *text, struct pm_token *out, struct pm_error *err);

/* What is kept of the secret.  It is random, so that a plain hash tells nothing about it. */
void pm_token_hash(const uint8_t id[PM_TOKEN_ID_BYTES], const uint8_t secret[PM_TOKEN_SECRET_BYTES],
                   uint8_t out[PM_TOKEN_HASH_BYTES]);

#endif
