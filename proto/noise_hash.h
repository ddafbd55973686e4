/* noise_hash.h - the hashes that a Noise handshake uses, and HMAC and HKDF over them.  Pure. */
#ifndef PM_PROTO_NOISE_HASH_H
#define PM_PROTO_NOISE_HASH_H

#include "proto/noise.h"

size_t noise_hash_len(enum pm_noise_hash hash);

/* Hash two pieces as one; out may be one of them. */
void noise_hash_two(enum pm_noise_hash hash, const uint8_t *a, size_t a_len, const uint8_t *b,
                    size_t b_len, uint8_t *out);

/*
 * HMAC over two pieces: RFC 2104's construction over BLAKE2b too, not BLAKE2b's own keyed mode.
 * key        noise_hash_len() bytes
 */
void noise_hmac(enum pm_noise_hash hash, const uint8_t *key, const uint8_t *a, size_t a_len,
                const uint8_t *b, size_t b_len, uint8_t *out);

/* Noise's HKDF(): n_out (2 or 3) outputs; what is behind noise_hash_len() in each is zero. */
void noise_hkdf(enum pm_noise_hash hash, const uint8_t *chaining, const uint8_t *material,
                size_t len, unsigned n_out, uint8_t out[3][PM_NOISE_HASH_MAX]);

#endif
