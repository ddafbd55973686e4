#include "proto/cron.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ALL_HOURS 0xFFFFFFu

struct field {
	const char *name;
	int min, max; /* of what may be written; a * ends at star_max */
	int star_max;
	const char *names; /* three letters each, the first stands for names_from */
	int names_from;
};

enum field_no {
	SECOND,
	MINUTE,
	HOUR,
	DAY,
	MONTH,
	WEEKDAY
};

static const struct field fields[] = {
	[SECOND] = { "second", 0, 59, 59, "", 0 },
	[MINUTE] = { "minute", 0, 59, 59, "", 0 },
	[HOUR] = { "hour", 0, 23, 23, "", 0 },
	[DAY] = { "day of month", 1, 31, 31, "", 0 },
	[MONTH] = { "month", 1, 12, 12, "janfebmaraprmayjunjulaugsepoctnovdec", 1 },
	[WEEKDAY] = { "day of week", 0, 7, 6, "sunmontuewedthufrisat", 0 },
};

static const struct {
	const char *name, *means;
} macros[] = {
	{ "@yearly", "0 0 1 1 *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" },
	{ "@weekly", "0 0 * * 0" }, { "@daily", "0 0 * * *" },    { "@midnight", "0 0 * * *" },
	{ "@hourly", "0 * * * *" },
};

/* One field on its way through the parser. */
struct scan {
	const struct field *field;
	const char *at, *end;
	struct pm_error *err;
};

/* One item of a list. */
struct item {
	int from, to, step;
	uint8_t nth; /* day of week: which of the month */
};

static int expected(const struct scan *s, const char *what)
{
	if (s->at == s->end)
		return pm_fail(s->err, PM_CONFIG, "%s: expected %s at the end", s->field->name,
		               what);
	return pm_fail(s->err, PM_CONFIG, "%s: expected %s, not '%.*s'", s->field->name, what,
	               (int)PM_MIN(s->end - s->at, 32), s->at);
}

static int expected_value(const struct scan *s)
{
	char what[64];

	(void)snprintf(what, sizeof(what), "%d-%d%s", s->field->min, s->field->max,
	               s->field == &fields[MONTH]     ? " or jan-dec"
	               : s->field == &fields[WEEKDAY] ? " or sun-sat"
	                                              : "");
	return expected(s, what);
}

/* Up to four digits; -1 when there are none or more. */
static int scan_number(struct scan *s)
{
	int value = 0, digits = 0;

	while (s->at + digits < s->end && isdigit((unsigned char)s->at[digits]) && digits < 5)
		value = value * 10 + (s->at[digits++] - '0');
	if (digits == 0 || digits > 4)
		return -1;
	s->at += digits;
	return value;
}

static int scan_name(struct scan *s)
{
	const char *names = s->field->names;

	if (s->end - s->at < 3)
		return -1;
	for (int i = 0; names[(ptrdiff_t)3 * i] != '\0'; i++)
		if (strncasecmp(s->at, names + (ptrdiff_t)3 * i, 3) == 0) {
			s->at += 3;
			return s->field->names_from + i;
		}
	return -1;
}

static int scan_value(struct scan *s, int *out)
{
	const char *start = s->at;
	int value = isalpha((unsigned char)*s->at) ? scan_name(s) : scan_number(s);

	if (s->at == s->end || !isalnum((unsigned char)*s->at) ||
	    toupper((unsigned char)*s->at) == 'L')
		if (value >= s->field->min && value <= s->field->max) {
			*out = value;
			return 0;
		}
	s->at = start;
	return expected_value(s);
}

static bool take(struct scan *s, char c)
{
	if (s->at == s->end || toupper((unsigned char)*s->at) != c)
		return false;
	s->at++;
	return true;
}

/* The value is there; what may follow it: -b, #n, L. */
static int scan_range(struct scan *s, struct item *item)
{
	const char *start = s->at;

	item->to = item->from;
	if (s->field == &fields[WEEKDAY] && take(s, 'L')) {
		item->nth = CRON_LAST;
		return 0;
	}
	if (s->field == &fields[WEEKDAY] && take(s, '#')) {
		int n = scan_number(s);

		if (n < 1 || n > 5)
			return expected(s, "1-5 after '#'");
		item->nth = (uint8_t)(1u << (n - 1));
		return 0;
	}
	if (!take(s, '-'))
		return 0;
	start = s->at;
	if (scan_value(s, &item->to) < 0)
		return -1;
	if (s->field == &fields[WEEKDAY] && item->to == 0)
		item->to = 7; /* sat-sun */
	if (item->to < item->from) {
		s->at = start;
		return expected(s, "a range that goes upwards");
	}
	return 0;
}

static int scan_item(struct scan *s, struct item *item)
{
	const char *start;
	bool single = false;

	*item = (struct item){
		.from = s->field->min, .to = s->field->star_max, .step = 1, .nth = CRON_EVERY
	};
	if (s->at == s->end)
		return expected_value(s);
	if (!take(s, '*') && !take(s, '?')) {
		if (scan_value(s, &item->from) < 0 || scan_range(s, item) < 0)
			return -1;
		single = item->to == item->from && item->nth == CRON_EVERY;
	}
	if (!take(s, '/'))
		return 0;
	start = s->at;
	if (single) /* 5/15: from 5 to the end */
		item->to = s->field->star_max;
	item->step = scan_number(s);
	if (item->step < 1 || item->step > s->field->star_max) {
		s->at = start;
		return pm_fail(s->err, PM_CONFIG,
		               "%s: expected a step of 1-%d after '/', not '%.*s'", s->field->name,
		               s->field->star_max, (int)PM_MIN(s->end - s->at, 32), s->at);
	}
	return 0;
}

static void put_item(struct cron *c, const struct field *field, const struct item *item)
{
	for (int v = item->from; v <= item->to; v += item->step) {
		const uint64_t bit = UINT64_C(1) << v;

		if (field == &fields[SECOND])
			c->seconds |= bit;
		else if (field == &fields[MINUTE])
			c->minutes |= bit;
		else if (field == &fields[HOUR])
			c->hours |= (uint32_t)bit;
		else if (field == &fields[DAY])
			c->days |= (uint32_t)bit;
		else if (field == &fields[MONTH])
			c->months |= (uint32_t)bit;
		else
			c->weekdays[v % 7] |= item->nth;
	}
}

static int scan_field(struct cron *c, struct scan *s)
{
	const bool any = *s->at == '*' || *s->at == '?';

	if (s->field == &fields[DAY])
		c->any_day = any;
	if (s->field == &fields[WEEKDAY])
		c->any_weekday = any;
	do {
		struct item item;

		if (s->field == &fields[DAY] && take(s, 'L')) {
			c->last_day = true;
			continue;
		}
		if (scan_item(s, &item) < 0)
			return -1;
		put_item(c, s->field, &item);
	} while (take(s, ','));
	return s->at == s->end ? 0 : expected(s, "',' or the next field");
}

/* Splits at blanks; returns how many words there are, at most 7 are stored. */
static size_t split(const char *text, const char *at[7], const char *end[7])
{
	size_t n = 0;

	for (;;) {
		text += strspn(text, " \t\r\n");
		if (*text == '\0')
			return n;
		if (n < 7) {
			at[n] = text;
			end[n] = text + strcspn(text, " \t\r\n");
		}
		text += strcspn(text, " \t\r\n");
		n++;
	}
}

static int64_t next_local(const struct cron *c, int64_t from_s, int64_t until_s);

static int parse_fields(const char *text, struct cron *c, struct pm_error *err)
{
	const char *at[7], *end[7];
	size_t n = split(text, at, end);

	if (n != 5 && n != 6)
		return pm_fail(err, PM_CONFIG,
		               "expected 5 fields (minute hour day month weekday) or 6 (second "
		               "first), not %zu",
		               n);
	if (n == 5)
		c->seconds = 1;
	for (size_t i = 0; i < n; i++) {
		struct scan s = { &fields[i + 6 - n], at[i], end[i], err };

		if (scan_field(c, &s) < 0)
			return -1;
	}
	if (next_local(c, 0, CRON_HORIZON_S) < 0)
		return pm_fail(err, PM_CONFIG, "day of month: no month given has such a day");
	return 0;
}

int cron_parse(const char *text, struct cron *out, struct pm_error *err)
{
	struct cron c = { 0 };
	const char *fields_text = text;

	if (strlen(text) > CRON_TEXT_MAX)
		return pm_fail(err, PM_CONFIG, "longer than %d characters", CRON_TEXT_MAX);
	fields_text += strspn(text, " \t");
	if (*fields_text == '@') {
		const char *name = fields_text;

		for (size_t i = 0; i < PM_COUNT(macros) && fields_text == name; i++)
			if (strcasecmp(name, macros[i].name) == 0)
				fields_text = macros[i].means;
		if (fields_text == name)
			return pm_fail(err, PM_CONFIG,
			               "expected @hourly, @daily, @weekly, @monthly or @yearly, "
			               "not '%.32s'",
			               name);
	}
	if (parse_fields(fields_text, &c, err) < 0)
		return -1;
	*out = c;
	return 0;
}

/* ---- the calendar --------------------------------------------------------------------------- */

struct date {
	int64_t day; /* since 1970-01-01 */
	int year, month, mday;
};

static bool is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int month_days(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Proleptic Gregorian; Howard Hinnant's "chrono-compatible low-level date algorithms". */
static struct date date_of(int64_t day)
{
	const int64_t z = day + 719468;
	const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	const int64_t doe = z - era * 146097;
	const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	const int64_t mp = (5 * doy + 2) / 153;
	const int month = (int)(mp < 10 ? mp + 3 : mp - 9);

	return (struct date){ day, (int)(yoe + era * 400) + (month <= 2), month,
		              (int)(doy - (153 * mp + 2) / 5 + 1) };
}

static bool day_matches(const struct cron *c, const struct date *d)
{
	const int last = month_days(d->year, d->month);
	const int weekday = (int)(((d->day + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
	const unsigned nth = 1u << ((d->mday - 1) / 7);
	const bool by_day = (c->days >> d->mday & 1) != 0 || (c->last_day && d->mday == last);
	const bool by_weekday = (c->weekdays[weekday] & nth) != 0 ||
	                        ((c->weekdays[weekday] & CRON_LAST) != 0 && d->mday + 7 > last);

	if (c->any_day || c->any_weekday)
		return by_day && by_weekday;
	return by_day || by_weekday;
}

/* The lowest member >= from, or -1. */
static int member(uint64_t set, int from)
{
	set = from > 63 ? 0 : set >> from;
	return set == 0 ? -1 : from + __builtin_ctzll(set);
}

/* The first time of day >= from (seconds), or -1. No set is empty. */
static int time_of_day(const struct cron *c, int from)
{
	int h = member(c->hours, from / 3600);
	int m = 0, s = 0;

	if (h < 0)
		return -1;
	if (h == from / 3600) {
		m = member(c->minutes, from / 60 % 60);
		if (m == from / 60 % 60) {
			s = member(c->seconds, from % 60);
			if (s >= 0)
				return h * 3600 + m * 60 + s;
			m = member(c->minutes, m + 1);
		}
		if (m >= 0)
			return h * 3600 + m * 60 + member(c->seconds, 0);
		h = member(c->hours, h + 1);
	}
	return h < 0 ? -1 : h * 3600 + member(c->minutes, 0) * 60 + member(c->seconds, 0);
}

/* Local seconds of the first slot in [from_s, until_s), or -1. Looks at each day once, and at no
 * day of a month that is not asked for. */
static int64_t next_local(const struct cron *c, int64_t from_s, int64_t until_s)
{
	struct date d = date_of(from_s / 86400);
	int from = (int)(from_s % 86400);

	while (d.day * 86400 < until_s) {
		int time = -1;

		if ((c->months >> d.month & 1) == 0) {
			d = date_of(d.day + month_days(d.year, d.month) - d.mday + 1);
			from = 0;
			continue;
		}
		if (day_matches(c, &d))
			time = time_of_day(c, from);
		if (time >= 0)
			return d.day * 86400 + time < until_s ? d.day * 86400 + time : -1;
		from = 0;
		d = date_of(d.day + 1);
	}
	return -1;
}

/* ---- the zone -------------------------------------------------------------------------------- */

void cron_fixed_span(const void *arg, int64_t utc_s, struct cron_span *out)
{
	int32_t offset_s;

	(void)utc_s;
	memcpy(&offset_s, arg, sizeof(offset_s));
	*out = (struct cron_span){ INT64_MIN, INT64_MAX, offset_s };
}

/* For an expression of certain hours: true when a slot was skipped as the span began at t;
 * otherwise *local_s is moved past what the clock shows a second time. */
static bool was_skipped(const struct cron *c, const struct cron_zone *zone,
                        const struct cron_span *span, int64_t t, int64_t *local_s)
{
	struct cron_span before;

	if (c->hours == ALL_HOURS || span->from_s <= 0)
		return false;
	zone->span_at(zone->arg, span->from_s - 1, &before);
	if (before.offset_s > span->offset_s)
		*local_s = PM_MAX(*local_s, span->from_s + before.offset_s);
	return before.offset_s < span->offset_s && t == span->from_s &&
	       next_local(c, t + before.offset_s, t + span->offset_s) >= 0;
}

int64_t cron_next(const struct cron *c, const struct cron_zone *zone, int64_t after_s)
{
	int64_t t = PM_MAX(after_s, 86400) + 1, end_s;

	if (after_s > INT64_MAX / 4)
		return -1;
	end_s = t + CRON_HORIZON_S;
	while (t < end_s) {
		struct cron_span span;
		int64_t local_s, found_s, until_s;

		zone->span_at(zone->arg, t, &span);
		local_s = t + span.offset_s;
		until_s = PM_MIN(span.until_s, end_s);
		if (was_skipped(c, zone, &span, t, &local_s))
			return t;
		found_s = next_local(c, local_s, until_s + span.offset_s);
		if (found_s >= 0)
			return found_s - span.offset_s;
		if (span.until_s <= t) /* a zone that does not move on */
			return -1;
		t = span.until_s;
	}
	return -1;
}
