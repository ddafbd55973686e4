#include "proto/scan.h"

#include <string.h>

int pm_scan_bad(struct pm_scan *s, const char *want)
{
	return pm_fail(s->err, PM_USAGE, "%s, at %zu: %s expected", s->what,
	               (size_t)(s->at - s->text) + 1, want);
}

void pm_scan_blanks(struct pm_scan *s)
{
	s->at += strspn(s->at, " \t\n");
}

const char *pm_scan_keep(struct pm_scan *s, const char *from, size_t len)
{
	char *start = s->to;

	memcpy(s->to, from, len);
	s->to[len] = '\0';
	s->to += len + 1;
	return start;
}
