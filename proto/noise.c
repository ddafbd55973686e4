#include "proto/noise.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "proto/noise_hash.h"
#include "proto/secret.h"

#define MESSAGES_MAX 3

/* Tokens of a message in the specification's letters; pairs as bytes of their own. */
enum token {
	END,
	E,
	S,
	EE,
	ES,
	SE,
	SS,
	PSK
};

struct pattern {
	const char *name;
	uint8_t n_messages;
	bool knows_initiator, knows_responder; /* pre-messages: "-> s", "<- s" */
	bool psk;
	uint8_t tokens[MESSAGES_MAX][6]; /* END ends a message */
};

static const struct pattern patterns[PM_NOISE_N_PATTERNS] = {
	[PM_NOISE_NN] = { "NN", 2, false, false, false, { { E }, { E, EE } } },
	[PM_NOISE_NK] = { "NK", 2, false, true, false, { { E, ES }, { E, EE } } },
	[PM_NOISE_KK] = { "KK", 2, true, true, false, { { E, ES, SS }, { E, EE, SE } } },
	[PM_NOISE_XK] = { "XK", 3, false, true, false, { { E, ES }, { E, EE }, { S, SE } } },
	[PM_NOISE_IK] = { "IK", 2, false, true, false, { { E, ES, S, SS }, { E, EE, SE } } },
	[PM_NOISE_XX] = { "XX", 3, false, false, false, { { E }, { E, EE, S, ES }, { S, SE } } },
	[PM_NOISE_NNPSK0] = { "NNpsk0", 2, false, false, true, { { PSK, E }, { E, EE } } },
	[PM_NOISE_NKPSK0] = { "NKpsk0", 2, false, true, true, { { PSK, E, ES }, { E, EE } } },
	[PM_NOISE_XXPSK3] = { "XXpsk3",
	                      3,
	                      false,
	                      false,
	                      true,
	                      { { E }, { E, EE, S, ES }, { S, SE, PSK } } },
	[PM_NOISE_KKPSK2] = { "KKpsk2",
	                      2,
	                      true,
	                      true,
	                      true,
	                      { { E, ES, SS }, { E, EE, SE, PSK } } },
	[PM_NOISE_IKPSK1] = { "IKpsk1",
	                      2,
	                      false,
	                      true,
	                      true,
	                      { { E, ES, S, SS, PSK }, { E, EE, SE } } },
	[PM_NOISE_IKPSK2] = { "IKpsk2",
	                      2,
	                      false,
	                      true,
	                      true,
	                      { { E, ES, S, SS }, { E, EE, SE, PSK } } },
};

struct pm_cipher {
	uint8_t key[PM_NOISE_KEY];
	uint64_t nonce;
};

/* In one piece of secret memory: all of it is, or leads to, a key. */
struct secrets {
	uint8_t chaining[PM_NOISE_HASH_MAX];
	uint8_t h[PM_NOISE_HASH_MAX];
	struct pm_cipher cipher;
	bool has_key;
	uint8_t s[PM_NOISE_KEY], e[PM_NOISE_KEY], psk[PM_NOISE_KEY];
	bool has_s, has_e;
};

struct pm_noise {
	const struct pattern *pattern;
	enum pm_noise_hash hash;
	bool initiator, failed, fixed_e;
	unsigned at; /* the next message */
	uint8_t s_pub[PM_NOISE_KEY], e_pub[PM_NOISE_KEY];
	uint8_t rs[PM_NOISE_KEY], re[PM_NOISE_KEY];
	bool has_rs, has_re;
	pm_noise_key_fn *check; /* borrowed, with check_arg */
	void *check_arg;
	struct secrets *x; /* owned */
};

/* ---- ciphers ---- */

/* RFC 8439's 12 bytes: Noise sets the first four to zero, then the counter, little-endian. */
static void nonce_bytes(uint64_t nonce, uint8_t out[12])
{
	memset(out, 0, 4);
	for (unsigned i = 0; i < 8; i++)
		out[4 + i] = (uint8_t)(nonce >> (8 * i));
}

static void seal(const struct pm_cipher *c, const uint8_t *ad, size_t ad_len, const uint8_t *plain,
                 size_t len, uint8_t *out)
{
	uint8_t nonce[12];

	nonce_bytes(c->nonce, nonce);
	(void)crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, ad, ad_len, NULL,
	                                                nonce, c->key); /* always 0 */
}

static int open_sealed(const struct pm_cipher *c, const uint8_t *ad, size_t ad_len,
                       const uint8_t *sealed, size_t len, uint8_t *out)
{
	uint8_t nonce[12];

	nonce_bytes(c->nonce, nonce);
	return crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, len, ad, ad_len,
	                                                 nonce, c->key);
}

struct pm_cipher *pm_cipher_create(const uint8_t *key, uint64_t nonce)
{
	struct pm_cipher *c = pm_secret_alloc(sizeof(*c));

	if (c == NULL)
		return NULL;
	memcpy(c->key, key, sizeof(c->key));
	c->nonce = nonce;
	return c;
}

void pm_cipher_destroy(struct pm_cipher *c)
{
	pm_secret_free(c);
}

uint64_t pm_cipher_nonce(const struct pm_cipher *c)
{
	return c->nonce;
}

int pm_cipher_seal(struct pm_cipher *c, const uint8_t *plain, size_t len, uint8_t *out,
                   struct pm_error *err)
{
	if (c->nonce >= PM_NOISE_NONCE_END)
		return pm_fail(err, PM_LIMIT, "this session has used up its nonces");
	seal(c, NULL, 0, plain, len, out);
	c->nonce++;
	return 0;
}

int pm_cipher_open(struct pm_cipher *c, const uint8_t *sealed, size_t len, uint8_t *out,
                   struct pm_error *err)
{
	if (c->nonce >= PM_NOISE_NONCE_END)
		return pm_fail(err, PM_LIMIT, "this session has used up its nonces");
	if (len < PM_NOISE_TAG || open_sealed(c, NULL, 0, sealed, len, out) != 0) {
		sodium_memzero(c->key, sizeof(c->key));
		c->nonce = PM_NOISE_NONCE_END;
		return pm_fail(err, PM_PROTOCOL,
		               "a record was changed, repeated or lost on the way");
	}
	c->nonce++;
	return 0;
}

void pm_cipher_rekey(struct pm_cipher *c)
{
	struct pm_cipher last = *c;
	uint8_t fresh[PM_NOISE_KEY + PM_NOISE_TAG] = { 0 };

	last.nonce = UINT64_MAX;
	seal(&last, NULL, 0, fresh, PM_NOISE_KEY, fresh);
	memcpy(c->key, fresh, sizeof(c->key));
	sodium_memzero(fresh, sizeof(fresh));
	sodium_memzero(&last, sizeof(last));
}

/* ---- the symmetric state ---- */

static void mix_hash(struct pm_noise *n, const uint8_t *bytes, size_t len)
{
	noise_hash_two(n->hash, n->x->h, noise_hash_len(n->hash), bytes, len, n->x->h);
}

static void set_key(struct pm_noise *n, const uint8_t *key)
{
	memcpy(n->x->cipher.key, key, PM_NOISE_KEY); /* a longer hash is cut */
	n->x->cipher.nonce = 0;
	n->x->has_key = true;
}

static void mix_key(struct pm_noise *n, const uint8_t *material, size_t len)
{
	uint8_t out[3][PM_NOISE_HASH_MAX];

	noise_hkdf(n->hash, n->x->chaining, material, len, 2, out);
	memcpy(n->x->chaining, out[0], PM_NOISE_HASH_MAX);
	set_key(n, out[1]);
	sodium_memzero(out, sizeof(out));
}

static void mix_psk(struct pm_noise *n)
{
	uint8_t out[3][PM_NOISE_HASH_MAX];

	noise_hkdf(n->hash, n->x->chaining, n->x->psk, PM_NOISE_KEY, 3, out);
	memcpy(n->x->chaining, out[0], PM_NOISE_HASH_MAX);
	mix_hash(n, out[1], noise_hash_len(n->hash));
	set_key(n, out[2]);
	sodium_memzero(out, sizeof(out));
}

/* EncryptAndHash(); returns the bytes written. */
static size_t put(struct pm_noise *n, const uint8_t *plain, size_t len, uint8_t *out)
{
	size_t n_out = len;

	if (n->x->has_key) {
		seal(&n->x->cipher, n->x->h, noise_hash_len(n->hash), plain, len, out);
		n->x->cipher.nonce++;
		n_out += PM_NOISE_TAG;
	} else if (len > 0) {
		memcpy(out, plain, len);
	}
	mix_hash(n, out, n_out);
	return n_out;
}

/* DecryptAndHash() of a field that holds len bytes of ours.  -1: it was not made for us. */
static int take(struct pm_noise *n, const uint8_t *in, size_t len, uint8_t *out)
{
	if (n->x->has_key) {
		if (open_sealed(&n->x->cipher, n->x->h, noise_hash_len(n->hash), in,
		                len + PM_NOISE_TAG, out) != 0)
			return -1;
		n->x->cipher.nonce++;
		len += PM_NOISE_TAG;
		mix_hash(n, in, len);
		return 0;
	}
	if (len > 0)
		memcpy(out, in, len);
	mix_hash(n, in, len);
	return 0;
}

/* ---- the handshake ---- */

static const char *const hash_names[PM_NOISE_N_HASHES] = { "BLAKE2b", "SHA256", "SHA512" };

static void hash_name(struct pm_noise *n)
{
	static const char before[] = "Noise_", after[] = "_25519_ChaChaPoly_";
	size_t h_len = noise_hash_len(n->hash), len = 0;
	const char *parts[] = { before, n->pattern->name, after, hash_names[n->hash] };
	char name[PM_NOISE_HASH_MAX + 16];

	for (size_t i = 0; i < PM_COUNT(parts); i++) {
		memcpy(name + len, parts[i], strlen(parts[i]));
		len += strlen(parts[i]);
	}
	if (len <= h_len)
		memcpy(n->x->h, name, len); /* the rest is zero */
	else
		noise_hash_two(n->hash, (const uint8_t *)name, len, NULL, 0, n->x->h);
	memcpy(n->x->chaining, n->x->h, PM_NOISE_HASH_MAX);
}

static bool uses(const struct pattern *p, bool initiator, enum token token)
{
	for (unsigned m = initiator ? 0 : 1; m < p->n_messages; m += 2)
		for (unsigned i = 0; i < PM_COUNT(p->tokens[m]); i++)
			if (p->tokens[m][i] == token)
				return true;
	return false;
}

static bool has_what_it_needs(const struct pattern *p, const struct pm_noise_config *c)
{
	bool needs_s = uses(p, c->initiator, S) ||
	               (c->initiator ? p->knows_initiator : p->knows_responder);
	bool needs_rs = c->initiator ? p->knows_responder : p->knows_initiator;

	return (!needs_s || c->static_secret != NULL) && (!needs_rs || c->remote_static != NULL) &&
	       (!p->psk || c->psk != NULL);
}

static void mix_known_keys(struct pm_noise *n)
{
	if (n->pattern->knows_initiator)
		mix_hash(n, n->initiator ? n->s_pub : n->rs, PM_NOISE_KEY);
	if (n->pattern->knows_responder)
		mix_hash(n, n->initiator ? n->rs : n->s_pub, PM_NOISE_KEY);
}

static void copy_keys(struct pm_noise *n, const struct pm_noise_config *c)
{
	if (c->static_secret != NULL) {
		memcpy(n->x->s, c->static_secret, PM_NOISE_KEY);
		(void)crypto_scalarmult_base(n->s_pub, n->x->s); /* always 0 */
		n->x->has_s = true;
	}
	n->has_rs = c->remote_static != NULL;
	if (n->has_rs)
		memcpy(n->rs, c->remote_static, PM_NOISE_KEY);
	if (c->psk != NULL)
		memcpy(n->x->psk, c->psk, PM_NOISE_KEY);
	n->fixed_e = c->ephemeral != NULL;
	if (n->fixed_e)
		memcpy(n->x->e, c->ephemeral, PM_NOISE_KEY);
}

int pm_noise_create(const struct pm_noise_config *c, struct pm_noise **out, struct pm_error *err)
{
	const struct pattern *p = &patterns[c->pattern];
	struct pm_noise *n;

	if (!has_what_it_needs(p, c))
		return pm_fail(err, PM_INTERNAL, "a handshake without the keys it needs");
	n = pm_calloc(1, sizeof(*n));
	if (n != NULL)
		n->x = pm_secret_alloc(sizeof(*n->x));
	if (n == NULL || n->x == NULL) {
		free(n);
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	n->pattern = p;
	n->hash = c->hash;
	n->initiator = c->initiator;
	n->check = c->check;
	n->check_arg = c->check_arg;
	copy_keys(n, c);
	hash_name(n);
	mix_hash(n, c->prologue, c->prologue_len);
	mix_known_keys(n);
	*out = n;
	return 0;
}

void pm_noise_destroy(struct pm_noise *n)
{
	if (n == NULL)
		return;
	pm_secret_free(n->x);
	free(n);
}

void pm_noise_destroyp(struct pm_noise **n)
{
	pm_noise_destroy(*n);
}

bool pm_noise_is_done(const struct pm_noise *n)
{
	return !n->failed && n->at == n->pattern->n_messages;
}

bool pm_noise_is_our_turn(const struct pm_noise *n)
{
	return !n->failed && n->at < n->pattern->n_messages && (n->at % 2 == 0) == n->initiator;
}

const uint8_t *pm_noise_remote(const struct pm_noise *n)
{
	return n->has_rs ? n->rs : NULL;
}

const uint8_t *pm_noise_transcript(const struct pm_noise *n, size_t *len)
{
	*len = noise_hash_len(n->hash);
	return n->x->h;
}

/* The end of a handshake that went wrong: there is nothing left in it to try again with. */
static int give_up(struct pm_noise *n)
{
	n->failed = true;
	sodium_memzero(n->x, sizeof(*n->x));
	return -1;
}

size_t pm_noise_overhead(const struct pm_noise *n)
{
	bool key = n->x->has_key;
	size_t len = 0;

	if (n->failed || n->at == n->pattern->n_messages)
		return 0;
	for (const uint8_t *t = n->pattern->tokens[n->at]; *t != END; t++) {
		if (*t == E || *t == S)
			len += PM_NOISE_KEY + (*t == S && key ? PM_NOISE_TAG : 0);
		key |= *t > S || (*t == E && n->pattern->psk);
	}
	return len + (key ? PM_NOISE_TAG : 0);
}

/* One exchange of keys.  -1: the peer's key has a low order, or is not known. */
static int mix_dh(struct pm_noise *n, const uint8_t *secret, bool has_secret, const uint8_t *public,
                  bool has_public)
{
	uint8_t shared[PM_NOISE_KEY];
	int rc = -1;

	if (has_secret && has_public)
		rc = crypto_scalarmult(shared, secret, public);
	if (rc == 0)
		mix_key(n, shared, sizeof(shared));
	sodium_memzero(shared, sizeof(shared));
	return rc;
}

static int mix_pair(struct pm_noise *n, enum token t)
{
	/* es is the initiator's e with the responder's s; which of them is ours depends. */
	bool our_s = t == SS || (t == ES) != n->initiator, their_s = t == SS || !our_s;

	if (t == EE)
		our_s = their_s = false;
	return mix_dh(n, our_s ? n->x->s : n->x->e, our_s ? n->x->has_s : n->x->has_e,
	              their_s ? n->rs : n->re, their_s ? n->has_rs : n->has_re);
}

static void make_ephemeral(struct pm_noise *n)
{
	if (!n->fixed_e)
		randombytes_buf(n->x->e, PM_NOISE_KEY);
	(void)crypto_scalarmult_base(n->e_pub, n->x->e); /* always 0 */
	n->x->has_e = true;
}

static void mix_ephemeral(struct pm_noise *n, const uint8_t *e)
{
	mix_hash(n, e, PM_NOISE_KEY);
	if (n->pattern->psk)
		mix_key(n, e, PM_NOISE_KEY);
}

static int write_token(struct pm_noise *n, enum token t, uint8_t **at)
{
	switch (t) {
	case END:
		return 0;
	case E:
		make_ephemeral(n);
		memcpy(*at, n->e_pub, PM_NOISE_KEY);
		mix_ephemeral(n, *at);
		*at += PM_NOISE_KEY;
		return 0;
	case S:
		*at += put(n, n->s_pub, PM_NOISE_KEY, *at);
		return 0;
	case PSK:
		mix_psk(n);
		return 0;
	case EE:
	case ES:
	case SE:
	case SS:
		return mix_pair(n, t);
	}
	return -1;
}

int pm_noise_write(struct pm_noise *n, const uint8_t *payload, size_t len, uint8_t *out,
                   size_t room, size_t *out_len, struct pm_error *err)
{
	size_t need = pm_noise_overhead(n);
	uint8_t *at = out;

	if (!pm_noise_is_our_turn(n))
		return pm_fail(err, PM_INTERNAL, "a handshake message out of turn");
	if (len > PM_NOISE_MAX - need || need + len > room)
		return pm_fail(err, PM_LIMIT, "a handshake message of %zu bytes", need + len);
	for (const uint8_t *t = n->pattern->tokens[n->at]; *t != END; t++)
		if (write_token(n, *t, &at) < 0) {
			(void)pm_fail(err, PM_PROTOCOL, "the other side's key is none");
			return give_up(n);
		}
	at += put(n, payload, len, at);
	n->at++;
	*out_len = (size_t)(at - out);
	return 0;
}

static int read_static(struct pm_noise *n, const uint8_t *in, struct pm_error *err)
{
	if (take(n, in, PM_NOISE_KEY, n->rs) < 0)
		return pm_fail(err, PM_PROTOCOL, "a handshake that was not made for this key");
	n->has_rs = true;
	if (n->check != NULL && !n->check(n->check_arg, n->rs))
		return pm_fail(err, PM_DENIED, "the other side's key is not welcome");
	return 0;
}

static int read_token(struct pm_noise *n, enum token t, const uint8_t **at, struct pm_error *err)
{
	switch (t) {
	case END:
		return 0;
	case E:
		memcpy(n->re, *at, PM_NOISE_KEY);
		n->has_re = true;
		mix_ephemeral(n, n->re);
		*at += PM_NOISE_KEY;
		return 0;
	case S: {
		const uint8_t *from = *at;

		*at += PM_NOISE_KEY + (n->x->has_key ? PM_NOISE_TAG : 0);
		return read_static(n, from, err);
	}
	case PSK:
		mix_psk(n);
		return 0;
	case EE:
	case ES:
	case SE:
	case SS:
		if (mix_pair(n, t) < 0)
			return pm_fail(err, PM_PROTOCOL, "the other side's key is none");
		return 0;
	}
	return -1;
}

int pm_noise_read(struct pm_noise *n, const uint8_t *message, size_t len, uint8_t *out, size_t room,
                  size_t *out_len, struct pm_error *err)
{
	size_t need = pm_noise_overhead(n);
	const uint8_t *at = message;

	if (n->failed || pm_noise_is_done(n) || pm_noise_is_our_turn(n))
		return pm_fail(err, PM_INTERNAL, "a handshake message out of turn");
	if (len < need || len > PM_NOISE_MAX) {
		(void)pm_fail(err, PM_PROTOCOL, "a handshake message of %zu bytes", len);
		return give_up(n);
	}
	if (len - need > room) {
		(void)pm_fail(err, PM_LIMIT, "a handshake message of %zu bytes", len);
		return give_up(n);
	}
	for (const uint8_t *t = n->pattern->tokens[n->at]; *t != END; t++)
		if (read_token(n, *t, &at, err) < 0)
			return give_up(n);
	if (take(n, at, len - need, out) < 0) {
		(void)pm_fail(err, PM_PROTOCOL, "a handshake that was not made for this key");
		return give_up(n);
	}
	n->at++;
	*out_len = len - need;
	return 0;
}

int pm_noise_split(struct pm_noise *n, struct pm_cipher **send, struct pm_cipher **receive,
                   struct pm_error *err)
{
	uint8_t out[3][PM_NOISE_HASH_MAX];
	struct pm_cipher *first, *second;

	if (!pm_noise_is_done(n))
		return pm_fail(err, PM_INTERNAL, "a handshake that is not over");
	noise_hkdf(n->hash, n->x->chaining, NULL, 0, 2, out);
	first = pm_cipher_create(out[0], 0);
	second = pm_cipher_create(out[1], 0);
	sodium_memzero(out, sizeof(out));
	if (first == NULL || second == NULL) {
		pm_cipher_destroy(first);
		pm_cipher_destroy(second);
		return pm_fail(err, PM_NO_MEMORY, "out of memory");
	}
	*send = n->initiator ? first : second;
	*receive = n->initiator ? second : first;
	return 0;
}
