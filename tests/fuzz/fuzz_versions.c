/* fuzz_versions.c - versions_decode() on foreign bytes, as they are and with a checksum that is
 * right. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "agent/versions.h"

#define FRAME_LEN 56

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const uint8_t *bytes, size_t len)
{
	struct versions v;
	struct pm_error err;

	if (versions_decode(bytes, len, &v, &err) == 0)
		versions_finish(&v);
}

/* No fuzzer guesses a checksum: without this the body's parser would never be reached. */
static void seal(uint8_t *bytes, size_t len)
{
	crypto_generichash_state hash;

	memcpy(bytes, "PMSPECS\n\0\0\0\1", 12);
	for (int i = 0; i < 8; i++)
		bytes[16 + i] = (uint8_t)((uint64_t)(len - FRAME_LEN) >> (56 - 8 * i));
	(void)crypto_generichash_init(&hash, NULL, 0, 32);
	(void)crypto_generichash_update(&hash, bytes, 24);
	(void)crypto_generichash_update(&hash, bytes + FRAME_LEN, len - FRAME_LEN);
	(void)crypto_generichash_final(&hash, bytes + 24, 32);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	decode(data, size);
	if (size < FRAME_LEN)
		return 0;
	copy = malloc(size);
	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	seal(copy, size);
	decode(copy, size);
	free(copy);
	return 0;
}
