#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "proto/address.h"
#include "proto/keyfile.h"
#include "proto/keytext.h"
#include "proto/secret.h"
#include "proto/token.h"

static struct pm_key *key_of(uint8_t byte)
{
	uint8_t secret[PM_KEY_BYTES];
	struct pm_key *key;
	struct pm_error err;

	memset(secret, byte, sizeof(secret));
	assert_int_equal(pm_key_from_secret(secret, &key, &err), 0);
	return key;
}

/* ---- addresses ---- */

/* As the store compares. */
static bool matches(const uint8_t *kept, const uint8_t *id, const uint8_t *secret)
{
	uint8_t hash[PM_TOKEN_HASH_BYTES];

	pm_token_hash(id, secret, hash);
	return sodium_memcmp(kept, hash, sizeof(hash)) == 0;
}

static void addresses_are_read_and_written(void **state)
{
	static const struct {
		const char *text, *host, *back;
		unsigned port;
	} good[] = {
		{ "web01", "web01", "web01:7443", 7443 },
		{ "web01:80", "web01", "web01:80", 80 },
		{ "tcp://a.b-c.example.:65535", "a.b-c.example.", "a.b-c.example.:65535", 65535 },
		{ "10.0.0.1:1", "10.0.0.1", "10.0.0.1:1", 1 },
		{ "[::1]", "::1", "[::1]:7443", 7443 },
		{ "tcp://[2001:db8::a:1]:7000", "2001:db8::a:1", "[2001:db8::a:1]:7000", 7000 },
		{ "[::ffff:10.0.0.1]:5", "::ffff:10.0.0.1", "[::ffff:10.0.0.1]:5", 5 },
	};
	static const char *const bad[] = {
		"",       ":80",          "web:",    "web:0",      "web:65536", "web:99999999999",
		"web:8x", "we b",         "-web",    "web/",       "::1",       "[::1",
		"[]",     "[web]:80",     "[::1]80", "http://web", "web:80:90", "\xc3\xa4",
		"tcp://", "[::1%eth0]:5",
	};
	struct pm_address a;
	struct pm_error err;
	char text[PM_ADDRESS_TEXT], name[PM_HOST_MAX + 3];

	(void)state;
	for (size_t i = 0; i < PM_COUNT(good); i++) {
		assert_int_equal(pm_address_parse(good[i].text, &a, &err), 0);
		assert_string_equal(a.host, good[i].host);
		assert_int_equal(a.port, good[i].port);
		pm_address_format(&a, text);
		assert_string_equal(text, good[i].back);
		assert_int_equal(pm_address_parse(text, &a, &err), 0);
	}
	for (size_t i = 0; i < PM_COUNT(bad); i++) {
		if (pm_address_parse(bad[i], &a, &err) == 0)
			fail_msg("%s", bad[i]);
		assert_int_equal(err.code, PM_CONFIG);
	}
	memset(name, 'a', sizeof(name));
	name[PM_HOST_MAX] = '\0';
	assert_int_equal(pm_address_parse(name, &a, &err), 0);
	pm_address_format(&a, text);
	assert_int_equal(strlen(text), PM_HOST_MAX + 5);
	name[PM_HOST_MAX] = 'a';
	name[PM_HOST_MAX + 1] = '\0';
	assert_int_equal(pm_address_parse(name, &a, &err), -1);
}

/* ---- keys as text ---- */

static void keys_come_back_from_their_text(void **state)
{
	struct pm_key *key = key_of(7), *back;
	uint8_t public[PM_KEY_BYTES];
	char text[PM_KEY_TEXT];
	struct pm_error err;

	(void)state;
	pm_key_format(pm_key_public(key), text);
	assert_int_equal(strlen(text), 8 + 48);
	assert_memory_equal(text, "pmd-key:", 8);
	assert_int_equal(pm_key_parse(text, public, &err), 0);
	assert_true(pm_key_same(public, pm_key_public(key)));
	pm_key_format_secret(key, text);
	assert_int_equal(strlen(text), PM_KEY_TEXT - 1);
	assert_int_equal(pm_key_parse_secret(text, &back, &err), 0);
	assert_memory_equal(pm_key_secret(back), pm_key_secret(key), PM_KEY_BYTES);
	assert_int_equal(pm_key_parse(text, public, &err), -1); /* a secret key is no public one */
	pm_key_destroy(key);
	pm_key_destroy(back);
}

static void a_key_that_lost_or_changed_a_character_is_refused(void **state)
{
	struct pm_key *key = key_of(9), *back;
	uint8_t public[PM_KEY_BYTES];
	char text[PM_KEY_TEXT], bent[PM_KEY_TEXT + 8];
	struct pm_error err;
	size_t len;

	(void)state;
	pm_key_format(pm_key_public(key), text);
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		memcpy(bent, text, sizeof(text));
		bent[i] = bent[i] == 'A' ? 'B' : 'A';
		assert_int_equal(pm_key_parse(bent, public, &err), -1);
		assert_int_equal(err.code, PM_CONFIG);
		memcpy(bent, text, i);
		memcpy(bent + i, text + i + 1, len - i);
		assert_int_equal(pm_key_parse(bent, public, &err), -1);
		memcpy(bent, text, i);
		bent[i] = '\0';
		assert_int_equal(pm_key_parse(bent, public, &err), -1);
	}
	(void)snprintf(bent, sizeof(bent), "%s \r\n", text);
	assert_int_equal(pm_key_parse(bent, public, &err), 0);
	(void)snprintf(bent, sizeof(bent), "%s x", text);
	assert_int_equal(pm_key_parse(bent, public, &err), -1);
	pm_key_format_secret(key, text);
	text[20] = text[20] == 'A' ? 'B' : 'A';
	assert_int_equal(pm_key_parse_secret(text, &back, &err), -1);
	pm_key_destroy(key);
}

static void a_text_of_another_length_or_a_weak_key_is_no_key(void **state)
{
	uint8_t bytes[PM_KEY_BYTES] = { 1 }, public[PM_KEY_BYTES];
	struct pm_key *back;
	char text[PM_KEY_TEXT];
	struct pm_error err;

	(void)state;
	keytext_put("pmd-key:", bytes, PM_KEY_BYTES, text, sizeof(text)); /* of order one */
	assert_int_equal(pm_key_parse(text, public, &err), -1);
	keytext_put("pmd-key:", bytes, PM_KEY_BYTES - 1, text, sizeof(text));
	assert_int_equal(pm_key_parse(text, public, &err), -1);
	keytext_put("pmd-key:", bytes, 0, text, sizeof(text));
	assert_int_equal(pm_key_parse(text, public, &err), -1);
	keytext_put("pmd-secret-key:", bytes, 31, text, sizeof(text));
	assert_int_equal(pm_key_parse_secret(text, &back, &err), -1);
}

static void texts_of_every_length_come_back(void **state)
{
	uint8_t bytes[70], back[70];
	char text[128];
	struct pm_error err;
	size_t n;

	(void)state;
	for (size_t len = 0; len < sizeof(bytes); len++) {
		bytes[len] = (uint8_t)(len * 37 + 255);
		keytext_put("x:", bytes, len, text, keytext_size("x:", len));
		assert_int_equal(strlen(text) + 1, keytext_size("x:", len));
		assert_int_equal(keytext_take("x:", text, back, len, &n, &err), 0);
		assert_int_equal(n, len);
		assert_memory_equal(back, bytes, len);
		if (len > 0)
			assert_int_equal(keytext_take("x:", text, back, len - 1, &n, &err), -1);
		assert_int_equal(keytext_take("y:", text, back, len, &n, &err), -1);
	}
}

static void fingerprints_are_five_words_and_tell_keys_apart(void **state)
{
	struct pm_key *a = key_of(1), *b = key_of(2);
	char x[PM_FINGERPRINT_TEXT], y[PM_FINGERPRINT_TEXT];

	(void)state;
	pm_key_fingerprint(pm_key_public(a), x);
	pm_key_fingerprint(pm_key_public(a), y);
	assert_string_equal(x, y);
	/* Frozen: both ends print it, perhaps of different versions. */
	assert_string_equal(x, "kagal-pabus-nihop-jivir-javol");
	assert_int_equal(strlen(x), PM_FINGERPRINT_TEXT - 1);
	for (size_t i = 0; i < strlen(x); i++)
		assert_non_null(strchr("bdfghjklmnprstvzaiou-", x[i]));
	pm_key_fingerprint(pm_key_public(b), y);
	assert_string_not_equal(x, y);
	pm_key_destroy(a);
	pm_key_destroy(b);
}

static void two_new_keys_differ(void **state)
{
	struct pm_key *a, *b;
	struct pm_error err;

	(void)state;
	assert_int_equal(pm_key_create(&a, &err), 0);
	assert_int_equal(pm_key_create(&b, &err), 0);
	assert_false(pm_key_same(pm_key_public(a), pm_key_public(b)));
	pm_key_destroy(a);
	pm_key_destroy(b);
	assert_int_equal(pm_secret_pages(), 0);
}

/* ---- key files ---- */

static char dir[] = "/tmp/pmd-test-keys-XXXXXX", path[64];

static int make_dir(void **state)
{
	(void)state;
	(void)umask(0); /* the mode is to be ours and not the umask's */
	if (sodium_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/key", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(dir); /* fails if something else was left */
}

static void a_key_file_is_made_once_and_is_private(void **state)
{
	struct pm_key *key, *again, *other = key_of(3);
	struct pm_error err;
	struct stat st;
	bool made;

	(void)state;
	assert_int_equal(pm_keyfile_load(path, &key, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
	assert_int_equal(pm_keyfile_load_or_create(path, &key, &made, &err), 0);
	assert_true(made);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(pm_keyfile_load_or_create(path, &again, &made, &err), 0);
	assert_false(made);
	assert_true(pm_key_same(pm_key_public(key), pm_key_public(again)));
	assert_int_equal(pm_keyfile_create(path, other, &err), -1);
	assert_int_equal(err.code, PM_EXISTS);
	pm_key_destroy(again);
	assert_int_equal(pm_keyfile_load(path, &again, &err), 0);
	assert_true(pm_key_same(pm_key_public(key), pm_key_public(again)));
	pm_key_destroy(key);
	pm_key_destroy(again);
	pm_key_destroy(other);
	assert_int_equal(unlink(path), 0);
}

static void a_key_file_that_others_can_read_is_refused(void **state)
{
	static const unsigned modes[] = { 0640, 0604, 0660, 0601, 0777, 0620 };
	struct pm_key *key, *again;
	struct pm_error err;
	bool made;

	(void)state;
	assert_int_equal(pm_keyfile_load_or_create(path, &key, &made, &err), 0);
	for (size_t i = 0; i < PM_COUNT(modes); i++) {
		assert_int_equal(chmod(path, modes[i]), 0);
		assert_int_equal(pm_keyfile_load(path, &again, &err), -1);
		assert_int_equal(err.code, PM_DENIED);
		assert_true(err.hint[0] != '\0');
	}
	assert_int_equal(chmod(path, 0400), 0);
	assert_int_equal(pm_keyfile_load(path, &again, &err), 0);
	pm_key_destroy(again);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 1, 1), 0);
		assert_int_equal(pm_keyfile_load(path, &again, &err), -1);
		assert_int_equal(err.code, PM_DENIED);
	}
	pm_key_destroy(key);
	assert_int_equal(unlink(path), 0);
}

static void links_pipes_and_folders_are_no_key_files(void **state)
{
	struct pm_key *key = key_of(4), *again;
	char target[80];
	struct pm_error err;

	(void)state;
	(void)snprintf(target, sizeof(target), "%s/target", dir);
	assert_int_equal(pm_keyfile_create(target, key, &err), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(pm_keyfile_load(path, &again, &err), -1);
	assert_int_equal(err.code, PM_DENIED);
	assert_int_equal(pm_keyfile_create(path, key, &err), -1); /* nor is it written through */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(target), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(pm_keyfile_load(path, &again, &err), -1); /* and does not wait */
	assert_int_equal(err.code, PM_DENIED);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(pm_keyfile_load(dir, &again, &err), -1);
	pm_key_destroy(key);
}

static void a_damaged_key_file_is_told_from_none(void **state)
{
	static const char *const contents[] = {
		"",
		"\n",
		"pmd-secret-key:",
		"pmd-key:AAAA",
		"pmd-secret-key:AAAAAAAAAAAAAAAA\n",
		"pmd-secret-key:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n",
		"0123456789012345678901234567890123456789012345678901234567890123456789",
	};
	struct pm_key *key;
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(contents); i++) {
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, contents[i], strlen(contents[i])), strlen(contents[i]));
		(void)close(fd);
		assert_int_equal(pm_keyfile_load(path, &key, &err), -1);
		assert_int_equal(err.code, PM_CORRUPT);
	}
	assert_int_equal(unlink(path), 0);
}

static void no_key_file_where_it_cannot_be(void **state)
{
	struct pm_key *key;
	struct pm_error err;
	char where[96];
	bool made;

	(void)state;
	(void)snprintf(where, sizeof(where), "%s/none/key", dir);
	assert_int_equal(pm_keyfile_load_or_create(where, &key, &made, &err), -1);
	assert_false(made);
	assert_int_equal(pm_secret_pages(), 0);
}

/* ---- tokens ---- */

static struct pm_token token_with(unsigned n_addresses)
{
	struct pm_key *key = key_of(5);
	struct pm_token t;
	struct pm_error err;

	assert_int_equal(pm_token_create(PM_TOKEN_JOIN, &t, &err), 0);
	memcpy(t.coordinator, pm_key_public(key), PM_KEY_BYTES);
	t.expires_wall_s = 0x0102030405060708;
	for (unsigned i = 0; i < n_addresses; i++)
		assert_int_equal(pm_address_parse(i % 2 == 0 ? "c.example:7443" : "[::1]:80",
		                                  &t.addresses[i], &err),
		                 0);
	t.n_addresses = n_addresses;
	pm_key_destroy(key);
	return t;
}

static void tokens_come_back_from_their_text(void **state)
{
	struct pm_error err;

	(void)state;
	for (unsigned n = 0; n <= PM_ADDRESSES_MAX; n++) {
		struct pm_token t = token_with(n), back;
		struct pm_buf text = { 0 };

		t.kind = n % 2 == 0 ? PM_TOKEN_JOIN : PM_TOKEN_OPERATOR;
		assert_int_equal(pm_token_format(&t, &text, &err), 0);
		assert_int_equal(strlen(text.bytes), text.len);
		assert_null(strpbrk(text.bytes, " \n+/="));
		assert_true(text.len < PM_TOKEN_TEXT_MAX);
		assert_int_equal(pm_token_parse(text.bytes, &back, &err), 0);
		assert_int_equal(back.kind, t.kind);
		assert_int_equal(back.n_addresses, n);
		assert_memory_equal(back.secret, t.secret, PM_TOKEN_SECRET_BYTES);
		assert_memory_equal(back.id, t.id, PM_TOKEN_ID_BYTES);
		assert_memory_equal(back.coordinator, t.coordinator, PM_KEY_BYTES);
		assert_true(back.expires_wall_s == t.expires_wall_s);
		for (unsigned i = 0; i < n; i++) {
			assert_string_equal(back.addresses[i].host, t.addresses[i].host);
			assert_int_equal(back.addresses[i].port, t.addresses[i].port);
		}
		pm_token_finish(&back);
		pm_token_finish(&t);
		pm_token_wipe(&text);
		assert_null(text.bytes);
	}
	assert_int_equal(pm_secret_pages(), 0);
}

static void a_changed_token_is_refused(void **state)
{
	struct pm_token t = token_with(2), back;
	struct pm_buf text = { 0 };
	char other[1024];
	struct pm_error err;

	(void)state;
	assert_int_equal(pm_token_format(&t, &text, &err), 0);
	for (size_t i = 0; i < text.len; i++) {
		char was = text.bytes[i];

		text.bytes[i] = was == 'Q' ? 'R' : 'Q';
		if (pm_token_parse(text.bytes, &back, &err) == 0)
			fail_msg("character %zu", i);
		assert_int_equal(err.code, PM_CONFIG);
		text.bytes[i] = '\0';
		assert_int_equal(pm_token_parse(text.bytes, &back, &err), -1);
		text.bytes[i] = was;
	}
	/* Nor does it pass for one of the other kind. */
	(void)snprintf(other, sizeof(other), "pmd-login:%s", text.bytes + strlen("pmd-join:"));
	assert_int_equal(pm_token_parse(other, &back, &err), -1);
	pm_token_finish(&t);
	pm_token_wipe(&text);
	assert_int_equal(pm_secret_pages(), 0);
}

/* Whole by its check sum, but with senseless insides. */
static void a_token_that_makes_no_sense_is_refused(void **state)
{
	static const struct {
		size_t len;
		uint8_t version, addr_len;
		char addr;
	} cases[] = {
		{ 0, 1, 0, 'a' },   { 80, 1, 0, 'a' }, { 81, 2, 0, 'a' },    { 82, 1, 0, 'a' },
		{ 90, 1, 20, 'a' }, { 83, 1, 0, ' ' }, { 338, 1, 255, 'a' }, { 83, 1, 0, '\0' },
	};
	uint8_t inside[400];
	struct pm_token t;
	struct pm_error err;
	char text[700];

	(void)state;
	for (size_t i = 0; i < PM_COUNT(cases); i++) {
		memset(inside, cases[i].addr, sizeof(inside));
		inside[0] = cases[i].version;
		inside[81] = cases[i].addr_len;
		keytext_put("pmd-join:", inside, cases[i].len, text, sizeof(text));
		if (pm_token_parse(text, &t, &err) == 0)
			fail_msg("case %zu", i);
		assert_int_equal(err.code, PM_CONFIG);
	}
	assert_int_equal(pm_secret_pages(), 0);
}

static void the_kept_hash_matches_its_own_secret_only(void **state)
{
	struct pm_token t = token_with(0), other = token_with(0);
	uint8_t hash[PM_TOKEN_HASH_BYTES];

	(void)state;
	pm_token_hash(t.id, t.secret, hash);
	assert_true(matches(hash, t.id, t.secret));
	assert_false(matches(hash, other.id, t.secret));
	assert_false(matches(hash, t.id, other.secret));
	t.secret[31] ^= 1;
	assert_false(matches(hash, t.id, t.secret));
	t.secret[31] ^= 1;
	hash[0] ^= 0x80;
	assert_false(matches(hash, t.id, t.secret));
	pm_token_finish(&t);
	pm_token_finish(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_and_written),
		cmocka_unit_test(keys_come_back_from_their_text),
		cmocka_unit_test(a_key_that_lost_or_changed_a_character_is_refused),
		cmocka_unit_test(a_text_of_another_length_or_a_weak_key_is_no_key),
		cmocka_unit_test(texts_of_every_length_come_back),
		cmocka_unit_test(fingerprints_are_five_words_and_tell_keys_apart),
		cmocka_unit_test(two_new_keys_differ),
		cmocka_unit_test(a_key_file_is_made_once_and_is_private),
		cmocka_unit_test(a_key_file_that_others_can_read_is_refused),
		cmocka_unit_test(links_pipes_and_folders_are_no_key_files),
		cmocka_unit_test(a_damaged_key_file_is_told_from_none),
		cmocka_unit_test(no_key_file_where_it_cannot_be),
		cmocka_unit_test(tokens_come_back_from_their_text),
		cmocka_unit_test(a_changed_token_is_refused),
		cmocka_unit_test(a_token_that_makes_no_sense_is_refused),
		cmocka_unit_test(the_kept_hash_matches_its_own_secret_only),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
