/* tzrule.h - the POSIX TZ rule at the end of a zone file: "CET-1CEST,M3.5.0,M10.5.0/3". Pure. */
#ifndef PM_AGENT_TZRULE_H
#define PM_AGENT_TZRULE_H

#include <stdbool.h>

#include "proto/base.h"

struct cron_span;

/* When in a year the clocks change. */
struct tzrule_date {
	enum {
		TZRULE_MONTH,
		TZRULE_JULIAN,
		TZRULE_DAY
	} kind; /* Mm.w.d, Jn, n */
	int month, week, day;
	int32_t time_s; /* local time before the change, from midnight; may be negative or > 24 h */
};

/* Plain data. */
struct tzrule {
	int32_t std_s, dst_s; /* local time - UTC */
	bool has_dst;
	struct tzrule_date start, end; /* of what dst_s is for */
};

/*
 * source  tzset(3), RFC 8536 3.3.1 (times of -167 to 167 hours)
 * errors  -1 when text is no rule; *out is then undefined
 */
PM_MUST_CHECK int tzrule_parse(const char *text, struct tzrule *out);

/* The span of time around utc_s; its ends are changes by the rule. */
void tzrule_span(const struct tzrule *r, int64_t utc_s, struct cron_span *out);

#endif
