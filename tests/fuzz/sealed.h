/* sealed.h - foreign bytes to a decoder of agent/state_frame.h's frames, as they are and with a
 * head that is right: no fuzzer guesses a checksum, and without one the body's parser would never
 * be reached. */
#ifndef PM_TESTS_FUZZ_SEALED_H
#define PM_TESTS_FUZZ_SEALED_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define FRAME_LEN 56

/* magic: 8 bytes */
static inline void seal(uint8_t *bytes, size_t len, const char *magic)
{
	crypto_generichash_state hash;

	memcpy(bytes, magic, 8);
	memcpy(bytes + 8, "\0\0\0\1", 4);
	for (int i = 0; i < 8; i++)
		bytes[16 + i] = (uint8_t)((uint64_t)(len - FRAME_LEN) >> (56 - 8 * i));
	(void)crypto_generichash_init(&hash, NULL, 0, 32);
	(void)crypto_generichash_update(&hash, bytes, 24);
	(void)crypto_generichash_update(&hash, bytes + FRAME_LEN, len - FRAME_LEN);
	(void)crypto_generichash_final(&hash, bytes + 24, 32);
}

static inline int decode_both_ways(const uint8_t *data, size_t size, const char *magic,
                                   void (*decode)(const uint8_t *bytes, size_t len))
{
	uint8_t *copy;

	decode(data, size);
	if (size < FRAME_LEN)
		return 0;
	copy = malloc(size);
	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	seal(copy, size, magic);
	decode(copy, size);
	free(copy);
	return 0;
}

#endif
