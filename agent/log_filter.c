#include "agent/log_filter.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* What the repetitions of a pattern may multiply to. */
#define REPEAT_MAX 1000

/* Repetitions are unrolled by regcomp(), and so multiply: a short text could take all memory. */
static bool is_modest(const char *text)
{
	uint64_t product = 1;

	if (strlen(text) > LOG_FILTER_MAX)
		return false;
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\\' && p[1] >= '1' && p[1] <= '9')
			return false; /* a reference back: takes exponential time */
		if (*p == '\\' && p[1] != '\0') {
			p++;
		} else if (*p == '{') {
			unsigned a = 0, b = 0;

			if (sscanf(p, "{%u,%u", &a, &b) >= 1)
				product *= PM_MAX(PM_MAX(a, b), 1);
			if (product > REPEAT_MAX)
				return false;
		}
	}
	return true;
}

int log_filter_init(struct log_filter *f, const char *pattern, bool invert, struct pm_error *err)
{
	char why[128];
	int rc;

	if (pattern == NULL || pattern[0] == '\0')
		return 0;
	if (!is_modest(pattern))
		return pm_fail(err, PM_LIMIT,
		               "pattern: too long, refers back, or repeats too much");
	rc = regcomp(&f->re, pattern, REG_EXTENDED | REG_NOSUB);
	if (rc != 0) {
		(void)regerror(rc, &f->re, why, sizeof(why));
		return pm_fail(err, PM_USAGE, "pattern: %s", why);
	}
	f->on = true;
	f->invert = invert;
	return 0;
}

void log_filter_finish(struct log_filter *f)
{
	if (f->on)
		regfree(&f->re);
	f->on = false;
}

bool log_filter_takes(const struct log_filter *f, const char *line, size_t len)
{
	regmatch_t match = { .rm_so = 0, .rm_eo = (regoff_t)PM_MIN(len, LOG_FILTER_LINE_MAX) };

	if (!f->on)
		return true;
	return (regexec(&f->re, line, 0, &match, REG_STARTEND) == 0) != f->invert;
}
