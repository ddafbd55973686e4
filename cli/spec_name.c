#include "cli/spec_name.h"

#include <string.h>
#include <strings.h>

#define DIGITS_MIN 4

void spec_name_text(const ProtobufCBinaryData *hash, unsigned digits, char out[SPEC_NAME_TEXT])
{
	static const char hex[] = "0123456789abcdef";
	unsigned n = hash->len == SPEC_NAME_BYTES ? 2 * SPEC_NAME_BYTES : 0;
	bool known = false;

	for (size_t i = 0; i < n / 2; i++)
		known = known || hash->data[i] != 0;
	n = !known ? 0 : digits < n ? digits : n;
	for (unsigned i = 0; i < n; i++)
		out[i] = hex[hash->data[i / 2] >> (i % 2 == 0 ? 4 : 0) & 0xf];
	out[n] = '\0';
}

bool spec_name_begins(const ProtobufCBinaryData *hash, const char *text)
{
	char whole[SPEC_NAME_TEXT];
	size_t len = strlen(text);

	spec_name_text(hash, 2 * SPEC_NAME_BYTES, whole);
	return len >= DIGITS_MIN && strncasecmp(whole, text, len) == 0;
}
