/* cron.h - cron expressions: parsing, and the next time in a zone. Pure. */
#ifndef PM_PROTO_CRON_H
#define PM_PROTO_CRON_H

#include <stdbool.h>

#include "proto/base.h"
#include "proto/error.h"

/* Longer expressions are refused. */
#define CRON_TEXT_MAX 256
/* How far cron_next() looks ahead: a Friday the 29th of February is at most 40 years away. */
#define CRON_HORIZON_S (41LL * 366 * 86400)

/* A parsed expression: plain data. Bit n of a set is the value n. */
struct cron {
	uint64_t seconds, minutes;
	uint32_t hours, days, months; /* days 1..31, months 1..12 */
	/* Day of week 0..6 from Sunday: bit n-1 is the n-th of the month, CRON_LAST the last one, 0
	 * the day is not in the set. */
	uint8_t weekdays[7];
	bool last_day;             /* the month's last day too: L */
	bool any_day, any_weekday; /* the field began with * or ?: see the rule at cron_parse() */
};
#define CRON_EVERY 0x1F /* the 1st to the 5th */
#define CRON_LAST  0x20

/* A stretch of time with one offset from UTC: from_s <= t < until_s. */
struct cron_span {
	int64_t from_s, until_s; /* INT64_MIN, INT64_MAX: for ever */
	int32_t offset_s;        /* local time - UTC */
};

/* The zone, injected: agent/tz.h reads them from the system's files. */
struct cron_zone {
	void (*span_at)(const void *arg, int64_t utc_s, struct cron_span *out);
	const void *arg; /* borrowed */
};

/*
 * Parse "[second] minute hour day-of-month month day-of-week", or @hourly, @daily (@midnight),
 * @weekly, @monthly, @yearly (@annually).
 *
 * fields   *, ?, numbers, names (jan, MON), ranges a-b, steps /n on *, a range or a number (to the
 *          end), lists. Sunday is 0 or 7. L as day of month: the last one. Day of week 5#2: the
 *          second Friday; 5L: the last one.
 * rule     when both day fields are restricted (begin with neither * nor ?), a day that matches
 *          either will do; else it must match both (crontab(5))
 * errors   PM_CONFIG: names the field and says what was expected, also for dates that never come
 *          (30 February)
 */
PM_MUST_CHECK int cron_parse(const char *text, struct cron *out, struct pm_error *err);

/*
 * The first time strictly after after_s.
 *
 * returns  seconds since the epoch, or -1 when there is none within CRON_HORIZON_S
 *
 * When clocks change: an expression for certain hours runs once at the end of the skipped
 * time if any of its times was skipped, and only in the first pass of the repeated time. One for
 * every hour follows the clock as it is: it runs in both passes and makes up for nothing, so that
 * what runs each few minutes goes on doing so.
 */
int64_t cron_next(const struct cron *c, const struct cron_zone *zone, int64_t after_s);

/* A zone of one offset; arg points at an int32_t of seconds. */
void cron_fixed_span(const void *arg, int64_t utc_s, struct cron_span *out);

#endif
