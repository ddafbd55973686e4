/* fuzz_token.c - a token, a key or an address as somebody pasted it: no crash, no secret left. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "proto/keytext.h"
#include "proto/secret.h"
#include "proto/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const char *text)
{
	uint8_t public[PM_KEY_BYTES];
	struct pm_address a;
	struct pm_token t;
	struct pm_key *key;
	struct pm_error err;

	if (pm_token_parse(text, &t, &err) == 0)
		pm_token_finish(&t);
	if (pm_key_parse_secret(text, &key, &err) == 0)
		pm_key_destroy(key);
	if (pm_key_parse(text, public, &err) == 0 && pm_key_same(public, (const uint8_t[32]){ 0 }))
		abort();
	if (pm_address_parse(text, &a, &err) == 0) {
		char back[PM_ADDRESS_TEXT];
		struct pm_address b;

		pm_address_format(&a, back);
		if (pm_address_parse(back, &b, &err) < 0 || strcmp(a.host, b.host) != 0)
			abort();
	}
}

/* As text; and as the inside of a token with a right check sum, which chance does not find. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size > 3000 || sodium_init() < 0)
		return 0;
	text = malloc(PM_MAX(size + 1, keytext_size("pmd-login:", size)));
	if (text == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	parse(text);
	keytext_put("pmd-login:", data, size, text, keytext_size("pmd-login:", size));
	parse(text);
	free(text);
	if (pm_secret_pages() != 0)
		abort();
	return 0;
}
