/* fuzz_versions.c - versions_decode() on foreign bytes. */
#include "agent/versions.h"
#include "tests/fuzz/sealed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const uint8_t *bytes, size_t len)
{
	struct versions v;
	struct pm_error err;

	if (versions_decode(bytes, len, &v, &err) == 0)
		versions_finish(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return decode_both_ways(data, size, "PMSPECS\n", decode);
}
