#include "proto/token.h"

#include <string.h>

#include <sodium.h>

#include "proto/keytext.h"
#include "proto/secret.h"

/*
 * The bytes inside the text: version, expiry (8, big-endian), id, secret, the coordinator's key,
 * then the addresses, each HOST:PORT with its length before it.
 */
#define VERSION    1
#define FIXED      (1 + 8 + PM_TOKEN_ID_BYTES + PM_TOKEN_SECRET_BYTES + PM_KEY_BYTES)
#define INSIDE_MAX (FIXED + PM_ADDRESSES_MAX * (1 + PM_ADDRESS_TEXT))

static const char *const prefixes[PM_TOKEN_N_KINDS] = {
	[PM_TOKEN_JOIN] = "pmd-join:",
	[PM_TOKEN_OPERATOR] = "pmd-login:",
};

int pm_token_create(enum pm_token_kind kind, struct pm_token *out, struct pm_error *err)
{
	if (sodium_init() < 0)
		return pm_fail(err, PM_INTERNAL, "no randomness to make a token of");
	*out = (struct pm_token){ .kind = kind, .secret = pm_secret_alloc(PM_TOKEN_SECRET_BYTES) };
	if (out->secret == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	randombytes_buf(out->id, sizeof(out->id));
	randombytes_buf(out->secret, PM_TOKEN_SECRET_BYTES);
	return 0;
}

void pm_token_finish(struct pm_token *t)
{
	pm_secret_free(t->secret);
	*t = (struct pm_token){ 0 };
}

void pm_token_wipe(struct pm_buf *text)
{
	if (text->bytes != NULL)
		sodium_memzero(text->bytes, text->cap);
	pm_buf_finish(text);
}

static size_t put_inside(const struct pm_token *t, uint8_t inside[INSIDE_MAX])
{
	uint8_t *at = inside;

	*at++ = VERSION;
	for (int i = 7; i >= 0; i--)
		*at++ = (uint8_t)(t->expires_wall_s >> (8 * i));
	memcpy(at, t->id, PM_TOKEN_ID_BYTES);
	at += PM_TOKEN_ID_BYTES;
	memcpy(at, t->secret, PM_TOKEN_SECRET_BYTES);
	at += PM_TOKEN_SECRET_BYTES;
	memcpy(at, t->coordinator, PM_KEY_BYTES);
	at += PM_KEY_BYTES;
	for (unsigned i = 0; i < t->n_addresses; i++) {
		char text[PM_ADDRESS_TEXT];
		size_t len;

		pm_address_format(&t->addresses[i], text);
		len = strlen(text);
		*at++ = (uint8_t)(len - 1); /* 1 to 256 */
		memcpy(at, text, len);
		at += len;
	}
	return (size_t)(at - inside);
}

int pm_token_format(const struct pm_token *t, struct pm_buf *out, struct pm_error *err)
{
	uint8_t inside[INSIDE_MAX];
	size_t len = put_inside(t, inside), size = keytext_size(prefixes[t->kind], len);
	/* In one step: growing later would leave a copy behind. */
	uint8_t *text = pm_buf_extend(out, size);

	if (text != NULL) {
		keytext_put(prefixes[t->kind], inside, len, (char *)text, size);
		out->len--; /* the NUL, which the buffer keeps anyway */
	}
	sodium_memzero(inside, sizeof(inside));
	return text != NULL ? 0 : pm_fail(err, PM_NO_MEMORY, "out of memory");
}

static int take_addresses(struct pm_token *t, const uint8_t *at, const uint8_t *end,
                          struct pm_error *err)
{
	while (at < end) {
		size_t len = (size_t)*at++ + 1;
		char text[PM_ADDRESS_TEXT];

		if (t->n_addresses == PM_ADDRESSES_MAX || len > (size_t)(end - at) ||
		    len >= sizeof(text))
			return pm_fail(err, PM_CONFIG, "its addresses make no sense");
		memcpy(text, at, len);
		text[len] = '\0';
		if (pm_address_parse(text, &t->addresses[t->n_addresses], err) < 0)
			return -1;
		t->n_addresses++;
		at += len;
	}
	return 0;
}

static int take_inside(struct pm_token *t, const uint8_t *at, size_t len, struct pm_error *err)
{
	const uint8_t *end = at + len;

	if (len < FIXED || *at++ != VERSION)
		return pm_fail(err, PM_CONFIG, "it was made by another version of pmd");
	for (int i = 0; i < 8; i++)
		t->expires_wall_s = t->expires_wall_s << 8 | *at++;
	memcpy(t->id, at, PM_TOKEN_ID_BYTES);
	at += PM_TOKEN_ID_BYTES;
	t->secret = pm_secret_alloc(PM_TOKEN_SECRET_BYTES);
	if (t->secret == NULL)
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	memcpy(t->secret, at, PM_TOKEN_SECRET_BYTES);
	at += PM_TOKEN_SECRET_BYTES;
	memcpy(t->coordinator, at, PM_KEY_BYTES);
	at += PM_KEY_BYTES;
	return take_addresses(t, at, end, err);
}

int pm_token_parse(const char *text, struct pm_token *out, struct pm_error *err)
{
	uint8_t inside[INSIDE_MAX];
	struct pm_token t = { .kind = PM_TOKEN_JOIN };
	size_t len;
	int rc;

	if (strncmp(text, prefixes[PM_TOKEN_OPERATOR], strlen(prefixes[PM_TOKEN_OPERATOR])) == 0)
		t.kind = PM_TOKEN_OPERATOR;
	rc = keytext_take(prefixes[t.kind], text, inside, sizeof(inside), &len, err);
	if (rc == 0)
		rc = take_inside(&t, inside, len, err);
	sodium_memzero(inside, sizeof(inside));
	if (rc < 0) {
		pm_token_finish(&t);
		return pm_wrap(err, "token");
	}
	*out = t;
	return 0;
}

void pm_token_hash(const uint8_t id[PM_TOKEN_ID_BYTES], const uint8_t secret[PM_TOKEN_SECRET_BYTES],
                   uint8_t out[PM_TOKEN_HASH_BYTES])
{
	static const uint8_t label[] = "pmd token secret 1";
	crypto_generichash_state st;

	/* None of these fail with such lengths. */
	(void)crypto_generichash_init(&st, label, sizeof(label) - 1, PM_TOKEN_HASH_BYTES);
	(void)crypto_generichash_update(&st, id, PM_TOKEN_ID_BYTES);
	(void)crypto_generichash_update(&st, secret, PM_TOKEN_SECRET_BYTES);
	(void)crypto_generichash_final(&st, out, PM_TOKEN_HASH_BYTES);
	sodium_memzero(&st, sizeof(st));
}
