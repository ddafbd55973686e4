/* noise.h - the Noise protocol's handshakes and cipher states, on libsodium's primitives.  Pure.
 *
 * pmd itself uses one suite, PM_NOISE_IK with BLAKE2b; the other patterns and hashes are there
 * because the published vectors of all of them check the same code.  Every failure wipes the
 * handshake or the cipher, so that nothing can be tried twice.  Randomness comes from libsodium.
 *
 * source     The Noise Protocol Framework, revision 34; RFC 2104, RFC 8439, RFC 7693
 */
#ifndef PM_PROTO_NOISE_H
#define PM_PROTO_NOISE_H

#include <stdbool.h>

#include "proto/error.h"

#define PM_NOISE_KEY      32    /* a public or secret key, a pre-shared key */
#define PM_NOISE_TAG      16    /* what encryption adds */
#define PM_NOISE_HASH_MAX 64    /* bytes of the longest hash */
#define PM_NOISE_MAX      65535 /* bytes of any message */
/* A cipher that has used so many nonces is at its end, far before they could repeat. */
#define PM_NOISE_NONCE_END (UINT64_C(1) << 63)

enum pm_noise_pattern {
	PM_NOISE_NN,
	PM_NOISE_NK,
	PM_NOISE_KK,
	PM_NOISE_XK,
	PM_NOISE_IK,
	PM_NOISE_XX,
	PM_NOISE_NNPSK0,
	PM_NOISE_NKPSK0,
	PM_NOISE_XXPSK3,
	PM_NOISE_KKPSK2,
	PM_NOISE_IKPSK1,
	PM_NOISE_IKPSK2,
	PM_NOISE_N_PATTERNS,
};

enum pm_noise_hash {
	PM_NOISE_BLAKE2B,
	PM_NOISE_SHA256,
	PM_NOISE_SHA512,
	PM_NOISE_N_HASHES
};

/* Whether to go on with the peer that has just said this static key; see struct pm_noise_config. */
typedef bool pm_noise_key_fn(void *arg, const uint8_t *key);

/* All is copied; secrets into memory that is wiped. */
struct pm_noise_config {
	enum pm_noise_pattern pattern;
	enum pm_noise_hash hash;
	bool initiator;
	const uint8_t *prologue;
	size_t prologue_len;
	const uint8_t *static_secret; /* NULL: the pattern needs none */
	const uint8_t *remote_static; /* NULL: not known before */
	const uint8_t *psk;           /* NULL: the pattern has none */
	const uint8_t *ephemeral;     /* a secret key; NULL: a random one.  For the vectors only */
	pm_noise_key_fn *check; /* called as soon as the peer's static key is known, before it is
	                           used; false ends the handshake.  NULL: any key will do */
	void *check_arg;
};

struct pm_noise;  /* a handshake */
struct pm_cipher; /* one direction after it */

/* errors     PM_NO_MEMORY, PM_INTERNAL (a key that the pattern needs is missing, or is none) */
PM_MUST_CHECK int pm_noise_create(const struct pm_noise_config *config, struct pm_noise **out,
                                  struct pm_error *err);
void pm_noise_destroy(struct pm_noise *n); /* wipes; NULL is fine */
void pm_noise_destroyp(struct pm_noise **n);

bool pm_noise_is_our_turn(const struct pm_noise *n);
bool pm_noise_is_done(const struct pm_noise *n); /* pm_noise_split() may be called */
/* Bytes that the next message adds to its payload. */
size_t pm_noise_overhead(const struct pm_noise *n);

/*
 * Write the next message: pm_noise_overhead() + len bytes to out, which holds `room`.
 *
 * errors     PM_LIMIT (no room, or over PM_NOISE_MAX), PM_PROTOCOL (the peer's key is none),
 *            PM_INTERNAL (not our turn)
 */
PM_MUST_CHECK int pm_noise_write(struct pm_noise *n, const uint8_t *payload, size_t len,
                                 uint8_t *out, size_t room, size_t *out_len, struct pm_error *err);

/*
 * Read the peer's message; its payload goes to out, which may not overlap it.
 *
 * errors     PM_PROTOCOL (not a message for us, changed, or with a key of low order), PM_DENIED
 *            (`check` said no), PM_LIMIT, PM_INTERNAL
 */
PM_MUST_CHECK int pm_noise_read(struct pm_noise *n, const uint8_t *message, size_t len,
                                uint8_t *out, size_t room, size_t *out_len, struct pm_error *err);

/* The peer's static key; NULL: not known (yet).  Borrowed. */
const uint8_t *pm_noise_remote(const struct pm_noise *n);
/* The hash of all that was said, which names the session; its length comes back.  Borrowed. */
const uint8_t *pm_noise_transcript(const struct pm_noise *n, size_t *len);

/* The end of the handshake: the ciphers are the caller's.  errors PM_NO_MEMORY */
PM_MUST_CHECK int pm_noise_split(struct pm_noise *n, struct pm_cipher **send,
                                 struct pm_cipher **receive, struct pm_error *err);

/* A cipher from a key and nonce: tests.  NULL: no memory */
struct pm_cipher *pm_cipher_create(const uint8_t *key, uint64_t nonce) PM_MUST_CHECK;
void pm_cipher_destroy(struct pm_cipher *c); /* wipes; NULL is fine */
uint64_t pm_cipher_nonce(const struct pm_cipher *c);

/*
 * Encrypt len bytes into len + PM_NOISE_TAG bytes at out, which may be the same place.
 *
 * errors     PM_LIMIT (the nonces are used up: the session must end)
 */
PM_MUST_CHECK int pm_cipher_seal(struct pm_cipher *c, const uint8_t *plain, size_t len,
                                 uint8_t *out, struct pm_error *err);
/*
 * Decrypt len bytes into len - PM_NOISE_TAG bytes at out, which may be the same place.
 *
 * errors     PM_PROTOCOL (shorter than a tag; changed, repeated or out of order), PM_LIMIT.  The
 *            cipher is useless afterwards.
 */
PM_MUST_CHECK int pm_cipher_open(struct pm_cipher *c, const uint8_t *sealed, size_t len,
                                 uint8_t *out, struct pm_error *err);
/* Go on with a key made from this one, which is forgotten; nonces go on counting. */
void pm_cipher_rekey(struct pm_cipher *c);

#endif
