#include "proto/dayjs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const months[] = { "January",   "February", "March",    "April",
	                              "May",       "June",     "July",     "August",
	                              "September", "October",  "November", "December" };
static const char *const days[] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
	                            "Thursday", "Friday", "Saturday" };

static int put_zone(const struct tm *tm, const char *separator, char *out, size_t size)
{
	long minutes = labs(tm->tm_gmtoff) / 60;

	return snprintf(out, size, "%c%02ld%s%02ld", tm->tm_gmtoff < 0 ? '-' : '+', minutes / 60,
	                separator, minutes % 60);
}

static int put_number(int value, size_t width, char *out, size_t size)
{
	return snprintf(out, size, "%0*d", (int)width, value);
}

/* One token: n times the letter c.  -1: it is none. */
static int put_token(char c, size_t n, const struct tm *tm, unsigned ms, char *out, size_t size)
{
	const char *month = months[tm->tm_mon % 12], *day = days[tm->tm_wday % 7];
	const int hour12 = tm->tm_hour % 12 == 0 ? 12 : tm->tm_hour % 12;

	switch (c) {
	case 'Y':
		if (n == 2)
			return put_number((tm->tm_year + 1900) % 100, 2, out, size);
		return n == 4 ? put_number(tm->tm_year + 1900, 4, out, size) : -1;
	case 'M':
		if (n <= 2)
			return put_number(tm->tm_mon + 1, n, out, size);
		return snprintf(out, size, "%.*s", n == 3 ? 3 : 9, month);
	case 'D':
		return put_number(tm->tm_mday, n, out, size);
	case 'd':
		if (n == 1)
			return put_number(tm->tm_wday, 1, out, size);
		return snprintf(out, size, "%.*s", n == 4 ? 9 : (int)n, day);
	case 'H':
		return put_number(tm->tm_hour, n, out, size);
	case 'h':
		return put_number(hour12, n, out, size);
	case 'a':
		return snprintf(out, size, "%s", tm->tm_hour < 12 ? "am" : "pm");
	case 'A':
		return snprintf(out, size, "%s", tm->tm_hour < 12 ? "AM" : "PM");
	case 'm':
		return put_number(tm->tm_min, n, out, size);
	case 's':
		return put_number(tm->tm_sec, n, out, size);
	case 'S':
		return n == 3 ? put_number((int)ms, 3, out, size) : -1;
	case 'Z':
		return put_zone(tm, n == 1 ? ":" : "", out, size);
	default:
		return -1;
	}
}

/* The most of a letter that make one token. */
static size_t longest(char c)
{
	static const char letters[] = "YMdDHhmsZSaA", lens[] = "444222222311";
	const char *at = strchr(letters, c);

	return c == '\0' || at == NULL ? 0 : (size_t)(lens[at - letters] - '0');
}

static size_t run_of(const char *s, size_t max)
{
	size_t n = 1;

	while (n < max && s[n] == s[0])
		n++;
	return n;
}

size_t pm_dayjs_tm(const char *format, const struct tm *tm, unsigned ms, char *out, size_t size)
{
	size_t len = 0;

	while (*format != '\0' && len < size) {
		const char *close = *format == '[' ? strchr(format, ']') : NULL;
		size_t max = longest(*format), n = max > 0 ? run_of(format, max) : 1;
		int put;

		if (close != NULL && close > format + 1) {
			put = snprintf(out + len, size - len, "%.*s", (int)(close - format - 1),
			               format + 1);
			n = (size_t)(close - format) + 1;
		} else {
			put = max > 0 ? put_token(*format, n, tm, ms, out + len, size - len) : -1;
			if (put < 0)
				put = snprintf(out + len, size - len, "%.*s", (int)n, format);
		}
		len += (size_t)put;
		format += n;
	}
	if (len >= size) {
		if (size > 0)
			out[0] = '\0';
		return 0;
	}
	out[len] = '\0';
	return len;
}

size_t pm_dayjs(const char *format, int64_t wall_ms, char *out, size_t size)
{
	int64_t ms = wall_ms % 1000;
	time_t s = wall_ms / 1000;
	struct tm tm;

	if (ms < 0) {
		ms += 1000;
		s--;
	}
	if (localtime_r(&s, &tm) == NULL)
		return 0;
	return pm_dayjs_tm(format, &tm, (unsigned)ms, out, size);
}
