/* fuzz_units.c - sizes and durations are whole texts, and what is refused leaves no trace. */
#include <stdlib.h>
#include <string.h>

#include "proto/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[64], shown[32];
	uint64_t out = 42;
	int64_t number = 42;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (!pm_parse_size(text, &out) && out != 42)
		abort();
	pm_bytes_text(out, shown);
	out = 42;
	if (!pm_parse_duration(text, 1, &out) && out != 42)
		abort();
	pm_uptime_text(out, shown);
	if (!pm_parse_int(text, &number) && number != 42)
		abort();
	return 0;
}
