#include "proto/utf8.h"

#include <string.h>

/* The length a lead byte promises and the range of the second byte; need 0: no lead byte. */
static int lead(unsigned char c, unsigned char *lo, unsigned char *hi)
{
	*lo = 0x80;
	*hi = 0xBF;
	if (c >= 0xC2 && c <= 0xDF)
		return 2;
	if (c >= 0xE0 && c <= 0xEF) {
		if (c == 0xE0)
			*lo = 0xA0;
		if (c == 0xED)
			*hi = 0x9F;
		return 3;
	}
	if (c >= 0xF0 && c <= 0xF4) {
		if (c == 0xF0)
			*lo = 0x90;
		if (c == 0xF4)
			*hi = 0x8F;
		return 4;
	}
	return 0;
}

int pm_utf8_next(const char *s, size_t len, uint32_t *cp)
{
	unsigned char lo, hi, c = (unsigned char)s[0];
	uint32_t value;
	int need;

	if (c < 0x80) {
		*cp = c;
		return 1;
	}
	need = lead(c, &lo, &hi);
	if (need == 0)
		return -1;
	value = c & (0x7Fu >> need);
	for (int i = 1; i < need; i++) {
		if ((size_t)i >= len)
			return -i;
		c = (unsigned char)s[i];
		if (c < lo || c > hi)
			return -i;
		value = value << 6 | (c & 0x3Fu);
		lo = 0x80;
		hi = 0xBF;
	}
	*cp = value;
	return need;
}

size_t pm_utf8_whole(const char *s, size_t len)
{
	for (size_t back = 1; back <= 3 && back <= len; back++) {
		unsigned char lo, hi, c = (unsigned char)s[len - back];
		uint32_t cp;

		if (c < 0x80)
			return len;
		if (c < 0xC0)
			continue;
		/* A lead byte: cut off exactly when all that is there of it is valid. */
		if (lead(c, &lo, &hi) > (int)back &&
		    pm_utf8_next(s + len - back, back, &cp) == -(int)back)
			return len - back;
		return len;
	}
	return len;
}

size_t pm_utf8_put(char out[4], uint32_t cp)
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xC0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3F));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xE0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
		out[2] = (char)(0x80 | (cp & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
	out[3] = (char)(0x80 | (cp & 0x3F));
	return 4;
}

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

bool pm_utf8_ok(const uint8_t *bytes, size_t len)
{
	uint32_t cp;
	size_t i = 0;
	int n;

	while (i < len) {
		i += plain_run(bytes + i, len - i);
		if (i == len)
			break;
		n = pm_utf8_next((const char *)bytes + i, len - i, &cp);
		if (n < 0 || cp == 0)
			return false;
		i += (size_t)n;
	}
	return true;
}
