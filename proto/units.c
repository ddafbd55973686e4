#include "proto/units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const char *skip_blanks(const char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

bool pm_parse_int(const char *text, int64_t *out)
{
	const char *start = skip_blanks(text);
	char *end;
	long long value;

	errno = 0;
	value = strtoll(start, &end, 10);
	if (end == start || errno != 0 || *skip_blanks(end) != '\0')
		return false;
	*out = value;
	return true;
}

static bool find_unit(const struct unit *units, size_t n, const char *name, uint64_t *factor)
{
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(units[i].name, name) == 0) {
			*factor = units[i].factor;
			return true;
		}
	return false;
}

/* Digits with an optional fraction of up to six digits; *frac is in millionths. */
static const char *read_digits(const char *s, uint64_t *whole, uint64_t *frac)
{
	uint64_t place = 100000;

	*whole = *frac = 0;
	if (!isdigit((unsigned char)*s))
		return NULL;
	for (; isdigit((unsigned char)*s); s++)
		if (__builtin_mul_overflow(*whole, 10, whole) ||
		    __builtin_add_overflow(*whole, (uint64_t)(*s - '0'), whole))
			return NULL;
	if (*s != '.')
		return s;
	s++;
	if (!isdigit((unsigned char)*s))
		return NULL;
	for (; isdigit((unsigned char)*s); s++, place /= 10)
		*frac += (uint64_t)(*s - '0') * place;
	return s;
}

static bool parse_scaled(const char *text, const struct unit *units, size_t n, uint64_t *out)
{
	uint64_t whole, frac, factor, value;
	const char *s = read_digits(skip_blanks(text), &whole, &frac);
	char name[8] = "";
	size_t len = 0;

	if (s == NULL)
		return false;
	s = skip_blanks(s);
	while (isalpha((unsigned char)*s) && len < sizeof(name) - 1)
		name[len++] = *s++;
	if (*skip_blanks(s) != '\0' || !find_unit(units, n, name, &factor))
		return false;
	if (__builtin_mul_overflow(whole, factor, &value) ||
	    __builtin_mul_overflow(frac, factor, &frac) ||
	    __builtin_add_overflow(value, frac / 1000000, &value))
		return false;
	*out = value;
	return true;
}

bool pm_parse_size(const char *text, uint64_t *out)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "b", 1 },
		{ "k", 1u << 10 },
		{ "kb", 1u << 10 },
		{ "kib", 1u << 10 },
		{ "m", 1u << 20 },
		{ "mb", 1u << 20 },
		{ "mib", 1u << 20 },
		{ "g", 1u << 30 },
		{ "gb", 1u << 30 },
		{ "gib", 1u << 30 },
		{ "t", 1ull << 40 },
		{ "tb", 1ull << 40 },
		{ "tib", 1ull << 40 },
	};

	return parse_scaled(text, units, PM_COUNT(units), out);
}

bool pm_parse_duration(const char *text, uint64_t unit_ms, uint64_t *out)
{
	const struct unit units[] = {
		{ "", unit_ms }, { "ms", 1 },      { "s", 1000 },
		{ "m", 60000 },  { "h", 3600000 }, { "d", 86400000 },
	};

	return parse_scaled(text, units, PM_COUNT(units), out);
}

void pm_uptime_text(uint64_t ms, char *out)
{
	static const struct {
		uint64_t seconds;
		char name;
	} units[] = {
		{ 365ull * 86400, 'Y' },
		{ 30ull * 86400, 'M' },
		{ 86400, 'D' },
		{ 3600, 'h' },
		{ 60, 'm' },
	};
	const uint64_t seconds = ms / 1000;

	for (size_t i = 0; i < PM_COUNT(units); i++)
		if (seconds / units[i].seconds > 1) {
			(void)snprintf(out, PM_UPTIME_TEXT, "%" PRIu64 "%c",
			               seconds / units[i].seconds, units[i].name);
			return;
		}
	(void)snprintf(out, PM_UPTIME_TEXT, "%" PRIu64 "s", seconds);
}

void pm_bytes_text(uint64_t bytes, char *out)
{
	static const char *const units[] = { "kb", "mb", "gb", "tb" };
	uint64_t scale = 1024;
	size_t i = 0;

	if (bytes < scale) {
		(void)snprintf(out, PM_BYTES_TEXT, "%" PRIu64 "b", bytes);
		return;
	}
	for (; i + 1 < PM_COUNT(units) && bytes / scale >= 1024; i++)
		scale *= 1024;
	(void)snprintf(out, PM_BYTES_TEXT, "%.1f%s", (double)bytes / (double)scale, units[i]);
}

void pm_number_text(double number, char *out)
{
	double size = number < 0 ? -number : number;
	char *e;

	if (!__builtin_isfinite(number)) {
		(void)snprintf(out, PM_NUMBER_TEXT, "%s",
		               size > 0 ? (number > 0 ? "Infinity" : "-Infinity") : "NaN");
		return;
	}
	/* Above 2^53 every double is whole. Adding zero takes the sign from minus zero. */
	if (size < 1e21 && (size > 9e15 || !((double)(int64_t)number < number ||
	                                     (double)(int64_t)number > number))) {
		(void)snprintf(out, PM_NUMBER_TEXT, "%.0f", number + 0.0);
		return;
	}
	/* The shortest text that reads back as the same number. */
	for (int digits = 1; digits <= 17; digits++) {
		(void)snprintf(out, PM_NUMBER_TEXT, "%.*g", digits, number);
		if (!(strtod(out, NULL) < number) && !(strtod(out, NULL) > number))
			break;
	}
	e = strchr(out, 'e');
	if (e == NULL)
		return;
	if (size < 1 && size >= 1e-6) {
		/* JavaScript writes these without an exponent. */
		(void)snprintf(out, PM_NUMBER_TEXT, "%.*f", (int)(e - out) + 5, number);
		for (size_t len = strlen(out); out[len - 1] == '0'; len--)
			out[len - 1] = '\0';
		return;
	}
	/* C writes e-07, JavaScript e-7. */
	for (e += 2; e[0] == '0' && e[1] != '\0';)
		memmove(e, e + 1, strlen(e));
}
