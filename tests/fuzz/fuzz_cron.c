/* fuzz_cron.c - any expression is refused in words, or has a next time after the given one. */
#include <stdlib.h>
#include <string.h>

#include "proto/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int32_t offset_s = 3600;
	const struct cron_zone zone = { cron_fixed_span, &offset_s };
	const int64_t after_s = 1700000000;
	char text[CRON_TEXT_MAX + 8];
	struct pm_error err;
	struct cron c;

	if (size >= sizeof(text))
		size = sizeof(text) - 1;
	memcpy(text, data, size);
	text[size] = '\0';
	if (cron_parse(text, &c, &err) < 0)
		return 0;
	if (cron_next(&c, &zone, after_s) <= after_s)
		abort();
	return 0;
}
