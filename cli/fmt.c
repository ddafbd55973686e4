#include "cli/fmt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

void fmt_duration(uint64_t ms, char *out)
{
	static const struct {
		uint64_t s;
		const char *unit;
	} units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "m" }, { 1, "s" } };
	unsigned long long s = ms / 1000;
	size_t i = 0;

	if (ms < 1000) {
		(void)snprintf(out, FMT_MAX, "%llums", (unsigned long long)ms);
		return;
	}
	if (ms < 10000 && ms % 1000 >= 100) {
		(void)snprintf(out, FMT_MAX, "%llu.%llus", s,
		               (unsigned long long)(ms % 1000 / 100));
		return;
	}
	while (s < units[i].s)
		i++;
	if (i + 1 == PM_COUNT(units) || s % units[i].s / units[i + 1].s == 0)
		(void)snprintf(out, FMT_MAX, "%llu%s", s / units[i].s, units[i].unit);
	else
		(void)snprintf(out, FMT_MAX, "%llu%s %llu%s", s / units[i].s, units[i].unit,
		               s % units[i].s / units[i + 1].s, units[i + 1].unit);
}

void fmt_clock(uint64_t ms, char *out)
{
	unsigned long long s = ms / 1000;

	if (s >= 3600)
		(void)snprintf(out, FMT_MAX, "%llu:%02u:%02u", s / 3600, (unsigned)(s / 60 % 60),
		               (unsigned)(s % 60));
	else
		(void)snprintf(out, FMT_MAX, "%llu:%02u", s / 60, (unsigned)(s % 60));
}

void fmt_iso(int64_t wall_ms, char *out)
{
	time_t s = (time_t)(wall_ms / 1000);
	int ms = (int)(wall_ms % 1000);
	char date[FMT_MAX / 2];
	struct tm tm;

	if (ms < 0) {
		ms += 1000;
		s--;
	}
	if (gmtime_r(&s, &tm) == NULL || strftime(date, sizeof(date), "%FT%T", &tm) == 0)
		(void)snprintf(out, FMT_MAX, "N/A");
	else
		(void)snprintf(out, FMT_MAX, "%s.%03dZ", date, ms);
}

void fmt_signal(int signal, char *out)
{
	const char *name = signal > 0 ? sigabbrev_np(signal) : NULL;

	if (name != NULL)
		(void)snprintf(out, FMT_MAX, "SIG%s", name);
	else
		(void)snprintf(out, FMT_MAX, "signal %d", signal);
}

int fmt_parse_signal(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (end != text)
		return *end == '\0' && number > 0 && number <= 64 ? (int)number : 0;
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (int signal = 1; signal <= 31; signal++) {
		const char *name = sigabbrev_np(signal);

		if (name != NULL && strcasecmp(text, name) == 0)
			return signal;
	}
	return 0;
}
