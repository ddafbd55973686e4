#include "proto/keys.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "proto/keytext.h"
#include "proto/secret.h"

#define PUBLIC_PREFIX "pmd-key:"
#define SECRET_PREFIX "pmd-secret-key:"

struct pm_key {
	uint8_t secret[PM_KEY_BYTES], public[PM_KEY_BYTES];
};

int pm_key_from_secret(const uint8_t secret[PM_KEY_BYTES], struct pm_key **out,
                       struct pm_error *err)
{
	struct pm_key *key = pm_secret_alloc(sizeof(*key));

	if (key == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	memcpy(key->secret, secret, PM_KEY_BYTES);
	(void)crypto_scalarmult_base(key->public, key->secret); /* always 0 */
	*out = key;
	return 0;
}

int pm_key_create(struct pm_key **out, struct pm_error *err)
{
	uint8_t secret[PM_KEY_BYTES];
	int rc;

	if (sodium_init() < 0)
		return pm_fail(err, PM_INTERNAL, "no randomness to make a key of");
	randombytes_buf(secret, sizeof(secret));
	rc = pm_key_from_secret(secret, out, err);
	sodium_memzero(secret, sizeof(secret));
	return rc;
}

void pm_key_destroy(struct pm_key *key)
{
	pm_secret_free(key);
}

void pm_key_destroyp(struct pm_key **key)
{
	pm_key_destroy(*key);
}

const uint8_t *pm_key_public(const struct pm_key *key)
{
	return key->public;
}

const uint8_t *pm_key_secret(const struct pm_key *key)
{
	return key->secret;
}

bool pm_key_same(const uint8_t a[PM_KEY_BYTES], const uint8_t b[PM_KEY_BYTES])
{
	return sodium_memcmp(a, b, PM_KEY_BYTES) == 0;
}

/* ---- text ---- */

void pm_key_format(const uint8_t public[PM_KEY_BYTES], char out[PM_KEY_TEXT])
{
	keytext_put(PUBLIC_PREFIX, public, PM_KEY_BYTES, out, PM_KEY_TEXT);
}

/* With a key of low order every secret comes out the same. */
static bool is_usable(const uint8_t public[PM_KEY_BYTES])
{
	uint8_t one[PM_KEY_BYTES] = { 1 }, shared[PM_KEY_BYTES];
	bool ok = crypto_scalarmult(shared, one, public) == 0;

	sodium_memzero(shared, sizeof(shared));
	return ok;
}

int pm_key_parse(const char *text, uint8_t public[PM_KEY_BYTES], struct pm_error *err)
{
	uint8_t key[PM_KEY_BYTES];
	size_t len;

	if (keytext_take(PUBLIC_PREFIX, text, key, sizeof(key), &len, err) < 0)
		return pm_wrap(err, "public key");
	if (len != sizeof(key) || !is_usable(key))
		return pm_fail(err, PM_CONFIG, "public key: it is none");
	memcpy(public, key, sizeof(key));
	return 0;
}

void pm_key_format_secret(const struct pm_key *key, char out[PM_KEY_TEXT])
{
	keytext_put(SECRET_PREFIX, key->secret, PM_KEY_BYTES, out, PM_KEY_TEXT);
}

int pm_key_parse_secret(const char *text, struct pm_key **out, struct pm_error *err)
{
	uint8_t secret[PM_KEY_BYTES];
	size_t len;
	int rc = keytext_take(SECRET_PREFIX, text, secret, sizeof(secret), &len, err);

	if (rc == 0 && len != sizeof(secret))
		rc = pm_fail(err, PM_CONFIG, "it is too short");
	if (rc == 0)
		rc = pm_key_from_secret(secret, out, err);
	sodium_memzero(secret, sizeof(secret));
	return rc < 0 ? pm_wrap(err, "secret key") : 0;
}

/* ---- words ---- */

static void put_word(uint16_t bits, char out[5])
{
	static const char consonants[] = "bdfghjklmnprstvz", vowels[] = "aiou";

	out[0] = consonants[bits >> 12];
	out[1] = vowels[bits >> 10 & 3];
	out[2] = consonants[bits >> 6 & 15];
	out[3] = vowels[bits >> 4 & 3];
	out[4] = consonants[bits & 15];
}

void pm_key_fingerprint(const uint8_t public[PM_KEY_BYTES], char out[PM_FINGERPRINT_TEXT])
{
	static const uint8_t label[] = "pmd fingerprint 1";
	uint8_t hash[crypto_generichash_BYTES_MIN];

	(void)crypto_generichash(hash, sizeof(hash), public, PM_KEY_BYTES, label,
	                         sizeof(label) - 1); /* cannot fail with these lengths */
	for (size_t i = 0; i < 5; i++) {
		put_word((uint16_t)(hash[2 * i] << 8 | hash[2 * i + 1]), out + 6 * i);
		out[6 * i + 5] = i < 4 ? '-' : '\0';
	}
}
