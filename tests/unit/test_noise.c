#include "tests/unit/unit.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>
#include <sodium.h>

#include "proto/noise.h"
#include "proto/noise_hash.h"
#include "proto/secret.h"

/* ---- the published vectors ---- */

static const char *const pattern_names[PM_NOISE_N_PATTERNS] = {
	"NN",     "NK",     "KK",     "XK",     "IK",     "XX",
	"NNpsk0", "NKpsk0", "XXpsk3", "KKpsk2", "IKpsk1", "IKpsk2",
};
static const char *const hash_names[PM_NOISE_N_HASHES] = { "BLAKE2b", "SHA256", "SHA512" };

/* A field in hex; NULL: the vector has none.  Freed with the test's allocations. */
static uint8_t *field(const json_t *from, const char *name, size_t *len)
{
	const char *hex = json_string_value(json_object_get(from, name));
	uint8_t *bytes;
	size_t n;

	if (hex == NULL)
		return NULL;
	n = strlen(hex) / 2;
	bytes = test_malloc(n + 1);
	assert_int_equal(sodium_hex2bin(bytes, n + 1, hex, strlen(hex), NULL, &n, NULL), 0);
	if (len != NULL)
		*len = n;
	return bytes;
}

static unsigned index_of(const char *const *names, size_t n, const char *name, size_t len)
{
	for (unsigned i = 0; i < n; i++)
		if (strlen(names[i]) == len && strncmp(names[i], name, len) == 0)
			return i;
	fail_msg("%.*s is not known", (int)len, name);
	return 0;
}

/* One side as the vector wants it; `peer` is the prefix of the other side's fields. */
static struct pm_noise *side(const json_t *vector, bool initiator, uint8_t *kept[5])
{
	const char *name = json_string_value(json_object_get(vector, "protocol_name"));
	const char *p = initiator ? "init" : "resp", *from = strchr(name, '_') + 1;
	const char *hash = strrchr(name, '_') + 1;
	struct pm_noise_config c = { .initiator = initiator };
	static const char *const keys[] = { "prologue", "static", "ephemeral", "remote_static" };
	struct pm_noise *n;
	struct pm_error err;
	char key[40];
	json_t *psk;

	for (size_t i = 0; i < PM_COUNT(keys); i++) {
		(void)snprintf(key, sizeof(key), "%s_%s", p, keys[i]);
		kept[i] = field(vector, key, i == 0 ? &c.prologue_len : NULL);
	}
	(void)snprintf(key, sizeof(key), "%s_psks", p);
	psk = json_array_get(json_object_get(vector, key), 0);
	kept[4] = NULL;
	if (psk != NULL) {
		json_t *box = json_pack("{s:O}", "psk", psk);

		kept[4] = field(box, "psk", NULL);
		json_decref(box);
	}
	c.pattern = index_of(pattern_names, PM_COUNT(pattern_names), from,
	                     (size_t)(strchr(from, '_') - from));
	c.hash = index_of(hash_names, PM_COUNT(hash_names), hash, strlen(hash));
	c.prologue = kept[0];
	c.static_secret = kept[1];
	c.ephemeral = kept[2];
	c.remote_static = kept[3];
	c.psk = kept[4];
	assert_int_equal(pm_noise_create(&c, &n, &err), 0);
	return n;
}

static void run_handshake_message(struct pm_noise *from, struct pm_noise *to, const json_t *message)
{
	size_t payload_len, want_len, len, overhead = pm_noise_overhead(from);
	uint8_t *payload = field(message, "payload", &payload_len);
	uint8_t *want = field(message, "ciphertext", &want_len);
	uint8_t out[512], back[512];
	struct pm_error err;

	assert_int_equal(pm_noise_overhead(to), overhead);
	assert_false(pm_noise_is_our_turn(to));
	assert_int_equal(pm_noise_write(from, payload, payload_len, out, payload_len + overhead - 1,
	                                &len, &err),
	                 -1);
	assert_int_equal(err.code, PM_LIMIT);
	assert_int_equal(
		pm_noise_write(from, payload, payload_len, out, payload_len + overhead, &len, &err),
		0);
	assert_int_equal(len, want_len);
	assert_memory_equal(out, want, len);
	assert_int_equal(pm_noise_read(to, out, len, back, payload_len, &len, &err), 0);
	assert_int_equal(len, payload_len);
	assert_memory_equal(back, payload, len);
	test_free(payload);
	test_free(want);
}

static void run_transport_message(struct pm_cipher *from, struct pm_cipher *to,
                                  const json_t *message)
{
	size_t payload_len, want_len;
	uint8_t *payload = field(message, "payload", &payload_len);
	uint8_t *want = field(message, "ciphertext", &want_len);
	uint8_t bytes[512];
	struct pm_error err;

	memcpy(bytes, payload, payload_len);
	assert_int_equal(pm_cipher_seal(from, bytes, payload_len, bytes, &err), 0); /* in place */
	assert_int_equal(payload_len + PM_NOISE_TAG, want_len);
	assert_memory_equal(bytes, want, want_len);
	assert_int_equal(pm_cipher_open(to, bytes, want_len, bytes, &err), 0);
	assert_memory_equal(bytes, payload, payload_len);
	test_free(payload);
	test_free(want);
}

static void check_hash(const json_t *vector, const struct pm_noise *n)
{
	size_t want_len, len;
	uint8_t *want = field(vector, "handshake_hash", &want_len);
	const uint8_t *h = pm_noise_transcript(n, &len);

	if (want == NULL)
		return;
	assert_int_equal(len, want_len);
	assert_memory_equal(h, want, len);
	test_free(want);
}

static void run_vector(const json_t *vector)
{
	uint8_t *kept[2][5];
	struct pm_noise *sides[2] = { side(vector, true, kept[0]), side(vector, false, kept[1]) };
	struct pm_cipher *send[2], *receive[2];
	const json_t *messages = json_object_get(vector, "messages");
	struct pm_error err;
	size_t i = 0;

	for (; !pm_noise_is_done(sides[0]); i++)
		run_handshake_message(sides[i % 2], sides[1 - i % 2], json_array_get(messages, i));
	assert_true(pm_noise_is_done(sides[1]));
	for (unsigned s = 0; s < 2; s++) {
		check_hash(vector, sides[s]);
		assert_int_equal(pm_noise_overhead(sides[s]), 0);
		assert_int_equal(pm_noise_split(sides[s], &send[s], &receive[s], &err), 0);
	}
	assert_true(json_array_size(messages) > i);
	for (; i < json_array_size(messages); i++)
		run_transport_message(send[i % 2], receive[1 - i % 2], json_array_get(messages, i));
	for (unsigned s = 0; s < 2; s++) {
		pm_noise_destroy(sides[s]);
		pm_cipher_destroy(send[s]);
		pm_cipher_destroy(receive[s]);
		for (unsigned k = 0; k < 5; k++)
			test_free(kept[s][k]);
	}
}

static void every_published_vector_passes_on_both_sides(void **state)
{
	DIR *dir = opendir(PM_VECTORS);
	struct dirent *entry;
	size_t n = 0;

	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		char path[512];
		json_t *root, *vectors;

		if (strstr(entry->d_name, ".json") == NULL)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", PM_VECTORS, entry->d_name);
		root = json_load_file(path, 0, NULL);
		assert_non_null(root);
		vectors = json_is_array(root) ? root : json_object_get(root, "vectors");
		for (size_t i = 0; i < json_array_size(vectors); i++, n++)
			run_vector(json_array_get(vectors, i));
		json_decref(root);
	}
	(void)closedir(dir);
	assert_int_equal(n, 45);
	assert_int_equal(pm_secret_pages(), 0); /* every secret was given back */
}

/* RFC 4231, test case 2. */
static void hmac_is_the_one_of_rfc_2104(void **state)
{
	static const uint8_t want[4] = { 0x5b, 0xdc, 0xc1, 0x46 };
	static const char text[] = "what do ya want for nothing?";
	uint8_t key[PM_NOISE_HASH_MAX] = { 'J', 'e', 'f', 'e' }, out[PM_NOISE_HASH_MAX];
	uint8_t keyed[64];

	(void)state;
	noise_hmac(PM_NOISE_SHA256, key, (const uint8_t *)text, 5, (const uint8_t *)text + 5,
	           sizeof(text) - 6, out);
	assert_memory_equal(out, want, sizeof(want));
	noise_hmac(PM_NOISE_BLAKE2B, key, NULL, 0, NULL, 0, out);
	assert_int_equal(crypto_generichash(keyed, 64, NULL, 0, key, 64), 0);
	assert_memory_not_equal(out, keyed, 64);
}

/* ---- our own suite ---- */

struct pair {
	struct pm_noise *a, *b; /* initiator, responder */
};

static uint8_t secret_a[32], secret_b[32], public_a[32], public_b[32];
static bool welcome = true;
static uint8_t seen[32];

static int keys(void **state)
{
	(void)state;
	if (sodium_init() < 0)
		return -1;
	memset(secret_a, 0xa1, sizeof(secret_a));
	memset(secret_b, 0xb2, sizeof(secret_b));
	(void)crypto_scalarmult_base(public_a, secret_a);
	(void)crypto_scalarmult_base(public_b, secret_b);
	return 0;
}

static bool check(void *arg, const uint8_t *key)
{
	(void)arg;
	memcpy(seen, key, sizeof(seen));
	return welcome;
}

static struct pair pair_with(const uint8_t *remote, const char *prologue_b)
{
	struct pm_noise_config a = { .pattern = PM_NOISE_IK, .initiator = true }, b = a;
	struct pair p;
	struct pm_error err;

	a.prologue = (const uint8_t *)"pmd";
	b.prologue = (const uint8_t *)prologue_b;
	a.prologue_len = b.prologue_len = 3;
	a.static_secret = secret_a;
	a.remote_static = remote;
	b.initiator = false;
	b.static_secret = secret_b;
	b.check = check;
	assert_int_equal(pm_noise_create(&a, &p.a, &err), 0);
	assert_int_equal(pm_noise_create(&b, &p.b, &err), 0);
	return p;
}

static void part(struct pair *p)
{
	pm_noise_destroy(p->a);
	pm_noise_destroy(p->b);
}

static size_t first_message(struct pair *p, uint8_t out[96])
{
	struct pm_error err;
	size_t len;

	assert_int_equal(pm_noise_write(p->a, NULL, 0, out, 96, &len, &err), 0);
	return len;
}

static int read_by(struct pm_noise *n, const uint8_t *message, size_t len, struct pm_error *err)
{
	uint8_t none[1];
	size_t got;

	return pm_noise_read(n, message, len, none, 0, &got, err);
}

static void our_handshake_is_96_and_48_bytes_and_names_both(void **state)
{
	struct pair p = pair_with(public_b, "pmd");
	struct pm_cipher *sa, *ra, *sb, *rb;
	uint8_t m1[96], m2[48], record[20];
	struct pm_error err;
	size_t len, n;

	(void)state;
	assert_int_equal(first_message(&p, m1), 96);
	assert_null(pm_noise_remote(p.b));
	assert_int_equal(read_by(p.b, m1, 96, &err), 0);
	assert_memory_equal(seen, public_a, 32);
	assert_memory_equal(pm_noise_remote(p.b), public_a, 32);
	assert_int_equal(pm_noise_split(p.b, &sb, &rb, &err), -1); /* not yet */
	assert_int_equal(pm_noise_write(p.b, NULL, 0, m2, sizeof(m2), &len, &err), 0);
	assert_int_equal(len, 48);
	assert_int_equal(read_by(p.a, m2, 48, &err), 0);
	assert_int_equal(pm_noise_split(p.a, &sa, &ra, &err), 0);
	assert_int_equal(pm_noise_split(p.b, &sb, &rb, &err), 0);
	assert_memory_equal(pm_noise_transcript(p.a, &n), pm_noise_transcript(p.b, &len), 64);
	for (unsigned i = 0; i < 3000; i++) {
		assert_int_equal(pm_cipher_seal(sa, (const uint8_t *)"word", 4, record, &err), 0);
		assert_int_equal(pm_cipher_open(rb, record, sizeof(record), record, &err), 0);
		assert_memory_equal(record, "word", 4);
		if (i % 1000 == 999) {
			pm_cipher_rekey(sa);
			pm_cipher_rekey(rb);
		}
	}
	assert_int_equal(pm_cipher_nonce(sa), 3000);
	pm_cipher_destroy(sa);
	pm_cipher_destroy(ra);
	pm_cipher_destroy(sb);
	pm_cipher_destroy(rb);
	part(&p);
}

static void a_changed_bit_anywhere_ends_the_handshake(void **state)
{
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < 96; i++) {
		struct pair p = pair_with(public_b, "pmd");
		uint8_t m1[96];

		(void)first_message(&p, m1);
		m1[i] ^= (uint8_t)(1u << (i % 8)); /* of byte 31 the bit that X25519 ignores */
		if (read_by(p.b, m1, 96, &err) == 0)
			fail_msg("byte %zu", i);
		assert_int_equal(err.code, PM_PROTOCOL);
		assert_int_equal(read_by(p.b, m1, 96, &err), -1); /* and there is no second try */
		assert_int_equal(err.code, PM_INTERNAL);
		part(&p);
	}
	for (size_t i = 0; i < 48; i++) {
		struct pair p = pair_with(public_b, "pmd");
		uint8_t m1[96], m2[48];
		size_t len;

		(void)first_message(&p, m1);
		assert_int_equal(read_by(p.b, m1, 96, &err), 0);
		assert_int_equal(pm_noise_write(p.b, NULL, 0, m2, 48, &len, &err), 0);
		m2[i] ^= 0x10;
		assert_int_equal(read_by(p.a, m2, 48, &err), -1);
		assert_false(pm_noise_is_done(p.a));
		part(&p);
	}
}

static void the_wrong_key_prologue_or_length_ends_it_at_message_one(void **state)
{
	struct pair p =
		pair_with(public_a, "pmd"); /* made for somebody else: a man in the middle */
	uint8_t m1[96];
	struct pm_error err;

	(void)state;
	(void)first_message(&p, m1);
	assert_int_equal(read_by(p.b, m1, 96, &err), -1);
	assert_int_equal(err.code, PM_PROTOCOL);
	part(&p);
	p = pair_with(public_b, "pmx");
	(void)first_message(&p, m1);
	assert_int_equal(read_by(p.b, m1, 96, &err), -1);
	part(&p);
	for (size_t len = 0; len < 96; len++) {
		p = pair_with(public_b, "pmd");
		(void)first_message(&p, m1);
		assert_int_equal(read_by(p.b, m1, len, &err), -1);
		assert_int_equal(err.code, PM_PROTOCOL);
		part(&p);
	}
}

static void an_unwelcome_key_ends_it_before_the_second_exchange(void **state)
{
	struct pair p = pair_with(public_b, "pmd");
	uint8_t m1[96];
	struct pm_error err;

	(void)state;
	(void)first_message(&p, m1);
	welcome = false;
	assert_int_equal(read_by(p.b, m1, 96, &err), -1);
	welcome = true;
	assert_int_equal(err.code, PM_DENIED);
	assert_memory_equal(seen, public_a, 32);
	assert_false(pm_noise_is_our_turn(p.b));
	part(&p);
}

/* The points of order 1, 2, 4 and 8, and what is the same modulo p: RFC 7748, section 6.1. */
static void keys_of_low_order_are_refused(void **state)
{
	static const char *const low[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(low); i++) {
		uint8_t key[32], m1[96];
		struct pair p = pair_with(public_b, "pmd");
		size_t len;

		assert_int_equal(sodium_hex2bin(key, 32, low[i], 64, NULL, &len, NULL), 0);
		(void)first_message(&p, m1);
		memcpy(m1, key, 32); /* as the ephemeral */
		assert_int_equal(read_by(p.b, m1, 96, &err), -1);
		assert_int_equal(err.code, PM_PROTOCOL);
		part(&p);
		p = pair_with(key, "pmd"); /* as the responder's static key */
		assert_int_equal(pm_noise_write(p.a, NULL, 0, m1, 96, &len, &err), -1);
		assert_int_equal(err.code, PM_PROTOCOL);
		part(&p);
	}
}

static void a_pattern_without_its_keys_is_not_begun(void **state)
{
	struct pm_noise_config c = { .pattern = PM_NOISE_IK, .initiator = true };
	struct pm_noise *n;
	struct pm_error err;

	(void)state;
	assert_int_equal(pm_noise_create(&c, &n, &err), -1);
	c.static_secret = secret_a;
	assert_int_equal(pm_noise_create(&c, &n, &err), -1);
	c.initiator = false;
	assert_int_equal(pm_noise_create(&c, &n, &err), 0);
	pm_noise_destroy(n);
	c.pattern = PM_NOISE_NNPSK0;
	assert_int_equal(pm_noise_create(&c, &n, &err), -1);
	assert_int_equal(err.code, PM_INTERNAL);
}

static void a_cipher_takes_records_once_and_in_order(void **state)
{
	struct pm_cipher *s = pm_cipher_create(secret_a, 0), *r = pm_cipher_create(secret_a, 0);
	uint8_t one[17], two[17], out[17];
	struct pm_error err;

	(void)state;
	assert_int_equal(pm_cipher_seal(s, (const uint8_t *)"1", 1, one, &err), 0);
	assert_int_equal(pm_cipher_seal(s, (const uint8_t *)"2", 1, two, &err), 0);
	assert_int_equal(pm_cipher_open(r, one, 17, out, &err), 0);
	assert_int_equal(pm_cipher_open(r, one, 17, out, &err), -1); /* replayed */
	assert_int_equal(err.code, PM_PROTOCOL);
	assert_int_equal(pm_cipher_open(r, two, 17, out, &err), -1); /* dead since */
	pm_cipher_destroy(r);
	r = pm_cipher_create(secret_a, 0);
	assert_int_equal(pm_cipher_open(r, two, 17, out, &err), -1); /* one was lost */
	pm_cipher_destroy(r);
	for (size_t len = 0; len < PM_NOISE_TAG; len++) {
		r = pm_cipher_create(secret_a, 0);
		assert_int_equal(pm_cipher_open(r, one, len, out, &err), -1);
		pm_cipher_destroy(r);
	}
	pm_cipher_destroy(s);
}

static void nonces_end_before_they_repeat(void **state)
{
	struct pm_cipher *s = pm_cipher_create(secret_a, PM_NOISE_NONCE_END - 1);
	struct pm_cipher *r = pm_cipher_create(secret_a, PM_NOISE_NONCE_END);
	uint8_t out[17];
	struct pm_error err;

	(void)state;
	assert_int_equal(pm_cipher_seal(s, (const uint8_t *)"1", 1, out, &err), 0);
	assert_int_equal(pm_cipher_seal(s, (const uint8_t *)"1", 1, out, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	assert_int_equal(pm_cipher_open(r, out, 17, out, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	pm_cipher_destroy(s);
	pm_cipher_destroy(r);
}

/* REKEY(k) = ENCRYPT(k, 2^64 - 1, "", 32 zeros), of which the first 32 bytes: section 4.2. */
static void rekeying_is_the_specifications(void **state)
{
	static const uint8_t nonce[12] = { 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255 };
	static const uint8_t zeros[32];
	struct pm_cipher *a = pm_cipher_create(secret_a, 7), *b;
	uint8_t next[48], x[20], y[20];
	struct pm_error err;

	(void)state;
	(void)crypto_aead_chacha20poly1305_ietf_encrypt(next, NULL, zeros, 32, NULL, 0, NULL, nonce,
	                                                secret_a);
	b = pm_cipher_create(next, 7);
	pm_cipher_rekey(a);
	assert_int_equal(pm_cipher_nonce(a), 7);
	assert_int_equal(pm_cipher_seal(a, (const uint8_t *)"same", 4, x, &err), 0);
	assert_int_equal(pm_cipher_seal(b, (const uint8_t *)"same", 4, y, &err), 0);
	assert_memory_equal(x, y, sizeof(x));
	pm_cipher_destroy(a);
	pm_cipher_destroy(b);
}

static void running_out_of_memory_begins_no_handshake(void **state)
{
	struct pm_noise_config c = { .pattern = PM_NOISE_IK, .static_secret = secret_b };
	struct pm_noise *n;
	struct pm_error err;

	(void)state;
	for (unsigned i = 1; i <= 2; i++) {
		pm_alloc_fail_at(i);
		assert_int_equal(pm_noise_create(&c, &n, &err), -1);
		pm_alloc_fail_at(0);
		assert_int_equal(err.code, PM_NO_MEMORY);
	}
	assert_int_equal(pm_secret_pages(), 0);
}

static void secrets_are_zero_apart_and_wiped(void **state)
{
	uint8_t *small[40], *large[9], *again;

	(void)state;
	for (unsigned i = 0; i < PM_COUNT(small); i++) {
		small[i] = pm_secret_alloc(128);
		assert_non_null(small[i]);
		assert_int_equal((uintptr_t)small[i] % 16, 0);
		for (unsigned k = 0; k < 128; k++)
			assert_int_equal(small[i][k], 0);
		memset(small[i], 0xff, 128);
	}
	for (unsigned i = 0; i < PM_COUNT(large); i++) {
		large[i] = pm_secret_alloc(PM_SECRET_MAX);
		assert_non_null(large[i]);
		memset(large[i], 0xff, PM_SECRET_MAX);
	}
	assert_int_equal(pm_secret_pages(), 4);
	again = small[3];
	pm_secret_free(small[3]);
	for (unsigned k = 0; k < 128; k++)
		assert_int_equal(again[k], 0); /* the page is still there */
	small[3] = NULL;
	for (unsigned i = 0; i < PM_COUNT(small); i++)
		pm_secret_free(small[i]);
	for (unsigned i = 0; i < PM_COUNT(large); i++)
		pm_secret_free(large[i]);
	assert_int_equal(pm_secret_pages(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_published_vector_passes_on_both_sides),
		cmocka_unit_test(hmac_is_the_one_of_rfc_2104),
		cmocka_unit_test(our_handshake_is_96_and_48_bytes_and_names_both),
		cmocka_unit_test(a_changed_bit_anywhere_ends_the_handshake),
		cmocka_unit_test(the_wrong_key_prologue_or_length_ends_it_at_message_one),
		cmocka_unit_test(an_unwelcome_key_ends_it_before_the_second_exchange),
		cmocka_unit_test(keys_of_low_order_are_refused),
		cmocka_unit_test(a_pattern_without_its_keys_is_not_begun),
		cmocka_unit_test(a_cipher_takes_records_once_and_in_order),
		cmocka_unit_test(nonces_end_before_they_repeat),
		cmocka_unit_test(rekeying_is_the_specifications),
		cmocka_unit_test(running_out_of_memory_begins_no_handshake),
		cmocka_unit_test(secrets_are_zero_apart_and_wiped),
	};

	return cmocka_run_group_tests(tests, keys, NULL);
}
