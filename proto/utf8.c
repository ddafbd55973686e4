#include "proto/utf8.h"

#include <string.h>

/* How many of the bytes from p on are ASCII other than NUL, eight at a time; the rest is not looked
 * at. */
static size_t plain_run(const uint8_t *p, size_t len)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
	size_t n = 0;

	for (; len - n >= 8; n += 8) {
		uint64_t word;

		memcpy(&word, p + n, 8);
		if (((word | (word - ones)) & tops) != 0)
			break;
	}
	return n;
}

/* Length of the sequence at p, 0: not UTF-8.  RFC 3629, section 4. */
static size_t sequence(const uint8_t *p, size_t len)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return p[0] != 0;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len < n)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f; /* surrogates */
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool pm_utf8_ok(const uint8_t *bytes, size_t len)
{
	size_t i = 0, n;

	while (i < len) {
		i += plain_run(bytes + i, len - i);
		if (i == len)
			break;
		n = sequence(bytes + i, len - i);
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}
