/* fuzz_record.c - a byte stream cut in any way gives the same records as uncut. */
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
	uint64_t hash;
	int rc;
};

static void feed(struct pm_record_reader *r, const uint8_t *bytes, size_t len, struct sum *sum)
{
	const uint8_t *record;
	struct pm_error err;
	size_t n;

	while (sum->rc >= 0 &&
	       (sum->rc = pm_record_next(r, &bytes, &len, &record, &n, &err)) == 1) {
		if (n == 0 || n > PM_RECORD_MAX)
			abort();
		sum->hash = sum->hash * 31 + n;
		for (size_t i = 0; i < n; i++)
			sum->hash = sum->hash * 31 + record[i];
	}
}

/* The first byte says how the rest is cut. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pm_record_reader whole = { 0 }, cut = { 0 };
	struct sum a = { 0, 0 }, b = { 0, 0 };
	size_t step;

	if (size < 2)
		return 0;
	step = (size_t)data[0] + 1;
	feed(&whole, data + 1, size - 1, &a);
	for (size_t at = 1; at < size; at += step)
		feed(&cut, data + at, PM_MIN(step, size - at), &b);
	if (a.hash != b.hash || a.rc != b.rc)
		abort();
	pm_record_finish(&whole);
	pm_record_finish(&cut);
	return 0;
}
