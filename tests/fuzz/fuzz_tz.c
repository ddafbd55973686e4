/* fuzz_tz.c - any zone file is refused, or answers for every time and does not stall cron. */
#include <stdlib.h>

#include "agent/tz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t times[] = { INT64_MIN,  -1,         0,        1000000000,
		                         1700000000, 4000000000, INT64_MAX };
	struct cron_zone zone;
	struct pm_error err;
	struct cron c;
	struct tz *tz;

	if (tz_parse(data, size, &tz, &err) < 0)
		return 0;
	zone = tz_zone(tz);
	for (size_t i = 0; i < PM_COUNT(times); i++) {
		struct cron_span span;

		zone.span_at(zone.arg, times[i], &span);
		if (span.from_s > times[i] || (span.until_s <= times[i] && times[i] != INT64_MAX))
			abort();
	}
	if (cron_parse("30 2 29 2 *", &c, &err) < 0)
		abort();
	(void)cron_next(&c, &zone, 1700000000);
	tz_destroy(tz);
	return 0;
}
