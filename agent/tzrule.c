#include "agent/tzrule.h"

#include <ctype.h>

#include "proto/cron.h"

#define DAY_S 86400

/* Beyond these years nothing is computed: the span there has no end. */
#define YEAR_MAX 9999

static int scan_digits(const char **at, int max)
{
	int value = 0, digits = 0;

	while (isdigit((unsigned char)**at) && digits < 3) {
		value = value * 10 + (*(*at)++ - '0');
		digits++;
	}
	return digits == 0 || value > max ? -1 : value;
}

/* [+-]hh[:mm[:ss]] */
static int scan_time(const char **at, int max_hours, int32_t *out)
{
	int sign = 1, part;
	int32_t value;

	if (**at == '+' || **at == '-')
		sign = *(*at)++ == '-' ? -1 : 1;
	part = scan_digits(at, max_hours);
	if (part < 0)
		return -1;
	value = part * 3600;
	for (int unit = 60; unit >= 1 && **at == ':'; unit /= 60) {
		(*at)++;
		part = scan_digits(at, 59);
		if (part < 0)
			return -1;
		value += part * unit;
	}
	*out = sign * value;
	return 0;
}

static int skip_name(const char **at)
{
	const char *start = *at;

	if (**at == '<') {
		while (**at != '\0' && **at != '>')
			(*at)++;
		return *(*at)++ == '>' ? 0 : -1;
	}
	while (isalpha((unsigned char)**at))
		(*at)++;
	return *at - start >= 3 ? 0 : -1;
}

static int scan_day(const char **at, struct tzrule_date *out)
{
	out->month = out->week = 0;
	if (**at == 'M') {
		out->kind = TZRULE_MONTH;
		(*at)++;
		out->month = scan_digits(at, 12);
		if (out->month < 1 || *(*at)++ != '.')
			return -1;
		out->week = scan_digits(at, 5);
		if (out->week < 1 || *(*at)++ != '.')
			return -1;
		out->day = scan_digits(at, 6);
		return out->day;
	}
	out->kind = TZRULE_DAY;
	if (**at == 'J') {
		out->kind = TZRULE_JULIAN;
		(*at)++;
	}
	out->day = scan_digits(at, 365);
	return out->kind == TZRULE_JULIAN && out->day == 0 ? -1 : out->day;
}

static int scan_date(const char **at, struct tzrule_date *out)
{
	out->time_s = 2 * 3600;
	if (*(*at)++ != ',' || scan_day(at, out) < 0)
		return -1;
	if (**at != '/')
		return 0;
	(*at)++;
	return scan_time(at, 167, &out->time_s);
}

int tzrule_parse(const char *text, struct tzrule *out)
{
	const char *at = text;

	*out = (struct tzrule){ 0 };
	if (skip_name(&at) < 0 || scan_time(&at, 24, &out->std_s) < 0)
		return -1;
	out->std_s = -out->std_s; /* POSIX counts westwards */
	if (*at == '\0')
		return 0;
	out->has_dst = true;
	if (skip_name(&at) < 0)
		return -1;
	out->dst_s = out->std_s + 3600;
	if (*at != ',') {
		if (scan_time(&at, 24, &out->dst_s) < 0)
			return -1;
		out->dst_s = -out->dst_s;
	}
	if (scan_date(&at, &out->start) < 0 || scan_date(&at, &out->end) < 0)
		return -1;
	return *at == '\0' ? 0 : -1;
}

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1970-01-01 to the first of the month. */
static int64_t day_of(int64_t year, int month)
{
	static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	const int64_t y = year - 1;

	return y * 365 + y / 4 - y / 100 + y / 400 - 719162 + before[month - 1] +
	       (month > 2 && is_leap(year));
}

/* Seconds since the epoch, as if local time were UTC. */
static int64_t local_change(const struct tzrule_date *d, int64_t year)
{
	int64_t day, next;

	if (d->kind == TZRULE_DAY)
		day = day_of(year, 1) + d->day;
	else if (d->kind == TZRULE_JULIAN) /* 29 February is never counted */
		day = day_of(year, 1) + d->day - 1 + (is_leap(year) && d->day >= 60);
	else {
		day = day_of(year, d->month);
		next = d->month == 12 ? day_of(year + 1, 1) : day_of(year, d->month + 1);
		day += (d->day - (day + 4) % 7 + 7) % 7 + 7LL * (d->week - 1);
		if (day >= next)
			day -= 7;
	}
	return day * DAY_S + d->time_s;
}

struct change {
	int64_t at_s;
	int32_t offset_s; /* from then on */
};

static void sort(struct change *c, size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t j = i; j > 0 && c[j].at_s < c[j - 1].at_s; j--) {
			const struct change moved = c[j];

			c[j] = c[j - 1];
			c[j - 1] = moved;
		}
}

void tzrule_span(const struct tzrule *r, int64_t utc_s, struct cron_span *out)
{
	/* Of five years, since a time of day may reach a week into the year before or after. */
	struct change c[10];
	int64_t year = 1970 + utc_s / (DAY_S * 365LL + DAY_S / 4);
	size_t n = 0, i = 0;

	*out = (struct cron_span){ INT64_MIN, INT64_MAX, r->std_s };
	if (!r->has_dst || utc_s < 0 || year > YEAR_MAX)
		return;
	for (int64_t y = year - 2; y <= year + 2; y++) {
		c[n++] = (struct change){ local_change(&r->start, y) - r->std_s, r->dst_s };
		c[n++] = (struct change){ local_change(&r->end, y) - r->dst_s, r->std_s };
	}
	sort(c, n);
	while (i + 1 < n && c[i + 1].at_s <= utc_s)
		i++;
	out->from_s = c[i].at_s;
	out->offset_s = c[i].offset_s;
	if (i + 1 < n)
		out->until_s = c[i + 1].at_s;
}
