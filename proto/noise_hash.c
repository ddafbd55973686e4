#include "proto/noise_hash.h"

#include <string.h>

#include <sodium.h>

#define BLOCK_MAX 128u

union hash_state {
	crypto_generichash_state blake2b;
	crypto_hash_sha256_state sha256;
	crypto_hash_sha512_state sha512;
};

size_t noise_hash_len(enum pm_noise_hash hash)
{
	return hash == PM_NOISE_SHA256 ? 32 : 64;
}

static size_t block_len(enum pm_noise_hash hash)
{
	return hash == PM_NOISE_SHA256 ? 64 : 128;
}

/* libsodium's hashes cannot fail with these arguments. */
static void begin(enum pm_noise_hash hash, union hash_state *st)
{
	switch ((int)hash) {
	case PM_NOISE_SHA256:
		(void)crypto_hash_sha256_init(&st->sha256);
		break;
	case PM_NOISE_SHA512:
		(void)crypto_hash_sha512_init(&st->sha512);
		break;
	default:
		(void)crypto_generichash_init(&st->blake2b, NULL, 0, 64);
		break;
	}
}

static void add(enum pm_noise_hash hash, union hash_state *st, const uint8_t *bytes, size_t len)
{
	if (len == 0)
		return;
	switch ((int)hash) {
	case PM_NOISE_SHA256:
		(void)crypto_hash_sha256_update(&st->sha256, bytes, len);
		break;
	case PM_NOISE_SHA512:
		(void)crypto_hash_sha512_update(&st->sha512, bytes, len);
		break;
	default:
		(void)crypto_generichash_update(&st->blake2b, bytes, len);
		break;
	}
}

static void end(enum pm_noise_hash hash, union hash_state *st, uint8_t *out)
{
	switch ((int)hash) {
	case PM_NOISE_SHA256:
		(void)crypto_hash_sha256_final(&st->sha256, out);
		break;
	case PM_NOISE_SHA512:
		(void)crypto_hash_sha512_final(&st->sha512, out);
		break;
	default:
		(void)crypto_generichash_final(&st->blake2b, out, 64);
		break;
	}
	sodium_memzero(st, sizeof(*st));
}

void noise_hash_two(enum pm_noise_hash hash, const uint8_t *a, size_t a_len, const uint8_t *b,
                    size_t b_len, uint8_t *out)
{
	union hash_state st;

	begin(hash, &st);
	add(hash, &st, a, a_len);
	add(hash, &st, b, b_len);
	end(hash, &st, out);
}

void noise_hmac(enum pm_noise_hash hash, const uint8_t *key, const uint8_t *a, size_t a_len,
                const uint8_t *b, size_t b_len, uint8_t *out)
{
	uint8_t pad[BLOCK_MAX], inner[PM_NOISE_HASH_MAX];
	size_t len = noise_hash_len(hash), block = block_len(hash);
	union hash_state st;

	memset(pad, 0x36, sizeof(pad));
	for (size_t i = 0; i < len; i++)
		pad[i] ^= key[i];
	begin(hash, &st);
	add(hash, &st, pad, block);
	add(hash, &st, a, a_len);
	add(hash, &st, b, b_len);
	end(hash, &st, inner);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	noise_hash_two(hash, pad, block, inner, len, out);
	sodium_memzero(pad, sizeof(pad));
	sodium_memzero(inner, sizeof(inner));
}

void noise_hkdf(enum pm_noise_hash hash, const uint8_t *chaining, const uint8_t *material,
                size_t len, unsigned n_out, uint8_t out[3][PM_NOISE_HASH_MAX])
{
	uint8_t temp[PM_NOISE_HASH_MAX];
	size_t h_len = noise_hash_len(hash);

	memset(out, 0, 3 * (size_t)PM_NOISE_HASH_MAX);
	noise_hmac(hash, chaining, material, len, NULL, 0, temp);
	for (unsigned i = 0; i < n_out; i++) {
		uint8_t number = (uint8_t)(i + 1);

		noise_hmac(hash, temp, i == 0 ? NULL : out[i - 1], i == 0 ? 0 : h_len, &number, 1,
		           out[i]);
	}
	sodium_memzero(temp, sizeof(temp));
}
