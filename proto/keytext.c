#include "proto/keytext.h"

#include <string.h>

#include <sodium.h>

#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

/* The prefix goes in too: a join token does not pass for an operator's. */
static void check_sum(const char *prefix, const uint8_t *bytes, size_t len,
                      uint8_t out[KEYTEXT_SUM])
{
	uint8_t hash[crypto_generichash_BYTES_MIN];
	crypto_generichash_state st;

	/* None of these fail with such lengths. */
	(void)crypto_generichash_init(&st, NULL, 0, sizeof(hash));
	(void)crypto_generichash_update(&st, (const uint8_t *)prefix, strlen(prefix));
	(void)crypto_generichash_update(&st, bytes, len);
	(void)crypto_generichash_final(&st, hash, sizeof(hash));
	sodium_memzero(&st, sizeof(st));
	memcpy(out, hash, KEYTEXT_SUM);
}

size_t keytext_size(const char *prefix, size_t len)
{
	return strlen(prefix) + sodium_base64_encoded_len(len + KEYTEXT_SUM, VARIANT);
}

/* Three bytes at a time, so that no copy of a secret is made on the way. */
void keytext_put(const char *prefix, const uint8_t *bytes, size_t len, char *out, size_t room)
{
	uint8_t sum[KEYTEXT_SUM], group[3];
	size_t n_group = 0, at = strlen(prefix);

	check_sum(prefix, bytes, len, sum);
	memcpy(out, prefix, at);
	for (size_t i = 0; i < len + KEYTEXT_SUM; i++) {
		group[n_group++] = i < len ? bytes[i] : sum[i - len];
		if (n_group < 3 && i + 1 < len + KEYTEXT_SUM)
			continue;
		(void)sodium_bin2base64(out + at, room - at, group, n_group, VARIANT);
		at += n_group + 1; /* no padding: 4, 3 or 2 characters */
		n_group = 0;
	}
	sodium_memzero(group, sizeof(group));
}

int keytext_take(const char *prefix, const char *text, uint8_t *out, size_t room, size_t *len,
                 struct pm_error *err)
{
	size_t n_prefix = strlen(prefix), n_text, n_have, n_sum = 0;
	uint8_t sum[KEYTEXT_SUM + 1], want[KEYTEXT_SUM];
	const char *end;

	if (strncmp(text, prefix, n_prefix) != 0)
		return pm_fail(err, PM_CONFIG, "it does not begin with %s", prefix);
	text += n_prefix;
	n_text = strcspn(text, " \t\r\n");
	if (text[n_text + strspn(text + n_text, " \t\r\n")] != '\0')
		return pm_fail(err, PM_CONFIG, "something follows it");
	/* All but the last bytes go where they belong; those are the check sum. */
	n_have = n_text / 4 * 3 + (n_text % 4 == 0 ? 0 : n_text % 4 - 1);
	if (n_text % 4 == 1 || n_have < KEYTEXT_SUM || n_have - KEYTEXT_SUM > room)
		return pm_fail(err, PM_CONFIG, "it has not the right length");
	*len = n_have - KEYTEXT_SUM;
	for (size_t at = 0, n = 0; at < n_text; at += 4) {
		size_t n_char = PM_MIN(n_text - at, 4u), n_got;
		uint8_t group[3];

		if (sodium_base642bin(group, sizeof(group), text + at, n_char, NULL, &n_got, &end,
		                      VARIANT) != 0 ||
		    end != text + at + n_char)
			return pm_fail(err, PM_CONFIG, "it has a character that does not belong");
		for (size_t i = 0; i < n_got; i++, n++) {
			if (n < *len)
				out[n] = group[i];
			else
				sum[n_sum++] = group[i];
		}
		sodium_memzero(group, sizeof(group));
	}
	check_sum(prefix, out, *len, want);
	if (n_sum != KEYTEXT_SUM || sodium_memcmp(sum, want, KEYTEXT_SUM) != 0)
		return pm_fail(err, PM_CONFIG, "it was damaged in copying");
	return 0;
}
